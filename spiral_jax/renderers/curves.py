"""Sampling of quadratic Bézier curves, for numpy and JAX alike."""

import chex
import numpy as np

from spiral_jax.language import array_namespace


def quadratic_bezier(
    start: chex.Array, control: chex.Array, end: chex.Array, num_samples: int
) -> tuple[chex.Array, chex.Array]:
    """Samples curves at the midpoints of `num_samples` equal parameter intervals.

    Args:
      start, control, end: `[B, 2]` float32 px.
      num_samples: S.

    Returns:
      Points `[B, S, 2]` in px and the arc length `[B, S]` in px that each one stands
      for (speed times parameter interval; the sum is the curve's length).
    """
    xp = array_namespace(start)
    u = (np.arange(num_samples, dtype=np.float32) + 0.5) / num_samples
    # Both the curve and its velocity are linear in the control points: one small
    # matrix product each, [S, 3] x [B, 3, 2].
    position = np.stack([(1 - u) ** 2, 2 * u * (1 - u), u**2], axis=-1)
    velocity = np.stack([-2 * (1 - u), 2 - 4 * u, 2 * u], axis=-1)
    polygon = xp.stack([start, control, end], axis=-2)
    points = xp.matmul(position, polygon)
    speed = xp.sqrt(xp.sum(xp.matmul(velocity, polygon) ** 2, axis=-1))
    return points, speed / np.float32(num_samples)
