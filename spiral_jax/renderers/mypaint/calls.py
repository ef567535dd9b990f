"""From strokes to calls: where libmypaint's cursor is every 0.1 s of a stroke.

libmypaint is driven by calls that carry a pen position, a pressure and a duration.
A stroke is 50 of them, evenly spaced in the Bézier curve's parameter. A pen that
comes down onto the canvas makes two more first, at the start point: libmypaint
splits the call in which pressure appears into 0.0999 s without pressure and 0.0001 s
with it.

Letters: `B` strokes, `K` columns: 0 is the state before the stroke, 1 and 2 are the
pen coming down, 3 to 52 the curve. Lengths in px, times in seconds.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from spiral_jax import types
from spiral_jax.renderers.mypaint import brush as brush_lib

BEZIER_CALLS = 50
COLUMNS = 3 + BEZIER_CALLS
RADIUS_RANGE = (0.2, 1000.0)

# The environment passes float32's 0.1, just above libmypaint's 0.1 s threshold.
_CALL_SECONDS = float(np.float32(0.1))
_TOUCH_SECONDS = 1e-4


@dataclasses.dataclass
class PenState:
    """What libmypaint keeps of `B` pens between strokes, float64 `[B]` each."""

    x: np.ndarray  # the cursor, which follows the pen slowly
    y: np.ndarray
    actual_x: np.ndarray  # where dabs are drawn: the cursor, low-passed per dab
    actual_y: np.ndarray
    pressure: np.ndarray
    speed1: np.ndarray  # low-passed speeds
    speed2: np.ndarray
    radius: np.ndarray  # at the last update; 0 after a move
    partial_dabs: np.ndarray  # the part of the next dab that is already done

    @classmethod
    def at_origin(cls, count: int) -> "PenState":
        """`count` pens at (0, 0) that have drawn nothing."""
        return cls(*(np.zeros(count) for _ in dataclasses.fields(cls)))

    def rows(self, which: np.ndarray) -> "PenState":
        """A copy of the pens `which`."""
        return PenState(*(getattr(self, f.name)[which] for f in _PEN_FIELDS))

    def assign(self, which: np.ndarray, pens: "PenState") -> None:
        """Overwrites the pens `which`."""
        for field in _PEN_FIELDS:
            getattr(self, field.name)[which] = getattr(pens, field.name)


_PEN_FIELDS = dataclasses.fields(PenState)


class Calls(NamedTuple):
    """A batch of strokes' calls. All but the last two are values at a call's end."""

    active: np.ndarray  # [B, K] bool; column 0 always
    x: np.ndarray  # [B, K]
    y: np.ndarray  # [B, K]
    pressure: np.ndarray  # [B, K]
    speeds: dict[str, np.ndarray]  # low-passed, [B, K], those that the brush reads
    speed: np.ndarray  # [B, K], during the call, px or radii per second
    distance: np.ndarray  # [B, K], of the cursor during the call
    seconds: np.ndarray  # [B, K]
    base_radius: np.ndarray  # [B]


class CallPlanner:
    """Plans the calls of a batch of strokes for one brush.

    Args:
        brush: what to paint with.
        version: "1.3" measures speed in radii per second, "1.6" in px per second.
    """

    def __init__(self, brush: brush_lib.Brush, version: str):
        self._brush = brush
        self._speed_in_radii = version == "1.3"
        self._slowness = speeds_of(brush)
        lag = decay(brush.slow_tracking, 100 * _CALL_SECONDS)
        t = np.arange(1, BEZIER_CALLS + 1) / BEZIER_CALLS
        bezier = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
        # The cursor after each call: start, control, end and cursor before, weighted.
        carry, matrix = _low_pass(lag)
        self._cursor = np.concatenate([bezier @ matrix, carry])
        self._lag, self._bezier_time = lag, t
        self._filters = {
            name: _low_pass(decay(slowness, _CALL_SECONDS))
            for name, slowness in self._slowness.items()
        }

    def move(self, pens: PenState, end: np.ndarray) -> PenState:
        """Lifts the pens and moves them to `end` `[B, 2]`; all else is forgotten.

        Slow tracking comes before libmypaint's reset, so the cursor lands a little
        short of `end`.
        """
        moved = PenState.at_origin(len(end))
        moved.x = end[:, 1] + (pens.x - end[:, 1]) * self._lag
        moved.y = end[:, 0] + (pens.y - end[:, 0]) * self._lag
        moved.actual_x, moved.actual_y = moved.x.copy(), moved.y.copy()
        return moved

    def paint(self, pens: PenState, pen_up: np.ndarray, stroke: types.Stroke) -> Calls:
        """The calls of one stroke per pen.

        Args:
            pens: `B` pens.
            pen_up: whether each is above the canvas, `[B]` bool.
            stroke: `[B]` strokes that paint.
        """
        count = len(pen_up)
        active = np.ones((count, COLUMNS), bool)
        active[:, 1:3] = pen_up[:, None]
        seconds = np.full((count, COLUMNS), _CALL_SECONDS)
        seconds[:, 1], seconds[:, 2] = _CALL_SECONDS - _TOUCH_SECONDS, _TOUCH_SECONDS
        points = [np.asarray(p, float) for p in (stroke.start, stroke.control,
                                                 stroke.end)]  # fmt: skip
        y = self._track(pens.y, pen_up, *(p[:, 0] for p in points))
        x = self._track(pens.x, pen_up, *(p[:, 1] for p in points))
        first, last = (np.asarray(p, float) for p in stroke[5:7])
        pressure = np.empty((count, COLUMNS))
        pressure[:, 0] = pens.pressure
        pressure[:, 1] = np.where(pen_up, 0.0, pens.pressure)
        pressure[:, 2] = np.where(pen_up, last, pens.pressure)
        pressure[:, 3:] = first[:, None] + (last - first)[:, None] * self._bezier_time
        distance = np.zeros((count, COLUMNS))
        distance[:, 1:] = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))
        speed = distance / seconds
        radius = np.asarray(stroke.radius, float)
        if self._speed_in_radii:
            speed /= radius[:, None]
        speeds = {
            name: self._filter(name, getattr(pens, name), pen_up, speed, seconds)
            for name in self._slowness
        }
        return Calls(active, x, y, pressure, speeds, speed, distance, seconds, radius)

    def _track(self, before, pen_up, start, control, end) -> np.ndarray:
        """One coordinate of the cursor after every call, `[B, K]`."""
        cursor = np.empty((len(before), COLUMNS))
        cursor[:, 0] = before
        for column, seconds in ((1, _CALL_SECONDS - _TOUCH_SECONDS),
                                (2, _TOUCH_SECONDS)):  # fmt: skip
            lag = decay(self._brush.slow_tracking, 100 * seconds)
            old = cursor[:, column - 1]
            cursor[:, column] = np.where(pen_up, start + (old - start) * lag, old)
        points = np.stack([start, control, end, cursor[:, 2]], 1)
        np.matmul(points, self._cursor, out=cursor[:, 3:])
        return cursor

    def _filter(self, name, before, pen_up, speed, seconds) -> np.ndarray:
        """A low-passed speed after every call, `[B, K]`."""
        filtered = np.empty_like(speed)
        filtered[:, 0] = before
        for column in (1, 2):
            v, old = speed[:, column], filtered[:, column - 1]
            lag = decay(self._slowness[name], seconds[0, column])
            filtered[:, column] = np.where(pen_up, v + (old - v) * lag, old)
        carry, matrix = self._filters[name]
        np.matmul(speed[:, 3:], matrix, out=filtered[:, 3:])
        filtered[:, 3:] += filtered[:, 2:3] * carry
        return filtered


def speeds_of(brush: brush_lib.Brush) -> dict[str, float]:
    """The speed inputs that a brush reads, and their filters' time constants in s."""
    return {
        name: getattr(brush, f"{name}_slowness")
        for name in ("speed1", "speed2")
        if brush.depends_on(name)
    }


def decay(time_constant: float, time: float) -> float:
    """What a low-pass filter keeps of its old value after `time`."""
    # libmypaint takes time constants of up to a millisecond for no filter.
    return float(np.exp(-time / time_constant)) if time_constant > 0.001 else 0.0


def _low_pass(keep: float) -> tuple[np.ndarray, np.ndarray]:
    """The low-pass filter `s <- keep s + (1 - keep) v` over all curve calls at once.

    Returns the weights of the first `s`, `[1, 50]`, and of every `v`, `[50, 50]`, in
    the filter's states.
    """
    calls = np.arange(BEZIER_CALLS)
    age = calls[None, :] - calls[:, None]
    matrix = np.where(age >= 0, (1 - keep) * keep ** np.maximum(age, 0), 0.0)
    return keep ** (calls + 1.0)[None], matrix
