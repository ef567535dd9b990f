"""Loop-free dabs against libmypaint's logs, and against a loop over single dabs."""

import dataclasses

import numpy as np
import pytest

from spiral_jax import types
from spiral_jax.environments import Painting
from spiral_jax.environments.pens import Pens
from spiral_jax.renderers.mypaint import available_backends, calls, dabs, noise
from spiral_jax.renderers.mypaint import brush as brush_lib
from tests.mypaint import golden, sequential


def engine(brush, backend):
    stream = noise.LibmypaintStream(1, "1.3")
    return dabs.StrokeEngine(brush_lib.load_brush(brush), "1.3", stream, backend)


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("brush", ["dry_brush_det", "pen", "dry_brush"])
def test_dabs_are_libmypaints(brush, backend):
    log = golden.array(f"{brush}/dablog_v13_fixed")
    counts = golden.array(f"{brush}/dabcount_cum")
    logged = 0
    for program, ends in zip(golden.array(f"{brush}/actions"), counts, strict=False):
        pens, pen_up = calls.PenState.at_origin(1), np.array([True])
        paint, before = engine(golden.brush(brush), backend), 0
        commands = Pens(Painting().settings)
        state = commands.begin(1)
        for row, end in zip(program[program[:, 0] >= 0], ends, strict=False):
            strokes, state = commands.strokes(state, golden.commands(row[None]))
            stroke = strokes.at(0)
            if not stroke.paint[0]:
                pens = paint.move(pens, stroke.end)
            else:
                found, pens = paint.paint(pens, pen_up, stroke, np.array([0]))
                found = np.stack(found[1:], 1)
                expected = log[logged + before : logged + end]
                assert found.shape == expected.shape
                np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-3)
                # An opacity of 1 may round to 1.7 % less; see `_piecewise_linear`.
                np.testing.assert_allclose(found[:, 3], expected[:, 3], atol=0.017)
                np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=2e-5)
            pen_up = ~stroke.paint
            before = end
        logged += before


def variants():
    pen, dry = (brush_lib.load_brush(name) for name in brush_lib.SHIPPED_BRUSHES[::-1])
    yield "pen", pen
    yield "dry_brush", dry
    yield "dabs per second", dataclasses.replace(pen, dabs_per_second=7.0)
    mapped = brush_lib.Setting(0.5, (("speed1", ((0.0, 0.0), (1.0, 2.0))),))
    yield "mapped filter", dataclasses.replace(pen, slow_tracking_per_dab=mapped)
    yield "no tracking", dataclasses.replace(dry, slow_tracking=0.0)
    steep = brush_lib.Setting(0.0, (("speed2", ((0.0, 0.0), (4.0, -2.0))),))
    yield "thins with speed", dataclasses.replace(dry, radius_logarithmic=steep)
    yield "no filter", dataclasses.replace(pen, speed1_slowness=0.0)


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("version", ["1.3", "1.6"])
@pytest.mark.parametrize("width", [64, 300])
@pytest.mark.parametrize("brush", [pytest.param(b, id=n) for n, b in variants()])
def test_dabs_equal_those_of_a_sequential_brush(brush, width, version, backend):
    # Without noise: the sequential brush's uniforms are all 1/2.
    brush = dataclasses.replace(
        brush,
        offset_by_random=brush_lib.Setting(0.0),
        radius_by_random=brush_lib.Setting(0.0),
    )
    rng, count = np.random.default_rng(width), 3
    paint = dabs.StrokeEngine(brush, version, None, backend)
    pens, pen_up = calls.PenState.at_origin(count), np.ones(count, bool)
    slow = [sequential.SequentialBrush(brush, version) for _ in range(count)]
    point = np.zeros((count, 2))
    for t in range(5):
        control, end = rng.uniform(0, width, (2, count, 2))
        if t == 2:
            pens, pen_up = paint.move(pens, end), np.ones(count, bool)
            for one, to in zip(slow, end, strict=True):
                one.move(*to)
        else:
            radius = rng.choice([1.0, 3.0, 10.0, 30.0], count)
            p0, p1 = rng.uniform(0.1, 1, (2, count))
            stroke = types.Stroke(
                np.ones(count, bool), point, control, end, radius, p0, p1, None, None
            )
            found, pens = paint.paint(pens, pen_up, stroke, np.arange(count))
            pen_up = np.zeros(count, bool)
            for i, one in enumerate(slow):
                one.dabs.clear()
                one.paint(point[i], control[i], end[i], radius[i], p0[i], p1[i])
                mine = np.stack(found[1:], 1)[found.canvas == i]
                expected = np.array(one.dabs).reshape(-1, 5)
                # A dab may fall on either side of the stroke's last instant.
                assert abs(len(mine) - len(expected)) <= 1
                both = min(len(mine), len(expected))
                difference = np.abs(mine[:both] - expected[:both])
                assert difference[:, :3].max(initial=0) < 5e-3
                assert difference[:, 4].max(initial=0) < 2e-4
        point = end
