"""From dabs to pixels: how much of a canvas shows through a stroke.

A stroke has one colour, so the order of its dabs does not matter: what is left of
the canvas is the product of `1 - alpha` over all dabs. Dabs are evaluated in square
windows, many of one size at a time, and multiplied into their canvases.

With `q` the squared distance from a dab's centre over its squared radius and `h` its
hardness, alpha is `opaque f(q)`; `f` falls linearly from 1 at `q = 0` to `h` at
`q = h` and on to 0 at `q = 1`.
"""

import itertools
from typing import NamedTuple

import numpy as np

from spiral_jax.renderers.mypaint import dabs as dabs_lib
from spiral_jax.renderers.mypaint.mask import (
    LARGEST_HARDNESS,
    PIXEL_RADIUS,
    SMALLEST_RADIUS,
    SOFT_RADIUS,
)

_SMALL_WIDTHS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 28)
# From this width on a slice per window is faster than an index per pixel.
_LARGE_WIDTHS = (32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512, 768, 1024)
_CHUNK_PIXELS = 1 << 17  # a chunk's arrays stay in the cache


class Windows(NamedTuple):
    """Dabs and the square windows of pixels that hold them, `[N]` each.

    `1 - alpha` is `a1 + b1 q` for `q` up to the hardness, `a2 + b2 q` from there to 1.
    """

    canvas: np.ndarray  # int
    top: np.ndarray  # int, first row
    left: np.ndarray  # int, first column
    width: np.ndarray  # int
    soft: np.ndarray  # bool, whether the mask is softened
    sharp: np.ndarray  # bool, whether the hardness is at least 1/2
    dy: np.ndarray  # float32, px from the centre to the first row's centre
    dx: np.ndarray  # float32, likewise for columns
    radius: np.ndarray  # float32, px
    a1: np.ndarray  # float32
    b1: np.ndarray  # float32
    a2: np.ndarray  # float32
    b2: np.ndarray  # float32


def transmittance(
    dabs: dabs_lib.Dabs, count: int, width: int, backend: str = "numpy"
) -> np.ndarray:
    """The share of each canvas that shows through, `[count, width, width]` float32.

    Args:
        dabs: any dabs, with `canvas` in `0..count-1`.
        count: number of canvases.
        width: their height and width, in px.
        backend: "numpy", or "numba" for the compiled loop (numba must be installed).
    """
    result = np.ones((count, width, width), np.float32)
    windows = make_windows(dabs, width)
    if backend == "numba":
        from spiral_jax.renderers.mypaint import compiled

        compiled.multiply_windows(result, *windows)
    else:
        _multiply_windows(result, windows)
    return result


def _multiply_windows(result: np.ndarray, windows: Windows) -> None:
    """Multiplies all windows into their canvases, windows of one kind at a time."""
    kind = (windows.width * 4 + windows.soft * 2 + windows.sharp).astype(np.int16)
    order = np.argsort(kind, kind="stable")
    windows = Windows(*(field[order] for field in windows))
    kind = kind[order]
    bounds = np.append(np.flatnonzero(np.diff(kind, prepend=-1)), len(kind))
    for begin, end in itertools.pairwise(bounds.tolist()):
        chunk = max(1, _CHUNK_PIXELS // int(windows.width[begin]) ** 2)
        for start in range(begin, end, chunk):
            part = slice(start, min(start + chunk, end))
            some = Windows(*(field[part] for field in windows))
            if some.soft[0]:
                _scatter(result, some, _soft_values(some))
            elif some.width[0] < _LARGE_WIDTHS[0]:
                _scatter(result, some, _plain_values(some))
            else:
                _multiply_slices(result, some)


def make_windows(dabs: dabs_lib.Dabs, width: int) -> Windows:
    """Windows for the dabs that change any pixel of a canvas of `width` px."""
    reach = dabs.radius + 1.0
    seen = (dabs.opaque > 0) & (dabs.hardness > 0) & (dabs.radius >= SMALLEST_RADIUS)
    seen &= (np.abs(dabs.x - width / 2) < reach + width / 2) & (
        np.abs(dabs.y - width / 2) < reach + width / 2
    )
    canvas, x, y, radius, opaque, hardness = (field[seen] for field in dabs)
    soft = radius < SOFT_RADIUS
    # A softened mask reaches half a pixel further on either side.
    needed = np.ceil(2 * radius + np.where(soft, 2, 1))
    widths = np.array([w for w in _SMALL_WIDTHS + _LARGE_WIDTHS if w < width] + [width])
    window = widths[np.minimum(np.searchsorted(widths, needed), len(widths) - 1)]
    # A window that sticks out is moved onto the canvas: no pixel of the dab is lost.
    top, left = (
        np.clip(np.floor(c - window / 2 + 0.5).astype(np.int64), 0, width - window)
        for c in (y, x)
    )
    h = np.minimum(hardness, LARGEST_HARDNESS)
    b1, b2 = opaque * (1 / h - 1), opaque * h / (1 - h)
    floats = (top - y + 0.5, left - x + 0.5, radius, 1 - opaque, b1, 1 - b2, b2)
    return Windows(
        canvas, top, left, window, soft, h >= 0.5,
        *(value.astype(np.float32) for value in floats),
    )  # fmt: skip


def _plain_values(w: Windows) -> np.ndarray:
    """`1 - alpha` at the pixels' centres, `[width, width, N]`."""
    pixels = np.arange(w.width[0], dtype=np.float32)[:, None]
    scale = 1 / w.radius**2
    y, x = (pixels + w.dy) ** 2 * scale, (pixels + w.dx) ** 2 * scale
    inner = (y * w.b1 + w.a1)[:, None] + x * w.b1
    outer = (y * w.b2 + w.a2)[:, None] + x * w.b2
    return _join(inner, outer, bool(w.sharp[0]))


def _multiply_slices(result: np.ndarray, w: Windows) -> None:
    """As `_plain_values` and `_scatter`, for large windows."""
    size = int(w.width[0])
    pixels = np.arange(size, dtype=np.float32)
    scale, b1, b2 = 1 / w.radius[:, None] ** 2, w.b1[:, None], w.b2[:, None]
    y, x = (pixels + w.dy[:, None]) ** 2 * scale, (pixels + w.dx[:, None]) ** 2 * scale
    inner = (y * b1 + w.a1[:, None])[:, :, None] + (x * b1)[:, None]
    outer = (y * b2 + w.a2[:, None])[:, :, None] + (x * b2)[:, None]
    values = _join(inner, outer, bool(w.sharp[0]))
    corners = zip(w.canvas.tolist(), w.top.tolist(), w.left.tolist(), strict=True)
    for (canvas, top, left), value in zip(corners, values, strict=True):
        place = result[canvas, top : top + size, left : left + size]
        np.multiply(place, value, out=place)


def _soft_values(w: Windows) -> np.ndarray:
    """`1 - alpha` with libmypaint's softened mask, `[width, width, N]`.

    A pixel's `q` lies between those of its near and its far side, along x only.
    """
    pixels = np.arange(w.width[0], dtype=np.float32)[:, None]
    scale = 1 / w.radius**2
    dy, dx = pixels + w.dy, np.abs(pixels + w.dx)
    y = dy**2 * scale
    near = np.maximum(dx - 0.5, 0)
    far = (near + np.float32(PIXEL_RADIUS)) ** 2 * scale
    near = near**2 * scale
    # Well inside, q is the mean of both; at the rim 1 - q is (1 - near) * share.
    share = 1 / (1 + far - near)
    q = y[:, None] * share
    q += 1 - (1 - near) * share
    limit = np.maximum(w.radius - 1, 0) ** 2 * scale
    if limit.any():
        inside = y[:, None] < limit - far
        np.copyto(q, y[:, None] + (near + far) / 2, where=inside)
    # The pixel that holds the centre is at distance 0 on its near side; no pixel holds
    # a centre that lies between two.
    row, column = np.rint(-w.dy).astype(np.intp), np.rint(-w.dx).astype(np.intp)
    size = int(w.width[0])
    held = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    held &= (np.abs(row + w.dy) < 0.5) & (np.abs(column + w.dx) < 0.5)
    far = np.float32(PIXEL_RADIUS**2) * scale
    center = np.where(far < limit, far / 2, far / (1 + far))
    q[row[held], column[held], np.flatnonzero(held)] = center[held]
    inner = q * w.b1
    inner += w.a1
    q *= w.b2
    q += w.a2
    return _join(inner, q, bool(w.sharp[0]))


def _join(inner: np.ndarray, outer: np.ndarray, sharp: bool) -> np.ndarray:
    """The two lines and the 1 beyond them as one function, written to `inner`."""
    # f is concave where the hardness is at least 1/2, and convex below.
    (np.maximum if sharp else np.minimum)(inner, outer, out=inner)
    outer.fill(1.0)  # an array, because numpy has no fast loop for a scalar here
    return np.minimum(inner, outer, out=inner)


def _scatter(result: np.ndarray, w: Windows, values: np.ndarray) -> None:
    """Multiplies values `[width, width, N]` into place; windows may overlap."""
    size, width = values.shape[0], result.shape[-1]
    pixels = np.arange(size)[:, None] * width + np.arange(size)
    index = pixels[:, :, None] + ((w.canvas * width + w.top) * width + w.left)
    np.multiply.at(result.reshape(-1), index.ravel(), values.ravel())
