"""The loops over updates, dabs and pixels, compiled by numba; they equal numpy's.

Import this module only where numba is installed. The loops run without the global
interpreter lock, so threads with a renderer each run side by side.
"""

import math

import numba
import numpy as np

from spiral_jax.renderers.mypaint.mask import PIXEL_RADIUS

_ONE, _HALF = np.float32(1), np.float32(0.5)
_PIXEL_RADIUS = np.float32(PIXEL_RADIUS)


def _compiled(**options):
    """Compiles a function, and keeps what comes of it for the next process."""

    def compiled(function):
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither beside this file nor in the user's home
            return numba.njit(nogil=True, **options)(function)

    return compiled


@_compiled(fastmath=True)
def multiply_windows(
    result, canvas, top, left, width, soft, sharp, dy, dx, radius, a1, b1, a2, b2
):
    """Multiplies every window's `1 - alpha` into `result` `[count, W, W]` float32.

    The other arguments are `transmittance.Windows`' fields, `[N]` each.
    """
    columns = np.empty((3, 16), np.float32)
    for n in range(len(canvas)):
        if soft[n]:
            _soft_dab(
                result[canvas[n]], columns, top[n], left[n], width[n], sharp[n], dy[n],
                dx[n], radius[n], a1[n], b1[n], a2[n], b2[n],
            )  # fmt: skip
        else:
            _plain_dab(
                result[canvas[n]], top[n], left[n], width[n], sharp[n], dy[n], dx[n],
                radius[n], a1[n], b1[n], a2[n], b2[n],
            )  # fmt: skip


@_compiled(fastmath=True)
def _plain_dab(plane, top, left, width, sharp, dy, dx, radius, a1, b1, a2, b2):
    """A dab whose mask is not softened."""
    scale = _ONE / (radius * radius)
    d1, d2 = b1 * scale, b2 * scale
    for i in range(width):
        y = np.float32(i) + dy
        y2 = y * y * scale
        if y2 >= _ONE:
            continue
        # Only the columns within the radius: the row is a chord of the dab.
        reach = np.sqrt(_ONE - y2) * radius
        first = left + max(0, int(np.floor(-reach - dx)))
        stop = left + min(width, int(np.ceil(reach - dx)) + 1)
        row = plane[top + i, first:stop]
        c1, c2 = a1 + b1 * y2, a2 + b2 * y2
        x0 = np.float32(first - left) + dx
        # Two loops without a branch, for the vector unit.
        if sharp:
            for j in range(len(row)):
                x = np.float32(j) + x0
                row[j] *= min(max(c1 + d1 * x * x, c2 + d2 * x * x), _ONE)
        else:
            for j in range(len(row)):
                x = np.float32(j) + x0
                row[j] *= min(min(c1 + d1 * x * x, c2 + d2 * x * x), _ONE)


@_compiled(fastmath=True)
def _soft_dab(plane, columns, top, left, width, sharp, dy, dx, radius, a1, b1, a2, b2):
    """A dab with libmypaint's softened mask; `columns` `[3, 16]` is scratch space."""
    scale = _ONE / (radius * radius)
    inside = max(radius - _ONE, np.float32(0))
    limit = inside * inside * scale
    center_column = -1
    for j in range(width):
        x = abs(np.float32(j) + dx)
        near = max(x - _HALF, np.float32(0))
        far = (near + _PIXEL_RADIUS) * (near + _PIXEL_RADIUS) * scale
        near = near * near * scale
        columns[0, j], columns[1, j] = near, far
        columns[2, j] = _ONE / (_ONE + far - near)
        if x < _HALF:
            center_column = j
    for i in range(width):
        y = np.float32(i) + dy
        y2 = y * y * scale
        holds_center = abs(y) < _HALF
        if y2 >= _ONE and not holds_center:
            continue
        for j in range(width):
            near, far = columns[0, j], columns[1, j]
            # The pixel that holds the centre is at distance 0 on its near side.
            row_part = y2
            if holds_center and j == center_column:
                row_part = np.float32(0)
            if row_part + far < limit:
                q = row_part + (near + far) * _HALF
            else:
                q = _ONE - (_ONE - row_part - near) * columns[2, j]
            inner, outer = a1 + b1 * q, a2 + b2 * q
            value = max(inner, outer) if sharp else min(inner, outer)
            plane[top + i, left + j] *= min(value, _ONE)


@_compiled()
def composite(planar, shows, color, canvas):
    """Lays each stroke's colour over its canvas; one pass for both layouts.

    Args:
        planar: canvases `[B, C, H, W]` float32, painted in place.
        shows: `transmittance`'s result, `[B, H, W]` float32.
        color: `[B, C]` float32.
        canvas: `[B, H, W, C]` float32, written with a copy of `planar`.
    """
    count, channels, height, width = planar.shape
    for b in range(count):
        for y in range(height):
            for c in range(channels):
                row, ink = planar[b, c, y], color[b, c]
                for x in range(width):
                    row[x] += (_ONE - shows[b, y, x]) * (ink - row[x])
            for x in range(width):
                for c in range(channels):
                    canvas[b, y, x, c] = planar[b, c, y, x]


@_compiled()
def run_updates(
    call, is_dab, values, carry, active, pressure, speed1, speed2, speed, distance,
    seconds, base_radius, radius_before, partial_before, slowness1, slowness2, map1,
    map2, by_pressure, by_speed1, by_speed2, spacing, smallest, largest,
):  # fmt: skip
    """Goes through the updates of every stroke, one after the other.

    One function of 71 lines: each update changes eight numbers that the next one needs,
    and to hand them to and fro would be longer.

    Args:
        call, is_dab, values, carry: written to: `[size]` int, `[size]` bool,
            `[7, size]` rows part, step, log-radius, radius, pressure and both speed
            inputs, and `[B]`.
        active, pressure, speed, distance, seconds, base_radius: fields of `Calls`.
        speed1, speed2: its `speeds`, `[B, K]`.
        radius_before, partial_before: of the pens, `[B]`.
        slowness1, slowness2: the speeds' time constants, negative for one not read.
        map1, map2: gain, inner and bias of each speed input.
        by_pressure, by_speed1, by_speed2: points of the radius' maps, `[P, 2]`.
        spacing: dabs per actual radius, per basic radius and per second.
        smallest, largest: limits of a radius.

    Returns: the number of updates, or -1 where `size` is too small.
    """
    strokes, columns = active.shape
    size, count = len(call), 0
    per_radius, per_base, per_second = spacing
    gain1, inner1, bias1 = map1
    gain2, inner2, bias2 = map2
    for b in range(strokes):
        log_base = math.log(base_radius[b])
        base = min(max(base_radius[b], smallest), largest)
        radius = radius_before[b] if radius_before[b] > 0 else base
        partial = partial_before[b]
        slow1, slow2, press_before = speed1[b, 0], speed2[b, 0], pressure[b, 0]
        for k in range(columns):
            if not active[b, k]:
                continue
            length, time, v = distance[b, k], seconds[b, k], speed[b, k]
            by_base = length * per_base / base + time * per_second
            press_change = pressure[b, k] - press_before
            part, ended = 0.0, False
            while not ended:
                if count == size:
                    return -1
                rate = length * per_radius / radius + by_base
                step = (1.0 - part) * rate
                ended = k == 0 or partial + step < 1.0
                before = part
                if k == 0:
                    part, step = 1.0, partial
                elif ended:
                    part = 1.0
                    partial += step
                else:
                    step = 1.0 - partial
                    part = min(part + step / rate, 1.0)
                    partial = 0.0
                press = press_before + press_change * part
                log_radius = log_base + _interpolate(press, by_pressure)
                values[4, count] = press
                # An update sees the speeds that the one before it has left.
                if slowness1 >= 0:
                    seen = gain1 * math.log(inner1 + slow1) + bias1
                    log_radius += _interpolate(seen, by_speed1)
                    values[5, count] = seen
                    if ended:
                        slow1 = speed1[b, k]
                    else:
                        slow1 = _filter(slow1, v, (part - before) * time, slowness1)
                if slowness2 >= 0:
                    seen = gain2 * math.log(inner2 + slow2) + bias2
                    log_radius += _interpolate(seen, by_speed2)
                    values[6, count] = seen
                    if ended:
                        slow2 = speed2[b, k]
                    else:
                        slow2 = _filter(slow2, v, (part - before) * time, slowness2)
                if k > 0:
                    radius = min(max(math.exp(log_radius), smallest), largest)
                call[count], is_dab[count] = b * columns + k, not ended
                values[0, count], values[1, count] = part, step
                values[2, count], values[3, count] = log_radius, radius
                count += 1
            press_before = pressure[b, k]
        carry[b] = partial
    return count


@_compiled(inline="always")
def _filter(old, new, time, time_constant):
    """A low-pass filter after `time`."""
    if time_constant <= 0.001:
        return new
    return new + (old - new) * math.exp(-time / time_constant)


@_compiled(inline="always")
def _interpolate(x, points):
    """`brush.Setting`'s maps, for one number."""
    if len(points) == 0:
        return 0.0
    i = 1
    while i < len(points) - 1 and x > points[i, 0]:
        i += 1
    x0, y0, x1, y1 = points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1]
    if x0 == x1 or y0 == y1:
        return y0
    return y0 + (x - x0) * ((y1 - y0) / (x1 - x0))
