"""From calls to updates: where libmypaint's dabs fall, without a loop over dabs.

Inside a call libmypaint goes from one *update* to the next: at every dab and at the
call's end. An update sets the radius from pressure and speed, the radius sets how far
the next dab is, and so on. Here all updates of a batch of strokes are the unknowns of
one fixed-point iteration. It settles in a few passes, because the radius changes
slowly along a stroke. (`compiled.py` goes through them one by one instead.)

Letters: `B` strokes, `K` calls (columns as in `calls.py`), `U` updates, `N` dabs.
Arrays of updates and dabs are flat, sorted by stroke and then in time.
"""

from typing import NamedTuple

import numpy as np

from spiral_jax.renderers.mypaint import brush as brush_lib
from spiral_jax.renderers.mypaint import calls as calls_lib

# A pass brings dabs about 30 times closer to where they belong; it stops when the last
# moved none by more than this, or after so many.
_TOLERANCE_PX = 0.02
_MOST_PASSES = 12


class Updates(NamedTuple):
    """All updates of a batch of strokes; each stroke's first is the state before it."""

    call: np.ndarray  # [U] int, flat index into [B, K]
    part: np.ndarray  # [U] where in its call, 0..1
    dabs: np.ndarray  # [N] int, which updates are dabs
    first: np.ndarray  # [B] int, which are the state before
    inputs: dict[str, np.ndarray]  # [U] each
    log_radius: np.ndarray  # [U]
    radius: np.ndarray  # [U]
    step: np.ndarray  # [U] dabs since the update before


class UpdateSolver:
    """Finds all updates of a batch of strokes for one brush.

    Args:
        brush: what to paint with.
        backend: "numpy" or "numba".
    """

    def __init__(self, brush: brush_lib.Brush, backend: str = "numpy"):
        self._brush, self._backend = brush, backend
        self._room = 1 << 14  # updates that the compiled loop may write; grows
        self._slowness = calls_lib.speeds_of(brush)
        self._speed_maps = {
            name: _speed_map(getattr(brush, f"{name}_gamma")) for name in self._slowness
        }

    def solve(
        self, calls: calls_lib.Calls, pens: calls_lib.PenState
    ) -> tuple[Updates, np.ndarray]:
        """The updates, and what part of its next dab each pen has done, `[B]`."""
        if self._backend == "numba":
            return self._solve_compiled(calls, pens)
        dab_count = np.zeros(calls.active.shape, np.int64)
        part = np.empty(0)
        for _ in range(_MOST_PASSES):
            updates, ends, number = self._update(calls, pens, dab_count, part)
            last_count, last_part = dab_count, part
            dab_count, part = _place_dabs(calls, updates, ends, number)
            if np.array_equal(dab_count, last_count):
                px = calls.distance.ravel()[updates.call[updates.dabs]]
                if np.all(np.abs(part - last_part) * px < _TOLERANCE_PX):
                    break
        updates, ends, number = self._update(calls, pens, dab_count, part)
        last = ends[np.cumsum(calls.active.sum(1)) - 1]
        return updates, number[last] % 1.0

    def _update(
        self, calls, pens, dab_count, part
    ) -> tuple[Updates, np.ndarray, np.ndarray]:
        """Runs all updates, given in which calls the dabs lie, and where in them.

        Returns them, which of them end a call (or are the state before), and each
        one's number of dabs since its stroke's start, from the carry on.
        """
        brush, columns = self._brush, calls_lib.COLUMNS
        layout = dab_count + calls.active
        call = np.repeat(np.arange(layout.size), layout.ravel())
        following = np.cumsum(layout.ravel())
        ends = following[calls.active.ravel()] - 1
        first = np.append(0, following[columns - 1 : -1 : columns])
        is_dab = np.ones(len(call), bool)
        is_dab[ends] = False
        dabs = np.flatnonzero(is_dab)
        place = np.ones(len(call))
        place[dabs] = part
        inputs = {"pressure": along(calls.pressure, call, place)}
        for name, slowness in self._slowness.items():
            left = _filter_within(calls, calls.speeds[name], slowness, call, place)
            # An update sees the speed that the one before it has left.
            left[1:] = left[:-1].copy()
            gain, inner, bias = self._speed_maps[name]
            left += inner
            np.log(left, out=left)
            left *= gain
            left += bias
            inputs[name] = left
        base = np.log(calls.base_radius)[call // columns]
        log_radius = brush.radius_logarithmic(inputs, base=base)
        radius = np.exp(log_radius)
        np.clip(radius, *calls_lib.RADIUS_RANGE, out=radius)
        base_radius = np.clip(calls.base_radius, *calls_lib.RADIUS_RANGE)
        radius[first] = np.where(pens.radius > 0, pens.radius, base_radius)
        # The radius of one update sets the dabs per pixel up to the next.
        rate = calls.distance.ravel()[call]
        per_pixel = brush.dabs_per_actual_radius / radius[:-1]
        per_pixel += (brush.dabs_per_basic_radius / base_radius)[call[1:] // columns]
        rate[1:] *= per_pixel
        if brush.dabs_per_second:
            rate += brush.dabs_per_second * calls.seconds.ravel()[call]
        step = place.copy()
        step[1:] -= place[:-1] * (call[1:] == call[:-1])
        step *= rate
        step[first] = pens.partial_dabs
        number = np.cumsum(step)
        number -= np.repeat(number[first] - pens.partial_dabs, layout.sum(1))
        updates = Updates(call, place, dabs, first, inputs, log_radius, radius, step)
        return updates, ends, number

    def _solve_compiled(self, calls, pens) -> tuple[Updates, np.ndarray]:
        from spiral_jax.renderers.mypaint import compiled

        brush, unread = self._brush, np.zeros_like(calls.x)
        maps = dict(brush.radius_logarithmic.maps)
        arguments = (
            calls.active, calls.pressure,
            *(calls.speeds.get(name, unread) for name in _SPEEDS),
            calls.speed, calls.distance, calls.seconds, calls.base_radius, pens.radius,
            pens.partial_dabs,
            *(self._slowness.get(name, -1.0) for name in _SPEEDS),
            *(self._speed_maps.get(name, (0.0, 1.0, 0.0)) for name in _SPEEDS),
            *(np.array(maps.get(name, ()), float).reshape(-1, 2)
              for name in ("pressure", *_SPEEDS)),
            (brush.dabs_per_actual_radius, brush.dabs_per_basic_radius,
             brush.dabs_per_second),
            *calls_lib.RADIUS_RANGE,
        )  # fmt: skip
        carry, count = np.empty(len(calls.active)), -1
        while count < 0:
            call = np.empty(self._room, np.int64)
            is_dab = np.empty(self._room, bool)
            values = np.empty((7, self._room))
            count = compiled.run_updates(call, is_dab, values, carry, *arguments)
            self._room *= 2 if count < 0 else 1
        call, values = call[:count], values[:, :count]
        part, step, log_radius, radius, *inputs = values
        inputs = dict(zip(("pressure", *_SPEEDS), inputs, strict=True))
        for name in set(_SPEEDS) - set(self._slowness):
            del inputs[name]
        first = np.searchsorted(call, np.arange(len(carry)) * calls_lib.COLUMNS)
        updates = Updates(
            call, part, np.flatnonzero(is_dab[:count]), first, inputs, log_radius,
            radius, step,
        )  # fmt: skip
        return updates, carry


_SPEEDS = ("speed1", "speed2")


def _speed_map(gamma_log: float) -> tuple[float, float, float]:
    """Libmypaint's speed input is `gain log(inner + speed) + bias`."""
    gamma = np.exp(gamma_log)
    # A speed of 45 reads 0.5, with slope 0.015.
    gain = 0.015 * (45.0 + gamma)
    return gain, gamma, 0.5 - gain * np.log(45.0 + gamma)


def along(at_ends: np.ndarray, call: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Linear interpolation within calls of `at_ends` `[B, K]`, `[U]`."""
    flat = at_ends.ravel()
    # Column 0's updates have part 1, so what lies before it does not matter.
    before = flat[call - 1]
    return before + (flat[call] - before) * part


def _filter_within(calls, filtered, slowness, call, part) -> np.ndarray:
    """A low-passed speed at every update, `[U]`: within a call speed is constant."""
    speed = calls.speed.copy()
    excess = np.empty_like(speed)
    excess[:, 1:] = filtered[:, :-1] - speed[:, 1:]
    # The state before the stroke stays as it is.
    speed[:, 0], excess[:, 0] = filtered[:, 0], 0.0
    if slowness <= 0.001:
        return speed.ravel()[call]
    value = (calls.seconds.ravel() * (-1.0 / slowness))[call]
    value *= part
    np.exp(value, out=value)
    value *= excess.ravel()[call]
    value += speed.ravel()[call]
    return value


def _place_dabs(calls, updates, ends, number) -> tuple[np.ndarray, np.ndarray]:
    """Puts a dab wherever the dab count passes a whole number.

    Returns the number of dabs per call `[B, K]` and where in its call each lies `[N]`.
    """
    at_end = np.zeros(calls.active.shape)
    at_end[calls.active] = number[ends]
    at_end[:, 1:3] = np.where(calls.active[:, 1:3], at_end[:, 1:3], at_end[:, :1])
    passed = np.floor(at_end).astype(np.int64)
    dab_count = np.diff(passed, axis=1, prepend=0)
    total = passed[:, -1]
    # One interpolation serves all strokes: their counts are laid end to end.
    offset = np.cumsum(total + 2) - (total + 2)
    stroke = updates.call // calls_lib.COLUMNS
    clock = updates.call + updates.part
    clock[updates.first] += np.where(calls.active[:, 1], 0, 2)
    whole = np.arange(total.sum()) + 1
    whole += np.repeat(offset - (np.cumsum(total) - total), total)
    at = np.interp(whole, number + offset[stroke], clock)
    at -= np.repeat(np.arange(dab_count.size), dab_count.ravel())
    return dab_count, np.clip(at, 0.0, 1.0)
