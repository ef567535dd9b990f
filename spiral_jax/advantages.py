"""Advantages of commands: V-trace (Espeholt et al. 2018) or Monte-Carlo returns (A2C)."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import rlax

from spiral_jax.devices import ONE_DEVICE, DeviceGroup

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
    """Subtracts each time step's mean over the batch; and the std of each, `[T, 1]`."""
    x -= devices.mean(jnp.mean(x, axis=1, keepdims=True))
    return x, jnp.sqrt(devices.mean(jnp.mean(x**2, axis=1, keepdims=True)))


def _over_time(stds: chex.Array) -> chex.Array:
    """Returns the standard deviation of all time steps together, a scalar."""
    return jnp.sqrt(jnp.mean(stds**2))


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
    _, stds = _centre_and_std(returns, devices)
    return rewards / (_over_time(stds) + EPSILON)


def make_advantages(
    algorithm: str,
    normalise: bool,
    scale: str = "batch",
    devices: DeviceGroup = ONE_DEVICE,
) -> Callable[..., tuple[chex.Array, chex.Array, chex.Array]]:
    """Builds `advantages(values, rewards, discounts, rhos, bootstrap)`.

    Its arguments are those of `vtrace`. It returns the value errors `[T, B]`, the
    advantages `[T, B]` that `log pi` is weighted by, and their scale before normalising.

    Args:
      algorithm: "vtrace" or "a2c".
      normalise: standardise the rewards; then, over the batch, subtract each time step's
        mean advantage and divide by their standard deviation.
      scale: "batch", that of all time steps together, or "step", each one's own. Late
        strokes bring a tenth of what the first ones do, and with the same scale for all
        the first ones decide what late ones learn, brush sizes above all.
      devices: the devices that hold the batch.
    """

    def advantages(values, rewards, discounts, rhos, bootstrap):
        if normalise:
            rewards = standardise_rewards(rewards, discounts, devices)
        if algorithm == "vtrace":
            errors, found = vtrace(values, rewards, discounts, rhos, bootstrap)
        else:
            errors, found = monte_carlo(values, rewards, discounts, bootstrap)
        centred, stds = _centre_and_std(found, devices)
        overall = _over_time(stds)
        if normalise:
            found = centred / ((stds if scale == "step" else overall) + EPSILON)
        if algorithm == "vtrace":
            # Behind the centring: a mean that is subtracted from the product would pull
            # the policy towards, or away from, the one that acted.
            found *= jax.lax.stop_gradient(jnp.minimum(rhos, 1.0))
        return errors, found, overall

    return advantages
