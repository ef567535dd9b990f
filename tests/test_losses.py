import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax.advantages import (
    make_advantages,
    monte_carlo,
    standardise_rewards,
    vtrace,
)
from spiral_jax.losses import gradient_penalty, make_critic_loss
from spiral_jax.networks import Discriminator
from spiral_jax.rewards import make_rewards, stroke_starts
from spiral_jax.types import AgentState, Trajectory

# Rewards, discounts and values of rlax's own V-trace test, time first; the last discount
# is 0, since our episodes end (its bootstrap value is added to the last reward below).
RHO = np.array([[0.003, 0.9, 1.2, 8.0], [1.5, 0.2, 3.0, 0.7]], np.float32).T
REWARDS = np.array([[-1.3, -1.3, 2.3, 42.0], [1.3, 5.3, -3.3, -5.0]], np.float32).T
DISCOUNTS = np.array([[0.0, 0.89, 0.85, 0.0], [0.88, 1.0, 0.83, 0.0]], np.float32).T
VALUES = np.array([[2.1, 1.1, -3.1, 0.0], [3.1, 0.1, -1.1, 7.4]], np.float32).T


def test_vtrace_equals_its_definition():
    """IMPALA, equation 1, by the sum over s and t."""
    errors, advantages = vtrace(VALUES, REWARDS, DISCOUNTS, RHO)
    clipped = np.minimum(RHO, 1.0)
    following = np.concatenate([VALUES[1:], np.zeros([1, 2])])
    delta = clipped * (REWARDS + DISCOUNTS * following - VALUES)
    for b in range(2):
        targets = []
        for s in range(4):
            total = VALUES[s, b]
            for t in range(s, 4):
                weight = np.prod(DISCOUNTS[s:t, b] * clipped[s:t, b])
                total += weight * delta[t, b]
            targets.append(total)
        np.testing.assert_allclose(errors[:, b] + VALUES[:, b], targets, rtol=1e-5)
        after = np.array([*targets[1:], 0.0])
        q = REWARDS[:, b] + DISCOUNTS[:, b] * after
        np.testing.assert_allclose(
            advantages[:, b], q - VALUES[:, b], rtol=1e-4, atol=1e-5
        )


def test_vtrace_gives_rlax_golden_numbers():
    """Expected values as printed in rlax's vtrace_test.py."""
    behaviour = np.array(
        [
            [[8.9, 0.7], [5.0, 1.0], [0.6, 0.1], [-0.9, -0.1]],
            [[0.3, -5.0], [1.0, -8.0], [0.3, 1.7], [4.7, 3.3]],
        ]
    )
    target = np.array(
        [
            [[0.4, 0.5], [9.2, 8.8], [0.7, 4.4], [7.9, 1.4]],
            [[1.0, 0.9], [1.0, -1.0], [-4.3, 8.7], [0.8, 0.3]],
        ]
    )
    actions = np.array([[0, 1, 0, 0], [1, 0, 0, 1]])[..., None]
    log = lambda x: np.take_along_axis(np.asarray(jax.nn.log_softmax(x)), actions, -1)[
        ..., 0
    ]
    rho = np.exp(log(target) - log(behaviour)).T.astype(np.float32)
    discounts, rewards = DISCOUNTS.copy(), REWARDS.copy()
    bootstrap = np.array([8.4, -1.2]) * np.array([0.99, 0.95])
    rewards[-1] += bootstrap.astype(np.float32)
    errors, advantages = vtrace(VALUES, rewards, discounts, rho)
    expected = np.array(
        [
            [-1.6155143, -3.4973226, 1.8670533, 5.0316002e1],
            [1.4662437, 3.6116405, -8.3327293e-5, -1.3540000e1],
        ]
    ).T
    np.testing.assert_allclose(errors, expected, rtol=1e-3)
    np.testing.assert_allclose(np.minimum(rho, 1) * advantages, expected, rtol=1e-3)


def test_vtrace_on_policy_is_a2c():
    on_policy = vtrace(VALUES, REWARDS, DISCOUNTS, np.ones_like(RHO))
    a2c = monte_carlo(VALUES, REWARDS, DISCOUNTS)
    for ours, theirs in zip(on_policy, a2c):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_standardised_rewards_are_free_of_the_critics_constants(rng, discount):
    rewards = rng.normal(size=[5, 8]).astype(np.float32)
    drifted = 7.0 * rewards + rng.normal(size=[5, 1]).astype(np.float32)
    discounts = np.full([5, 8], discount, np.float32)
    found = standardise_rewards(jnp.asarray(rewards), discounts)
    np.testing.assert_allclose(
        standardise_rewards(jnp.asarray(drifted), discounts), found, rtol=1e-3, atol=1e-4
    )
    returns = np.zeros([6, 8])
    for t in reversed(range(5)):
        returns[t] = found[t] + discount * returns[t + 1]
    np.testing.assert_allclose(returns[:5].mean(axis=1), 0.0, atol=1e-5)
    assert returns[:5].std() == pytest.approx(1.0, rel=1e-3)


def linear_critic() -> Discriminator:
    return Discriminator(
        init=None, apply=lambda w, x, target=None: jnp.einsum("nhwc,hwc->n", x, w)
    )


def test_gradient_penalty_of_a_linear_critic_is_exact(rng):
    w = rng.normal(size=[4, 4, 1]).astype(np.float32)
    images = rng.random([5, 4, 4, 1]).astype(np.float32)
    penalty, norm = gradient_penalty(lambda x: linear_critic().apply(w, x), images)
    assert norm == pytest.approx(np.linalg.norm(w), rel=1e-5)
    assert penalty == pytest.approx((np.linalg.norm(w) - 1) ** 2, rel=1e-5)


def test_critic_loss_by_hand(rng):
    w = rng.normal(size=[4, 4, 1]).astype(np.float32)
    real, fake = rng.random([2, 5, 4, 4, 1]).astype(np.float32)
    loss = make_critic_loss(
        linear_critic(), regulariser="gp", gradient_penalty_cost=10, offset_cost=0.1
    )
    total, metrics = loss(w, jax.random.key(0), real, fake)
    r = np.einsum("nhwc,hwc->n", real, w).mean()
    f = np.einsum("nhwc,hwc->n", fake, w).mean()
    expected = f - r + 10 * (np.linalg.norm(w) - 1) ** 2 + 0.1 * ((r + f) / 2) ** 2
    assert total == pytest.approx(expected, rel=1e-4)
    assert metrics["critic/gap"] == pytest.approx(r - f, rel=1e-3)


def test_standard_gan_loss_by_hand():
    """A critic of one px: logits 2 and -1 for real pictures, 1 and 0.5 for others."""
    loss = make_critic_loss(
        linear_critic(), regulariser="spectral", gradient_penalty_cost=9, offset_cost=9
    )
    w, real, fake = np.ones([1, 1, 1]), np.array([2.0, -1.0]), np.array([1.0, 0.5])
    image = lambda x: x.reshape(2, 1, 1, 1).astype(np.float32)
    total, metrics = loss(w, jax.random.key(0), image(real), image(fake))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    expected = -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
    assert total == pytest.approx(expected, rel=1e-5)
    assert metrics["critic/gap"] == pytest.approx(0.5 - 0.75)
    assert metrics["critic/accuracy"] == 0.25
    with pytest.raises(ValueError, match="regulariser='l1'"):
        make_critic_loss(
            linear_critic(), regulariser="l1", gradient_penalty_cost=0, offset_cost=0
        )


def trajectory_of(canvases, flags) -> Trajectory:
    zeros = np.zeros(flags.shape, np.float32)
    before = AgentState(None, None, {"flag": np.zeros(flags.shape[1], int)}, None)
    return Trajectory(canvases, {}, {"flag": flags}, zeros, zeros, zeros, before)


def test_rewards_by_hand():
    canvases = np.ones([4, 2, 4, 4, 1], np.float32)
    for t in range(1, 4):
        canvases[t, 0] = 1 - 0.1 * t**2
    flags = np.array([[1, 0], [1, 0], [0, 0]])
    trajectory = trajectory_of(canvases, flags)
    score = lambda images, targets: -10 * jnp.mean(images, axis=(1, 2, 3))
    make = lambda form, **costs: make_rewards(
        form, **{"stroke_start_cost": 0.0, "blank_cost": 0.0, "blank": 1.0, **costs}
    )(trajectory, score)
    final, metrics = make("final")
    np.testing.assert_allclose(final, [[0, 0], [0, 0], [-1, -10]], atol=1e-5)
    assert metrics["policy/blank_share"] == 0.5
    delta, _ = make("delta")
    np.testing.assert_allclose(delta, [[1, 0], [3, 0], [5, 0]], atol=1e-5)
    costly, _ = make("delta", stroke_start_cost=2.0, blank_cost=7.0)
    np.testing.assert_allclose(costly, [[-1, 0], [3, 0], [5, -7]], atol=1e-5)
    with pytest.raises(ValueError, match="reward='gamma'"):
        make("gamma")


def test_stroke_starts():
    flags = np.array([[1, 1, 0, 1, 0, 0, 1]]).T
    starts = lambda before: stroke_starts(flags, np.array([before]))[:, 0].tolist()
    assert starts(0) == [1, 0, 0, 1, 0, 0, 1]
    assert starts(1) == [0, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("targets_of", ["vtrace", "a2c"])
def test_an_unroll_that_goes_on_is_worth_what_follows(targets_of):
    """Two commands of a longer episode: by hand, on-policy, gamma 0.5."""
    column = lambda *x: np.array(x, np.float32)[:, None]
    values, rewards, following = column(1, 2), column(3, 5), np.array([8.0], np.float32)
    discounts = column(0.5, 0.5)
    if targets_of == "vtrace":
        found = vtrace(values, rewards, discounts, np.ones([2, 1]), following)
    else:
        found = monte_carlo(values, rewards, discounts, following)
    last = 5 + 0.5 * 8
    for errors in found:
        np.testing.assert_allclose(errors[:, 0], [3 + 0.5 * last - 1, last - 2])


def test_only_the_end_of_an_episode_is_paid_as_an_end():
    canvases = np.ones([2, 2, 4, 4, 1], np.float32)
    trajectory = trajectory_of(canvases, np.array([[1, 0]]))
    trajectory = trajectory._replace(
        discounts=np.ones([1, 2], np.float32),
        start=AgentState(None, None, {"flag": np.array([1, 0])}, None),
    )
    score = lambda images, targets: 10 * jnp.mean(images, axis=(1, 2, 3))
    rewards = make_rewards("final", stroke_start_cost=2.0, blank_cost=7.0, blank=1.0)
    going_on, metrics = rewards(trajectory, score)
    # The pen is down already.
    np.testing.assert_array_equal(going_on, [[0, 0]])
    assert metrics["policy/blank_share"] == 1
    over = trajectory._replace(discounts=np.zeros([1, 2], np.float32))
    np.testing.assert_allclose(rewards(over, score)[0], [[3, 3]], atol=1e-5)


@pytest.mark.parametrize("scale", ["batch", "step"])
def test_what_advantages_are_divided_by(scale, rng):
    """Late rewards are a tenth of the first; as they are, or each step's made equal."""
    rewards = rng.normal(size=[3, 500]) * np.array([[1.0], [0.1], [0.1]])
    zeros, ones = np.zeros([3, 500], np.float32), np.ones([3, 500], np.float32)
    advantages_of = make_advantages("a2c", normalise=True, scale=scale)
    _, found, _ = advantages_of(zeros, rewards.astype(np.float32), zeros, ones, 0.0)
    expected = np.ones(3)
    if scale == "batch":
        expected = rewards.std(axis=1) / np.sqrt(np.mean(rewards.std(axis=1) ** 2))
    np.testing.assert_allclose(np.std(found, axis=1), expected, rtol=1e-3)
    np.testing.assert_allclose(np.mean(found, axis=1), 0.0, atol=1e-5)
