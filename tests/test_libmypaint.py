"""Our brushes beside the real library, live; skipped where it is not installed."""

import ctypes
import json
import shutil

import numpy as np
import pytest

from experiments import render_speed
from spiral_jax.environments import Painting
from spiral_jax.renderers import libmypaint
from spiral_jax.renderers.mypaint import (
    SHIPPED_BRUSHES,
    brush,
    load_brush,
    read_brush_text,
)


def reason_to_skip() -> str:
    try:
        libmypaint.load_library()
    except ValueError as error:
        return str(error)
    return ""


needed = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())


def make(renderer, **changes):
    settings = dict(batch_size=6, mypaint_version="1.6", noise="libmypaint")
    return Painting(renderer=renderer, **{**settings, **changes})


@needed
@pytest.mark.parametrize("brush", SHIPPED_BRUSHES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_color": False, "background": "black"},
        {"canvas_width": 100, "compat": "deepmind"},
    ],
)
def test_every_pixel_of_every_step_is_the_librarys(brush, changes, rng):
    ours, theirs = (make(name, brush=brush, **changes) for name in ("auto", "libmypaint"))
    inked = []
    for _ in range(2):  # the noise goes on over a reset in both
        canvases = [e.reset().observation["canvas"] for e in (ours, theirs)]
        np.testing.assert_array_equal(*canvases)
        for _ in range(8):
            actions = ours.language.random([6], rng)
            a, b = (e.step(actions).observation["canvas"] for e in (ours, theirs))
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            difference = np.abs(a - b)
            assert difference.mean() < 5e-4
            assert (difference > 0.02).mean() < 2e-3
        inked.append(np.abs(b - canvases[0]).mean())
    assert min(inked) > 0.02


@needed
@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.parametrize("brush", SHIPPED_BRUSHES)
def test_the_benchmarks_c_loop_paints_what_the_library_does(brush):
    settings = dict(batch_size=render_speed.BATCH_SIZE, canvas_width=70)
    loop = render_speed.CompiledLoop(brush, **settings)
    renderer = libmypaint.LibmypaintRenderer(brush, **settings)
    loop.reset(), renderer.reset()
    for stroke in render_speed.random_strokes(70, None, 3):
        a, b = loop.step(stroke), renderer.step(stroke)
        assert np.abs(a - b).mean() < 1e-4
    assert (a < 0.9).any(axis=(1, 2, 3)).all()


@needed
def test_the_library_is_not_asked_for_what_it_does_not_do():
    with pytest.raises(ValueError, match=r"pass mypaint_version=.1\.6."):
        Painting(brush="classic/pen", renderer="libmypaint")
    with pytest.raises(ValueError, match="pass noise='libmypaint'"):
        make("libmypaint", brush="classic/pen", noise="own")
    with pytest.raises(ValueError, match=r"Brush.*expected a shipped name"):
        make("libmypaint", brush=load_brush("classic/pen"))


class Info(ctypes.Structure):
    """What `mypaint_brush_setting_info` returns."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("cname", "name")),
        ("constant", ctypes.c_int),
        *((name, ctypes.c_float) for name in ("least", "default", "most")),
        ("tooltip", ctypes.c_char_p),
    )


@needed
def test_defaults_are_the_librarys():
    library = libmypaint.load_library()
    info = library.mypaint_brush_setting_info
    info.restype, info.argtypes = ctypes.POINTER(Info), [ctypes.c_int]
    found = {}
    for key, default in brush.DEFAULTS.items():
        setting = library.mypaint_brush_setting_from_cname(key.encode())
        assert info(setting).contents.cname.decode() == key
        assert info(setting).contents.default == pytest.approx(default)
        found[setting] = key
    assert sorted(found) == list(range(64))  # MYPAINT_BRUSH_SETTINGS_COUNT of 1.6.0


def painted(path, renderer):
    environment, rng = make(renderer, brush=path, batch_size=3), np.random.default_rng(0)
    environment.reset()
    for _ in range(6):
        time_step = environment.step(environment.language.random([3], rng))
    return time_step.observation["canvas"]


def changed_pen(path, without=(), **settings):
    """Writes classic/pen with some settings left out, and others at a value."""
    document = json.loads(read_brush_text("classic/pen"))
    for key in without:
        del document["settings"][key]
    for key, value in settings.items():
        document["settings"][key] = {"base_value": value, "inputs": {}}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@needed
@pytest.mark.parametrize(
    ("without", "settings", "error"),
    [
        # The library's own defaults.
        (["opaque_multiply"], {}, 5e-4),
        (["hardness", "opaque", "speed1_gamma"], {}, 5e-4),
        # As MyPaint 2 writes them.
        ([], {"gridmap_scale": 0.0, "gridmap_scale_x": 1.0, "posterize_num": 0.05}, 5e-4),
        ([], {"paint_mode": 1.0, "lock_alpha": 1.0}, 5e-4),
        # The library turns round dabs, and rounds as it does so.
        ([], {"elliptical_dab_angle": 178.09}, 1e-3),
    ],
)
def test_files_mean_to_us_what_they_mean_to_the_library(
    tmp_path, without, settings, error
):
    path = changed_pen(tmp_path / "my.myb", without, **settings)
    ours, theirs = painted(path, "numpy"), painted(path, "libmypaint")
    assert np.abs(ours - theirs).mean() < error
    assert np.abs(1 - theirs).mean() > 0.02


@needed
@pytest.mark.parametrize("curve", [[[0, 0], [0.8, 1], [0.5, 1]], [[0, 0]], [[0, 0]] * 65])
def test_curves_over_which_the_library_would_abort_are_refused(tmp_path, curve):
    document = json.loads(read_brush_text("classic/pen"))
    document["settings"]["opaque"]["inputs"] = {"pressure": curve}
    path = tmp_path / "my.myb"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match=r"my\.myb.*'opaque' cannot be read"):
        make("libmypaint", brush=path)


@needed
def test_the_library_refuses_a_truncated_file(tmp_path, capfd):
    (tmp_path / "my.myb").write_text('{"version": 3, "settings"', encoding="utf-8")
    with pytest.raises(ValueError, match="cannot read this file"):
        make("libmypaint", brush=tmp_path / "my.myb")


def test_a_system_without_the_library_is_told_the_package(monkeypatch):
    def missing(*arguments, **settings):
        raise OSError("libmypaint-1.5.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    libmypaint.load_library.cache_clear()
    with pytest.raises(ValueError, match=r"apt install libmypaint-1\.5-1"):
        make("libmypaint", brush="classic/pen")
