"""Our canvases against libmypaint 1.3.0's own."""

import numpy as np
import pytest

from spiral_jax.renderers.mypaint import MyPaintRenderer, Stroke, available_backends
from tests.mypaint import golden

LIMITS = {  # of the mean absolute error, and of the share off by more than 0.1
    ("dry_brush_det", "v13_fixed"): (5e-4, 1e-4),
    ("pen", "v13_fixed"): (2e-3, 5e-3),
    ("dry_brush", "v13_fixed"): (2e-3, 1e-3),
    "v13_dm": (5e-3, 1e-3),
    "v16_fixed": (2e-3, 1e-3),
}


@pytest.mark.skipif(golden.FOLDER == golden.DATA, reason="../shared/golden is not here")
def test_the_renders_in_this_repository_are_the_first_of_all():
    with np.load(golden.DATA / golden.FILE) as file:
        kept = golden.cut()
        assert file.files == list(kept)
        for name in kept:
            np.testing.assert_array_equal(file[name], kept[name])
    both = [(folder / "dry_brush_det.myb") for folder in (golden.DATA, golden.FOLDER)]
    assert both[0].read_bytes() == both[1].read_bytes()
    assert sum(file.stat().st_size for file in golden.DATA.iterdir()) < 300_000


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize(("brush", "final", "settings"), golden.FINALS)
def test_final_canvases_are_libmypaints(brush, final, settings, backend):
    mae, share = golden.final_errors(brush, final, backend, **settings)
    limits = LIMITS.get((brush, final)) or LIMITS[final]
    assert mae <= limits[0]
    assert share <= limits[1]


@pytest.mark.parametrize("brush", ["dry_brush_det", "pen"])
def test_canvas_after_every_command_is_libmypaints(brush):
    actions = golden.array(f"{brush}/step_actions")
    canvases = golden.render(golden.brush(brush), actions)
    expected = golden.array(f"{brush}/step_canvas_v13_fixed")
    for t in range(actions.shape[1]):
        mae, share = golden.errors(canvases[:, t], expected[:, t])
        assert mae <= 5e-4, (t, mae)
        assert share <= 1e-4, (t, share)


def test_own_noise_has_libmypaints_statistics():
    score, ratio = golden.noise_statistics()
    assert score <= 1.10
    assert 0.98 <= ratio <= 1.02


SIZES = np.array([1, 2, 4, 8, 12, 24], np.float32)


def random_stroke(count, seed, width=64, paint=None, channels=3):
    rng = np.random.default_rng(seed)
    start, control, end = rng.uniform(0, width, (3, count, 2))
    return Stroke(
        paint=np.ones(count, bool) if paint is None else paint,
        start=start, control=control, end=end,
        radius=rng.choice(SIZES, count) * width / 64,
        pressure_start=rng.uniform(0.1, 1, count),
        pressure_end=rng.uniform(0.1, 1, count),
        color=rng.random((count, channels)), idle=np.zeros(count, bool),
    )  # fmt: skip


def rows(stroke, which):
    return Stroke(*(field[which] for field in stroke))


@pytest.mark.parametrize("brush", ["classic/dry_brush", "classic/pen"])
def test_an_environment_does_not_depend_on_its_batch(brush):
    whole = MyPaintRenderer(brush, batch_size=3, noise="libmypaint")
    alone = MyPaintRenderer(brush, batch_size=1, noise="libmypaint")
    for t in range(4):
        paint = np.array([True, t % 2 == 0, t != 1])
        stroke = random_stroke(3, t, paint=paint)
        both = whole.step(stroke)[2], alone.step(rows(stroke, [2]))[0]
        np.testing.assert_allclose(*both, atol=1e-5)


@pytest.mark.skipif("numba" not in available_backends(), reason="numba is missing")
@pytest.mark.parametrize("brush", ["classic/dry_brush", "classic/pen"])
@pytest.mark.parametrize("width", [20, 64, 200])
def test_numba_equals_numpy(brush, width):
    pair = [
        MyPaintRenderer(brush, batch_size=8, canvas_width=width, backend=backend)
        for backend in ("numpy", "numba")
    ]
    for t in range(4):
        stroke = random_stroke(8, t, width)
        one, other = (r.step(stroke) for r in pair)
        # numpy's dabs are where its fixed-point iteration stops, to 1e-3 px.
        np.testing.assert_allclose(one, other, atol=0.02)
        assert np.abs(one - other).mean() < 1e-4


def test_canvases_are_fresh_and_start_blank():
    renderer = MyPaintRenderer(
        "classic/pen", batch_size=2, use_color=False, background=0.25
    )
    blank = renderer.reset()
    assert blank.shape == (2, 64, 64, 1)
    assert blank.dtype == np.float32
    painted = renderer.step(random_stroke(2, 0, channels=1))
    assert (blank == 0.25).all()
    assert (painted != 0.25).any(axis=(1, 2, 3)).all()
    kept = painted.copy()
    moved = renderer.step(random_stroke(2, 1, channels=1, paint=np.zeros(2, bool)))
    np.testing.assert_array_equal(moved, kept)
    painted[:] = 0
    np.testing.assert_array_equal(renderer.reset(), blank)


@pytest.mark.parametrize("backend", available_backends())
def test_a_row_that_does_not_paint_is_ignored_and_exact(backend):
    renderer = MyPaintRenderer("classic/pen", batch_size=2, backend=backend)
    before = renderer.step(random_stroke(2, 0))
    stroke = random_stroke(2, 1, paint=np.array([False, True]))
    for field in ("color", "radius", "control", "pressure_end"):
        getattr(stroke, field)[0] = np.nan
    after = renderer.step(stroke)
    np.testing.assert_array_equal(after[0], before[0])
    assert (after[1] != before[1]).any()


def test_the_same_seed_repeats_and_another_does_not():
    canvases = [
        MyPaintRenderer("classic/dry_brush", batch_size=2, seed=seed).step(
            rows(random_stroke(1, 3), [0, 0])
        )
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(canvases[0], canvases[1])
    assert np.abs(canvases[0] - canvases[2]).mean() > 0.01
    assert np.abs(canvases[0][0] - canvases[0][1]).mean() > 0.01


def test_version_13_draws_the_same_picture_on_a_larger_canvas():
    small = MyPaintRenderer("classic/pen", batch_size=4)
    large = MyPaintRenderer("classic/pen", batch_size=4, canvas_width=256)
    stroke = random_stroke(4, 2)._replace(radius=np.array([4, 8, 8, 12]))
    scaled = {key: getattr(stroke, key) * 4 for key in ("start", "control", "end")}
    canvas = large.step(stroke._replace(radius=stroke.radius * 4, **scaled))
    shrunk = canvas.reshape(4, 64, 4, 64, 4, 3).mean((2, 4))
    assert np.abs(shrunk - small.step(stroke)).mean() < 4e-3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("radius", np.array([1.0, np.nan]), "radius holds nan"),
        ("radius", np.array([1.0, 0.0]), "radius holds 0.0"),
        ("end", np.full((2, 2), np.inf), "end holds inf"),
        ("pressure_end", np.array([0.0, 0.5]), "pressure_end holds 0.0"),
        ("pressure_start", np.array([1.5, 0.5]), "pressure_start holds 1.5"),
        ("color", np.full((2, 3), 255.0), "color holds 255.0"),
        ("color", np.ones((2, 1)), r"color has shape \[2, 1\]"),
        ("start", np.ones((3, 2)), r"start has shape \[3, 2\]: expected \[2, 2\]"),
        ("paint", np.ones(2, np.int64), "paint has dtype int64"),
        ("radius", np.array(["a", "b"]), "radius cannot be read as numbers"),
    ],
)
def test_bad_strokes_are_refused(field, value, message):
    renderer = MyPaintRenderer("classic/pen", batch_size=2)
    with pytest.raises(ValueError, match=message):
        renderer.step(random_stroke(2, 0)._replace(**{field: value}))


def test_a_refused_stroke_changes_nothing():
    renderer = MyPaintRenderer("classic/pen", batch_size=2)
    bad = random_stroke(2, 0)._replace(radius=np.array([2.0, np.nan]))
    with pytest.raises(ValueError, match="radius"):
        renderer.step(bad)
    other = MyPaintRenderer("classic/pen", batch_size=2)
    stroke = random_stroke(2, 1)
    np.testing.assert_array_equal(renderer.step(stroke), other.step(stroke))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"canvas_width": 0}, "canvas_width is 0"),
        ({"version": "2"}, "version is '2'"),
        ({"noise": "none"}, "noise is 'none'"),
        ({"background": 255.0}, "background is 255.0"),
        ({"backend": "cuda"}, "backend is 'cuda'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MyPaintRenderer("classic/pen", **{"batch_size": 1, **settings})
