"""Losses of the two learners: builders that return loss functions.

The policy learns by V-trace actor-critic (IMPALA, Espeholt et al. 2018) or by A2C with
Monte-Carlo returns (paper, equation 2); the critic by WGAN-GP (paper, equation 3) or, if
spectral normalisation keeps it smooth, by the standard GAN loss (SPIRAL++).
"""

from collections.abc import Callable, Mapping

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.advantages import EPSILON, make_advantages
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


def _per_episode(x: chex.Array) -> chex.Array:
    return jnp.mean(jnp.sum(x, axis=0))


def _value_loss(
    values: chex.Array, errors: chex.Array, devices: DeviceGroup
) -> tuple[chex.Array, chex.Array]:
    """Returns half the squared errors, and the share of variance that values explain."""
    targets = jax.lax.stop_gradient(errors + values)
    mean = lambda x: devices.mean(jnp.mean(x))
    squares = (targets - values) ** 2
    variance = mean((targets - mean(targets)) ** 2)
    return 0.5 * _per_episode(squares), 1.0 - mean(squares) / (variance + EPSILON)


def hindsight_loss(
    policy: Policy,
    language: CommandLanguage,
    params: hk.Params,
    trajectory: Trajectory,
    devices: DeviceGroup = ONE_DEVICE,
) -> chex.Array:
    """Returns `-sum_t log pi(a_t)` had the agent been shown what it drew, a scalar.

    Whatever a program draws, it is the right program for that (Andrychowicz et al. 2017).
    So each episode is an example of how to redraw a picture, for supervised learning.

    Args:
      policy: its `unroll` scores the trajectory.
      language: masks the components a command does not use.
      params: the policy's.
      trajectory: of whole episodes of a conditional agent.
      devices: the devices that hold the batch.
    """
    shown = trajectory._replace(targets=trajectory.canvases[-1])
    output, _, _ = policy.unroll(params, shown, False, devices)
    log_prob, _ = command_log_prob_and_entropy(language, output)
    return -_per_episode(log_prob)


def make_policy_loss(
    policy: Policy,
    language: CommandLanguage,
    *,
    algorithm: str,
    discount: float,
    entropy_cost: float,
    value_cost: float,
    entropy_floor: float = 0.0,
    hindsight_cost: float = 0.0,
    normalise_advantages: bool,
    advantage_scale: str = "batch",
    bootstrap: bool = False,
    devices: DeviceGroup = ONE_DEVICE,
) -> Callable[..., tuple[chex.Array, Metrics]]:
    """Builds `loss(params, trajectory, rewards) -> (scalar, metrics)`.

    `-sum_t log pi(a_t) A_t - entropy_cost H + value_cost / 2 (V - target)^2`, summed over
    time and averaged over the batch (spec, section 1).

    Args:
      policy: its `unroll` scores the trajectory.
      language: masks the components a command does not use.
      algorithm, normalise_advantages, advantage_scale: see `make_advantages`.
      discount: gamma.
      entropy_cost, value_cost: weights of the two other terms.
      entropy_floor: see `shortfall_bonus`; 0 for none.
      hindsight_cost: weight of `hindsight_loss`; 0 for none.
      bootstrap: whether trajectories may end before their episodes do, so that the value
        of the last canvas is needed.
      devices: the devices that hold the batch; losses, metrics and gradients are to be
        averaged over them, statistics of the batch are already.
    """

    advantages_of = make_advantages(
        algorithm, normalise_advantages, advantage_scale, devices
    )

    def loss(params, trajectory: Trajectory, rewards: chex.Array):
        output, following, signals = policy.unroll(params, trajectory, bootstrap, devices)
        log_prob, entropy = command_log_prob_and_entropy(language, output)
        log_rho = log_prob - trajectory.behaviour_log_prob
        errors, advantages, scale = advantages_of(
            output.value,
            rewards,
            discount * trajectory.discounts,
            jnp.exp(log_rho),
            following,
        )
        policy_gradient = -_per_episode(log_prob * advantages)
        value, explained = _value_loss(output.value, errors, devices)
        entropy = _per_episode(entropy)
        entropies = component_entropies(language, output, devices)
        total = policy_gradient - entropy_cost * entropy + value_cost * value
        if entropy_floor:
            bonus = shortfall_bonus(language, output, entropies, entropy_floor)
            total -= _per_episode(bonus)
        if hindsight_cost:
            total += hindsight_cost * hindsight_loss(
                policy, language, params, trajectory, devices
            )
        return total, {
            "policy/loss": total,
            "policy/policy_gradient_loss": policy_gradient,
            "policy/value_loss": value,
            "policy/entropy": entropy / rewards.shape[0],
            "policy/advantage_std": scale,
            "policy/explained_variance": explained,
            "policy/return": _per_episode(rewards),
            "policy/off_policy_kl": -jnp.mean(log_rho),
            **{f"policy/{name}": signal for name, signal in signals.items()},
            **entropies,
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


def _scores(discriminator: Discriminator, params, real, fake, target) -> chex.Array:
    """Returns the scores `[2, N]` of real and of fake pictures."""
    chex.assert_rank([real, fake], 4)
    chex.assert_equal_shape([real, fake])
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), target)
    scores = discriminator.apply(params, jnp.concatenate([real, fake]), twice)
    return scores.reshape(2, -1)


def _standard_gan(scores: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Returns loss and accuracy of logits `[2, N]`, of real and of fake ones."""
    signs = jnp.array([[-1.0], [1.0]])
    loss = jnp.sum(jnp.mean(jax.nn.softplus(signs * scores), axis=1))
    return loss, jnp.mean(signs * scores < 0)


def _squared_mean(x: chex.Array, devices: DeviceGroup) -> chex.Array:
    """Returns the square of a scalar's mean over all devices.

    Its gradient, 2 mean dx, has to be written out because gradients are averaged over
    devices only afterwards.
    """
    mean = jax.lax.stop_gradient(devices.mean(x))
    return 2.0 * mean * x - mean**2


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
        scores = _scores(discriminator, params, real, fake, target)
        real_score, fake_score = jnp.mean(scores, axis=1)
        gap = real_score - fake_score
        offset = 0.5 * (real_score + fake_score)
        metrics = {"critic/gap": gap, "critic/offset": offset}
        if regulariser == "spectral":
            total, right = _standard_gan(scores)
            return total, {**metrics, "critic/loss": total, "critic/accuracy": right}
        shape = (devices.whole(real.shape[0]), 1, 1, 1)
        mix = devices.split(jax.random.uniform(key, shape))
        penalty, norm = gradient_penalty(
            lambda x: discriminator.apply(params, x, target),
            mix * real + (1 - mix) * fake,
        )
        pin = _squared_mean(offset, devices)
        total = -gap + gradient_penalty_cost * penalty + offset_cost * pin
        return total, {
            **metrics,
            "critic/loss": total,
            "critic/gradient_penalty": penalty,
            "critic/gradient_norm": norm,
        }

    return loss
