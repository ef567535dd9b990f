"""The notebooks run from top to bottom, small enough for every test run."""

import base64
import importlib.util
import io
import re
import shutil
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from experiments.run_notebooks import NAMES
from tests.conftest import needs_gl

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "experiments" / "notebooks"
# What the cell "# SIZE" sets instead: nothing is learnt, everything runs.
SIZES = {
    "draw_by_hand": {"WIDTH": 32, "NUM_FLOWERS": 2},
    "train": {"MINUTES": 0.01, "SECONDS": 0.2, "CANVAS_WIDTH": 16, "BATCH_SIZE": 4},
    "reconstruct": {"NUM_TRIES": 2},
    "scenes": {"WIDTH": 32, "NUM_SCENES": 6, "NUM_FRAMES": 3},
}


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def shrink(notebook, sizes) -> None:
    (cell,) = [c for c in notebook.cells if c.source.startswith("# SIZE\n")]
    for name, value in sizes.items():
        pattern = rf"^{name} = \S+"
        cell.source, found = re.subn(
            pattern, f"{name} = {value}", cell.source, flags=re.M
        )
        assert found == 1, name


def pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                with Image.open(io.BytesIO(base64.b64decode(png))) as image:
                    yield np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("name", "num_pictures"),
    [
        ("draw_by_hand", 4),
        ("train", 5),
        ("reconstruct", 6),
        pytest.param("scenes", 3, marks=needs_gl),
    ],
)
def test_notebooks_run(name, num_pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Compilation is most of the time, and these sizes gain nothing by it.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    notebook = read(name)
    shrink(notebook, SIZES[name])
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    shown = list(pictures(notebook))
    assert len(shown) == num_pictures
    assert all(np.ptp(picture) > 50 for picture in shown)


def test_all_notebooks_install_alike(tmp_path, monkeypatch):
    """One address, replaced in all at once; without one, the cell says what to do."""
    (installs,) = {read(name).cells[1].source for name in SIZES}
    (checks,) = {read(name).cells[2].source for name in SIZES}
    assert "jax.devices()" in checks
    asked = []
    code = re.sub(r"%pip install --quiet (.*)", r"asked.append(f\1)", installs)
    before, after = re.split(r'^SOURCE = ".*"$', code, flags=re.M)
    install = lambda source: exec(f"{before}SOURCE = {source!r}{after}", {"asked": asked})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.chdir(NOTEBOOKS)
    install("../..")
    assert asked == [f"spiral_jax[plot] @ {ROOT.as_uri()}"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"SOURCE='\.\./\.\.'.*git\+https://"):
        install("../..")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    install("git+https://a.b/c/spiral_jax")
    assert asked[1:] == ["spiral_jax[plot,cuda12] @ git+https://a.b/c/spiral_jax"]


def test_notebooks_are_kept_with_small_outputs():
    """As `experiments.run_notebooks` leaves them; nothing in there tells of a machine."""
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES)
    assert set(NAMES) == set(SIZES)
    for name in NAMES:
        path, notebook = NOTEBOOKS / f"{name}.ipynb", read(name)
        assert path.stat().st_size < 500_000
        assert not re.search(
            r"/(home|root|work|tmp|Users)/", path.read_text(encoding="utf-8")
        )
        assert list(pictures(notebook))
        for cell in notebook.cells:
            kinds = {output.output_type for output in cell.get("outputs", [])}
            assert kinds <= {"stream", "display_data", "execute_result"}
            # Links between the notebooks lead somewhere.
            for link in re.findall(r"\]\((\S+\.ipynb)\)", cell.source):
                assert (NOTEBOOKS / link).exists()
