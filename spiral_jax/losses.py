"""Losses of the two learners: builders that return loss functions.

The policy learns by V-trace actor-critic (IMPALA, Espeholt et al. 2018) or by A2C with
Monte-Carlo returns (paper, equation 2); the critic by WGAN-GP (paper, equation 3) or, if
spectral normalisation keeps it smooth, by the standard GAN loss (SPIRAL++).
"""

from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import rlax

from spiral_jax.devices import ONE_DEVICE, DeviceGroup
from spiral_jax.language import CommandLanguage
from spiral_jax.names import REGULARISERS
from spiral_jax.networks import Discriminator, Policy
from spiral_jax.networks.likelihood import (
    command_log_prob_and_entropy,
    component_entropies,
    shortfall_bonus,
)
from spiral_jax.types import Trajectory

Metrics = Mapping[str, chex.Array]
EPSILON = 1e-6


def vtrace(
    values: chex.Array,
    rewards: chex.Array,
    discounts: chex.Array,
    rhos: chex.Array,
    bootstrap: chex.Numeric = 0.0,
) -> tuple[chex.Array, chex.Array]:
    """V-trace value errors and advantages of unrolls.

    Args:
      values, rewards, discounts, rhos: `[T, B]` float32; `rhos` are importance ratios of
        the joint action, clipped at 1 in here. The last discount is 0 where the episode
        ends.
      bootstrap: `[B]`, the value of what follows; of no effect where nothing does.

    Returns:
      `(vs - values, advantages)`, `[T, B]` each; no gradients flow through either. The
      policy gradient takes the advantages times the clipped ratios.
    """
    chex.assert_rank([values, rewards, discounts, rhos], 2)
    chex.assert_equal_shape([values, rewards, discounts, rhos])
    values = jax.lax.stop_gradient(values)
    next_values = _next(values, bootstrap)
    batched = jax.vmap(rlax.vtrace, in_axes=1, out_axes=1)
    errors = batched(values, next_values, rewards, discounts, jax.lax.stop_gradient(rhos))
    next_targets = jnp.concatenate([(values + errors)[1:], next_values[-1:]])
    return errors, rewards + discounts * next_targets - values


def _next(values: chex.Array, bootstrap: chex.Numeric) -> chex.Array:
    last = jnp.broadcast_to(jax.lax.stop_gradient(bootstrap), values[:1].shape)
    return jnp.concatenate([values[1:], last])


def monte_carlo(
    values: chex.Array,
    rewards: chex.Array,
    discounts: chex.Array,
    bootstrap: chex.Numeric = 0.0,
) -> tuple[chex.Array, chex.Array]:
    """A2C's value errors and advantages: return to go minus value, `[T, B]` each.

    Arguments as those of `vtrace`; what follows an unroll is worth its value.
    """
    chex.assert_rank([values, rewards, discounts], 2)
    chex.assert_equal_shape([values, rewards, discounts])
    returns = jax.vmap(rlax.discounted_returns, in_axes=1, out_axes=1)(
        rewards, discounts, _next(values, bootstrap)
    )
    errors = jax.lax.stop_gradient(returns - values)
    return errors, errors


def _centre_and_std(x: chex.Array, devices: DeviceGroup) -> tuple[chex.Array, chex.Array]:
    """Subtracts each time step's mean over the batch; and the std of what is left."""
    x -= devices.mean(jnp.mean(x, axis=1, keepdims=True))
    return x, jnp.sqrt(devices.mean(jnp.mean(x**2)))


def standardise_rewards(
    rewards: chex.Array, discounts: chex.Array, devices: DeviceGroup = ONE_DEVICE
) -> chex.Array:
    """Centres rewards over the batch and scales returns to unit variance.

    All episodes are in step, so each time step's mean over the batch is a baseline. It
    takes out what a critic is free to change at any moment, its constant and its score of
    unfinished pictures, before the value network has to follow; and a critic's scores
    have no natural scale.

    Args:
      rewards, discounts: `[T, B]` float32.
      devices: the devices that hold the batch.
    """
    rewards, _ = _centre_and_std(rewards, devices)
    returns, _ = monte_carlo(jnp.zeros_like(rewards), rewards, discounts)
    _, std = _centre_and_std(returns, devices)
    return rewards / (std + EPSILON)


def make_policy_loss(
    policy: Policy,
    language: CommandLanguage,
    *,
    algorithm: str,
    discount: float,
    entropy_cost: float,
    value_cost: float,
    entropy_floor: float = 0.0,
    normalise_advantages: bool,
    bootstrap: bool = False,
    devices: DeviceGroup = ONE_DEVICE,
) -> Callable[..., tuple[chex.Array, Metrics]]:
    """Builds `loss(params, trajectory, rewards) -> (scalar, metrics)`.

    `-sum_t log pi(a_t) A_t - entropy_cost H + value_cost / 2 (V - target)^2`, summed over
    time and averaged over the batch (spec, section 1).

    Args:
      policy: its `unroll` scores the trajectory.
      language: masks the components a command does not use.
      algorithm: "vtrace" or "a2c".
      discount: gamma.
      entropy_cost, value_cost: weights of the two other terms.
      entropy_floor: see `shortfall_bonus`; 0 for none.
      normalise_advantages: standardise the rewards; then, over the batch, subtract each
        time step's mean advantage and divide by their standard deviation.
      bootstrap: whether trajectories may end before their episodes do, so that the value
        of the last canvas is needed.
      devices: the devices that hold the batch; losses, metrics and gradients are to be
        averaged over them, statistics of the batch are already.
    """

    def loss(params, trajectory: Trajectory, rewards: chex.Array):
        output, following, signals = policy.unroll(params, trajectory, bootstrap, devices)
        log_prob, entropy = command_log_prob_and_entropy(language, output)
        discounts = discount * trajectory.discounts
        log_rho = log_prob - trajectory.behaviour_log_prob
        total_reward = jnp.mean(jnp.sum(rewards, axis=0))
        if normalise_advantages:
            rewards = standardise_rewards(rewards, discounts, devices)
        rhos = jnp.exp(log_rho)
        if algorithm == "vtrace":
            errors, advantages = vtrace(output.value, rewards, discounts, rhos, following)
        else:
            errors, advantages = monte_carlo(output.value, rewards, discounts, following)
        centred, scale = _centre_and_std(advantages, devices)
        if normalise_advantages:
            advantages = centred / (scale + EPSILON)
        if algorithm == "vtrace":
            # Behind the centring: a mean that is subtracted from the product would pull
            # the policy towards, or away from, the one that acted.
            advantages *= jax.lax.stop_gradient(jnp.minimum(rhos, 1.0))
        per_episode = lambda x: jnp.mean(jnp.sum(x, axis=0))
        targets = jax.lax.stop_gradient(errors + output.value)
        policy_gradient = -per_episode(log_prob * advantages)
        value = 0.5 * per_episode((targets - output.value) ** 2)
        entropy = per_episode(entropy)
        total = policy_gradient - entropy_cost * entropy + value_cost * value
        if entropy_floor:
            bonus = shortfall_bonus(language, output, entropy_floor, devices)
            total -= per_episode(bonus)
        mean = lambda x: devices.mean(jnp.mean(x))
        unexplained = mean((targets - output.value) ** 2)
        variance = mean((targets - mean(targets)) ** 2)
        explained = 1.0 - unexplained / (variance + EPSILON)
        return total, {
            "policy/loss": total,
            "policy/policy_gradient_loss": policy_gradient,
            "policy/value_loss": value,
            "policy/entropy": entropy / rewards.shape[0],
            "policy/advantage_std": scale,
            "policy/explained_variance": explained,
            "policy/return": total_reward,
            "policy/off_policy_kl": -jnp.mean(log_rho),
            **{f"policy/{name}": signal for name, signal in signals.items()},
            **component_entropies(language, output, devices),
        }

    return loss


def gradient_penalty(
    apply: Callable[[chex.Array], chex.Array], images: chex.Array
) -> tuple[chex.Array, chex.Array]:
    """`E (|grad D| - 1)^2` (Gulrajani et al. 2017), and the mean gradient norm.

    Args:
      apply: maps `[N, H, W, C]` to `[N]` scores, each from its own image alone.
      images: interpolates between real and fake ones.
    """
    gradients = jax.grad(lambda x: jnp.sum(apply(x)))(images)
    squares = jnp.sum(gradients**2, axis=(1, 2, 3))
    norms = jnp.sqrt(squares + EPSILON**2)  # the root has no gradient at 0
    return jnp.mean((norms - 1.0) ** 2), jnp.mean(norms)


def make_critic_loss(
    discriminator: Discriminator,
    *,
    regulariser: str,
    gradient_penalty_cost: float,
    offset_cost: float,
    devices: DeviceGroup = ONE_DEVICE,
) -> Callable[..., tuple[chex.Array, Metrics]]:
    """Builds `loss(params, key, real, fake, target=None) -> (scalar, metrics)`.

    With "gp", `-E D(real) + E D(fake) + gradient_penalty_cost GP + offset_cost offset^2`;
    the last term pins the critic's free constant: offset is the mean of the two
    expectations. With "spectral", D is the logit of being real, and the loss that of
    Goodfellow et al. 2014, `E softplus(-D(real)) + E softplus(D(fake))`.
    With targets the critic judges the pairs (target, real) and (target, fake).

    Args:
      discriminator: the critic; for "spectral", made with it.
      regulariser: "gp" or "spectral".
      gradient_penalty_cost: lambda, of "gp".
      offset_cost: weight of the pin, of "gp".
      devices: the devices that hold the batch; see `make_policy_loss`.

    Raises:
      ValueError: unknown regulariser.
    """
    if regulariser not in REGULARISERS:
        raise ValueError(f"regulariser={regulariser!r}: expected one of {REGULARISERS}.")

    def loss(
        params,
        key: chex.PRNGKey,
        real: chex.Array,
        fake: chex.Array,
        target: chex.Array | None = None,
    ):
        chex.assert_rank([real, fake], 4)
        chex.assert_equal_shape([real, fake])
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), target)
        scores = discriminator.apply(params, jnp.concatenate([real, fake]), twice)
        scores = scores.reshape(2, -1)
        real_score, fake_score = jnp.mean(scores, axis=1)
        gap = real_score - fake_score
        offset = 0.5 * (real_score + fake_score)
        metrics = {"critic/gap": gap, "critic/offset": offset}
        if regulariser == "spectral":
            signs = jnp.array([[-1.0], [1.0]])
            total = jnp.sum(jnp.mean(jax.nn.softplus(signs * scores), axis=1))
            right = jnp.mean(signs * scores < 0)
            return total, {**metrics, "critic/loss": total, "critic/accuracy": right}
        shape = (devices.whole(real.shape[0]), 1, 1, 1)
        mix = devices.split(jax.random.uniform(key, shape))
        penalty, norm = gradient_penalty(
            lambda x: discriminator.apply(params, x, target),
            mix * real + (1 - mix) * fake,
        )
        # The square of the mean over all devices; its gradient, 2 mean d(offset), has to
        # be written out because gradients are averaged over devices only afterwards.
        mean = jax.lax.stop_gradient(devices.mean(offset))
        pin = 2.0 * mean * offset - mean**2
        total = -gap + gradient_penalty_cost * penalty + offset_cost * pin
        return total, {
            **metrics,
            "critic/loss": total,
            "critic/gradient_penalty": penalty,
            "critic/gradient_norm": norm,
        }

    return loss
