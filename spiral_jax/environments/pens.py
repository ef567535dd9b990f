"""Pens: where each one stands, and what strokes its next command asks for."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import numpy as np

from spiral_jax.language import array_namespace, grid_to_canvas
from spiral_jax.names import BACKGROUNDS
from spiral_jax.types import Actions, Stroke

# Brush sizes are given for this canvas width, and scale with the canvas.
REFERENCE_WIDTH = 64
PAPER = dict(zip(BACKGROUNDS, (1.0, 0.0), strict=True))
COMPATS = (None, "deepmind")
# Of a compound stroke.
MAX_POINTS = 16

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


class StrokeSequence(NamedTuple):
    """What a command paints, one after the other.

    Attributes:
      count: how many there are: an integer, inside jit a traced one; at least 1.
      at: function from an index below that to the `Stroke`.
    """

    count: chex.Numeric
    at: Callable[[chex.Numeric], Stroke]


class Pens:
    """What commands mean: pure functions, under numpy and inside jit alike.

    Args:
      settings: a painting's settings, see `Painting.settings`.
    """

    def __init__(self, settings: Mapping[str, Any]):
        self._grid = (settings["grid_width"], settings["canvas_width"])
        scale = settings["canvas_width"] / REFERENCE_WIDTH
        self.radii = np.asarray(settings["brush_sizes"], np.float32) * np.float32(scale)
        self._ink = 1.0 - PAPER[settings["background"]]
        # Programs written by hand, or before there was a choice, need not name it.
        self._same_y_and_x_after_move = settings.get("compat") == "deepmind"

    def begin(self, batch_size: int) -> PenState:
        """Returns pens that are lifted at the top left corner."""
        return PenState(
            location=np.zeros([batch_size, 2], np.float32),
            down=np.zeros([batch_size], bool),
            pressure=np.zeros([batch_size], np.float32),
        )

    def _ink_of(self, actions: Actions) -> tuple[chex.Array, chex.Array, chex.Array]:
        """Returns radius in px `[B]`, pressure `[B]` and colour `[B, C]`."""
        xp = array_namespace(actions["flag"])
        shape = actions["flag"].shape
        if "pressure" in actions:
            pressure = xp.asarray(_PRESSURES)[actions["pressure"]]
        else:
            pressure = xp.ones(shape, np.float32)
        if "red" in actions:
            levels = xp.stack([actions[c] for c in ("red", "green", "blue")], axis=-1)
            color = xp.asarray(_LEVELS)[levels]
        else:
            color = xp.full((*shape, 1), self._ink, np.float32)
        return xp.asarray(self.radii)[actions["size"]], pressure, color

    def strokes(
        self, state: PenState, actions: Actions
    ) -> tuple[StrokeSequence, PenState]:
        """Translates commands.

        Args:
          state: where the pens stand, from `begin` or from here.
          actions: valid commands, `[B]` int32 each.

        Returns:
          Strokes in px of the canvas, and where the pens are after them.
        """
        xp = array_namespace(actions["flag"])
        paint = actions["flag"] == 1
        end = grid_to_canvas(actions["end"], *self._grid)
        radius, pressure, color = self._ink_of(actions)
        stroke = Stroke(
            paint=paint,
            start=state.location,
            control=grid_to_canvas(actions["control"], *self._grid),
            end=end,
            radius=radius,
            # A pen that has just been put down starts with its own pressure.
            pressure_start=xp.where(state.down, state.pressure, pressure),
            pressure_end=pressure,
            color=color,
            idle=xp.zeros(paint.shape, bool),
        )
        if self._same_y_and_x_after_move:
            end = xp.where(paint[:, None], end, end[:, :1])
        return StrokeSequence(1, lambda index: stroke), PenState(end, paint, pressure)


class CompoundState(NamedTuple):
    """The strokes that `B` pens have been told of, and have not painted yet.

    Attributes:
      points: `[B, MAX_POINTS, 2]` float32 px, (y, x).
      count: `[B]` int32, how many of them count, at least 1: where the pen stands first.
    """

    points: chex.Array
    count: chex.Array


class CompoundPens(Pens):
    """Pens whose commands give points, and paint strokes through all of them at once.

    A stroke is a Catmull-Rom spline: cubic between two points, and at each point
    parallel to the line between the points before and after it. A single point leaves
    nothing. What comes after the last of `MAX_POINTS` takes its place.

    Brushes paint quadratic curves, so each cubic is split in its middle into two. On the
    sharpest of zigzags, across the whole canvas, these differ from it by 1.7 % of the
    canvas' width.
    """

    def begin(self, batch_size: int) -> CompoundState:
        """Returns pens at the top left corner, which is their strokes' first point."""
        return CompoundState(
            points=np.zeros([batch_size, MAX_POINTS, 2], np.float32),
            count=np.ones([batch_size], np.int32),
        )

    def strokes(
        self, state: CompoundState, actions: Actions
    ) -> tuple[StrokeSequence, CompoundState]:
        """Translates commands, see `Pens.strokes`: the halves of cubics, then a move."""
        xp = array_namespace(actions["flag"])
        paint = actions["flag"] == 1
        here = grid_to_canvas(actions["control"], *self._grid)
        radius, pressure, color = self._ink_of(actions)
        rows = np.arange(len(paint))
        num_curves = xp.where(paint, 2 * (state.count - 1), 0)
        most = xp.max(num_curves)

        def at(index: chex.Numeric) -> Stroke:
            curve = index < num_curves
            span, last = index // 2, state.count - 1
            before, start, end, after = (
                state.points[rows, xp.clip(span + offset, 0, last)]
                for offset in (-1, 0, 1, 2)
            )
            halves = _halves(start, (end - before) / 6, (after - start) / 6, end)
            start, control, end = (
                xp.where(index % 2 == 0, first, second) for first, second in zip(*halves)
            )
            return Stroke(
                paint=curve,
                start=start,
                control=control,
                end=xp.where(curve[:, None], end, here),
                radius=radius,
                pressure_start=pressure,
                pressure_end=pressure,
                color=color,
                # Those with fewer curves than others wait; all that paint move together.
                idle=~curve & ~(paint & (index == most)),
            )

        place = xp.where(paint, 0, xp.minimum(state.count, MAX_POINTS - 1))
        chosen = (np.arange(MAX_POINTS) == place[:, None])[..., None]
        points = xp.where(chosen, here[:, None], state.points)
        return StrokeSequence(most + 1, at), CompoundState(points, place + 1)


def _halves(start, out, into, end):
    """Splits cubics at 1/2 into two quadratics: start, control and end, `[B, 2]` each.

    Args:
      start, end: where the cubic begins and ends.
      out, into: thirds of its velocities there.
    """
    first, second = start + out, end - into
    middle = (start + 3 * first + 3 * second + end) / 8
    # The control point of the quadratic nearest to a cubic p, q, r, s is
    # (3q + 3r - p - s) / 4; here q and r are those of the halves.
    inner = (start + 2 * first + second) / 4
    left = (3 * (start + first) / 2 + 3 * inner - start - middle) / 4
    inner = (first + 2 * second + end) / 4
    right = (3 * inner + 3 * (second + end) / 2 - middle - end) / 4
    return (start, left, middle), (middle, right, end)


def make_pens(settings: Mapping[str, Any]) -> Pens:
    """Returns the pens that a painting's settings imply."""
    # Programs written before there was a choice do not name it.
    return (CompoundPens if settings.get("compound") else Pens)(settings)
