"""Runs the notebooks from top to bottom, and keeps them with small outputs.

Whoever only reads them sees what they make. `train` takes ten minutes. Run it where the
package is installed, after a change of what the notebooks show:

  python -m experiments.run_notebooks --names=draw_by_hand --names=scenes
"""

import base64
import io
import tempfile
from pathlib import Path

import nbclient
import nbformat
from absl import flags
from PIL import Image

from experiments.cli import run

NOTEBOOKS = Path(__file__).parent / "notebooks"
NAMES = ["draw_by_hand", "reconstruct", "scenes", "train"]
MOST_WIDTH = 700  # px of a picture
NUM_COLOURS = 48

_NAMES = flags.DEFINE_multi_enum("names", NAMES, NAMES, "Which notebooks.")
_SECONDS = flags.DEFINE_integer("seconds", 1800, "The longest that a cell may take.")


def smaller(png: str) -> str:
    """Returns a PNG in base64 with fewer pixels, if it is wide, and fewer colours."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as found:
        image = found.convert("RGB")
    if image.width > MOST_WIDTH:
        height = round(image.height * MOST_WIDTH / image.width)
        image = image.resize((MOST_WIDTH, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.quantize(NUM_COLOURS).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def execute(path: Path, seconds: int) -> None:
    """Executes a notebook in an empty folder, and writes it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=seconds, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type != "code":
            continue
        # Warnings and bars are of this machine.
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                output.data["image/png"] = smaller(png)
    notebook.metadata = nbformat.from_dict(metadata)
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def main(argv: list[str]) -> None:
    for name in _NAMES.value:
        execute(NOTEBOOKS / f"{name}.ipynb", _SECONDS.value)


if __name__ == "__main__":
    run(main, "run_notebooks")
