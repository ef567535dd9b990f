"""Canvases that are exact in uint8 travel so, and nothing that is learnt changes."""

import dataclasses

import numpy as np
import pytest

from spiral_jax.config import preset
from spiral_jax.data import to_float, to_uint8
from spiral_jax.environments import Painting, Scenes
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.system import make_system
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_actor
from spiral_jax.training.step import as_acted_on
from tests.conftest import assert_trees_equal, needs_gl

pytestmark = pytest.mark.thorough


def is_exact(environment, rng) -> bool:
    """Whether no canvas of random commands loses anything in uint8."""
    canvases = [environment.reset().observation["canvas"]]
    for _ in range(environment.episode_length - 1):
        actions = environment.language.random((environment.batch_size,), rng)
        canvases.append(environment.step(actions).observation["canvas"])
    return np.array_equal(to_float(to_uint8(np.stack(canvases))), np.stack(canvases))


@pytest.mark.parametrize("brush", ["soft", *SHIPPED_BRUSHES])
def test_what_brushes_blend_is_not(brush, rng):
    environment = Painting(batch_size=2, canvas_width=16, episode_length=6, brush=brush)
    assert not environment.exact_in_uint8
    assert not is_exact(environment, rng)


@needs_gl
@pytest.mark.parametrize("shadows", [False, True])
def test_scenes_are(shadows, rng):
    environment = Scenes(batch_size=2, canvas_width=16, episode_length=6, shadows=shadows)
    assert environment.exact_in_uint8
    assert is_exact(environment, rng)
    environment.close()


@needs_gl
def test_the_same_is_learnt_bit_by_bit(few_scenes):
    config = dataclasses.replace(
        preset("scenes_small"),
        canvas_width=16,
        episode_length=4,
        batch_size=4,
        critic_width=8,
        synchronous=True,
    )
    images = np.ascontiguousarray(few_scenes.train.images[:, ::2, ::2])
    if images.shape[1] != 16:
        images = np.ascontiguousarray(images[:, ::2, ::2])
    learnt = []
    for travels_as in (np.uint8, np.float32):
        system, store = make_system(config), ParameterStore()
        learner = make_learner(system, images, store)
        actor = make_actor(system, store, 0, images=images)
        for _ in range(3):
            rollout = actor.next()
            assert rollout.trajectory.canvases.dtype == np.uint8
            if travels_as == np.float32:
                canvases = to_float(rollout.trajectory.canvases)
                trajectory = rollout.trajectory._replace(canvases=canvases)
                rollout = rollout._replace(trajectory=trajectory)
            learner.step(rollout)
        learnt.append(learner.state())
    assert_trees_equal(*learnt)


def test_every_level_is_what_was_acted_on(tiny_system):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    store = ParameterStore()
    store.publish(0, tiny_system.initial_policy())
    trajectory = make_actor(tiny_system, store, 0).next().trajectory
    found = as_acted_on(trajectory._replace(canvases=levels)).canvases
    np.testing.assert_array_equal(found, to_float(levels))
    assert as_acted_on(trajectory) is trajectory
