"""Brush files: what is read, and what is refused."""

import json

import numpy as np
import pytest

from spiral_jax.renderers.mypaint import BrushFileError, brush, load_brush


def document(**settings):
    base = {"radius_logarithmic": {"base_value": 1.0, "inputs": {}}}
    for key, value in settings.items():
        number, inputs = value if isinstance(value, tuple) else (value, {})
        base[key] = {"base_value": number, "inputs": inputs}
    return json.dumps({"version": 3, "settings": base})


def test_shipped_brushes_are_read():
    pen, dry = load_brush("classic/pen"), load_brush("classic/dry_brush")
    assert pen.dabs_per_actual_radius == 2.2
    assert dry.slow_tracking == 2.0
    assert pen.depends_on("speed1")
    assert not pen.depends_on("speed2")
    value = dry.opaque({"pressure": np.array([0.0, 0.5, 2.0])})
    np.testing.assert_allclose(value, [0.8, 0.9, 1.2])


def test_left_out_settings_have_libmypaints_defaults():
    plain = brush.parse_brush(document(), "plain")
    assert plain.hardness == brush.Setting(0.8)
    assert plain.opaque_linearize == 0.9
    np.testing.assert_allclose(plain.opaque_multiply({"pressure": np.array([0.3])}), 0.3)


def test_maps_jump_and_extrapolate():
    points = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [1.0, 3.0]]
    text = document(opaque=(0.0, {"pressure": points}))
    x = np.array([-1, 0.25, 0.5, 0.51, 0.75, 2.0])
    found = brush.parse_brush(text, "jump").opaque({"pressure": x})
    np.testing.assert_allclose(found, [0, 0, 0, 1.04, 2, 7], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smudge": 0.5}, "'smudge'"),
        ({"eraser": 1.0}, "'eraser'"),
        ({"tracking_noise": 0.2}, "'tracking_noise'"),
        ({"elliptical_dab_ratio": 3.0}, "'elliptical_dab_ratio'"),
        ({"snap_to_pixel": 1.0}, "'snap_to_pixel'"),
        ({"posterize": 0.5}, "'posterize'"),
        ({"change_color_h": (0.0, {"random": [[0, 0], [1, 1]]})}, "'change_color_h'"),
        ({"opaque": (1.0, {"random": [[0, 0], [1, 1]]})}, "the input 'random'"),
        ({"slow_tracking": (1.0, {"pressure": [[0, 0], [1, 1]]})}, "a constant"),
        ({"of_a_later_version": 1.0}, "'of_a_later_version'"),
        ({"opaque": (1.0, {"pressure": [[0, 0]]})}, "one point only"),
        ({"opaque": (1.0, {"pressure": [[0], [1]]})}, "'opaque' cannot be read"),
        ({"opaque": (1.0, {"pressure": [[0, 0], [0.8, 1], [0.5, 1]]})}, "goes backwards"),
        ({"smudge": (0.0, {"pressure": [[1, 0], [0, 0]]})}, "goes backwards"),
        ({"opaque": (1.0, {"pressure": [[x, 0] for x in range(65)]})}, "has 65 points"),
        ({"opaque": "high"}, "'opaque' cannot be read"),
        ({"opaque": float("nan")}, "not finite"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        brush.parse_brush(document(**settings), "my.myb")
    assert "my.myb" in str(caught.value)


@pytest.mark.parametrize("key", sorted(brush.DEFAULTS))
def test_a_setting_at_its_default_is_as_if_left_out(key):
    """To 24 bits, which is how MyPaint keeps it."""
    maps = brush.DEFAULT_MAPS.get(key, {})
    value = float(np.float32(brush.DEFAULTS[key]))
    written = brush.parse_brush(document(**{key: (value, maps)}), "written")
    settings = json.loads(document())["settings"]
    settings.pop(key, None) if key != "radius_logarithmic" else None
    left_out = brush.parse_brush(
        json.dumps({"version": 3, "settings": settings}), "written"
    )
    for field in ("hardness", "opaque", "opaque_multiply", "opaque_linearize"):
        a, b = getattr(written, field), getattr(left_out, field)
        a, b = (x.base if isinstance(x, brush.Setting) else x for x in (a, b))
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [("elliptical_dab_angle", 178.09), ("gridmap_scale_x", 3.0), ("lock_alpha", 1.0)],
)
def test_what_has_no_effect_on_what_is_modelled_may_be_anything(key, value):
    plain = brush.parse_brush(document(), "plain")
    assert brush.parse_brush(document(**{key: value}), "plain") == plain


def test_maps_that_are_zero_everywhere_change_nothing():
    text = document(smudge=(0.0, {"pressure": [[0, 0], [1, 0]], "random": []}))
    assert brush.parse_brush(text, "zero") == brush.parse_brush(document(), "zero")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document()[:-20], "not a complete JSON document"),
        ("# mypaint brush file\nversion 2\n", "not a complete JSON document"),
        ("", "not a complete JSON document"),
        ("[1, 2]", "no libmypaint brush"),
        ('{"version": 3, "settings": {}}', "no libmypaint brush"),
        (document().replace('"version": 3', '"version": 4'), "version 4"),
    ],
)
def test_foreign_files_are_refused(tmp_path, text, message):
    path = tmp_path / "foreign.myb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BrushFileError, match=message) as caught:
        load_brush(path)
    assert str(path) in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(BrushFileError, match="cannot read the brush file"):
        load_brush(tmp_path / "absent.myb")
    (tmp_path / "image.myb").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(BrushFileError, match="cannot read the brush file"):
        load_brush(tmp_path / "image.myb")
    with pytest.raises(BrushFileError, match="no brush is called 'classic/none'"):
        load_brush("classic/none")
