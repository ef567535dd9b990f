r"""Draws docs/brushes.md's pictures: our strokes beside libmypaint's, and the difference.

  python -m experiments.compare_brushes

Needs the real library (spiral_jax/renderers/libmypaint.py). Writes one PNG a brush, and
prints the errors of each size: our mean, and the largest of any pixel.
"""

import numpy as np

from experiments.cli import define_path, run
from spiral_jax.environments import Painting
from spiral_jax.images import save_png, sheet
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES

_OUT = define_path("out", "docs/results", "Folder of the pictures.")

# Of the commands' 10 pressures: 0.1, 0.5 and 1.
PRESSURES = (0, 4, 9)
# How many times darker the difference is drawn.
GAIN = 2000
# One curve, in cells (y, x) of the grid of 32: start, control, end.
CURVE = ((5, 5), (3, 31), (26, 26))


def strokes(brush: str, renderer: str) -> np.ndarray:
    """Draws one curve in each size and pressure: `[6, 3, 64, 64, 1]` float32."""
    sizes = len(Painting().settings["brush_sizes"])
    size, pressure = np.meshgrid(np.arange(sizes), PRESSURES, indexing="ij")
    environment = Painting(
        batch_size=size.size,
        use_color=False,
        brush=brush,
        mypaint_version="1.6",
        noise="libmypaint",
        renderer=renderer,
    )
    everywhere = lambda cell: np.full(size.size, cell[0] * 32 + cell[1])
    start, control, end = (everywhere(cell) for cell in CURVE)
    command = {"control": control, "size": size.ravel(), "pressure": pressure.ravel()}
    environment.reset()
    environment.step({**command, "flag": np.zeros_like(start), "end": start})
    time_step = environment.step({**command, "flag": np.ones_like(start), "end": end})
    canvas = time_step.observation["canvas"]
    return canvas.reshape(*size.shape, *canvas.shape[1:])


def main(argv: list[str]) -> None:
    print(f"{'brush':18s} {'radius':>6s} {'MAE':>8s} {'largest':>8s}")
    for brush in SHIPPED_BRUSHES:
        theirs = strokes(brush, "libmypaint")
        ours = strokes(brush, "auto")
        difference = np.abs(ours - theirs)
        for radius, error in zip(Painting().settings["brush_sizes"], difference):
            print(f"{brush:18s} {radius:6g} {error.mean():8.1e} {error.max():8.1e}")
        columns = np.stack([ours, theirs, 1 - GAIN * difference], axis=2)
        page = sheet(columns.reshape(-1, *columns.shape[3:]), columns=3 * len(PRESSURES))
        name = brush.removeprefix("classic/")
        save_png(_OUT.value / f"brush-{name}.png", page)


if __name__ == "__main__":
    run(main, "compare_brushes")
