import dataclasses
from pathlib import Path

import dm_env
import numpy as np
import pytest

from spiral_jax.data import load_mnist
from spiral_jax.environments import Painting, rerender
from spiral_jax.environments.painting import language_of
from spiral_jax.language import canvas_to_grid
from spiral_jax.programs import Program, programs_from_json, programs_to_json
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES, load_brush, read_brush_text
from tests.conftest import play_by_the_specs

BRUSHES = ("soft", *SHIPPED_BRUSHES)


def make(**changes) -> Painting:
    settings = dict(batch_size=3, canvas_width=32, grid_width=8, episode_length=5)
    return Painting(**{**settings, **changes})


def commands(environment, flag, end, **others):
    """The same command on every canvas; `end` and `control` are (y, x) cells."""
    width = environment.settings["grid_width"]
    values = {name: 0 for name in environment.language.names}
    values |= {"flag": flag, "end": end[0] * width + end[1], "control": 0, **others}
    return {k: np.full(environment.batch_size, v) for k, v in values.items()}


def draw(environment, rng, episodes=1):
    """Random commands; returns the last canvases and the last episode's programs."""
    for _ in range(episodes):
        environment.reset()
        steps = []
        for _ in range(environment.episode_length - 1):
            steps.append(environment.language.random([environment.batch_size], rng))
            canvas = environment.step(steps[-1]).observation["canvas"]
    actions = {k: np.stack([step[k] for step in steps]) for k in steps[0]}
    programs = [
        Program({k: v[:, i] for k, v in actions.items()}, environment.settings)
        for i in range(environment.batch_size)
    ]
    return canvas, programs


@pytest.mark.parametrize("brush", BRUSHES)
@pytest.mark.parametrize("color", [False, True])
def test_time_steps_follow_the_specs(color, brush, rng):
    environment = make(use_color=color, brush=brush)
    before, time_step = play_by_the_specs(environment, environment.reset(), rng)
    assert (before.discount == 0).all()
    assert (time_step.step_type == dm_env.StepType.FIRST).all()
    assert (time_step.observation["canvas"] == 1).all()


@pytest.mark.parametrize("brush", BRUSHES)
def test_arrays_are_fresh(brush, rng):
    environment = make(brush=brush)
    first = environment.reset().observation["canvas"]
    first[:] = 0.5
    second = environment.step(commands(environment, 0, (1, 1))).observation["canvas"]
    assert (second == 1).all()
    kept = second.copy()
    environment.step(environment.language.random([3], rng))
    np.testing.assert_array_equal(second, kept)


def test_action_mask_is_of_the_previous_command():
    environment = make(use_color=False)
    mask = environment.reset().observation["action_mask"]
    assert all((m == 0).all() for m in mask.values())
    mask = environment.step(commands(environment, 0, (1, 1))).observation["action_mask"]
    assert [k for k, m in mask.items() if m.all()] == ["flag", "end"]
    mask = environment.step(commands(environment, 1, (1, 1))).observation["action_mask"]
    assert all((m == 1).all() for m in mask.values())


def test_deepminds_reset_has_the_mask_of_a_move():
    environment = make(compat="deepmind")
    mask = environment.reset().observation["action_mask"]
    assert [k for k, m in mask.items() if m.all()] == ["flag", "end"]
    assert all((m == 0).all() for k, m in mask.items() if k not in ("flag", "end"))


def test_deepminds_curves_start_at_y_y_after_a_move():
    """By the soft brush; see tests/mypaint for libmypaint's, which lead up to there."""
    quirky, sane = make(compat="deepmind"), make()
    quirky.reset(), sane.reset()
    quirky.step(commands(quirky, 0, (6, 2)))
    sane.step(commands(sane, 0, (6, 6)))
    # Both start at (6, 6), and go on alike from where that stroke ends.
    for end, control in ((4, 1), 6 * 8 + 4), ((1, 7), 5):
        stroke = commands(sane, 1, end, control=control, size=3, pressure=9)
        ours, theirs = (e.step(stroke).observation["canvas"] for e in (quirky, sane))
        assert (ours < 0.9).any()
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("brush", "wider"), [("soft", 0), ("classic/pen", 1)])
def test_the_pen_stays_where_it_was_put(brush, wider):
    """No jump to (0, 0) on a move, no start at (y, y) after one."""
    environment = make(
        use_color=False, use_pressure=False, brush_sizes=[3.0], brush=brush
    )
    environment.reset()
    blank = environment.step(commands(environment, 0, (6, 2))).observation["canvas"]
    assert (blank == 1).all()
    # A straight stroke from (6, 2) to (6, 6): only rows around y = 6 * 4 get ink.
    stroke = commands(environment, 1, (6, 6), control=6 * 8 + 4)
    canvas = environment.step(stroke).observation["canvas"][0, :, :, 0]
    inked = np.argwhere(canvas < 0.5)
    assert inked[:, 0].min() >= 22 - wider
    assert inked[:, 0].max() <= 26 + wider
    assert inked[:, 1].min() == pytest.approx(2 * 4, abs=1 + wider)
    assert inked[:, 1].max() == pytest.approx(6 * 4, abs=1 + wider)
    # The next one starts where this one ended.
    down = commands(environment, 1, (7, 6), control=7 * 8 + 6)
    change = np.abs(environment.step(down).observation["canvas"][0, :, :, 0] - canvas)
    assert (change[:, :20] < 1e-3).all()
    assert change[27, 24] > 0.5


def test_canvases_of_a_batch_are_independent(rng):
    environment, one = make(), make(batch_size=1)
    environment.reset(), one.reset()
    for _ in range(4):
        actions = environment.language.random([3], rng)
        canvas = environment.step(actions).observation["canvas"]
        single = one.step({k: v[1:2] for k, v in actions.items()})
        np.testing.assert_allclose(canvas[1], single.observation["canvas"][0], atol=1e-6)


@pytest.mark.parametrize("background", ["white", "black"])
def test_data_and_drawings_have_ink_on_the_same_side(background, rng):
    environment = make(use_color=False, use_pressure=False, background=background)
    paper = environment.reset().observation["canvas"].mean()
    for _ in range(4):
        time_step = environment.step(environment.language.random([3], rng))
    drawn = time_step.observation["canvas"].mean() - paper
    data = load_mnist("", 32, background).test.images.mean() / 255 - paper
    assert drawn * data > 0


@pytest.mark.parametrize("brush", BRUSHES)
def test_programs_render_again_at_any_size(brush, rng):
    environment = make(brush=brush, use_color=False, noise="libmypaint")
    canvas, programs = draw(environment, rng)
    text = programs_to_json(environment.language, programs)
    _, programs = programs_from_json(text, language_of)
    canvases = rerender(programs[1])
    assert canvases.shape == (5, 32, 32, 1)
    assert (canvases[0] == 1).all()
    np.testing.assert_allclose(canvases[-1], canvas[1], atol=1e-5)
    if brush == "classic/dry_brush":  # its dabs' noise is not the same at another size
        return
    large = rerender(programs[1], width=256)[-1]
    small = large.reshape(32, 8, 32, 8, 1).mean(axis=(1, 3))
    assert np.abs(small - canvas[1]).mean() < 0.02


def test_programs_render_again_with_another_brush(rng):
    _, (program, *_) = draw(make(brush="classic/pen"), rng)
    pen, soft = rerender(program), rerender(program, brush="soft")
    assert soft.shape == pen.shape
    assert np.abs(soft - pen).mean() > 0.01
    expected = rerender(Program(program.actions, {**program.settings, "brush": "soft"}))
    np.testing.assert_array_equal(soft, expected)


def test_a_brush_in_memory_has_to_be_given_again(rng):
    pen = load_brush("classic/pen")
    assert make(brush=pen).settings["brush"] == "classic/pen"
    twice = dataclasses.replace(pen, dabs_per_actual_radius=4.4)
    environment = make(brush=twice)
    canvas, programs = draw(environment, rng)
    text = programs_to_json(environment.language, programs)
    _, (program, *_) = programs_from_json(text, language_of)
    with pytest.raises(ValueError, match=r"Brush in memory, classic/pen.*or a Brush"):
        rerender(program)
    np.testing.assert_allclose(rerender(program, brush=twice)[-1], canvas[0], atol=1e-5)


def test_a_brush_file_paints_as_the_brush_that_it_holds(tmp_path, rng):
    path = tmp_path / "copy.myb"
    path.write_text(read_brush_text("classic/pen"), encoding="utf-8")
    _, (program, *_) = draw(make(brush=path), rng)
    assert program.settings["brush"] == str(path)
    np.testing.assert_array_equal(rerender(program), rerender(program, brush=Path(path)))
    np.testing.assert_array_equal(
        rerender(program), rerender(program, brush="classic/pen")
    )


def test_a_seed_starts_the_noise_anew():
    environment = make(brush="classic/dry_brush", seed=3)
    stroke = commands(environment, 1, (6, 6), size=3, pressure=5)

    def paint(**seed):
        environment.reset(**seed)
        return environment.step(stroke).observation["canvas"]

    first, second, again = paint(), paint(), paint(seed=3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).mean() > 1e-3
    assert np.abs(first[0] - first[1]).mean() > 1e-3
    assert np.abs(paint(seed=4) - first).mean() > 1e-3


def test_libmypaints_noise_is_the_same_on_every_canvas():
    environment = make(brush="classic/dry_brush", noise="libmypaint", seed=3)
    environment.reset()
    canvas = environment.step(commands(environment, 1, (6, 6), size=3)).observation[
        "canvas"
    ]
    assert (canvas < 0.99).any()
    np.testing.assert_array_equal(canvas[0], canvas[1])


@pytest.mark.parametrize("brush", SHIPPED_BRUSHES)
def test_the_speed_rule_changes_the_picture(brush, rng):
    _, (program, *_) = draw(make(brush=brush, noise="libmypaint"), rng)
    old, new = (
        rerender(Program(program.actions, {**program.settings, "mypaint_version": v}))
        for v in ("1.3", "1.6")
    )
    assert np.abs(old - new).mean() > 1e-3


@pytest.mark.parametrize("brush", BRUSHES)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"end": np.array([0, np.nan, 0])}, TypeError, "'end' is float64; expected int"),
        ({"end": np.array([0, 64, 0])}, ValueError, r"'end' is 64 at index \(1,\)"),
        ({"control": np.array([0, 0, -1])}, ValueError, r"'control' is -1 .* 0..63"),
        ({"flag": np.array([True, False, True])}, TypeError, "'flag' is bool"),
        ({"size": np.array(["1", "2", "3"])}, TypeError, "'size' is <U1"),
        ({"pressure": np.array([1, 2])}, ValueError, r"shape \(2,\); expected \(3,\)"),
        ({"red": np.array(3)}, ValueError, r"shape \(\); expected \(3,\)"),
        ({"colour": np.zeros(3, int)}, ValueError, "unknown: .'colour'"),
    ],
)
def test_impossible_commands_are_refused_and_change_nothing(brush, change, error, words):
    environment, other = make(brush=brush), make(brush=brush)
    environment.reset(), other.reset()
    stroke = commands(environment, 1, (6, 6), size=3)
    with pytest.raises(error, match=words):
        environment.step({**stroke, **change})
    np.testing.assert_array_equal(
        *(e.step(stroke).observation["canvas"] for e in (environment, other))
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (read_brush_text("classic/pen")[:-99], "not a complete JSON document"),
        ("# mypaint brush file\nversion 2\n", "not a complete JSON document"),
        ('{"some": "other document"}', "no libmypaint brush"),
        (
            read_brush_text("classic/pen").replace('"version": 3', '"version": 9'),
            "version 9: expected 3",
        ),
        (
            '{"version": 3, "settings": {"radius_logarithmic": {"base_value": 1, '
            '"inputs": {}}, "smudge": {"base_value": 0.5, "inputs": {}}}}',
            "uses 'smudge'",
        ),
        (None, "cannot read the brush file"),
    ],
)
def test_foreign_brush_files_are_refused(tmp_path, text, words):
    path = tmp_path / "my.myb"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words) as caught:
        make(brush=str(path))
    assert f"brush='{path}'" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"canvas_width": 32.5}, "canvas_width=32.5"),
        ({"episode_length": 1}, "episode_length=1"),
        ({"brush": "oil"}, "brush='oil': expected one of .'soft', 'classic/dry_brush'"),
        ({"brush": 3}, "brush=3"),
        ({"seed": -1}, "seed=-1"),
        ({"mypaint_version": "2"}, "mypaint_version='2': expected one of .'1.3', '1.6'"),
        ({"noise": "none"}, "noise='none': expected one of .'own', 'libmypaint'"),
        ({"compat": "tf"}, "compat='tf': expected one of .None, 'deepmind'"),
        ({"renderer": "cairo"}, "renderer='cairo'"),
        ({"renderer": "numba"}, "renderer='numba': brush='soft' has"),
        ({"brush_sizes": [1, np.inf]}, "brush_sizes"),
        ({"brush_sizes": ["big"]}, "brush_sizes"),
        ({"brush_sizes": [1, -2]}, "brush_sizes"),
        ({"brush_sizes": []}, "brush_sizes"),
        ({"background": "red"}, "background='red'"),
    ],
)
def test_impossible_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_numba_is_refused_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install numba"):
        make(brush="classic/pen", renderer="numba")


def test_locations_reach_their_pixels():
    assert canvas_to_grid(np.array([24.0, 8.0]), 8, 32) == 6 * 8 + 2
