"""Pens: where each one stands, and what stroke its next command asks for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import numpy as np

from spiral_jax.programs import array_namespace, grid_to_canvas
from spiral_jax.types import Actions, Stroke

# Brush sizes are given for this canvas width, and scale with the canvas.
REFERENCE_WIDTH = 64
BACKGROUNDS = {"white": 1.0, "black": 0.0}
COMPATS = (None, "deepmind")

_PRESSURES = np.linspace(0.1, 1.0, 10, dtype=np.float32)
_LEVELS = np.linspace(0.0, 1.0, 20, dtype=np.float32)


class PenState(NamedTuple):
    """Where `B` pens stand after their last commands.

    Attributes:
      location: `[B, 2]` float32 px, (y, x).
      down: `[B]` bool, whether the last command painted.
      pressure: `[B]` float32 in 0..1, the last command's.
    """

    location: chex.Array
    down: chex.Array
    pressure: chex.Array


class Pens:
    """What commands mean: pure functions, under numpy and inside jit alike.

    Args:
      settings: a painting's settings, see `Painting.settings`.
    """

    def __init__(self, settings: Mapping[str, Any]):
        self._grid = (settings["grid_width"], settings["canvas_width"])
        scale = settings["canvas_width"] / REFERENCE_WIDTH
        self.radii = np.asarray(settings["brush_sizes"], np.float32) * np.float32(scale)
        self._ink = 1.0 - BACKGROUNDS[settings["background"]]
        # Programs written by hand, or before there was a choice, need not name it.
        self._same_y_and_x_after_move = settings.get("compat") == "deepmind"

    def begin(self, batch_size: int) -> PenState:
        """Returns pens that are lifted at the top left corner."""
        return PenState(
            location=np.zeros([batch_size, 2], np.float32),
            down=np.zeros([batch_size], bool),
            pressure=np.zeros([batch_size], np.float32),
        )

    def stroke(self, state: PenState, actions: Actions) -> tuple[Stroke, PenState]:
        """Translates commands.

        Args:
          state: where the pens stand.
          actions: valid commands, `[B]` int32 each.

        Returns:
          A `Stroke` in px of the canvas, and where the pens are after it.
        """
        xp = array_namespace(actions["flag"])
        paint = actions["flag"] == 1
        end = grid_to_canvas(actions["end"], *self._grid)
        if "pressure" in actions:
            pressure = xp.asarray(_PRESSURES)[actions["pressure"]]
        else:
            pressure = xp.ones(paint.shape, np.float32)
        if "red" in actions:
            levels = xp.stack([actions[c] for c in ("red", "green", "blue")], axis=-1)
            color = xp.asarray(_LEVELS)[levels]
        else:
            color = xp.full((*paint.shape, 1), self._ink, np.float32)
        stroke = Stroke(
            paint=paint,
            start=state.location,
            control=grid_to_canvas(actions["control"], *self._grid),
            end=end,
            radius=xp.asarray(self.radii)[actions["size"]],
            # A pen that has just been put down starts with its own pressure.
            pressure_start=xp.where(state.down, state.pressure, pressure),
            pressure_end=pressure,
            color=color,
        )
        if self._same_y_and_x_after_move:
            end = xp.where(paint[:, None], end, end[:, :1])
        return stroke, PenState(end, paint, pressure)
