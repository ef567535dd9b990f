"""Pens: where each one stands, and what stroke its next command asks for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spiral_jax.programs import grid_to_canvas
from spiral_jax.types import Actions, Stroke

# Brush sizes are given for this canvas width, and scale with the canvas.
REFERENCE_WIDTH = 64
BACKGROUNDS = {"white": 1.0, "black": 0.0}
COMPATS = (None, "deepmind")

_PRESSURES = np.linspace(0.1, 1.0, 10, dtype=np.float32)
_LEVELS = np.linspace(0.0, 1.0, 20, dtype=np.float32)


class Pens:
    """`B` pens, which begin lifted at the top left corner.

    Args:
      settings: a painting's settings, see `Painting.settings`.
      batch_size: B.
    """

    def __init__(self, settings: Mapping[str, Any], batch_size: int):
        self._grid = (settings["grid_width"], settings["canvas_width"])
        scale = settings["canvas_width"] / REFERENCE_WIDTH
        self.radii = np.asarray(settings["brush_sizes"], np.float32) * np.float32(scale)
        self._ink = 1.0 - BACKGROUNDS[settings["background"]]
        # Programs written by hand, or before there was a choice, need not name it.
        self._same_y_and_x_after_move = settings.get("compat") == "deepmind"
        self._batch_size = batch_size
        self.reset()

    def reset(self) -> None:
        """Lifts all pens to the corner."""
        self._location = np.zeros([self._batch_size, 2], np.float32)
        self._down = np.zeros([self._batch_size], bool)
        self._pressure = np.zeros([self._batch_size], np.float32)

    def stroke(self, actions: Actions) -> Stroke:
        """Translates commands, and moves the pens to where they end.

        Args:
          actions: valid commands, `[B]` int32 each.

        Returns:
          A `Stroke` in px of the canvas.
        """
        paint = actions["flag"] == 1
        end = grid_to_canvas(actions["end"], *self._grid)
        if "pressure" in actions:
            pressure = _PRESSURES[actions["pressure"]]
        else:
            pressure = np.ones([self._batch_size], np.float32)
        if "red" in actions:
            color = _LEVELS[
                np.stack([actions[c] for c in ("red", "green", "blue")], axis=-1)
            ]
        else:
            color = np.full([self._batch_size, 1], self._ink, np.float32)
        stroke = Stroke(
            paint=paint,
            start=self._location,
            control=grid_to_canvas(actions["control"], *self._grid),
            end=end,
            radius=self.radii[actions["size"]],
            # A pen that has just been put down starts with its own pressure.
            pressure_start=np.where(self._down, self._pressure, pressure),
            pressure_end=pressure,
            color=color,
        )
        self._location, self._down, self._pressure = end, paint, pressure
        if self._same_y_and_x_after_move:
            self._location = np.where(paint[:, None], end, end[:, :1])
        return stroke
