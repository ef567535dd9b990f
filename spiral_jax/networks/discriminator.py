"""The critic: DCGAN-like strided convolutions to one score a picture (paper, 3.2)."""

import contextlib
from typing import NamedTuple, Protocol

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.networks.layers import Downsample, spectrally_normalised


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
        target judges the pair, see `make_discriminator`.
    """

    init: InitFn
    apply: ApplyFn


def make_discriminator(
    width: int, *, spectral: bool = False, complement: bool = False
) -> Discriminator:
    """Builds the critic: 4x4 convolutions of stride 2 down to 4x4 px, then a linear map.

    Layer i has `width * 2**i` channels and LeakyReLU 0.2; there is no batch
    normalisation, as the gradient penalty asks for (Gulrajani et al. 2017, section 4).

    Args:
      width: channels of the first layer.
      spectral: normalise the weights of every layer, see `spectrally_normalised`.
      complement: how a picture is judged beside its target. False: both at once, the
        target as further channels (SPIRAL, section 3.2). True: each half of the picture,
        left and right, completed by the other half of the target, and the mean of the
        two scores (SPIRAL++'s complement critic): what is asked is whether it fits in,
        and not whether it is the same px by px.
    """

    def network(images: chex.Array) -> chex.Array:
        size = images.shape[1]
        if images.shape[2] != size or size < 8 or size & (size - 1):
            raise ValueError(
                f"The critic takes square images whose width is a power of two >= 8; "
                f"these are {images.shape[1]}x{images.shape[2]}."
            )
        x = 2.0 * images - 1.0
        channels = width
        while x.shape[1] > 4:
            x = jax.nn.leaky_relu(Downsample(channels)(x), 0.2)
            channels *= 2
        return hk.Linear(1)(hk.Flatten()(x))[:, 0]

    def score(images: chex.Array, target: chex.Array | None = None) -> chex.Array:
        with spectrally_normalised() if spectral else contextlib.nullcontext():
            if target is None:
                return network(images)
            if complement:
                halves = network(jnp.concatenate(complete(images, target)))
                return jnp.mean(halves.reshape(2, -1), axis=0)
            return network(jnp.concatenate([images, target], axis=-1))

    return Discriminator(*hk.without_apply_rng(hk.transform(score)))


def complete(images: chex.Array, target: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Takes the left, and the right, halves of images and the rest of their targets.

    All are `[N, H, W, C]`.
    """
    left = (jnp.arange(images.shape[2]) < images.shape[2] // 2)[:, None]
    return jnp.where(left, images, target), jnp.where(left, target, images)
