"""What can be said of locations on a grid before anything is learnt.

Maps that tell a location head of each cell how wrong the canvas is there, how near it is
to where the stroke has been, and whether the target has the same colour there. A head
that has only a torso's map to point at must find all of that out by trial, from one
reward for a whole stroke; with hints it learns how much each of them counts.
"""

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

# What is near, and less near: standard deviations, as shares of the canvas's width.
NEAR = (1 / 16, 1 / 5)
# Colours are alike as long as their channels differ by so much, root mean square.
ALIKE = 0.15
# Cells of the coarse map of errors, along the canvas's width.
COARSE = 8


def location_hints(
    colours: chex.Array, errors: chex.Array, places: Sequence[chex.Array]
) -> chex.Array:
    """Returns maps for the next location of a stroke, `[N, 2 + 3 P, W, W]` in 0..1.

    They have no gradient. The first two are of errors, three more of each place.

    Args:
      colours: `[N, W, W, C]` in 0..1, the target's.
      errors: `[N, W, W, 1]` in 0..1, how far the canvas is from the target.
      places: cells, `[N]` integers each, where the stroke has been. The middle of several
        counts as one more, so that P is 0, 1, or one more than there are.
    """
    width = colours.shape[1]
    points = [jnp.stack([p // width, p % width], axis=-1) for p in places]
    if len(points) > 1:
        points.append(sum(points) // len(points))
    # Maps one after the other: as channels of one map they took four times as long.
    planes = jnp.moveaxis(colours, -1, 1)
    maps = _error_maps(errors[..., 0])
    for point in points:
        maps += _place_maps(planes, point)
    return jax.lax.stop_gradient(jnp.stack(maps, axis=1))


def _error_maps(errors: chex.Array) -> list[chex.Array]:
    """Returns how wrong each cell and its neighbourhood are, `[N, W, W]` each."""
    n, width, _ = errors.shape
    size = math.gcd(width, max(1, width // COARSE))
    cells = errors.reshape(n, width // size, size, width // size, size)
    coarse = cells.mean(axis=(2, 4), keepdims=True)
    return [errors, jnp.broadcast_to(coarse, cells.shape).reshape(errors.shape)]


def _place_maps(planes: chex.Array, point: chex.Array) -> list[chex.Array]:
    """Returns what a place `[N, 2]` says of all cells: near, less near, alike."""
    width = planes.shape[2]
    squares = (jnp.arange(width) - point[..., None]) ** 2.0  # [N, 2, W]
    maps = []
    for radius in NEAR:
        y, x = jnp.moveaxis(jnp.exp(-squares / (2 * (radius * width) ** 2)), 1, 0)
        maps.append(y[:, :, None] * x[:, None, :])
    own = jax.vmap(lambda c, p: c[:, p[0], p[1]])(planes, point)
    difference = jnp.mean((planes - own[:, :, None, None]) ** 2, axis=1)
    return [*maps, jnp.exp(-difference / (2 * ALIKE**2))]
