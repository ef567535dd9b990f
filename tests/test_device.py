"""Rollouts on the accelerator: the same episodes, and the same learning."""

import dataclasses
import itertools

import haiku as hk
import jax
import numpy as np
import pytest

from spiral_jax.config import preset
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.environments import make_environment
from spiral_jax.environments.painting_jax import DevicePainting
from spiral_jax.language import scenes_language
from spiral_jax.networks import make_policy
from spiral_jax.networks.heads import PointingLocationHead
from spiral_jax.rollouts.host import rollout
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.system import make_system
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_actor, make_device_actor, make_source

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("compat", [None, "deepmind"])
def test_painting_on_the_device_is_painting(compat, rng):
    settings = {
        "canvas_width": 16,
        "grid_width": 8,
        "brush": "soft",
        "brush_sizes": (2.0, 6.0),
        "use_color": True,
        "use_pressure": True,
        "background": "black",
        "compat": compat,
    }
    environment = make_environment(settings, batch_size=5, episode_length=9)
    painting = DevicePainting(environment.settings)
    step = jax.jit(painting.step)
    state = painting.begin(5)
    canvas = environment.reset().observation["canvas"]
    np.testing.assert_array_equal(state.canvas, canvas)
    for _ in range(8):
        actions = environment.language.random((5,), rng)
        actions = {name: values.astype(np.int32) for name, values in actions.items()}
        canvas = environment.step(actions).observation["canvas"]
        state = step(state, actions)
        np.testing.assert_allclose(state.canvas, canvas, atol=1e-5)
    assert canvas.std() > 0.05


@pytest.mark.parametrize("conditional", [False, True])
def test_both_actors_play_the_same_episodes(tiny_config, conditional):
    config = dataclasses.replace(tiny_config, conditional=conditional)
    system, store, devices = make_system(config), ParameterStore(), DeviceGroup()
    images = load_dataset(config).train.images
    store.publish(0, system.initial_policy())
    on_cpu = make_actor(system, store, 0, num_rollouts=3, images=images)
    on_device = make_device_actor(system, store, 3, images, devices)
    for _ in range(2):
        a, b = on_cpu.next(), on_device.next()
        assert a.num_rollouts == b.num_rollouts
        found = jax.device_get(b.trajectory)
        expected = a.trajectory._replace(rewards=found.rewards)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found, expected
        )
        assert not found.rewards.any()


@pytest.mark.parametrize("conditional", [False, True])
def test_episodes_in_stages_go_on_where_they_were(tiny_config, conditional):
    """Two places of the batch for each of three stages; the same as played at once."""
    config = dataclasses.replace(
        tiny_config, batch_size=6, unroll_length=1, conditional=conditional
    )
    system, store, devices = make_system(config), ParameterStore(), DeviceGroup()
    images = load_dataset(config).train.images
    params = system.initial_policy()
    store.publish(0, params)
    actor = make_device_actor(system, store, 3, images, devices)
    parts = [jax.device_get(actor.next().trajectory) for _ in range(6)]
    ends = np.stack([part.discounts[-1] == 0 for part in parts])
    expected = [[2, 1, 0], [1, 0, 2], [0, 2, 1]]
    np.testing.assert_array_equal(ends, np.repeat(2 * expected, 2, axis=1) == 0)
    begins = np.stack([~part.start.lstm.hidden.any(axis=1) for part in parts])
    np.testing.assert_array_equal(begins[1:], ends[:-1])
    for before, after in itertools.pairwise(parts):
        on = before.discounts[-1] == 1
        np.testing.assert_array_equal(after.canvases[0][on], before.canvases[-1][on])
        np.testing.assert_array_equal(after.start.noise[on], before.start.noise[on])
        assert (after.canvases[0][~on] == 1).all()
        assert (after.start.noise[~on] != before.start.noise[~on]).all()
        if conditional:
            same = (after.targets == before.targets).all(axis=(1, 2, 3))
            np.testing.assert_array_equal(same, on)
    # Places 4 and 5 begin with the second rollout: together, its three parts are whole
    # episodes, and scored as such they have the probabilities that they were played with.
    rows, first = lambda x: x[:, 4:6], 1
    assert begins[first, 4]
    parts = parts[first : first + 3]
    whole = parts[0]._replace(
        **{
            name: jax.tree.map(
                lambda *x: rows(np.concatenate(x)), *(getattr(p, name) for p in parts)
            )
            for name in ("action_masks", "actions", "behaviour_log_prob", "discounts")
        },
        canvases=rows(
            np.concatenate([p.canvases[:1] for p in parts] + [parts[-1].canvases[-1:]])
        ),
        start=jax.tree.map(lambda x: x[4:6], parts[0].start),
        targets=parts[0].targets[4:6] if conditional else None,
    )
    output, _, _ = system.policy.unroll(params, whole)
    mask = system.language.mask(whole.actions)
    joint = sum(output.log_probs[k] * mask[k] for k in system.language.names)
    np.testing.assert_allclose(joint, whole.behaviour_log_prob, atol=1e-4)


@pytest.mark.parametrize("unroll_length", [0, 1])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_fused_learning_is_synchronous_learning(
    tiny_config, monkeypatch, backend, unroll_length
):
    # Off CPUs, iterations and commands are loops of one program.
    states = []
    tiny_config = dataclasses.replace(
        tiny_config, batch_size=6, unroll_length=unroll_length
    )
    kinds = [{}, {"actors": "device"}, {"actors": "device", "fuse": 3}]
    if unroll_length:  # the first episodes of threads are not those of devices
        kinds = kinds[1:]
    for changes in kinds:
        if changes:
            monkeypatch.setattr(jax, "default_backend", lambda: backend)
        config = dataclasses.replace(tiny_config, critic_steps=2, **changes)
        system, store = make_system(config), ParameterStore()
        images = load_dataset(config).train.images
        learner = make_learner(system, images, store)
        source = make_source(system, store, 0, images, DeviceGroup())
        learner.compile(source.example())
        while learner.num_updates < 3:
            learner.step(source.next())
        assert learner.num_updates == 3
        states.append(learner.state())
    for state in states[1:]:
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), state, states[0]
        )


def test_bfloat16_is_of_the_torso_alone(tiny_config):
    config = dataclasses.replace(tiny_config, policy="paper")
    plain = make_system(config)
    short = make_system(dataclasses.replace(config, compute_dtype="bfloat16"))
    params = plain.initial_policy()
    for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(short.initial_policy())):
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x, y)
    trajectory = rollout(
        plain.environment(8), plain.actor_core, params, jax.random.key(0)
    )
    exact, _, _ = plain.policy.unroll(params, trajectory)
    rounded, _, _ = short.policy.unroll(params, trajectory)
    for name, log_prob in exact.log_probs.items():
        assert rounded.log_probs[name].dtype == np.float32
        # Three digits of signals of size 1: what the torso says is normalised.
        np.testing.assert_allclose(rounded.log_probs[name], log_prob, atol=2e-2)
    assert 0 < np.abs(rounded.value - exact.value).max() < 2e-2


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mnist_small", {"fuse": 2}, "fuse=2 with actors='threads'"),
        ("scenes_small", {"actors": "device"}, "environment='scenes' runs on CPUs"),
        ("mnist_pen", {"actors": "device"}, "brush='classic/pen' runs on CPUs"),
    ],
)
def test_what_cannot_run_on_the_device_is_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(preset(name), **changes)


def test_pointing_uses_the_same_weights_everywhere():
    """Moving what there is moves the logits; at the borders padding shows."""

    def score(z, features):
        return PointingLocationHead()(z, features)

    init, apply = hk.without_apply_rng(hk.transform(score))
    rng = np.random.default_rng(0)
    z = rng.normal(size=[1, 6]).astype(np.float32)
    features = np.zeros([1, 8, 8, 4], np.float32)
    features[0, 2, 3] = rng.normal(size=4)
    params = init(jax.random.key(0), z, features)
    logits = np.reshape(apply(params, z, features), [8, 8])
    moved = np.reshape(apply(params, z, np.roll(features, (2, 1), (1, 2))), [8, 8])
    np.testing.assert_allclose(moved[3:6, 3:6], logits[1:4, 2:5], atol=1e-6)
    assert logits[1:4, 2:5].std() > 0


def test_the_pointer_needs_a_layer_as_wide_as_the_grid():
    language = scenes_language(5)
    policy = make_policy(language, (32, 32, 3), "pointer", 0.0, conditional=True)
    with pytest.raises(ValueError, match="needs a layer of that width"):
        policy.init(jax.random.key(0))
