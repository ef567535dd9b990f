"""Convolutions, and their gradients of any order, in the forms that XLA is fast at.

A convolution is linear in pictures and in weights, so that its gradients, and theirs, are
always one of three functions: itself and its two transposes. Each of the three is written
in forms that are fast on CPUs, chosen by shape, and is said to be the others' gradient:
XLA's own gradients of strided and transposed convolutions reach 3 to 30 % of the speed of
a matrix product, and gradients of these no more (`python -m experiments.benchmark
convolution`; docs/scaling.md).

Pictures are `[N, H, W, C]`, and so are outputs, with M channels.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

# Channels are the innermost axis. So few of them leave vector units idle; then it is rows
# of pixels that are multiplied.
FEW_CHANNELS = 8
# What a CPU makes of so many pixels, some hundred numbers each, stays in a core's cache.
PIXELS_IN_CACHE = 2048


def _by_xla(
    images: jax.Array, w: jax.Array, stride: int = 1, padding: str = "SAME"
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        images,
        w,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@jax.custom_vjp
def convolve(images: jax.Array, w: jax.Array) -> jax.Array:
    """Convolves with `[k, k, C, M]`, k odd, stride 1, to `[N, H, W, M]` (`SAME`)."""
    k, _, channels, num_outputs = w.shape
    if num_outputs > 1:
        return _by_xla(images, w)
    # One product gives what each pixel means to each of its neighbours.
    n, height, width, _ = images.shape
    parts = w.reshape(k * k, channels) @ images.reshape(-1, channels).T
    parts = _pad(parts.reshape(k, k, n, height, width), k // 2)
    parts = [
        parts[i, j, :, i : i + height, j : j + width] for i in range(k) for j in range(k)
    ]
    return sum(parts)[..., None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_to_weights(images: jax.Array, outputs: jax.Array, k: int) -> jax.Array:
    """The transpose of `convolve` as a function of weights."""
    channels, num_outputs = images.shape[-1], outputs.shape[-1]
    shape = (k, k, channels, num_outputs)
    if num_outputs == 1:
        pixels = images.reshape(-1, channels)
        return (_shifts(outputs[..., 0], k)[::-1] @ pixels).reshape(shape)
    if k * channels < 2 * FEW_CHANNELS:
        pixels = outputs.reshape(-1, num_outputs)
        planes = [_shifts(images[..., c], k) @ pixels for c in range(channels)]
        return jnp.stack(planes, axis=1).reshape(shape)

    def by_shifts(images, outputs):
        # Images to the left and right of where they are, outputs above and below: one
        # product has all k * k pairs.
        width, height, r = images.shape[2], images.shape[1], k // 2
        images = jnp.pad(images, ((0, 0), (0, 0), (r, r), (0, 0)))
        outputs = jnp.pad(outputs, ((0, 0), (r, r), (0, 0), (0, 0)))
        columns = [images[:, :, j : j + width] for j in range(k)]
        rows = [outputs[:, i : i + height] for i in reversed(range(k))]
        columns = jnp.concatenate(columns, axis=-1).reshape(-1, k * channels)
        rows = jnp.concatenate(rows, axis=-1).reshape(-1, k * num_outputs)
        w = (columns.T @ rows).reshape(k, channels, k, num_outputs)
        return w.transpose(2, 0, 1, 3)

    return _by_platform(by_shifts, _transposed(_by_xla, shape), images, outputs)


convolve.defvjp(
    lambda images, w: (convolve(images, w), (images, w)),
    lambda saved, ct: (
        convolve(ct, _turned(saved[1])),
        _convolve_to_weights(saved[0], ct, saved[1].shape[0]),
    ),
)
_convolve_to_weights.defvjp(
    lambda images, outputs, k: (
        _convolve_to_weights(images, outputs, k),
        (images, outputs),
    ),
    lambda k, saved, ct: (convolve(saved[1], _turned(ct)), convolve(saved[0], ct)),
)


def _turned(w: jax.Array) -> jax.Array:
    """The weights with which outputs are convolved to images."""
    return w[::-1, ::-1].swapaxes(2, 3)


def _pad(planes: jax.Array, size: int) -> jax.Array:
    """Puts zeros around the last two axes."""
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(size, size)] * 2)


def _shifts(plane: jax.Array, k: int) -> jax.Array:
    """The `[N, H, W]` by -k/2..k/2 px in y, then in x: `[k * k, N * H * W]`."""
    _, height, width = plane.shape
    padded = _pad(plane, k // 2)
    shifts = [
        padded[:, i : i + height, j : j + width] for i in range(k) for j in range(k)
    ]
    return jnp.stack(shifts).reshape(k * k, -1)


@jax.custom_vjp
def halve(images: jax.Array, w: jax.Array) -> jax.Array:
    """Convolves windows of 4x4 px with `[16 C, M]`, stride 2, to `[N, H/2, W/2, M]`.

    The rows of the weights are ordered as 2x2 blocks of 2x2 px of C channels.
    """
    channels, num_outputs = images.shape[-1], w.shape[1]
    if channels < FEW_CHANNELS // 2 and num_outputs < 32:
        kernel = w.reshape(2, 2, 4 * channels, num_outputs)
        return _by_xla(_blocks(images), kernel, padding="VALID")
    return _halve_by_xla(images, w)


@jax.custom_vjp
def double(outputs: jax.Array, w: jax.Array) -> jax.Array:
    """The transpose of `halve` as a function of images: `[N, 2 H, 2 W, C]`."""
    n, height, width, num_outputs = outputs.shape
    channels = w.shape[0] // 16
    # A convolution to blocks; those at the edge are in vain, the more so the smaller the
    # pictures are. The alternative writes the product with `w` down before it adds up.
    if channels >= FEW_CHANNELS and num_outputs <= 16 * width:
        kernel = _turned(w.reshape(2, 2, 4 * channels, num_outputs))
        return _from_blocks(_by_xla(_pad_images(outputs), kernel, padding="VALID"))
    images = jax.ShapeDtypeStruct((n, 2 * height, 2 * width, channels), outputs.dtype)
    by_windows = lambda images: _windows(_blocks(images)) @ w
    return jax.linear_transpose(by_windows, images)(outputs)[0]


@jax.custom_vjp
def _halve_to_weights(images: jax.Array, outputs: jax.Array) -> jax.Array:
    """The transpose of `halve` as a function of weights."""
    channels, num_outputs = images.shape[-1], outputs.shape[-1]

    def by_windows(images, outputs):
        windows = _windows(_blocks(images)).reshape(-1, 16 * channels)
        return windows.T @ outputs.reshape(-1, num_outputs)

    def by_turned_windows(images, outputs):
        windows = _windows(_pad_images(outputs)).reshape(-1, 4 * num_outputs)
        w = windows.T @ _blocks(images).reshape(-1, 4 * channels)
        w = w.reshape(4, num_outputs, 4 * channels)[::-1].swapaxes(1, 2)
        return w.reshape(16 * channels, num_outputs)

    by_xla = _transposed(_halve_by_xla, (16 * channels, num_outputs))
    if outputs.shape[2] < 8:
        return by_xla(images, outputs)
    by_products = by_windows if channels < FEW_CHANNELS else by_turned_windows
    return _by_platform(by_products, by_xla, images, outputs)


halve.defvjp(
    lambda images, w: (halve(images, w), (images, w)),
    lambda saved, ct: (double(ct, saved[1]), _halve_to_weights(saved[0], ct)),
)
double.defvjp(
    lambda outputs, w: (double(outputs, w), (outputs, w)),
    lambda saved, ct: (halve(ct, saved[1]), _halve_to_weights(ct, saved[0])),
)
_halve_to_weights.defvjp(
    lambda images, outputs: (_halve_to_weights(images, outputs), (images, outputs)),
    lambda saved, ct: (double(saved[1], ct), halve(saved[0], ct)),
)


def _transposed(convolution: Callable, shape: tuple[int, ...]) -> Callable:
    """XLA's transpose of `convolution(images, w)` as a function of weights of a shape."""

    def to_weights(images, outputs):
        w = jax.ShapeDtypeStruct(shape, images.dtype)
        return jax.linear_transpose(lambda w: convolution(images, w), w)(outputs)[0]

    return to_weights


def _by_platform(
    by_products: Callable, by_xla: Callable, images: jax.Array, outputs: jax.Array
) -> jax.Array:
    """Finds the gradient of weights in the form that suits the machine.

    On CPUs XLA's own use one thread and reach a fifth of a matrix product's speed. What
    products need written down first is done for a few pictures at a time, while they are
    in cache, and added up.
    """

    def in_parts(images, outputs):
        n, height, width, _ = outputs.shape
        size = max(1, PIXELS_IN_CACHE // (height * width))
        size = next(s for s in range(min(size, n), 0, -1) if n % s == 0)
        parts = [x.reshape(-1, size, *x.shape[1:]) for x in (images, outputs)]
        w = jax.eval_shape(by_products, images, outputs)
        # Hundreds of parts would leave next to nothing of a sum in bfloat16.
        start = jnp.zeros(w.shape, jnp.promote_types(w.dtype, jnp.float32))
        add = lambda w, part: (w + by_products(*part).astype(w.dtype), None)
        return jax.lax.scan(add, start, parts)[0].astype(w.dtype)

    return jax.lax.platform_dependent(images, outputs, cpu=in_parts, default=by_xla)


def _halve_by_xla(images: jax.Array, w: jax.Array) -> jax.Array:
    channels, num_outputs = images.shape[-1], w.shape[1]
    kernel = w.reshape(2, 2, 2, 2, channels, num_outputs).transpose(0, 2, 1, 3, 4, 5)
    return _by_xla(images, kernel.reshape(4, 4, channels, num_outputs), stride=2)


def _pad_images(images: jax.Array) -> jax.Array:
    return jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _blocks(images: jax.Array) -> jax.Array:
    """Blocks of 2x2 px, the first 1 px outside: `[N, H/2 + 1, W/2 + 1, 4 C]`."""
    n, height, width, channels = images.shape
    blocks = _pad_images(images).reshape(
        n, height // 2 + 1, 2, width // 2 + 1, 2, channels
    )
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, height // 2 + 1, width // 2 + 1, 4 * channels)


def _from_blocks(blocks: jax.Array) -> jax.Array:
    """The transpose of `_blocks`, which leaves out what is outside."""
    n, height, width, size = blocks.shape
    images = blocks.reshape(n, height, width, 2, 2, size // 4)
    images = images.transpose(0, 1, 3, 2, 4, 5)
    return images.reshape(n, 2 * height, 2 * width, size // 4)[:, 1:-1, 1:-1]


def _windows(blocks: jax.Array) -> jax.Array:
    """Windows of 2x2 blocks, `[N, H - 1, W - 1, 4 C]`."""
    corners = (
        blocks[:, :-1, :-1],
        blocks[:, :-1, 1:],
        blocks[:, 1:, :-1],
        blocks[:, 1:, 1:],
    )
    return jnp.concatenate(corners, axis=-1)
