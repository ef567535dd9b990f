"""What strokes would bring: told from maps, beside what painting them does bring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax.language import painting_language
from spiral_jax.networks import make_policy
from spiral_jax.networks.gains import (
    CURVE_SAMPLES,
    curve_gains,
    gain_maps,
    level_of,
    num_levels,
    place_gains,
)
from spiral_jax.renderers.soft import num_curve_samples, optical_depth
from spiral_jax.types import Stroke

WIDTH = 16


def patches(rng, count):
    """Pictures `[count, 16, 16, 3]` of four plain quarters."""
    quarters = rng.random([count, 2, 2, 3]).astype(np.float32)
    return quarters.repeat(WIDTH // 2, axis=1).repeat(WIDTH // 2, axis=2)


def inked(canvas, target, ink=0.0):
    change = (canvas - target) ** 2 - (ink - target) ** 2
    return change.sum(axis=-1, keepdims=True)


def along(pen, control, end, t):
    return (1 - t) ** 2 * pen + 2 * t * (1 - t) * control + t**2 * end


def painted(strokes, canvas, target, radius):
    """Returns what strokes take off the squared error, in the colours that suit best."""
    pen, control, end = (np.stack(np.divmod(p, WIDTH), axis=-1) for p in strokes)
    count = len(pen)
    stroke = Stroke(
        start=np.float32(pen),
        control=np.float32(control),
        end=np.float32(end),
        radius=np.full(count, radius, np.float32),
        pressure_start=np.ones(count, np.float32),
        pressure_end=np.ones(count, np.float32),
        color=np.zeros([count, 3], np.float32),
        paint=np.ones(count, bool),
        idle=np.zeros(count, np.float32),
    )
    depth = optical_depth(stroke, WIDTH, num_curve_samples(WIDTH, radius))
    ink = (1 - np.exp(-depth))[..., None]
    under = canvas * (1 - ink)
    suits = (ink * (target - under)).sum((1, 2)) / (ink**2).sum((1, 2))
    after = under + ink * suits[:, None, None]
    before = ((canvas - target) ** 2).sum((1, 2, 3))
    return before - ((after - target) ** 2).sum((1, 2, 3))


def test_levels_have_cells_as_wide_as_strokes():
    assert [num_levels(width) for width in (1, 2, 7, 12, 32)] == [1, 1, 1, 3, 5]
    assert [level_of(r / 64, 32) for r in (0.5, 2, 4, 16, 60)] == [0, 1, 2, 4, 4]


@pytest.mark.parametrize("bent", [False, True])
def test_gains_of_places_are_means_along_curves(rng, bent):
    target, canvas = rng.random([2, 1, WIDTH, WIDTH, 3]).astype(np.float32)
    pen, end = np.array([37]), np.array([201])
    maps = gain_maps(jnp.array(inked(canvas, target)), jnp.array(target))
    found = place_gains(maps, pen, end if bent else None)[0, 0]
    values = np.asarray(maps[0])[0]
    expected = np.zeros([WIDTH, WIDTH])
    begin, finish = (np.array(np.divmod(p[0], WIDTH), float) for p in (pen, end))
    for y, x in np.ndindex(WIDTH, WIDTH):
        cell = np.array([y, x]) + 0.5
        places = [
            along(begin, cell, finish, t) if bent else begin + t * (cell - begin)
            for t in CURVE_SAMPLES
        ]
        seen = []
        for place in places:
            rows, columns = np.clip(place - 0.5, 0, WIDTH - 1)
            i, j = min(int(rows), WIDTH - 2), min(int(columns), WIDTH - 2)
            dy, dx = rows - i, columns - j
            corners = values[:, i : i + 2, j : j + 2]
            seen.append(np.array([1 - dy, dy]) @ corners @ np.array([1 - dx, dx]))
        mean = np.mean(seen, axis=0)
        length = np.linalg.norm(np.diff(places, axis=0), axis=1).sum()
        expected[y, x] = (length * 4 / 3 + 1) * (mean[0] + (mean[1:] ** 2).sum())
    expected = np.maximum(expected / expected.max(), -1)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_strokes_bring_about_what_they_promise(rng):
    """In colours that suit them, of one width, on canvases that are plain or not."""
    count = 400
    target, canvas = patches(rng, count), patches(rng, count)
    canvas[::2] = 1.0
    strokes = rng.integers(WIDTH**2, size=[3, count])
    maps = gain_maps(jnp.array(inked(canvas, target)), jnp.array(target))
    # As `curve_gains` divides by the best of all widths, of the same stroke: how the one
    # that is best there does, beside the others.
    promised = np.asarray(curve_gains(maps, *strokes))
    radii = [2.0 ** (level - 1) for level in range(len(maps))]
    brought = np.stack([painted(strokes, canvas, target, r) for r in radii], axis=1)
    brought /= np.maximum(brought.max(axis=1, keepdims=True), 1e-6)
    assert np.corrcoef(promised.ravel(), np.maximum(brought, -1).ravel())[0, 1] > 0.6
    chosen = brought[np.arange(count), promised.argmax(axis=1)]
    assert np.mean(chosen) > 1.5 * np.mean(brought)


def test_where_strokes_have_no_colour_they_have_the_ink_s(rng):
    """To ink what is to be white already brings a loss, whatever is white around it."""
    target = np.ones([1, WIDTH, WIDTH, 1], np.float32)
    target[:, :, :4] = 0.0
    canvas = np.ones_like(target)
    for ink, picture in ((0.0, target), (1.0, 1 - target)):
        blank = np.full_like(canvas, 1 - ink)
        maps = gain_maps(jnp.array(inked(blank, picture, ink)), None)
        gains = np.asarray(place_gains(maps, np.array([0])))[0, 0]
        assert gains[-1, 1] == pytest.approx(1.0, abs=0.05)
        assert (gains[:, 12:] < 0).all()


def test_gains_have_no_gradient(rng):
    target, canvas = patches(rng, 2)[:, None]

    def total(canvas):
        maps = gain_maps(inked(canvas, target), jnp.array(target))
        pen = np.array([3])
        return place_gains(maps, pen).sum() + curve_gains(maps, pen, pen, pen).sum()

    assert not jax.grad(total)(jnp.array(canvas)).any()


def test_an_untrained_painter_takes_the_brush_that_fits():
    """The widest one where all is of one colour, the thinnest one on a thin line."""
    radii = (0.03, 0.25)
    language = painting_language(16, 2, use_pressure=False, use_color=False, radii=radii)
    policy = make_policy(language, (32, 32, 1), "painter", 1.0, conditional=True)
    params = policy.init(jax.random.key(0))
    target = np.ones([400, 32, 32, 1], np.float32)
    target[:200] = 0.0
    target[200:, :, :2] = 0.0
    observation = {
        "canvas": np.ones_like(target),
        "target": target,
        "action_mask": {name: np.ones(400, np.float32) for name in language.names},
    }
    state = policy.initial_state(jax.random.key(1), 400)
    output, _ = jax.jit(policy.step)(params, observation, state)
    wide = np.asarray(output.actions["size"]).reshape(2, 200).mean(axis=1)
    assert wide[0] > 0.7
    assert wide[1] < 0.3
    # And goes down the line.
    x = np.asarray(output.actions["end"])[200:] % 16
    assert np.mean(x <= 1) > 0.8
