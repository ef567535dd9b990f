"""From updates to dabs: libmypaint's brush dynamics, noise and anti-aliasing.

Letters: `B` strokes, `K` calls, `U` updates, `N` dabs. Arrays of updates and dabs are
flat, sorted by stroke and then in time.
"""

from typing import NamedTuple

import numpy as np

from spiral_jax import types
from spiral_jax.renderers.mypaint import brush as brush_lib
from spiral_jax.renderers.mypaint import calls as calls_lib
from spiral_jax.renderers.mypaint import updates as updates_lib


class Dabs(NamedTuple):
    """Round dabs, sorted by canvas and then in drawing order; lengths in px."""

    canvas: np.ndarray  # [N] int
    x: np.ndarray  # [N] float64
    y: np.ndarray  # [N] float64
    radius: np.ndarray  # [N] float64
    opaque: np.ndarray  # [N] float64, 0..1
    hardness: np.ndarray  # [N] float64, 0..1


class StrokeEngine:
    """Turns strokes into dabs for one brush.

    Args:
        brush: what to paint with.
        version: "1.3" or "1.6", whose rule for the speed inputs to follow.
        noise: a random stream of `noise.py`.
        backend: "numpy" or "numba".
    """

    def __init__(
        self, brush: brush_lib.Brush, version: str, noise, backend: str = "numpy"
    ):
        self._brush, self._noise = brush, noise
        self._flat_rounds = version == "1.3"
        self._planner = calls_lib.CallPlanner(brush, version)
        self._solver = updates_lib.UpdateSolver(brush, backend)
        self.move = self._planner.move

    def paint(
        self,
        pens: calls_lib.PenState,
        pen_up: np.ndarray,
        stroke: types.Stroke,
        canvas: np.ndarray,
    ) -> tuple[Dabs, calls_lib.PenState]:
        """One stroke per pen.

        Args:
            pens: `B` pens.
            pen_up: whether each is above the canvas, `[B]` bool.
            stroke: `[B]` strokes that paint.
            canvas: each stroke's canvas and random stream, `[B]` int, increasing.

        Returns: all dabs, those without any opacity included, and the pens after.
        """
        calls = self._planner.paint(pens, pen_up, stroke)
        updates, partial = self._solver.solve(calls, pens)
        x, y = self._positions(calls, pens, updates)
        last = np.append(updates.first[1:], len(updates.call)) - 1
        after = calls_lib.PenState(
            x=calls.x[:, -1], y=calls.y[:, -1], actual_x=x[last], actual_y=y[last],
            pressure=calls.pressure[:, -1], radius=updates.radius[last],
            partial_dabs=partial,
            speed1=calls.speeds["speed1"][:, -1] if "speed1" in calls.speeds
            else pens.speed1,
            speed2=calls.speeds["speed2"][:, -1] if "speed2" in calls.speeds
            else pens.speed2,
        )  # fmt: skip
        return self._dabs(calls, updates, x, y, canvas), after

    def _positions(self, calls, pens, updates) -> tuple[np.ndarray, np.ndarray]:
        """Where dabs at each update are drawn, noise apart: `x`, `y` `[U]`."""
        x = updates_lib.along(calls.x, updates.call, updates.part)
        y = updates_lib.along(calls.y, updates.call, updates.part)
        filter_dabs = self._brush.slow_tracking_per_dab(updates.inputs)
        if np.all(filter_dabs <= 0.001):
            return x, y
        keep = np.exp(-updates.step / np.maximum(filter_dabs, 0.001))
        keep *= filter_dabs > 0.001
        keep[updates.first] = 0.0
        x[updates.first], y[updates.first] = pens.actual_x, pens.actual_y
        return _follow(x, y, keep)

    def _dabs(self, calls, updates, x, y, canvas) -> Dabs:
        """The dabs among the updates, with noise and anti-aliasing."""
        brush, dabs = self._brush, updates.dabs
        inputs = {name: value[dabs] for name, value in updates.inputs.items()}
        x, y, radius = x[dabs], y[dabs], updates.radius[dabs]
        opaque = np.maximum(brush.opaque(inputs), 0.0)
        opaque = opaque * brush.opaque_multiply(inputs, flat_rounds=self._flat_rounds)
        opaque = np.clip(opaque, 0.0, 1.0)
        if brush.opaque_linearize:
            per_radius = brush.dabs_per_actual_radius + brush.dabs_per_basic_radius
            overlap = 1.0 + brush.opaque_linearize * (max(1.0, 2 * per_radius) - 1.0)
            opaque = 1.0 - (1.0 - opaque) ** (1.0 / overlap)
        spread = brush.offset_by_random(inputs) + np.zeros(len(dabs))
        jitter = brush.radius_by_random(inputs) + np.zeros(len(dabs))
        stroke = updates.call[dabs] // calls_lib.COLUMNS
        if spread.any() or jitter.any():
            # libmypaint draws nothing for an amplitude of 0.
            wanted = 2 * (spread != 0) + (jitter != 0)
            streams = canvas[updates.call // calls_lib.COLUMNS]
            real = np.ones(len(streams), bool)
            real[updates.first] = False
            shift = np.cumsum(real)[dabs] - 1
            gauss = self._noise.gaussians(streams[real], shift, wanted)
            spread = np.maximum(spread, 0.0) * calls.base_radius[stroke]
            x = x + spread * gauss[:, 0]
            y = y + spread * gauss[:, 1]
            jitter = jitter * np.where(wanted == 1, gauss[:, 0], gauss[:, 2])
            noisy = np.exp(updates.log_radius[dabs] + jitter)
            noisy = np.clip(noisy, *calls_lib.RADIUS_RANGE)
            opaque = opaque * np.minimum((radius / noisy) ** 2, 1.0)
            radius = noisy
        hardness = np.clip(brush.hardness(inputs), 0.0, 1.0) + np.zeros(len(dabs))
        fade = brush.anti_aliasing(inputs)
        soften = radius * (1.0 - hardness) < fade
        if soften.any():
            # Widen the fading edge to `fade` px around the same visible radius.
            visible = radius - (1.0 - hardness) * radius / 2
            softer = (visible - fade / 2) / (visible + fade / 2)
            hardness = np.where(soften, softer, hardness)
            radius = np.where(soften, fade / (1.0 - softer), radius)
        opaque = opaque + np.zeros(len(dabs))
        return Dabs(canvas[stroke], x, y, radius, opaque, hardness)


def _follow(x, y, keep) -> tuple[np.ndarray, np.ndarray]:
    """The low-pass filter `a[i] = keep[i] a[i-1] + (1 - keep[i]) x[i]`, for x and y.

    Composes neighbouring steps by doubling: after pass n each entry stands for 2^n
    steps. `keep` is 0 where a stroke begins, which separates the strokes.
    """
    x, y = (1.0 - keep) * x, (1.0 - keep) * y
    reach = 1
    while reach < len(keep) and keep.max() > 1e-9:
        x[reach:] += keep[reach:] * x[:-reach]
        y[reach:] += keep[reach:] * y[:-reach]
        keep[reach:] = keep[reach:] * keep[:-reach]
        reach *= 2
    return x, y
