"""The critic: DCGAN-like strided convolutions to one score a picture (paper, 3.2)."""

from typing import NamedTuple, Protocol

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.networks.layers import Downsample


class InitFn(Protocol):
    """Makes the critic's parameters."""

    def __call__(
        self, key: chex.PRNGKey, images: chex.Array, target: chex.Array | None = None
    ) -> hk.Params: ...


class ApplyFn(Protocol):
    """Scores pictures."""

    def __call__(
        self, params: hk.Params, images: chex.Array, target: chex.Array | None = None
    ) -> chex.Array: ...


class Discriminator(NamedTuple):
    """Pure functions of the critic.

    Attributes:
      init: `(key, images, target=None) -> params`.
      apply: `(params, images, target=None) -> scores`: images and target `[N, H, W, C]`
        float32 in 0..1 to `[N]` float32, higher is more real. A critic made with a
        target judges the pair, by concatenation of channels.
    """

    init: InitFn
    apply: ApplyFn


def make_discriminator(width: int) -> Discriminator:
    """Builds the critic: 4x4 convolutions of stride 2 down to 4x4 px, then a linear map.

    Layer i has `width * 2**i` channels and LeakyReLU 0.2; there is no normalisation, as
    the gradient penalty asks for (Gulrajani et al. 2017, section 4).

    Args:
      width: channels of the first layer.
    """

    def score(images: chex.Array, target: chex.Array | None = None) -> chex.Array:
        size = images.shape[1]
        if images.shape[2] != size or size < 8 or size & (size - 1):
            raise ValueError(
                f"The critic takes square images whose width is a power of two >= 8; "
                f"these are {images.shape[1]}x{images.shape[2]}."
            )
        x = images if target is None else jnp.concatenate([images, target], axis=-1)
        x = 2.0 * x - 1.0
        channels = width
        while x.shape[1] > 4:
            x = jax.nn.leaky_relu(Downsample(channels)(x), 0.2)
            channels *= 2
        return hk.Linear(1)(hk.Flatten()(x))[:, 0]

    return Discriminator(*hk.without_apply_rng(hk.transform(score)))
