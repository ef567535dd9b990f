"""Compound strokes: commands give points, and a flag paints a spline through them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax.config import preset
from spiral_jax.environments import Painting, rerender
from spiral_jax.environments.painting_jax import DevicePainting
from spiral_jax.environments.pens import MAX_POINTS, make_pens
from spiral_jax.programs import Program
from spiral_jax.renderers.libmypaint import load_library
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES
from spiral_jax.rewards import make_rewards
from spiral_jax.types import AgentState, Stroke, Trajectory

GRID, WIDTH = 8, 32


def make(**changes) -> Painting:
    return Painting(
        **{
            "canvas_width": WIDTH,
            "grid_width": GRID,
            "episode_length": 12,
            "use_color": False,
            "use_pressure": False,
            "brush_sizes": [3.0],
            "compound": True,
            **changes,
        }
    )


def actions_of(*commands):
    """Commands (flag, y, x) one after the other, `[T, 1]` each."""
    flag, y, x = np.array(commands, np.int32).T
    return {"flag": flag, "control": y * GRID + x, "size": np.zeros_like(flag)}


def curves_of(actions, **changes):
    """All curves that one pen paints, a list for each command."""
    pens = make_pens(make(**changes).settings)
    state, found = pens.begin(1), []
    for t in range(len(actions["flag"])):
        command = {name: values[t : t + 1] for name, values in actions.items()}
        strokes, state = pens.strokes(state, command)
        strokes = [strokes.at(number) for number in range(strokes.count)]
        strokes = [Stroke(*(field[0] for field in stroke)) for stroke in strokes]
        found.append([stroke for stroke in strokes if stroke.paint])
    return found


def spline(points, span, u):
    """The Catmull-Rom spline by its definition: cubic Hermite, slopes of the chords."""
    last = len(points) - 1
    before, start, end, after = (
        points[np.clip(span + offset, 0, last)] for offset in (-1, 0, 1, 2)
    )
    slopes = (end - before) / 2, (after - start) / 2
    return (
        (2 * u**3 - 3 * u**2 + 1) * start
        + (u**3 - 2 * u**2 + u) * slopes[0]
        + (3 * u**2 - 2 * u**3) * end
        + (u**3 - u**2) * slopes[1]
    )


@pytest.mark.parametrize("seed", range(5))
def test_strokes_are_splines_through_their_points(seed):
    cells = np.random.default_rng(seed).integers(GRID, size=(6, 2))
    commands = [(1, *cells[0]), *((0, *cell) for cell in cells[1:]), (1, 3, 3)]
    *waiting, curves = curves_of(actions_of(*commands))
    assert waiting == [[]] * 6
    assert len(curves) == 2 * 5
    points = cells * (WIDTH / GRID)
    place = points[0]
    for number, curve in enumerate(curves):
        np.testing.assert_allclose(curve.start, place, atol=1e-5)
        place = curve.end
        for u in np.linspace(0, 1, 11):
            here = (1 - u) ** 2 * curve.start + 2 * u * (1 - u) * curve.control
            here += u**2 * curve.end
            exact = spline(points, number // 2, (number % 2 + u) / 2)
            assert np.linalg.norm(here - exact) < 0.017 * WIDTH
        if number % 2:
            np.testing.assert_allclose(place, points[number // 2 + 1], atol=1e-5)


def test_the_next_stroke_begins_where_the_last_command_says():
    first, second = ((1, 1, 1), (0, 6, 1)), ((1, 1, 6), (0, 6, 6))
    *_, curves = curves_of(actions_of(*first, *second, (1, 0, 0)))
    ends = [curves[0].start.tolist(), curves[-1].end.tolist()]
    assert ends == [[4, 24], [24, 24]]
    # Two points make a straight line.
    for curve in curves:
        np.testing.assert_allclose([curve.start[1], curve.control[1], curve.end[1]], 24)
    # A point of its own leaves nothing, and so does what is not painted in the end.
    for commands in (((1, 2, 2), (1, 4, 4)), ((0, 2, 2), (0, 4, 4))):
        canvases = rerender(Program(actions_of(*commands), make().settings))
        assert (canvases == 1).all()


def test_of_too_many_points_the_last_one_counts():
    turns = [(0, t % 2, t % GRID) for t in range(MAX_POINTS + 3)]
    *_, curves = curves_of(actions_of(*turns, (0, 7, 7), (1, 0, 0)))
    assert len(curves) == 2 * (MAX_POINTS - 1)
    assert curves[-1].end.tolist() == [28, 28]
    before = curves[-3].end / (WIDTH / GRID)
    assert before.tolist() == list(turns[MAX_POINTS - 3][1:])


def random_actions(environment, rng, num_commands):
    parts = [
        environment.language.random([environment.batch_size], rng)
        for _ in range(num_commands)
    ]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("brush", ["soft", *SHIPPED_BRUSHES, "libmypaint"])
def test_canvases_do_not_depend_on_each_other(brush, rng):
    """Strokes of other numbers of curves are painted beside them."""
    settings = {"brush": brush, "use_color": True, "use_pressure": True}
    if brush == "libmypaint":
        try:
            load_library()
        except ValueError as error:
            pytest.skip(str(error))
        settings |= {"renderer": brush, "brush": "classic/pen", "mypaint_version": "1.6"}
    if brush != "soft":
        settings["noise"] = "libmypaint"
    environment = make(batch_size=5, **settings)
    actions = random_actions(environment, rng, 10)
    environment.reset()
    for t in range(10):
        step = environment.step({name: values[t] for name, values in actions.items()})
    together = step.observation["canvas"]
    assert together.std() > 0.05
    for row in range(5):
        alone = make(**settings)
        alone.reset()
        for t in range(10):
            step = alone.step({k: v[t, row : row + 1] for k, v in actions.items()})
        np.testing.assert_allclose(
            step.observation["canvas"][0], together[row], atol=1e-5
        )


def test_the_accelerator_paints_the_same(rng):
    environment = make(batch_size=5)
    painting = DevicePainting(environment.settings)
    state, step = painting.begin(5), jax.jit(painting.step)
    actions = random_actions(environment, rng, 10)
    environment.reset()
    for t in range(10):
        command = {k: v[t].astype(np.int32) for k, v in actions.items()}
        canvas = environment.step(command).observation["canvas"]
        state = step(state, command)
        np.testing.assert_allclose(state.canvas, canvas, atol=1e-5)
    assert canvas.std() > 0.05


def test_a_pen_leaves_its_ink_along_the_points():
    """With the pen of libmypaint, whose cursor follows slowly, a line of three points."""
    program = Program(
        actions_of((1, 1, 4), (0, 4, 4), (0, 7, 4), (1, 0, 0)),
        make(brush="classic/pen").settings,
    )
    inked = np.argwhere(program.render()[..., 0] < 0.5)
    assert 1 <= inked[:, 0].min() <= 6
    assert 26 <= inked[:, 0].max() <= 31
    assert np.abs(inked[:, 1] - 16).max() <= 4


def test_programs_of_compound_strokes_are_kept_and_drawn_as_vectors():
    program = Program(
        actions_of((1, 1, 1), (0, 1, 6), (0, 6, 6), (1, 0, 0)), make().settings
    )
    again = Program.from_json(program.to_json())
    np.testing.assert_array_equal(again.render(), program.render())
    assert '{"flag": 0, "control": 14}' in program.to_json()
    svg = program.to_svg()
    # One path: translucent ink is not darker where curves meet.
    assert svg.count("<path") == 1
    assert svg.count(" Q ") == 4
    assert 'd="M 4 4 Q' in svg


def test_every_command_that_paints_is_a_stroke():
    canvases = np.ones([4, 1, 2, 2, 1], np.float32)
    zeros = np.zeros([3, 1], np.float32)
    before = AgentState(None, None, {"flag": np.array([0])}, None)
    flags = {"flag": np.array([[1], [1], [0]])}
    trajectory = Trajectory(canvases, {}, flags, zeros, zeros, zeros, before)
    costs = {"stroke_start_cost": 2.0, "blank_cost": 0.0, "blank": 1.0}
    rewards = make_rewards("delta", **costs, compound=True)
    found, _ = rewards(trajectory, lambda images, targets: jnp.zeros(len(images)))
    assert found[:, 0].tolist() == [-2, -2, 0]


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="compat='deepmind' with compound=True"):
        make(compat="deepmind")
    with pytest.raises(ValueError, match="compound=True with scenes: no strokes there"):
        dataclasses.replace(preset("scenes_small"), compound=True)
