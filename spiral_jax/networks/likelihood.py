"""How likely a whole command is, and how open the choice of it was."""

import math
from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp

from spiral_jax.devices import ONE_DEVICE, DeviceGroup
from spiral_jax.language import CommandLanguage
from spiral_jax.types import PolicyOutput

EPSILON = 1e-6


def command_log_prob_and_entropy(
    language: CommandLanguage, output: PolicyOutput
) -> tuple[chex.Array, chex.Array]:
    """Sums over the components that the command uses.

    A component without an effect (the control point of a pen move) gets neither credit
    nor an entropy bonus. Whether it has one was sampled, so the entropy's gradient has
    two parts: that of the component's own distribution, and that of the choice that
    brought it into play, by the likelihood ratio `p / stop_gradient(p) = 1`. Without the
    second part a policy forgets that painting leaves more open than moving the pen does.

    Args:
      language: says which components a command uses.
      output: leading axes `[...]`.

    Returns:
      Joint log-probability `[...]` and entropy `[...]` in nats.
    """
    mask = language.mask(output.actions)
    log_prob = sum(output.log_probs[k] * mask[k] for k in language.names)
    entropy = jnp.zeros_like(log_prob)
    for component in language.components:
        part = output.entropies[component.name] * mask[component.name]
        if component.used_when is not None:
            choice = output.log_probs[component.used_when[0]]
            part *= jnp.exp(choice - jax.lax.stop_gradient(choice))
        entropy += part
    return log_prob, entropy


def shortfall_bonus(
    language: CommandLanguage,
    output: PolicyOutput,
    means: Mapping[str, chex.Array],
    floor: float,
) -> chex.Array:
    """Returns what to add to the reward for the entropy of narrow components, `[...]`.

    One cost for all components cannot fit: what keeps four brush sizes open drowns what a
    thousand places learn, and the sizes freeze within 60 updates, for good. So a
    component whose mean entropy H falls below `floor * log(num_values)` is paid its
    entropy in nats, times the share of that floor that H lacks.

    Args:
      language: says which components a command uses.
      output: leading axes `[...]`.
      means: what `component_entropies` returns.
      floor: in 0..1.
    """
    mask = language.mask(output.actions)
    bonus = jnp.zeros_like(mask[language.names[0]])
    for component in language.components:
        name, least = component.name, floor * math.log(component.num_values)
        lacking = jax.nn.relu(1.0 - means[f"policy/entropy_{name}"] / least)
        bonus += jax.lax.stop_gradient(lacking) * output.entropies[name] * mask[name]
    return bonus


def component_entropies(
    language: CommandLanguage, output: PolicyOutput, devices: DeviceGroup = ONE_DEVICE
) -> Mapping[str, chex.Array]:
    """Returns the mean entropy in nats of each component, over commands that use it.

    0 for a component that none of them uses. Arguments as those of
    `command_log_prob_and_entropy`; `devices`: the devices that hold the batch.
    """
    mean = lambda x: devices.mean(jnp.mean(x))
    mask = language.mask(output.actions)
    return {
        f"policy/entropy_{name}": mean(output.entropies[name] * mask[name])
        / jnp.maximum(mean(mask[name]), EPSILON)
        for name in language.names
    }
