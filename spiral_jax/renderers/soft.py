"""The `soft` brush: Gaussian dabs composited by transmittance.

A dab of standard deviation s at (y_i, x_i) has the optical depth `tau_i gy_i gx_i` with
`gy_i = exp(-(Y - y_i)^2 / 2s^2)` and `gx_i` likewise. One stroke has one colour, so its
dabs multiply in any order: the transmittance is `T = exp(-sum_i tau_i gy_i gx_i)`, a
matrix product of `[H, S]` and `[S, W]` per stroke; the result `canvas T + color (1 - T)`.

The same code runs under numpy (CPU actors) and under `jax.numpy` (inside jit).
"""

import math

import chex
import numpy as np

from spiral_jax.language import array_namespace
from spiral_jax.renderers.curves import quadratic_bezier
from spiral_jax.types import Stroke

# The radius is where a long straight stroke at full pressure is about half opaque.
RADIUS_IN_SIGMAS = 2.0
# Optical depth of a dab. On the axis of a straight stroke dabs add up to
# `FLOW * sqrt(2 pi)` = 3.8, which covers 98 %.
FLOW = 1.5


def num_curve_samples(canvas_width: int, smallest_radius: float) -> int:
    """Returns how many samples keep the fastest possible curve free of beads.

    The speed of a quadratic Bézier curve is at most twice the canvas diagonal. Samples
    two standard deviations apart add up to a constant within 1.4 %.
    """
    sigma = smallest_radius / RADIUS_IN_SIGMAS
    return max(8, math.ceil(math.sqrt(2) * canvas_width / sigma))


def optical_depth(stroke: Stroke, canvas_width: int, num_samples: int) -> chex.Array:
    """Returns the optical depth `[B, H, W]` of strokes, as if all were painted.

    Ink is laid along the arc length (so that coverage does not depend on
    `num_samples`), plus one dab's worth spread evenly over the stroke's duration (so
    that a stroke of length zero leaves a dot, as a real pen does).
    """
    xp = array_namespace(stroke.start)
    points, arc_length = quadratic_bezier(
        stroke.start, stroke.control, stroke.end, num_samples
    )
    sigma = stroke.radius[:, None] / RADIUS_IN_SIGMAS
    u = (np.arange(num_samples, dtype=np.float32) + 0.5) / num_samples
    pressure = stroke.pressure_start[:, None] * (1 - u) + stroke.pressure_end[:, None] * u
    tau = FLOW * pressure * (arc_length / sigma + 1.0 / num_samples)
    pixels = np.arange(canvas_width, dtype=np.float32) + 0.5
    offsets = (pixels - points[..., None]) / sigma[..., None, None]  # [B, S, 2, W]
    profile = xp.exp(-0.5 * offsets**2)
    rows, columns = profile[:, :, 0] * tau[..., None], profile[:, :, 1]
    return xp.matmul(xp.swapaxes(rows, -1, -2), columns)


def paint(canvas: chex.Array, stroke: Stroke, num_samples: int) -> chex.Array:
    """Returns a new canvas `[B, H, W, C]` with one stroke painted on each.

    Args:
      canvas: `[B, H, W, C]` float32 in 0..1, square.
      stroke: a `Stroke`; where `paint` is False the canvas stays as it is.
      num_samples: S, see `num_curve_samples`.
    """
    xp = array_namespace(canvas)
    depth = optical_depth(stroke, canvas.shape[-2], num_samples)
    transmittance = xp.exp(-depth * stroke.paint[:, None, None])[..., None]
    color = stroke.color[:, None, None, :]
    return color + (canvas - color) * transmittance


class SoftRenderer:
    """Keeps a batch of canvases and paints on them with the soft brush."""

    def __init__(
        self,
        batch_size: int,
        canvas_width: int,
        num_channels: int,
        background: float,
        smallest_radius: float,
    ):
        self._shape = (batch_size, canvas_width, canvas_width, num_channels)
        self._background = background
        self._num_samples = num_curve_samples(canvas_width, smallest_radius)
        self.reset()

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Returns blank canvases `[B, H, W, C]`: a fresh array, as from `step`.

        Args:
          seed: of no effect, because this brush has no noise.
        """
        del seed
        self._canvas = np.full(self._shape, self._background, np.float32)
        return self._canvas.copy()

    def step(self, stroke: Stroke) -> np.ndarray:
        """Executes a command and returns the canvases `[B, H, W, C]`."""
        if stroke.paint.any():
            self._canvas = paint(self._canvas, stroke, self._num_samples)
        return self._canvas.copy()
