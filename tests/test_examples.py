"""The worked example of docs/howto/environment.md: an environment from outside."""

import dataclasses

import numpy as np
import pytest

from experiments.examples.rectangles import CONFIG, Rectangles, fill
from spiral_jax.agents import TrainedAgent, export_agent, load_agent
from spiral_jax.config import preset
from spiral_jax.data.registry import load_dataset
from spiral_jax.environments import language_of, make_environment, register_environment
from spiral_jax.programs import Program
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.system import make_system
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_actor
from tests.conftest import play_by_the_specs

pytestmark = pytest.mark.slow


def test_rectangles_by_hand():
    """Cells of 2 px: (0, 1) to (1, 1), given from below, in ink; then all, as paper."""
    actions = {"corner": [5, 0], "opposite": [1, 15], "paper": [0, 1]}
    canvases = np.full([2, 8, 8, 1], 0.5, np.float32)
    fill(canvases, {k: np.array(v) for k, v in actions.items()}, grid_width=4)
    expected = np.full([8, 8], 0.5)
    expected[0:4, 2:4] = 0
    np.testing.assert_array_equal(canvases[0, ..., 0], expected)
    np.testing.assert_array_equal(canvases[1], np.ones([8, 8, 1]))


def test_it_is_an_environment_like_ours(rng):
    environment = Rectangles(batch_size=3, episode_length=5)
    last, first = play_by_the_specs(environment, environment.reset(), rng)
    assert (last.observation["canvas"] < 1).any()
    assert (first.observation["canvas"] == 1).all()
    assert make_environment(environment.settings).settings == environment.settings
    with pytest.raises(ValueError, match="expected black ink"):
        Rectangles(canvas_width=30)


def test_its_agent_learns_and_is_kept(tmp_path):
    """It learns at once that digits are mostly white; the loop is everybody's."""
    config = dataclasses.replace(
        CONFIG,
        canvas_width=16,
        grid_width=8,
        episode_length=4,
        batch_size=16,
        conditional=True,
        reward_source="l2",
        policy_learning_rate=3e-3,
        critic_width=8,
    )
    system, store = make_system(config), ParameterStore()
    images = load_dataset(config).train.images
    learner = make_learner(system, images, store)
    actor = make_actor(system, store, 0, images=images)
    scores = [float(learner.step(actor.next())["policy/score"]) for _ in range(40)]
    assert np.mean(scores[-10:]) > 0.6 * scores[0]

    export_agent(TrainedAgent(system, learner.average, learner.num_updates), tmp_path)
    programs, canvases = load_agent(tmp_path).reconstruct(images[:3])
    again = Program.from_json(programs[2].to_json())
    np.testing.assert_array_equal(again.render(), canvases[2])
    assert again.render(width=64).shape == (64, 64, 1)
    assert language_of(again.settings).names == ("corner", "opposite", "paper")
    with pytest.raises(ValueError, match="environment='rectangles': only paintings"):
        again.to_svg()


def test_what_is_not_registered_is_refused():
    with pytest.raises(ValueError, match="environment_name='circles': expected one of"):
        dataclasses.replace(CONFIG, environment_name="circles")
    with pytest.raises(ValueError, match="environment='circles': expected one of"):
        make_environment({"environment": "circles"})
    with pytest.raises(ValueError, match="name='scenes': expected a name other than"):
        register_environment("scenes", Rectangles, language_of)
    for name, kind in (("scenes", "rectangles"), ("mnist", "scenes")):
        with pytest.raises(ValueError, match="scenes belong to each other"):
            dataclasses.replace(preset(name), environment_name=kind)
    with pytest.raises(ValueError, match=r"stroke_start_cost=1.0 with rectangles"):
        dataclasses.replace(CONFIG, stroke_start_cost=1.0)
    with pytest.raises(ValueError, match="environment='rectangles' runs on CPUs"):
        dataclasses.replace(CONFIG, actors="device")
