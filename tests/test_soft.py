import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax.renderers import soft
from spiral_jax.renderers.curves import quadratic_bezier
from spiral_jax.types import Stroke

WIDTH = 16


def random_strokes(rng, batch_size, channels=1) -> Stroke:
    point = lambda: rng.uniform(0, WIDTH, [batch_size, 2]).astype(np.float32)
    unit = lambda *shape: rng.uniform(0, 1, [batch_size, *shape]).astype(np.float32)
    return Stroke(
        paint=rng.random(batch_size) < 0.7,
        start=point(),
        control=point(),
        end=point(),
        radius=(1 + 3 * unit()),
        pressure_start=unit(),
        pressure_end=unit(),
        color=unit(channels),
        idle=np.zeros(batch_size, bool),
    )


def test_curve_length_and_ends():
    start, control, end = (np.array([p], np.float32) for p in ([0, 0], [2, 0], [4, 0]))
    points, lengths = quadratic_bezier(start, control, end, 100)
    np.testing.assert_allclose(lengths.sum(), 4.0, rtol=1e-5)
    np.testing.assert_allclose(points[0, [0, -1], 0], [0.02, 3.98], atol=1e-5)


def test_equals_a_brute_force_loop(rng):
    stroke = random_strokes(rng, 3, channels=3)
    canvas = rng.random([3, WIDTH, WIDTH, 3]).astype(np.float32)
    painted = soft.paint(canvas, stroke, 10)
    for b in range(3):
        for y in range(0, WIDTH, 3):
            for x in range(WIDTH):
                depth = 0.0
                for s in range(10):
                    u = (s + 0.5) / 10
                    weights = [(1 - u) ** 2, 2 * u * (1 - u), u * u]
                    slopes = [-2 * (1 - u), 2 - 4 * u, 2 * u]
                    polygon = [stroke.start[b], stroke.control[b], stroke.end[b]]
                    py, px = sum(w * p for w, p in zip(weights, polygon))
                    vy, vx = sum(w * p for w, p in zip(slopes, polygon))
                    sigma = stroke.radius[b] / soft.RADIUS_IN_SIGMAS
                    pressure = (1 - u) * stroke.pressure_start[b]
                    pressure += u * stroke.pressure_end[b]
                    ink = (math.hypot(vy, vx) / 10 / sigma + 0.1) * pressure * soft.FLOW
                    squares = (y + 0.5 - py) ** 2 + (x + 0.5 - px) ** 2
                    depth += ink * math.exp(-squares / (2 * sigma**2))
                t = math.exp(-depth) if stroke.paint[b] else 1.0
                expected = canvas[b, y, x] * t + stroke.color[b] * (1 - t)
                np.testing.assert_allclose(painted[b, y, x], expected, atol=1e-5)


def test_numpy_and_jax_agree(rng):
    stroke = random_strokes(rng, 8)
    canvas = rng.random([8, WIDTH, WIDTH, 1]).astype(np.float32)
    here = soft.paint(canvas, stroke, 40)
    there = jax.jit(soft.paint, static_argnums=2)(
        jnp.asarray(canvas), jax.tree.map(jnp.asarray, stroke), 40
    )
    assert isinstance(here, np.ndarray)
    assert here.dtype == np.float32
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_coverage_does_not_depend_on_the_sampling(rng):
    stroke = random_strokes(rng, 32)._replace(paint=np.ones(32, bool))
    canvas = np.ones([32, WIDTH, WIDTH, 1], np.float32)
    enough = soft.num_curve_samples(WIDTH, 1.0)
    coarse = soft.paint(canvas, stroke, enough)
    fine = soft.paint(canvas, stroke, 16 * enough)
    assert np.abs(coarse - fine).max() < 0.02


def test_a_tap_leaves_a_dot_and_a_move_nothing():
    centre = np.full([2, 2], WIDTH / 2, np.float32)
    ones = np.ones(2, np.float32)
    stroke = Stroke(
        np.array([True, False]),
        centre,
        centre,
        centre,
        2 * ones,
        ones,
        ones,
        0 * ones[:, None],
        ones < 0,
    )
    canvas = soft.paint(np.ones([2, WIDTH, WIDTH, 1], np.float32), stroke, 30)
    assert canvas[0].min() < 0.4
    np.testing.assert_array_equal(canvas[1], 1.0)


def test_a_full_stroke_is_opaque_on_its_axis_and_half_so_at_its_radius():
    point = lambda x: np.array([[8.5, x]], np.float32)
    one = np.ones(1, np.float32)
    stroke = Stroke(
        one > 0,
        point(0),
        point(8),
        point(16),
        3 * one,
        one,
        one,
        0 * one[:, None],
        one < 0,
    )
    column = soft.paint(np.ones([1, 16, 16, 1], np.float32), stroke, 60)[0, :, 8, 0]
    assert column[8] < 0.03
    assert column[11] == pytest.approx(0.5, abs=0.15)
