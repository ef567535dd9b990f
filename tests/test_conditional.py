"""Conditional agents: they are shown what to draw."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax.config import Config, preset
from spiral_jax.data import to_float
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.language import painting_language
from spiral_jax.losses import make_critic_loss
from spiral_jax.networks import Discriminator, make_discriminator, make_policy
from spiral_jax.networks.decoder import CURVE_POINTS
from spiral_jax.networks.discriminator import complete
from spiral_jax.networks.hints import location_hints
from spiral_jax.reconstruction import ReconstructionEvaluator
from spiral_jax.rewards import make_rewards, negative_distance
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.sampling import sample_drawings
from spiral_jax.system import make_system
from spiral_jax.training.build import initial_state, make_learner, make_updates
from spiral_jax.training.sources import make_actor
from spiral_jax.training.step import CriticBatch, make_train_step
from spiral_jax.types import Trajectory
from tests.conftest import assert_trees_equal, needs_gl

pytestmark = pytest.mark.thorough

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def config(tiny_config) -> Config:
    return dataclasses.replace(tiny_config, conditional=True)


def assembled(config):
    system, store = make_system(config), ParameterStore()
    images = load_dataset(config).train.images
    learner = make_learner(system, images, store)
    return system, images, learner, make_actor(system, store, 0, images=images)


def test_pairs_of_target_and_canvas_are_scored_by_hand():
    """The critic weighs render by 2 and target by 3; GP is of the render alone."""
    critic = Discriminator(
        init=None,
        apply=lambda w, x, target: (
            jnp.sum(w * x, axis=(1, 2, 3)) + 3 * jnp.sum(target, axis=(1, 2, 3))
        ),
    )
    target = np.full([2, 1, 1, 1], 0.5, np.float32)
    fake = np.full([2, 1, 1, 1], 0.25, np.float32)
    loss = make_critic_loss(
        critic, regulariser="gp", gradient_penalty_cost=10.0, offset_cost=0.0
    )
    total, metrics = loss(jnp.float32(2.0), KEY, target, fake, target)
    # real 2 * 0.5 + 1.5, fake 2 * 0.25 + 1.5, penalty (2 - 1)^2
    assert metrics["critic/gap"] == pytest.approx(0.5)
    assert metrics["critic/offset"] == pytest.approx(2.25)
    assert total == pytest.approx(-0.5 + 10.0, rel=1e-5)


@pytest.mark.parametrize("form", ["final", "delta"])
def test_l2_rewards_by_hand(form):
    """Canvases of 4 px that are all 1, then 0.5; targets 0 and 1."""
    canvases = np.ones([3, 2, 2, 2, 1], np.float32)
    canvases[2] = 0.5
    targets = np.stack([np.zeros([2, 2, 1]), np.ones([2, 2, 1])]).astype(np.float32)
    zeros = np.zeros([2, 2], np.float32)
    trajectory = Trajectory(canvases, {}, {}, zeros, zeros, zeros, None, targets)
    rewards = make_rewards(form, stroke_start_cost=0.0, blank_cost=0.0, blank=1.0)
    found, metrics = rewards(trajectory, negative_distance)
    expected = {"final": [[0, 0], [-1, -1]], "delta": [[0, 0], [1, -1]]}[form]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert metrics["policy/score"] == pytest.approx(-1.0)


@pytest.mark.parametrize("blind", [False, True])
def test_what_the_policy_sees(blind, rng):
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    policy = make_policy(
        language, (16, 16, 1), "small", 1.0, conditional=True, blind=blind
    )
    params, state = policy.init(KEY), policy.initial_state(KEY, 1)
    mask = {name: np.zeros(1, np.float32) for name in language.names}
    a, b = rng.random([2, 1, 16, 16, 1]).astype(np.float32)

    def value(canvas, target):
        observation = {"canvas": canvas, "target": target, "action_mask": mask}
        return float(policy.step(params, observation, state)[0].value[0])

    assert value(a, a) != value(a, b)
    assert (value(a, a) == value(b, a)) == blind
    with pytest.raises(ValueError, match="expected conditional=True"):
        make_policy(language, (16, 16, 1), "small", 1.0, blind=True)


@pytest.mark.parametrize("source", ["critic", "l2"])
def test_a_learners_step(config, source):
    config = dataclasses.replace(config, reward_source=source)
    system, images, learner, actor = assembled(config)
    item = actor.next()
    trajectory = item.trajectory
    # The targets are pictures of the data, of which each episode has its own.
    known = {image.tobytes() for image in images}
    shown = {np.round(255 * t).astype(np.uint8).tobytes() for t in trajectory.targets}
    assert len(shown) == config.batch_size
    assert shown <= known
    # Scoring what was sampled gives the probabilities it was sampled with.
    output, _, _ = system.policy.unroll(system.initial_policy(), trajectory)
    mask = system.language.mask(trajectory.actions)
    joint = sum(output.log_probs[k] * mask[k] for k in system.language.names)
    np.testing.assert_allclose(joint, trajectory.behaviour_log_prob, atol=1e-5)

    before = learner.state()["critic"].params
    metrics = learner.step(item)
    after = learner.state()
    assert np.isfinite(float(metrics["policy/loss"]))
    if source == "l2":
        assert_trees_equal(before, after["critic"].params)
        reached = negative_distance(trajectory.canvases[-1], trajectory.targets)
        assert metrics["policy/score"] == pytest.approx(float(np.mean(reached)), rel=1e-5)
        return
    # The replay keeps renders with the targets that they were drawn for.
    pairs = np.concatenate([trajectory.canvases[-1], trajectory.targets], axis=-1)
    np.testing.assert_array_equal(after["replay"].pictures[0], pairs)


def test_the_critic_judges_pairs(config):
    """Real is (target, target), fake is (render, target), as drawn from the replay."""
    system, images, _, actor = assembled(config)
    seen = []

    def judge(state, real, fake, target):
        seen.append((real, fake, target))
        return state, {}

    policy, critic = make_updates(system, DeviceGroup())
    iteration = make_train_step(policy, critic._replace(apply=judge), average_updates=1)
    state = initial_state(system, (policy, critic), images.shape[1:])
    for _ in range(2):
        replayed = np.zeros([1, config.batch_size], np.int32)
        state, _ = iteration(state, actor.next().trajectory, CriticBatch(None, replayed))
    first = state.replay.pictures[0]
    for real, fake, target in seen:
        np.testing.assert_array_equal(real, target)
        np.testing.assert_array_equal(np.concatenate([fake, target], axis=-1), first)


def test_targets_depend_on_the_rollouts_number_alone(config):
    system, images, _, actor = assembled(config)
    first, second = actor.next(), actor.next()
    store = ParameterStore()
    store.publish(0, system.initial_policy())
    resumed = make_actor(system, store, 0, num_rollouts=1, images=images).next()
    assert_trees_equal(second.trajectory, resumed.trajectory)
    assert not np.array_equal(first.trajectory.targets, second.trajectory.targets)


def test_reconstruction_is_measured_on_held_out_targets(config):
    system = make_system(config)
    data = load_dataset(config)
    params = system.initial_policy()
    evaluator = ReconstructionEvaluator(system, data)
    measures, pairs = evaluator.measure(params)
    targets, drawings = pairs[::2], pairs[1::2]
    np.testing.assert_array_equal(targets, to_float(data.test.images[:500]))
    by_hand = np.mean([np.linalg.norm(d - t) for d, t in zip(drawings, targets)])
    assert measures == {"reconstruction/l2": pytest.approx(by_hand, rel=1e-5)}
    assert "held-out l2" in evaluator.in_short(measures)
    table = evaluator.table(measures)
    assert table.now == measures["reconstruction/l2"]
    blank = np.mean([np.linalg.norm(1 - t) for t in targets])
    assert table.blank == pytest.approx(blank, rel=1e-5)
    few = sample_drawings(system, params, 3, 0, targets[:2])
    np.testing.assert_array_equal(few.targets, targets[[0, 1, 0]])


@needs_gl
@pytest.mark.parametrize("network", ["small", "paper"])
def test_scenes_are_learnt_by_the_same_code(network, tmp_path):
    config = dataclasses.replace(
        preset("scenes_small"),
        canvas_width=16,
        batch_size=2,
        policy=network,
        data_dir=str(tmp_path),
        num_scenes=10,
        critic_width=8,
    )
    if network == "paper":  # its compilation takes long; that it starts is enough
        system = make_system(config)
        shapes = jax.eval_shape(system.policy.init, KEY)
        assert shapes["policy/~torso/convolution"]["w"].shape == (5, 5, 3 + 3 + 2, 32)
        return
    system, _, learner, actor = assembled(config)
    for _ in range(2):
        metrics = learner.step(actor.next())
    assert all(np.isfinite(float(value)) for value in metrics.values())
    drawings = sample_drawings(system, learner.average, 3, 0, np.zeros([1, 16, 16, 3]))
    assert drawings.canvases.shape == (4, 3, 16, 16, 3)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mnist_small", {"reward_source": "l2"}, "reward_source='l2' needs a target"),
        ("mnist_small", {"blind": True}, "blind=True needs a target"),
        ("mnist_small", {"complement": True}, "complement=True needs a target"),
        (
            "mnist_conditional_small",
            {"complement": True, "reward_source": "l2"},
            "there is no critic",
        ),
        ("mnist_small", {"reward_source": "l1"}, "reward_source='l1': expected one of"),
        ("mnist_small", {"hindsight_cost": 0.1}, "hindsight_cost=0.1 needs targets"),
        (
            "mnist_conditional_small",
            {"hindsight_cost": 0.1, "unroll_length": 3, "batch_size": 32},
            "hindsight_cost=0.1 needs targets and whole episodes",
        ),
        ("mnist_small", {"entropy_floor": 1.0}, "entropy_floor=1.0: expected a share"),
        ("scenes", {"conditional": False}, "conditional=False with dataset='scenes'"),
        ("scenes", {"stroke_start_cost": 1.0}, "stroke_start_cost=1.0 with"),
        ("scenes", {"grid_width": 2}, "max_objects=5 with grid_width=2"),
    ],
)
def test_impossible_settings_are_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(preset(name), **changes)


def test_the_complement_critic_scores_halves_that_it_completes():
    images, target = np.zeros([1, 8, 8, 1]), np.ones([1, 8, 8, 1], np.float32)
    left, right = complete(images, target)
    assert (left[:, :, :4] == 0).all()
    assert (left[:, :, 4:] == 1).all()
    np.testing.assert_array_equal(right, 1 - left)
    a, b = np.random.default_rng(0).random([2, 1, 8, 8, 1]).astype(np.float32)
    complement, alone = make_discriminator(4, complement=True), make_discriminator(4)
    params = complement.init(KEY, a, b)  # of pictures of one channel, not two
    scores = [alone.apply(params, x)[0] for x in complete(a, b)]
    assert complement.apply(params, a, b)[0] == pytest.approx(np.mean(scores), abs=1e-5)
    # What is real is a target, whole.
    same = complement.apply(params, b, b)[0]
    assert same == pytest.approx(float(alone.apply(params, b)[0]), abs=1e-5)


def test_agents_learn_from_spectral_complement_critics(tiny_config):
    config = dataclasses.replace(
        tiny_config, conditional=True, complement=True, critic_regulariser="spectral"
    )
    _, _, learner, actor = assembled(config)
    before = learner.state()["critic"].params
    for _ in range(2):
        metrics = learner.step(actor.next())
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert 0 <= metrics["critic/accuracy"] <= 1
    after = learner.state()["critic"].params
    # It sees pictures of one channel, completed, and not two side by side.
    (first, *_) = (p["w"] for name, p in sorted(after.items()) if "downsample" in name)
    assert first.shape == (16, config.critic_width)
    changed = jax.tree.map(lambda x, y: not np.array_equal(x, y), before, after)
    assert all(jax.tree.leaves(changed))


def test_the_critics_score_depends_on_the_target():
    critic = make_discriminator(4)
    image = np.zeros([1, 8, 8, 1], np.float32)
    params = critic.init(KEY, image, image)
    a, b = np.random.default_rng(0).random([2, 1, 8, 8, 1]).astype(np.float32)
    assert critic.apply(params, a, b) != critic.apply(params, a, a)


def test_an_untrained_painter_copies_colours_to_where_they_miss(rng):
    """Level by level, give or take one or two; pictures without colours do without."""
    language = painting_language(8, 2, use_pressure=False, use_color=True)
    policy = make_policy(language, (16, 16, 3), "painter", 1.0, conditional=True)
    params = policy.init(jax.random.key(0))
    state = policy.initial_state(jax.random.key(1), 300)
    levels = np.array([2, 10, 17])
    colour = np.float32(levels / 19)
    observation = {
        "canvas": np.ones([300, 16, 16, 3], np.float32),
        "target": np.broadcast_to(colour, [300, 16, 16, 3]),
        "action_mask": {name: np.ones(300, np.float32) for name in language.names},
    }
    output, _ = jax.jit(policy.step)(params, observation, state)
    chosen = np.stack([output.actions[name] for name in ("red", "green", "blue")])
    np.testing.assert_allclose(chosen.mean(axis=1), levels, atol=0.7)
    assert (chosen.std(axis=1) < 2.5).all()
    assert (chosen.std(axis=1) > 0.8).all()
    # Its strokes go where the canvas is wrong.
    observation["canvas"] = np.array(observation["target"])
    observation["canvas"][:, 8:, 8:] = 1.0
    output, _ = jax.jit(policy.step)(params, observation, state)
    for name in ("end", "control"):
        y, x = np.divmod(output.actions[name], 8)
        assert np.mean((y >= 4) & (x >= 4)) > 0.8  # 0.25 of all cells
    grey = painting_language(8, 2, use_pressure=False, use_color=False)
    make_policy(grey, (16, 16, 1), "painter", 1.0, conditional=True).init(
        jax.random.key(0)
    )


def test_an_untrained_painter_takes_the_mean_colour_along_its_stroke():
    language = painting_language(8, 2, use_pressure=False, use_color=True)
    policy = make_policy(language, (16, 16, 3), "painter", 1.0, conditional=True)
    params = policy.init(jax.random.key(0))
    # From left to right red goes up, and blue down.
    ramp = np.linspace(0.0, 1.0, 8, dtype=np.float32).repeat(2)
    target = np.stack([ramp, 0 * ramp, 1 - ramp], axis=-1) * np.ones([500, 16, 1, 1])
    observation = {
        "canvas": np.ones([500, 16, 16, 3], np.float32),
        "target": target.astype(np.float32),
        "action_mask": {name: np.ones(500, np.float32) for name in language.names},
    }
    state = policy.initial_state(jax.random.key(1), 500)
    output, _ = jax.jit(policy.step)(params, observation, state)
    # Pen, control and end are in these columns; a quadratic Bézier curve's mean.
    columns = [0, output.actions["control"] % 8, output.actions["end"] % 8]
    t = np.array(CURVE_POINTS)[:, None]
    curve = (1 - t) ** 2 * columns[0] + 2 * t * (1 - t) * columns[1] + t**2 * columns[2]
    red = np.round(curve).mean(axis=0) / 7 * 19
    chosen = {k: np.asarray(output.actions[k]) for k in ("red", "green", "blue")}
    assert red.std() > 2.0
    # What is beyond the first or the last level is not on offer.
    inside = (red > 3.0) & (red < 16.0)
    for found, expected in ((chosen["red"], red), (chosen["blue"], 19 - red)):
        miss = (found - expected)[inside]
        assert abs(miss.mean()) < 0.5
        assert miss.std() < 2.2
    assert chosen["green"].mean() < 3.0


def test_hints_for_locations():
    """Say where the canvas is wrong, what is near, and what has the same colour."""
    colours = np.zeros([2, 16, 16, 3], np.float32)
    colours[:, :, 8:] = 0.5
    errors = np.zeros([2, 16, 16, 1], np.float32)
    errors[0, 4, 6] = 0.8
    pen, end = np.array([0, 16 * 4 + 12]), np.array([16 * 4 + 12, 16 * 4 + 14])
    maps = np.asarray(location_hints(colours, errors, [pen, end]))
    assert maps.shape == (2, 2 + 3 * 3, 16, 16)
    maps = np.moveaxis(maps, 1, -1)
    np.testing.assert_array_equal(maps[..., 0], errors[..., 0])
    # Of the neighbourhood, 2 x 2 of 16 cells here.
    np.testing.assert_allclose(maps[0, 4:6, 6:8, 1], 0.2)
    assert maps[0, ..., 1].sum() == pytest.approx(0.8)
    for place, points in enumerate(
        ([(0, 0), (4, 12)], [(4, 12), (4, 14)], [(2, 6), (4, 13)])
    ):
        near, less_near, alike = np.moveaxis(maps[..., 2 + 3 * place :][..., :3], -1, 0)
        for n, (y, x) in enumerate(points):
            assert near[n, y, x] == less_near[n, y, x] == alike[n, y, x] == 1.0
            assert np.argmax(near[n]) == 16 * y + x
            assert near[n].sum() < less_near[n].sum()
            same = colours[n, ..., 0] == colours[n, y, x, 0]
            assert (alike[n][same] == 1.0).all()
            assert (alike[n][~same] < 0.01).all()
    assert location_hints(colours, errors, []).shape == (2, 2, 16, 16)
