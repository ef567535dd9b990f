"""Layers that the policy and the discriminator share."""

import contextlib
from collections.abc import Iterator

import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.networks.convolutions import convolve, double, halve

POWER_ITERATIONS = 8
EPSILON = 1e-12
# Haiku's initial weights have the variance 0.77 / fan-in, as they are cut off at two
# standard deviations. Behind ReLUs 2 / fan-in keeps the signal's power (He et al. 2015).
HE_GAIN = 1.608


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
def initial_gain(gain: float) -> Iterator[None]:
    """Multiplies the initial weights of layers, not their biases."""

    def create(next_creator, shape, dtype, init, context):
        value = next_creator(shape, dtype, init)
        return gain * value if context.name == "w" else value

    with hk.custom_creator(create):
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


class Convolution(hk.Module):
    """`hk.Conv2D(num_channels, kernel)`, kernel odd, its gradients fast on CPUs."""

    def __init__(
        self,
        num_channels: int,
        kernel: int,
        w_init: hk.initializers.Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._num_channels = num_channels
        self._kernel = kernel
        self._w_init = w_init

    def __call__(self, images: jax.Array, shared: jax.Array | None = None) -> jax.Array:
        """Maps `[N, H, W, C]` to `[N, H, W, num_channels]`.

        Args:
          images: what is convolved.
          shared: `[1, H, W, S]`, more channels behind those of the images, the same for
            all of them: they are convolved once.
        """
        own, k, m = images.shape[-1], self._kernel, self._num_channels
        channels = own + (0 if shared is None else shared.shape[-1])
        initial = self._w_init or hk.initializers.TruncatedNormal(
            (k * k * channels) ** -0.5
        )
        w = hk.get_parameter("w", [k, k, channels, m], images.dtype, init=initial)
        b = hk.get_parameter("b", [m], images.dtype, init=jnp.zeros)
        if shared is not None:
            b += convolve(shared, w[:, :, own:])
        return convolve(images, w[:, :, :own]) + b


class Pointwise(hk.Linear):
    """A 1x1 convolution: of matrices, XLA's gradients are fast."""

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C]` to `[N, H, W, output_size]`."""
        pixels = super().__call__(images.reshape(-1, images.shape[-1]))
        return pixels.reshape(*images.shape[:-1], self.output_size)


class Downsample(hk.Module):
    """A 4x4 convolution of stride 2 (`SAME` padding), its gradients fast on CPUs.

    The function of `hk.Conv2D(num_channels, 4, 2)`, its weights arranged as `halve` has
    them.
    """

    def __init__(self, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_channels = num_channels

    def __call__(self, images: jax.Array, shared: jax.Array | None = None) -> jax.Array:
        """Maps `[N, H, W, C]`, H and W even, to `[N, H/2, W/2, num_channels]`.

        Args:
          images: what is convolved.
          shared: `[1, H, W, S]`, see `Convolution`.
        """
        own = images.shape[-1]
        channels = own + (0 if shared is None else shared.shape[-1])
        w, b = _Weights(channels, self._num_channels, name="linear")(images.dtype)
        if shared is None:
            return halve(images, w) + b
        w = w.reshape(16, channels, -1)
        part = lambda some: some.reshape(-1, self._num_channels)
        return halve(images, part(w[:, :own])) + (halve(shared, part(w[:, own:])) + b)


class _Weights(hk.Module):
    """Those of a linear map of windows: `[16 C, num_channels]`, and a bias."""

    def __init__(self, channels: int, num_channels: int, name: str):
        super().__init__(name=name)
        self._shape = [16 * channels, num_channels]

    def __call__(self, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
        initial = hk.initializers.TruncatedNormal(self._shape[0] ** -0.5)
        w = hk.get_parameter("w", self._shape, dtype, init=initial)
        return w, hk.get_parameter("b", self._shape[1:], dtype, init=jnp.zeros)


class Upsample(hk.Module):
    """A transposed 4x4 convolution of stride 2 (`SAME` padding), fast on CPUs.

    The function of `hk.Conv2DTranspose(num_channels, 4, 2)`, its weights arranged as
    those of the `Downsample` that it is the transpose of.
    """

    def __init__(self, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C]` to `[N, 2 H, 2 W, num_channels]`."""
        channels, m = images.shape[-1], self._num_channels
        initial = hk.initializers.TruncatedNormal((16 * channels) ** -0.5)
        w = hk.get_parameter("w", [16 * m, channels], images.dtype, init=initial)
        return double(images, w) + hk.get_parameter(
            "b", [m], images.dtype, init=jnp.zeros
        )


class ResidualStack(hk.Module):
    """Pre-activation residual blocks: ReLU, 3x3 convolution, ReLU, 1x1 convolution."""

    def __init__(self, num_blocks: int, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_blocks = num_blocks
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, num_channels]` to the same shape, with a ReLU at the end."""
        for _ in range(self._num_blocks):
            x = Convolution(self._num_channels, 3)(jax.nn.relu(images))
            x = Pointwise(self._num_channels)(jax.nn.relu(x))
            images = images + x
        return jax.nn.relu(images)


def pooled(images: jax.Array, width: int) -> jax.Array:
    """Averages `[N, H, H, C]` over the cells of a grid, to `[N, width, width, C]`."""
    n, h, _, c = images.shape
    cell = h // width
    return images.reshape(n, width, cell, width, cell, c).mean(axis=(2, 4))
