r"""libmypaint 1.3.0's own renders, and 1.6's, beside ours of the same programs.

  python -m tests.mypaint.golden

prints our errors on all of them. They lie in ../shared/golden of the project; `CUT` of
them is in tests/data, for checkouts that have no such folder.
"""

import functools
import pathlib

import numpy as np

from spiral_jax.environments import Painting

DATA = pathlib.Path(__file__).parents[1] / "data"
# `../shared` of the project.
_FOLDERS = [p / "shared" / "golden" for p in pathlib.Path(__file__).parents[2:4]]
FOLDER = next((p for p in _FOLDERS if p.is_dir()), DATA)
FILE = "libmypaint.npz"

# How many of a brush the cut keeps, the first ones: programs with finished canvases,
# programs with logs of dabs, programs with a canvas after every command, and strokes
# with the statistics of their noise.
CUT = {"dry_brush_det": (2, 1, 2, 0), "pen": (8, 4, 4, 0), "dry_brush": (2, 1, 0, 4)}

COLUMNS = ("control", "end", "flag", "pressure", "size", "red", "green", "blue")
# Brush, which of its renders, and what the renders' environment was.
FINALS = [
    (brush, final, settings)
    for final, settings in (
        ("v13_fixed", {}),
        ("v13_dm", {"compat": "deepmind"}),
        ("v16_fixed", {"mypaint_version": "1.6"}),
    )
    for brush in ("dry_brush_det", "pen", "dry_brush")
]


@functools.cache
def array(name: str) -> np.ndarray:
    """One array of the golden file."""
    with np.load(FOLDER / FILE) as file:
        return file[name]


def cut() -> dict[str, np.ndarray]:
    """What of the golden file is in tests/data; written there by

    np.savez_compressed(golden.DATA / golden.FILE, **golden.cut())
    """
    kept = {}
    for brush, (programs, logs, steps, strokes) in CUT.items():
        for name, count in (
            ("actions", programs),
            *(
                (f"final_{final}", programs)
                for final in dict.fromkeys(f for _, f, _ in FINALS)
            ),
            ("dabcount_cum", logs),
            ("dablog_v13_fixed", array(f"{brush}/dabcount_cum")[:logs].max(1).sum()),
            ("step_actions", steps),
            ("step_canvas_v13_fixed", steps),
            ("stat_actions", strokes),
            ("stat_mean", strokes),
            ("stat_std", strokes),
        ):
            if count:
                kept[f"{brush}/{name}"] = array(f"{brush}/{name}")[:count]
    return kept


def brush(name: str) -> str:
    """What to load for a brush of the golden file."""
    return str(FOLDER / f"{name}.myb") if name.endswith("_det") else f"classic/{name}"


def commands(rows: np.ndarray) -> dict[str, np.ndarray]:
    """One command per canvas from rows `[B, 8]`; a move after a program's end (-1)."""
    return dict(zip(COLUMNS, np.maximum(rows, 0).T, strict=True))


def render(brush, programs, **settings) -> np.ndarray:
    """Canvases after every step, `[B, T, 64, 64, 3]`; a short program's end stays."""
    count, length = programs.shape[:2]
    environment = Painting(
        brush=brush, batch_size=count, episode_length=length + 1, **settings
    )
    environment.reset()
    steps = [environment.step(commands(programs[:, t])) for t in range(length)]
    return np.stack([step.observation["canvas"] for step in steps], 1)


def errors(canvas, expected) -> tuple[float, float]:
    """Mean absolute error and the share of values off by more than 0.1."""
    difference = np.abs(np.round(canvas * 255) - expected.astype(float)) / 255
    return difference.mean(), (difference > 0.1).mean()


def final_errors(name, final, renderer="auto", **settings) -> tuple[float, float]:
    """Our errors on one of `FINALS`, with libmypaint's noise replayed."""
    canvases = render(
        brush(name), array(f"{name}/actions"), noise="libmypaint", renderer=renderer,
        **settings,
    )  # fmt: skip
    return errors(canvases[:, -1], array(f"{name}/final_{final}"))


def noise_statistics(n: int = 256) -> tuple[float, float]:
    """Our own noise against the moments of 256 of libmypaint's renders of a stroke.

    Returns:
      The root mean square, over the pixels that vary, of the difference of the means in
      standard errors (1 for one law), and the ratio of the standard deviations.
    """
    squares, ours, theirs = [], 0.0, 0.0
    for k, program in enumerate(array("dry_brush/stat_actions")):
        batch = np.repeat(program[None], n, 0)
        canvas = render("classic/dry_brush", batch, seed=k)[:, -1, ..., 0]
        mean, std = (
            array(f"dry_brush/stat_{what}")[k].astype(float) for what in ("mean", "std")
        )
        varies = std > 0.01
        error = np.sqrt((canvas.std(0) ** 2 + std**2)[varies] / n)
        squares.append((((canvas.mean(0) - mean)[varies] / error) ** 2).mean())
        ours += canvas.std(0)[varies].sum()
        theirs += std[varies].sum()
    return float(np.sqrt(np.mean(squares))), float(ours / theirs)


def main() -> None:
    print(f"{'brush':14s} {'renders':10s} {'MAE':>9s} {'off by > 0.1':>13s}")
    for name, final, settings in FINALS:
        mae, share = final_errors(name, final, **settings)
        print(f"{name:14s} {final:10s} {mae:9.1e} {share:13.1e}")
    score, ratio = noise_statistics()
    print(f"own noise, 256 renders: rms z {score:.3f}, ratio of deviations {ratio:.3f}")


if __name__ == "__main__":
    main()
