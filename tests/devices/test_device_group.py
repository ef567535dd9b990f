"""Several devices learn what one learns. A pytest run of its own: `make test`."""

import dataclasses
import functools
import threading

import jax
import numpy as np
import pytest

from spiral_jax import replay
from spiral_jax.data.registry import load_dataset
from spiral_jax.distributed.choice import choose_devices
from spiral_jax.replay import Replay
from spiral_jax.rollouts.base import Rollout
from spiral_jax.rollouts.host import HostRollout, rollout
from spiral_jax.system import make_system
from spiral_jax.train import train
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_source, make_store

pytestmark = pytest.mark.skipif(
    jax.device_count() < 8,
    reason="needs 8 devices: XLA_FLAGS=--xla_force_host_platform_device_count=8 "
    "pytest tests/devices",
)


def learner_on(config, num_devices, mode):
    system = make_system(config)
    devices = choose_devices(num_devices, mode, config.batch_size)
    images = load_dataset(config).train.images
    store = make_store(config)
    learner = make_learner(system, images, store, devices)
    return system, learner, make_source(system, store, 0, images, devices)


def learnt(config, num_devices, mode):
    """The state and the metrics after one iteration on the same episodes."""
    system, learner, _ = learner_on(config, num_devices, mode)
    targets = None
    if config.conditional:
        shape = (config.batch_size, config.canvas_width, config.canvas_width, 1)
        targets = np.random.default_rng(0).random(shape, np.float32)
    trajectory = rollout(
        system.environment(config.batch_size),
        system.actor_core,
        system.initial_policy(),
        jax.random.key(0),
        targets,
    )
    item = Rollout(double(trajectory), 0, 0, 1)
    learner.restore(double(learner.state()))
    learner.compile(item)
    metrics = jax.block_until_ready(learner.step(item))
    return learner.state(), jax.device_get(metrics)


def double(tree):
    """The same numbers in float64.

    Devices add up a batch in another order. In float32 that alone changes gradients whose
    parts cancel by more than 1e-5, and what had to be allowed for that could hide a
    mistake. (The torso computes in float32 nevertheless.)
    """
    return jax.tree.map(
        lambda x: np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype), tree
    )


@pytest.mark.parametrize("conditional", [False, True])
def test_eight_devices_learn_what_one_learns(tiny_config, conditional):
    # The offset's weight is high, so that a mean taken per device would show.
    config = dataclasses.replace(
        tiny_config, batch_size=16, offset_cost=1.0, conditional=conditional
    )
    with jax.enable_x64(True):
        state, metrics = learnt(config, 1, "jit")
        for mode in ("jit", "pmap"):
            found, found_metrics = learnt(config, 8, mode)
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-8),
                found_metrics,
                metrics,
            )
            rates = {
                "policy": config.policy_learning_rate,
                "critic": config.critic_learning_rate,
            }
            for learner, rate in rates.items():
                # Gradients (Adam's first moment is a multiple), to 1e-5 of the largest
                # of each array.
                jax.tree.map(
                    lambda x, y: np.testing.assert_allclose(
                        x, y, rtol=1e-5, atol=1e-5 * np.abs(y).max()
                    ),
                    found[learner].opt_state[0].mu,
                    state[learner].opt_state[0].mu,
                )
                jax.tree.map(
                    functools.partial(assert_same_step, rate),
                    found[learner].params,
                    state[learner].params,
                    state[learner].opt_state[0].mu,
                )


def assert_same_step(rate, found, expected, gradients):
    """Adam's first step is hardly more than the gradient's sign, times the rate.

    So what gradients may differ by, 1e-5 of the largest, changes it for those that are
    next to nothing, by up to twice the rate, and next to nothing for all others.
    """
    error = 1e-5 * np.abs(gradients).max()
    allowed = rate * np.minimum(2.0, 2 * error / (np.abs(gradients) + 1e-30))
    assert (np.abs(found - expected) <= allowed + 1e-9).all()


# Batches for eight devices and three stages of an episode.
FUSED = {"batch_size": 24, "actors": "device", "fuse": 3}


@pytest.mark.parametrize(
    ("mode", "unroll_length"), [("jit", 0), ("pmap", 0), ("pmap", 1)]
)
def test_fused_training_runs_on_eight_devices(tiny_config, mode, unroll_length):
    config = dataclasses.replace(tiny_config, **FUSED, unroll_length=unroll_length)
    _, learner, source = learner_on(config, 8, mode)
    learner.compile(source.example())
    for _ in range(3):  # one step a call on CPUs
        metrics = jax.block_until_ready(learner.step(source.next()))
        assert metrics["policy/loss"].shape == (1,)
        assert np.isfinite(jax.device_get(metrics["policy/loss"])).all()
    ring = learner.state()["replay"]
    # Every device plays episodes of its own, and of all stages together.
    assert len({picture.tobytes() for picture in ring.pictures[0]}) > 8
    assert (ring.num_added == (1 if unroll_length else 3)).all()


@pytest.mark.parametrize("unroll_length", [0, 1])
def test_fused_training_on_eight_devices_is_that_on_one(tiny_config, unroll_length):
    config = dataclasses.replace(tiny_config, **FUSED, unroll_length=unroll_length)
    states = []
    for num_devices in (1, 8):
        _, learner, source = learner_on(config, num_devices, "jit")
        learner.compile(source.example())
        for _ in range(3):
            jax.block_until_ready(learner.step(source.next()))
        states.append(learner.state())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5), *states)


def test_no_picture_moves_to_another_device():
    devices = choose_devices(8, "jit", 16)
    ring, axes = replay.empty_replay(5, (16, 8, 8, 1)), Replay(1, 0)

    def add_and_take(ring, pictures, finished, shares):
        ring = replay.add(ring, pictures, finished)
        return ring, replay.take(ring, shares)

    arguments = (ring.pictures[0], np.ones(16, bool), np.zeros(16, np.float32))
    program = devices.compile(
        add_and_take, (axes, 0, 0, 0), (axes, 0), donate=(0,)
    ).lower(devices.place(ring, axes), *devices.place(arguments, 0))
    text = program.compile().as_text()
    assert "scatter" in text
    for movement in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
        assert movement not in text


def test_impossible_groups_are_refused():
    with pytest.raises(ValueError, match="devices=9: JAX sees 8"):
        choose_devices(9, "jit", 18)
    with pytest.raises(ValueError, match="batch_size=12 cannot be split among 8"):
        choose_devices(0, "jit", 12)


def test_actors_may_have_a_device_of_their_own(tiny_config, tmp_path, monkeypatch):
    config = dataclasses.replace(
        tiny_config,
        conditional=True,
        batch_size=6,
        devices=5,
        actor_devices=2,
        num_actors=2,
        synchronous=False,
        max_updates=6,
    )
    acted, play = set(), HostRollout.unroll

    def watched(self, params, num_commands):
        if threading.current_thread().name == "actor":  # and not an evaluation
            acted.update(*(x.devices() for x in jax.tree.leaves(params)))
        return play(self, params, num_commands)

    monkeypatch.setattr(HostRollout, "unroll", watched)
    assert train(config, tmp_path) is not None
    assert acted == set(jax.devices()[3:5])
    devices = choose_devices(5, "jit", 6, num_actor_devices=2)
    assert devices.devices == tuple(jax.devices()[:3])


def test_learners_need_a_device():
    with pytest.raises(ValueError, match="actor_devices=2 of 2 devices in use"):
        choose_devices(2, "jit", 16, num_actor_devices=2)
