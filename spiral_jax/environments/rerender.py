"""Drawing a program again, crisper or with another brush."""

from pathlib import Path

import numpy as np

from spiral_jax.environments.painting import Painting
from spiral_jax.programs import Program
from spiral_jax.renderers.mypaint import Brush


def rerender(
    program: Program,
    width: int | None = None,
    brush: str | Path | Brush | None = None,
) -> np.ndarray:
    """Runs a program on one blank canvas, of any width and with any brush.

    Args:
      program: what to draw.
      width: W in px; None takes the program's own. Locations and brush sizes scale with
        it, so that a drawing of 64 px becomes a crisp one of 512 px.
      brush: as in `Painting`; None takes the program's own. A program that was drawn with
        a `Brush` of no file or other name needs it here.

    Returns:
      `[T+1, W, W, C]` float32 in 0..1: the canvas before the first and after every
      command.

    Raises:
      ValueError, TypeError: the program, the width or the brush is not valid.
    """
    settings = dict(program.settings)
    if width is not None:
        settings["canvas_width"] = width
    if brush is not None:
        settings["brush"] = brush
    environment = Painting(batch_size=1, episode_length=len(program) + 1, **settings)
    canvases = [environment.reset().observation["canvas"][0]]
    for t in range(len(program)):
        actions = {name: values[t : t + 1] for name, values in program.actions.items()}
        canvases.append(environment.step(actions).observation["canvas"][0])
    return np.stack(canvases)
