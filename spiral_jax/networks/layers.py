"""Layers that the policy and the discriminator share."""

import contextlib
from collections.abc import Iterator

import haiku as hk
import jax
import jax.numpy as jnp

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


class Downsample(hk.Module):
    """A 4x4 convolution of stride 2 (`SAME` padding), fast on CPUs, its gradients too.

    The function of `hk.Conv2D(num_channels, 4, 2)`. A convolution is linear in pictures
    and in weights, so that its gradients, and theirs, are always one of three functions:
    itself and its two transposes. Each is written in the way that XLA is fast at, and is
    said to be the others' gradient; XLA's own gradients of gradients are slow
    (`python -m experiments.benchmark convolution`).
    """

    def __init__(self, num_channels: int, name: str | None = None):
        super().__init__(name=name)
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C]`, H and W even, to `[N, H/2, W/2, num_channels]`."""
        w, b = _Weights(self._num_channels, name="linear")(images)
        return _convolve(images, w) + b


class _Weights(hk.Module):
    """Those of a linear map of windows: `[16 C, num_channels]`, and a bias."""

    def __init__(self, num_channels: int, name: str):
        super().__init__(name=name)
        self._num_channels = num_channels

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        size, n = 16 * images.shape[-1], self._num_channels
        initial = hk.initializers.TruncatedNormal(size**-0.5)
        w = hk.get_parameter("w", [size, n], images.dtype, init=initial)
        return w, hk.get_parameter("b", [n], images.dtype, init=jnp.zeros)


def _by_windows(images: jax.Array, w: jax.Array) -> jax.Array:
    """Convolves as a matrix product of all windows of 4x4 px."""
    n, height, width, c = images.shape
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Non-overlapping 2x2 blocks as channels; a window is 2x2 such blocks.
    blocks = padded.reshape(n, height // 2 + 1, 2, width // 2 + 1, 2, c)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
    blocks = blocks.reshape(n, height // 2 + 1, width // 2 + 1, 4 * c)
    windows = jnp.concatenate(
        [
            blocks[:, :-1, :-1],
            blocks[:, :-1, 1:],
            blocks[:, 1:, :-1],
            blocks[:, 1:, 1:],
        ],
        axis=-1,
    )
    return windows @ w


def _by_xla(images: jax.Array, w: jax.Array) -> jax.Array:
    """Convolves by XLA's own; weights are ordered as windows are."""
    c = images.shape[-1]
    kernel = w.reshape(2, 2, 2, 2, c, -1).transpose(0, 2, 1, 3, 4, 5)
    return jax.lax.conv_general_dilated(
        images,
        kernel.reshape(4, 4, c, -1),
        window_strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@jax.custom_vjp
def _convolve(images: jax.Array, w: jax.Array) -> jax.Array:
    return _by_xla(images, w)


@jax.custom_vjp
def _to_images(outputs: jax.Array, w: jax.Array) -> jax.Array:
    """The transpose of `_convolve` as a function of images."""
    n, height, width, _ = outputs.shape
    shape = (n, 2 * height, 2 * width, w.shape[0] // 16)
    images = jax.ShapeDtypeStruct(shape, outputs.dtype)
    return jax.linear_transpose(lambda x: _by_windows(x, w), images)(outputs)[0]


@jax.custom_vjp
def _to_weights(images: jax.Array, outputs: jax.Array) -> jax.Array:
    """The transpose of `_convolve` as a function of weights."""
    shape = (16 * images.shape[-1], outputs.shape[-1])
    w = jax.ShapeDtypeStruct(shape, images.dtype)
    return jax.linear_transpose(lambda w: _by_xla(images, w), w)(outputs)[0]


_convolve.defvjp(
    lambda images, w: (_convolve(images, w), (images, w)),
    lambda saved, ct: (_to_images(ct, saved[1]), _to_weights(saved[0], ct)),
)
_to_images.defvjp(
    lambda outputs, w: (_to_images(outputs, w), (outputs, w)),
    lambda saved, ct: (_convolve(ct, saved[1]), _to_weights(ct, saved[0])),
)
_to_weights.defvjp(
    lambda images, outputs: (_to_weights(images, outputs), (images, outputs)),
    lambda saved, ct: (_to_images(saved[1], ct), _convolve(saved[0], ct)),
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
            x = hk.Conv2D(self._num_channels, 3)(jax.nn.relu(images))
            x = hk.Conv2D(self._num_channels, 1)(jax.nn.relu(x))
            images = images + x
        return jax.nn.relu(images)
