r"""Sets an agent that redraws pictures beside vtracer, a program that traces them.

  pip install vtracer resvg_py
  python -m experiments.compare_vectoriser --agent=RUN_DIR

Both get the held-out pictures of the agent's data, as its canvas shows them. Prints the
mean l2 distance to them, of the SVG as resvg draws it and, of the agent, of its canvas as
well; how many strokes that paint or paths there are; bytes of SVG; and milliseconds per
picture, one after the other on one thread of vtracer, in one batch of the agent.
"""

import importlib.util
import io
import json
import re
import time
from collections.abc import Sequence

import numpy as np
from absl import flags
from PIL import Image

from experiments.cli import define_path, open_agent, run
from spiral_jax.data import to_float
from spiral_jax.data.registry import load_dataset
from spiral_jax.paths import write_file
from spiral_jax.reconstruction import compare
from spiral_jax.rewards import negative_distance

_AGENT = flags.DEFINE_string("agent", None, "A conditional agent.", required=True)
_NUM = flags.DEFINE_integer("num", 200, "The most pictures.", lower_bound=1)
_SAMPLES = flags.DEFINE_integer("samples", 1, "Drawings of each, as of `reconstruct`.")
_JSON = define_path("json", None, "Where the table is written, too.")


def rasterise(svg: str, width: int) -> np.ndarray:
    """Draws an SVG document on white, `[width, width, 3]` float32 in 0..1."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=width))
    with Image.open(io.BytesIO(png)) as found:
        image = found.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    drawn = Image.alpha_composite(paper, image).convert("RGB")
    return np.asarray(drawn, np.float32) / 255


def trace(picture: np.ndarray) -> str:
    """Traces `[H, W, 3]` uint8 by vtracer's default settings, to SVG."""
    import vtracer

    png = io.BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    return vtracer.convert_raw_image_to_svg(png.getvalue(), img_format="png")


def measure(
    svgs: Sequence[str], counts: Sequence[int], seconds: float, targets: np.ndarray
) -> dict[str, float]:
    """Returns the row of one method.

    Args:
      svgs, counts: of each picture, its document, and how many strokes or paths it has.
      seconds: for all of them.
      targets: `[N, W, W, 3]` float32 in 0..1.
    """
    drawn = np.stack([rasterise(svg, targets.shape[2]) for svg in svgs])
    return {
        "l2_svg": -float(np.mean(negative_distance(drawn, targets))),
        "strokes_or_paths": float(np.mean(counts)),
        "svg_bytes": float(np.mean([len(svg.encode()) for svg in svgs])),
        "milliseconds": 1000 * seconds / len(svgs),
    }


def main(argv: list[str]) -> None:
    for name in ("resvg_py", "vtracer"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"{name} is not installed; pip install vtracer resvg_py.")
    agent = open_agent(_AGENT.value)
    pictures = load_dataset(agent.system.config).test.images[: _NUM.value]
    if pictures.shape[-1] == 1:
        raise ValueError(f"agent={_AGENT.value!r} draws grey; expected one of colours.")
    targets = to_float(pictures)
    redraw = lambda: agent.reconstruct(pictures, num_samples=_SAMPLES.value)
    redraw()  # compiles
    begun = time.perf_counter()
    programs, canvases = redraw()
    seconds = time.perf_counter() - begun
    counts = [int(np.sum(program.actions["flag"])) for program in programs]
    width = targets.shape[2]
    svgs = [program.to_svg(width=width) for program in programs]
    rows = {"agent": measure(svgs, counts, seconds, targets)}
    likeness = compare(canvases, targets, agent.system.blank)
    rows["agent"]["l2"] = float(np.mean(likeness.drawn))
    begun = time.perf_counter()
    svgs = [trace(picture) for picture in pictures]
    seconds = time.perf_counter() - begun
    counts = [len(re.findall("<path", svg)) for svg in svgs]
    rows["vtracer"] = measure(svgs, counts, seconds, targets)
    rows["blank"] = {"l2": float(np.mean(likeness.blank))}
    names = ("l2", "l2_svg", "strokes_or_paths", "svg_bytes", "milliseconds")
    print(f"{len(pictures)} held-out pictures".ljust(24), *(f"{n:>16s}" for n in names))
    for name, row in rows.items():
        cells = (f"{row[n]:16.4g}" if n in row else f"{'':16s}" for n in names)
        print(name.ljust(24), *cells)
    if _JSON.value:
        write_file(_JSON.value, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main, "compare_vectoriser")
