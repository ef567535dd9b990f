"""Heads for locations: logits of all cells of a grid."""

import math
from typing import NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.networks.layers import (
    HE_GAIN,
    Convolution,
    ResidualStack,
    Upsample,
    initial_gain,
)


class Hints(NamedTuple):
    """What can be said of locations before anything is learnt.

    Attributes:
      maps: `[N, G, W, W]`, without gradient.
      first_weights: G numbers, the nats that 1 of each map is worth at first.
    """

    maps: chex.Array
    first_weights: tuple[float, ...]


class ConvolutionalLocationHead(hk.Module):
    """Logits of a grid by upsampling (released agent; spec section 5).

    With Haiku's initial weights each transposed convolution divides the signal by 3, and
    there is nothing left of it to learn from; here they keep its power. The last layer
    begins close to 0, for all locations to be as likely.
    """

    def __init__(self, grid_width: int, name: str | None = None):
        super().__init__(name=name)
        if grid_width < 4 or grid_width & (grid_width - 1):
            raise ValueError(
                f"grid_width={grid_width}: the convolutional location head needs a "
                "power of two >= 4; the `small` network takes any grid."
            )
        self._num_doublings = int(math.log2(grid_width // 4))

    def __call__(self, z: chex.Array) -> chex.Array:
        """Maps `[N, 256]` to logits `[N, grid_width**2]`."""
        with initial_gain(HE_GAIN):
            x = Convolution(32, 3)(z.reshape(-1, 4, 4, 16))
            x = ResidualStack(8, 32)(x)
        # The initial weights are made for 16 px a window, of which 4 reach each px.
        with initial_gain(2.0 * HE_GAIN):
            for _ in range(self._num_doublings):
                x = jax.nn.relu(Upsample(32)(x))
        last = hk.initializers.RandomNormal(0.01)
        return Convolution(1, 3, w_init=last)(x).reshape(z.shape[0], -1)


class PointingLocationHead(hk.Module):
    """Logits of a grid from a map of features with one cell for each location.

    What a cell shows decides how likely it is, by the same weights everywhere: a policy
    that is shown a target learns once, and not for every location, what to point at.
    """

    def __call__(
        self, z: chex.Array, features: chex.Array, hints: Hints | None = None
    ) -> chex.Array:
        """Returns logits `[N, W * W]`.

        Args:
          z: `[N, Z]`, what the core says; it also decides how much each hint counts.
          features: `[N, W, W, F]`.
          hints: what else tells of the cells.
        """
        num_features = features.shape[-1]
        asked = hk.Linear(num_features)(z)[:, None, None, :]
        x = Convolution(num_features, 3, name="conv2_d")(features)
        x = jax.nn.relu(x + asked)
        logits = hk.Linear(1)(x).reshape(z.shape[0], -1)
        if hints is not None:
            first = jnp.array(hints.first_weights)
            weights = hk.Linear(
                len(first),
                w_init=hk.initializers.RandomNormal(0.01),
                b_init=lambda shape, dtype: first.astype(dtype),
                name="hints",
            )(z)
            maps = hints.maps.reshape(z.shape[0], len(first), -1)
            logits += jnp.einsum("ngl,ng->nl", maps, weights)
        return logits
