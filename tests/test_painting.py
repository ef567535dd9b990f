import dm_env
import numpy as np
import pytest

from spiral_jax.data import load_mnist
from spiral_jax.environments import Painting, render_program
from spiral_jax.programs import Program, canvas_to_grid
from tests.conftest import random_actions


def make(**changes) -> Painting:
    settings = dict(batch_size=3, canvas_width=32, grid_width=8, episode_length=5)
    return Painting(**{**settings, **changes})


def commands(environment, flag, end, **others):
    """The same command on every canvas; `end` and `control` are (y, x) cells."""
    width = environment.settings["grid_width"]
    values = {name: 0 for name in environment.language.names}
    values |= {"flag": flag, "end": end[0] * width + end[1], "control": 0, **others}
    return {k: np.full(environment.batch_size, v) for k, v in values.items()}


@pytest.mark.parametrize("color", [False, True])
def test_time_steps_follow_the_specs(color, rng):
    environment = make(use_color=color)
    time_step = environment.reset()
    kinds = []
    for step in range(environment.episode_length):
        for name, spec in environment.observation_spec().items():
            value = time_step.observation[name]
            if isinstance(spec, dict):
                assert list(value) == list(spec)
                for key in spec:
                    spec[key].validate(value[key])
            else:
                spec.validate(value)
        environment.reward_spec().validate(time_step.reward)
        environment.discount_spec().validate(time_step.discount)
        assert (time_step.reward == 0).all()
        assert (time_step.observation["episode_step"] == step).all()
        kinds.append(dm_env.StepType(time_step.step_type[0]))
        actions = random_actions(environment.language, [3], rng)
        for key, spec in environment.action_spec().items():
            spec.validate(actions[key].astype(np.int32))
        before, time_step = time_step, environment.step(actions)
    assert kinds == [dm_env.StepType.FIRST] + 3 * [dm_env.StepType.MID] + [
        dm_env.StepType.LAST
    ]
    assert (before.discount == 0).all()
    assert (time_step.step_type == dm_env.StepType.FIRST).all()
    assert (time_step.observation["canvas"] == 1).all()


def test_arrays_are_fresh(rng):
    environment = make()
    first = environment.reset().observation["canvas"]
    first[:] = 0.5
    second = environment.step(commands(environment, 0, (1, 1))).observation["canvas"]
    assert (second == 1).all()
    kept = second.copy()
    environment.step(random_actions(environment.language, [3], rng))
    np.testing.assert_array_equal(second, kept)


def test_action_mask_is_of_the_previous_command():
    environment = make(use_color=False)
    mask = environment.reset().observation["action_mask"]
    assert all((m == 0).all() for m in mask.values())
    mask = environment.step(commands(environment, 0, (1, 1))).observation["action_mask"]
    assert [k for k, m in mask.items() if m.all()] == ["flag", "end"]
    mask = environment.step(commands(environment, 1, (1, 1))).observation["action_mask"]
    assert all((m == 1).all() for m in mask.values())


def test_the_pen_stays_where_it_was_put():
    """No jump to (0, 0) on a move, no start at (y, y) after one."""
    environment = make(use_color=False, use_pressure=False, brush_sizes=[3.0])
    environment.reset()
    blank = environment.step(commands(environment, 0, (6, 2))).observation["canvas"]
    assert (blank == 1).all()
    # A straight stroke from (6, 2) to (6, 6): only rows around y = 6 * 4 get ink.
    stroke = commands(environment, 1, (6, 6), control=6 * 8 + 4)
    canvas = environment.step(stroke).observation["canvas"][0, :, :, 0]
    inked = np.argwhere(canvas < 0.5)
    assert inked[:, 0].min() >= 22
    assert inked[:, 0].max() <= 26
    assert inked[:, 1].min() == pytest.approx(2 * 4, abs=1)
    assert inked[:, 1].max() == pytest.approx(6 * 4, abs=1)
    # The next one starts where this one ended.
    down = commands(environment, 1, (7, 6), control=7 * 8 + 6)
    change = np.abs(environment.step(down).observation["canvas"][0, :, :, 0] - canvas)
    assert (change[:, :20] < 1e-3).all()
    assert change[27, 24] > 0.5


def test_canvases_of_a_batch_are_independent(rng):
    environment, one = make(), make(batch_size=1)
    environment.reset(), one.reset()
    for _ in range(4):
        actions = random_actions(environment.language, [3], rng)
        canvas = environment.step(actions).observation["canvas"]
        single = one.step({k: v[1:2] for k, v in actions.items()})
        np.testing.assert_allclose(canvas[1], single.observation["canvas"][0], atol=1e-6)


@pytest.mark.parametrize("background", ["white", "black"])
def test_data_and_drawings_have_ink_on_the_same_side(background, rng):
    environment = make(use_color=False, use_pressure=False, background=background)
    paper = environment.reset().observation["canvas"].mean()
    for _ in range(4):
        time_step = environment.step(random_actions(environment.language, [3], rng))
    drawn = time_step.observation["canvas"].mean() - paper
    data = load_mnist("", 32, background).test.images.mean() / 255 - paper
    assert drawn * data > 0


def test_programs_render_again_at_any_size(rng):
    environment = make(batch_size=1, use_color=False)
    canvas = environment.reset().observation["canvas"]
    steps = []
    for _ in range(4):
        steps.append(random_actions(environment.language, [1], rng))
        canvas = environment.step(steps[-1]).observation["canvas"]
    actions = {k: np.concatenate([s[k] for s in steps]) for k in steps[0]}
    program = Program(actions, environment.settings)
    np.testing.assert_allclose(render_program(program)[-1], canvas[0], atol=1e-6)
    large = render_program(program, canvas_width=128)[-1]
    small = large.reshape(32, 4, 32, 4, 1).mean(axis=(1, 3))
    assert np.abs(small - canvas[0]).mean() < 0.02


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"canvas_width": 32.5}, "canvas_width=32.5"),
        ({"episode_length": 1}, "episode_length=1"),
        ({"brush": "oil"}, "brush='oil'"),
        ({"brush_sizes": [1, -2]}, "brush_sizes"),
        ({"brush_sizes": []}, "brush_sizes"),
        ({"background": "red"}, "background='red'"),
    ],
)
def test_impossible_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_locations_reach_their_pixels():
    assert canvas_to_grid(np.array([24.0, 8.0]), 8, 32) == 6 * 8 + 2
