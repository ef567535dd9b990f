"""What strokes would bring, told from the target before anything is learnt.

A stroke that covers its cells takes so much off the squared error:

    sum over its cells of |canvas - target|^2 - |colour - target|^2.

The colour that suits it best is the target's mean; where none is chosen, it is the ink's.
All are means along the stroke's curve, of maps. What a wider stroke covers are the cells
of a coarser map.
"""

import itertools
import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from spiral_jax.language import grid_to_canvas

# Points of a curve that stand for all of it.
CURVE_SAMPLES = (0.125, 0.375, 0.625, 0.875)
# Locations are told of so many maps, the finest ones.
PLACE_LEVELS = 4


def gain_maps(inked: chex.Array, colours: chex.Array | None) -> list[chex.Array]:
    """Returns what gains are computed from, `[N, M, w, w]` for w = W, W/2, ...

    Args:
      inked: `[N, W, W, 1]`, see `View.inked`.
      colours: `[N, W, W, C]` in 0..1, the target's; None where strokes have no colour of
        their own.
    """
    parts = [inked] if colours is None else [inked, colours]
    planes = jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, 1)
    maps = [jax.lax.stop_gradient(planes)]
    for _ in range(num_levels(inked.shape[1]) - 1):
        n, c, w, _ = maps[-1].shape
        cells = maps[-1].reshape(n, c, w // 2, 2, w // 2, 2)
        maps.append(cells.mean(axis=(3, 5)))
    return maps


def place_gains(
    maps: Sequence[chex.Array], pen: chex.Array, end: chex.Array | None = None
) -> chex.Array:
    """Returns what strokes over each cell would bring, `[N, L, W, W]`.

    Straight ones from the pen to the cell; with an end, those that have their control
    point in the cell. The most of each map is 1, the least -1 or more.

    Args:
      maps: from `gain_maps`; at most `PLACE_LEVELS` of them are used.
      pen: cells `[N]`, integers, where the stroke begins.
      end: cells `[N]`, where it ends.
    """
    width = maps[0].shape[-1]
    found = []
    for level in maps[:PLACE_LEVELS]:
        w = level.shape[-1]
        cells = jnp.arange(w) + 0.5
        start = grid_to_canvas(pen, width, w)[:, :, None]
        if end is None:
            places = [(1 - t) * start + t * cells for t in CURVE_SAMPLES]
        else:
            finish = grid_to_canvas(end, width, w)[:, :, None]
            places = [curve_place(start, cells, finish, t) for t in CURVE_SAMPLES]
        gain = _gains_along(level, places)
        most = jnp.max(gain, axis=(1, 2), keepdims=True)
        gain = _share_of(gain, most)[:, :, None, :, None]
        gain = jnp.broadcast_to(gain, (len(gain), w, width // w, w, width // w))
        found.append(gain.reshape(-1, width, width))
    return jax.lax.stop_gradient(jnp.stack(found, axis=1))


def num_levels(width: int) -> int:
    """Returns how many maps there are on a grid so wide."""
    return 1 if width % 2 or width <= 2 else 1 + num_levels(width // 2)


def curve_gains(
    maps: Sequence[chex.Array], pen: chex.Array, control: chex.Array, end: chex.Array
) -> chex.Array:
    """Returns what one stroke brings if it is as wide as the cells of each map, `[N, L]`.

    The most is 1, the least -1 or more. Arguments as those of `place_gains`.
    """
    width = maps[0].shape[-1]
    gains = []
    for level in maps:
        w = level.shape[-1]
        points = [grid_to_canvas(p, width, w)[:, :, None] for p in (pen, control, end)]
        places = [curve_place(*points, t) for t in CURVE_SAMPLES]
        gains.append(_gains_along(level, places)[:, 0, 0] / w**2)
    gain = jnp.stack(gains, axis=1)
    most = jnp.max(gain, axis=1, keepdims=True)
    return jax.lax.stop_gradient(_share_of(gain, most))


def level_of(radius: float, width: int) -> float:
    """Returns which map has cells as wide as a stroke, in `0..num_levels(width) - 1`.

    Args:
      radius: of the stroke, as a share of the canvas's width.
      width: W of the finest map.
    """
    return min(max(math.log2(2 * radius * width), 0.0), num_levels(width) - 1.0)


def curve_place(
    start: chex.Array, control: chex.Array, end: chex.Array, t: float
) -> chex.Array:
    """Returns where a quadratic Bézier curve is at t, in 0..1."""
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def _gains_along(level: chex.Array, places: Sequence[chex.Array]) -> chex.Array:
    """Returns the gains `[N, P, P]`, in cells, of strokes that have P ys and P xs.

    Args:
      level: `[N, M, w, w]`, from `gain_maps`.
      places: `[N, (y, x), P]` in cells, for each of `CURVE_SAMPLES`.
    """
    total = 0.0
    for place in places:
        y, x = jnp.moveaxis(_shares(place, level.shape[-1]), 1, 0)
        total += jnp.einsum("nyi,ncij,nxj->ncyx", y, level, x)
    steps = [(b - a) ** 2 for a, b in itertools.pairwise(places)]
    length = sum(jnp.sqrt(d[:, 0, :, None] + d[:, 1, None] + 1e-6) for d in steps)
    mean = total / len(places)
    # The samples leave half a step out at either end.
    area = length * len(places) / len(steps) + 1
    return area * (mean[:, 0] + jnp.sum(mean[:, 1:] ** 2, axis=1))


def _shares(places: chex.Array, width: int) -> chex.Array:
    """Returns the weights `[..., width]` of cells that a place `[...]` lies between."""
    inside = jnp.clip(places - 0.5, 0, width - 1)
    return jax.nn.relu(1 - jnp.abs(inside[..., None] - jnp.arange(width)))


def _share_of(gain: chex.Array, most: chex.Array) -> chex.Array:
    return jnp.maximum(gain / jnp.maximum(most, 1e-6), -1.0)
