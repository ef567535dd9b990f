"""Layers that the policy and the discriminator share."""

import contextlib
from collections.abc import Iterator

import haiku as hk
import jax
import jax.numpy as jnp

POWER_ITERATIONS = 8
EPSILON = 1e-12


@contextlib.contextmanager
def computing_in(dtype: str) -> Iterator[None]:
    """Lets layers compute in a dtype; their parameters stay float32.

    Inputs are to be cast by the caller, and outputs back.
    """

    def create(next_creator, shape, dtype, init, context):
        return next_creator(shape, jnp.float32, init)

    def get(next_getter, value, context):
        return next_getter(value.astype(dtype))

    with hk.custom_creator(create), hk.custom_getter(get):
        yield


@contextlib.contextmanager
def spectrally_normalised() -> Iterator[None]:
    """Divides layers' weights by their largest singular values (Miyato et al. 2018).

    That of a convolution is taken of its matrix of one window. It is estimated anew at
    every call, by power iteration from a vector that is always the same: unlike with a
    vector that is kept from step to step, networks stay pure functions of parameters.
    """

    def get(next_getter, value, context):
        if context.name == "w":
            value = value / largest_singular_value(value)
        return next_getter(value)

    with hk.custom_getter(get):
        yield


def largest_singular_value(matrix: jax.Array) -> jax.Array:
    """Estimates it from below, by some per cent; `[M, N]` to a scalar.

    Its gradient is that of `u^T W v`, with the singular vectors as constants.
    """
    constant = jax.lax.stop_gradient(matrix)
    v = jax.random.normal(jax.random.key(0), matrix.shape[1:])
    for _ in range(POWER_ITERATIONS):
        u = constant @ v
        u /= jnp.linalg.norm(u) + EPSILON
        v = u @ constant
        v /= jnp.linalg.norm(v) + EPSILON
    return u @ matrix @ v


class Downsample(hk.Module):
    """A 4x4 convolution of stride 2 (`SAME` padding) as one matrix product.

    XLA's CPU convolutions have slow gradients: the gradient of the gradient penalty of
    the small critic takes 9 times as long through `hk.Conv2D`
    (`python -m experiments.benchmark convolution`). The function is the same.
    """

    def __init__(self, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C]`, H and W even, to `[N, H/2, W/2, num_channels]`."""
        n, h, w, c = images.shape
        padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        # Non-overlapping 2x2 blocks as channels; a 4x4 window is 2x2 such blocks.
        blocks = padded.reshape(n, h // 2 + 1, 2, w // 2 + 1, 2, c)
        blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(n, h // 2 + 1, w // 2 + 1, 4 * c)
        windows = jnp.concatenate(
            [
                blocks[:, :-1, :-1],
                blocks[:, :-1, 1:],
                blocks[:, 1:, :-1],
                blocks[:, 1:, 1:],
            ],
            axis=-1,
        )
        return hk.Linear(self._num_channels)(windows)


class ResidualStack(hk.Module):
    """Pre-activation residual blocks: ReLU, 3x3 convolution, ReLU, 1x1 convolution."""

    def __init__(self, num_blocks: int, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_blocks = num_blocks
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, num_channels]` to the same shape, with a ReLU at the end."""
        for _ in range(self._num_blocks):
            x = hk.Conv2D(self._num_channels, 3)(jax.nn.relu(images))
            x = hk.Conv2D(self._num_channels, 1)(jax.nn.relu(x))
            images = images + x
        return jax.nn.relu(images)
