"""The golden programs as strokes: a small stand-in for the painting environment."""

import functools
import pathlib

import numpy as np
import pytest

from spiral_jax.renderers.mypaint import MyPaintRenderer, Stroke

SIZES = np.array([1, 2, 4, 8, 12, 24], np.float32)
PRESSURES = np.linspace(0.1, 1.0, 10)
COLORS = np.linspace(0.0, 1.0, 20)
GRID, PIXELS_PER_CELL = 32, 2.0

# `../shared` of the project.
_FOLDERS = [p / "shared" / "golden" for p in pathlib.Path(__file__).parents[2:4]]
FOLDER = next((p for p in _FOLDERS if p.is_dir()), None)
needed = pytest.mark.skipif(
    FOLDER is None, reason="libmypaint's renders (../shared/golden) are not here"
)


@functools.cache
def array(name: str) -> np.ndarray:
    """One array of the golden file."""
    with np.load(FOLDER / "libmypaint.npz") as file:
        return file[name]


def brush(name: str) -> str:
    """What to load for a brush of the golden file."""
    return str(FOLDER / f"{name}.myb") if name.endswith("_det") else f"classic/{name}"


def program(actions: np.ndarray, quirk: bool = False) -> list[dict]:
    """One environment's strokes, as keyword arguments without a batch dimension.

    A curve that begins with the pen up has one pressure, its own.

    Args:
        actions: `[T, 8]` int: control, end, flag, pressure, size, red, green, blue;
            -1 after the program's end.
        quirk: after a move to (y, x) the next curve starts at (y, y), as in the
            released environment.
    """
    pen, pressure, strokes = np.zeros(2), None, []
    for control, end, flag, p, size, *color in actions[actions[:, 0] >= 0]:
        control, end = (
            np.array(divmod(int(v), GRID)) * PIXELS_PER_CELL for v in (control, end)
        )
        strokes.append({
            "paint": bool(flag), "start": pen, "control": control, "end": end,
            "radius": SIZES[size], "color": COLORS[list(color)],
            "pressure_start": PRESSURES[p] if pressure is None else pressure,
            "pressure_end": PRESSURES[p],
        })  # fmt: skip
        pen = end[[0, 0]] if quirk and not flag else end
        pressure = PRESSURES[p] if flag else None
    return strokes


def stroke(rows: list[dict]) -> Stroke:
    """Rows of `program`, one per environment, as a batch."""
    return Stroke(**{key: np.array([row[key] for row in rows]) for key in rows[0]})


def render(brush, actions, quirk=False, **settings) -> np.ndarray:
    """Canvases after every step, `[B, T, 64, 64, 3]`; a short program's end stays."""
    programs = [program(a, quirk) for a in actions]
    renderer = MyPaintRenderer(brush, batch_size=len(programs), **settings)
    canvases = []
    for t in range(max(map(len, programs))):
        rows = [p[min(t, len(p) - 1)] for p in programs]
        canvas = renderer.step(stroke(rows))
        over = np.array([t >= len(p) for p in programs])
        if over.any():
            canvas[over] = canvases[-1][over]
        canvases.append(canvas)
    return np.stack(canvases, 1)
