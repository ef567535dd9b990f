"""What scripts that draw leave: sheets of finished drawings, and their programs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spiral_jax.environments import export_mjcf
from spiral_jax.images import programs_to_svg, save_png, save_stages, sheet
from spiral_jax.paths import write_file
from spiral_jax.programs import Program
from spiral_jax.reconstruction import Likeness
from spiral_jax.tiles import Mosaic
from spiral_jax.types import Actions

Painting = Program | Mosaic
PAINTING_WIDTH = 512  # px
_NUM_NAMED = 5


def redraw(
    programs: Sequence[Painting], width: int | None, brush: str | None
) -> np.ndarray:
    """Draws programs again, `[N, W, W, C]`; see `Program.render`."""
    return np.stack([program.render(width, brush) for program in programs])


def sheet_of_pairs(targets: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """Lays targets out in a grid, each with its drawing on its right.

    Args:
      targets: `[N, H, W, C]` float32.
      drawings: `[N, H', W', C]`, to whose width targets are shown, px by px.

    Returns:
      As `sheet`.
    """
    width = drawings.shape[1]
    nearest = np.arange(width) * targets.shape[1] // width
    shown = targets[:, nearest][:, :, nearest]
    pairs = np.stack([shown, drawings], axis=1).reshape(-1, *drawings.shape[1:])
    return sheet(pairs, columns=2 * round(np.ceil(np.sqrt(len(drawings) / 2))))


def actions_of(programs: Sequence[Program]) -> Actions:
    """Returns the commands of N programs of one length, `[T, N]` each."""
    return {
        name: np.stack([program.actions[name] for program in programs], axis=1)
        for name in programs[0].actions
    }


def describe(likeness: Likeness) -> str:
    """Says how near drawings are, beside blank canvases."""
    mean = "mean " if len(likeness.drawn) > 1 else ""
    l2, blank = likeness.drawn.mean(), likeness.blank.mean()
    return f"{mean}l2 {l2:.4g}, a blank canvas has {blank:.4g}"


def warnings(
    names: Sequence[str], likeness: Likeness, opposite: np.ndarray, paper: str
) -> list[str]:
    """Says which of N pictures the agent cannot make much of, and what to do.

    Args:
      names: of the pictures.
      likeness: of its drawings to them.
      opposite: `[N]` bool, see `opposite_ink`.
      paper: "white" or "black", the agent's.
    """
    ink = "light ink on dark where this agent draws dark on light"
    if paper == "black":
        ink = "dark ink on light where this agent draws light on dark"
    poor, found = likeness.poor & ~opposite, []
    if opposite.any():
        found.append(
            f"{_named(names, opposite)}: {ink}. --invert turns that round (or leave it "
            "out, if it was given)."
        )
    if poor.any():
        l2, *rest = (values[poor].mean() for values in likeness)
        found.append(
            f"{_named(names, poor)}: l2 {l2:.4g}, where a blank canvas has {rest[0]:.4g} "
            f"and one colour all over {rest[1]:.4g}: the agent has not learnt to draw "
            "such pictures. Take one that has, or larger --tiles, or train one: "
            "docs/painting.md."
        )
    return found


def _named(names: Sequence[str], which: np.ndarray) -> str:
    chosen = [name for name, one in zip(names, which) if one]
    more = f" and {len(chosen) - _NUM_NAMED} more" if len(chosen) > _NUM_NAMED else ""
    return ", ".join(chosen[:_NUM_NAMED]) + more


def save_painting(
    folder: Path, painting: Painting, width: int | None, brush: str | None
) -> list[str]:
    """Writes one painting as painting.png, .gif and .svg, and as program.json.

    Args:
      folder: where to; made if absent.
      painting: what to write. Only paintings of strokes become SVG.
      width: of PNG and GIF in px; None: 512.
      brush: of PNG and GIF; None: the painting's own.

    Returns:
      The names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = width or PAINTING_WIDTH
    stages = painting.stages(size, brush)  # once for both
    save_png(folder / "painting.png", stages[-1])
    save_stages(folder / "painting.gif", stages)
    others = ["painting.svg"] if is_painting(painting) else []
    others.append("program.json")
    for name in others:
        painting.save(folder / name, size)
    return ["painting.png", "painting.gif", *others]


def is_painting(program: Painting) -> bool:
    """Says whether a program is made of strokes."""
    return program.settings.get("environment", "painting") == "painting"


def export(folder: Path, programs: list[Program]) -> str:
    """Writes what other programs open: worlds for MuJoCo's viewer, or strokes as SVG.

    Args:
      folder: where to.
      programs: what to write, all of one environment.

    Returns:
      What it is called there.
    """
    if programs[0].settings.get("environment") == "scenes":
        _write_each(folder / "mjcf", "xml", [export_mjcf(p) for p in programs])
        return "mjcf/"
    write_file(folder / "drawings.svg", programs_to_svg(programs))
    _write_each(folder / "svg", "svg", [program.to_svg() for program in programs])
    return "drawings.svg, svg/"


def _write_each(folder: Path, suffix: str, documents: list[str]) -> None:
    """Writes documents as 0.suffix, 1.suffix, ... into a folder."""
    folder.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        write_file(folder / f"{number}.{suffix}", document)
