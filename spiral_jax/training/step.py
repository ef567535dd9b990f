"""One training step, pure: replay, then critic updates, then a policy update.

Everything that is learnt is one tree, `TrainingState`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiral_jax import replay as replays
from spiral_jax.data import to_float
from spiral_jax.devices import REPLICATED, DeviceGroup
from spiral_jax.replay import Replay
from spiral_jax.rewards import ScoreFn
from spiral_jax.types import LearnerState, Trajectory

# XLA would multiply by 1/255 instead of dividing, which is not quite what was acted on.
_LEVELS = to_float(np.arange(256, dtype=np.uint8))


class Update(NamedTuple):
    """A learner as pure functions.

    Attributes:
      init: `(params) -> LearnerState`.
      apply: `(state, *batch) -> (state, metrics)`.
    """

    init: Callable[[Any], LearnerState]
    apply: Callable[..., tuple[LearnerState, dict[str, chex.Array]]]


class CriticBatch(NamedTuple):
    """What the critic learns from in one iteration of S critic steps.

    Attributes:
      real: `[S, B, H, W, C]` uint8, real pictures; None for a conditional agent: what is
        real is then the target itself.
      replayed: `[S, B]` float32, see `replay.draw`.
    """

    real: chex.Array | None
    replayed: chex.Array


CRITIC_BATCH_AXES = CriticBatch(1, 1)


class TrainingState(NamedTuple):
    """Everything that training changes.

    Attributes:
      policy, critic: the two learners' states.
      average: moving average of the policy's parameters: policy and critic chase each
        other in circles, and the average of the policies on the way draws better than
        most of them. It is what evaluation looks at.
      replay: rendered pictures; of a conditional agent, pairs of render and target, along
        the channels.
    """

    policy: LearnerState
    critic: LearnerState
    average: Any
    replay: Replay


STATE_AXES = TrainingState(REPLICATED, REPLICATED, REPLICATED, Replay(1, 0))


def _descend(optimiser, state: LearnerState, gradients, metrics, prefix: str):
    updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {**metrics, f"{prefix}/grad_norm": optax.tree.norm(gradients)}
    return LearnerState(params, opt_state, state.num_updates + 1), metrics


def _initialiser(optimiser) -> Callable[[Any], LearnerState]:
    return lambda params: LearnerState(
        params, optimiser.init(params), jnp.zeros([], jnp.int32)
    )


def make_policy_update(
    loss: Callable,
    rewards: Callable,
    score: ScoreFn,
    optimiser: optax.GradientTransformation,
    devices: DeviceGroup,
) -> Update:
    """Builds the policy learner; `apply` takes `(state, critic_params, trajectory)`.

    Args:
      loss: from `make_policy_loss`.
      rewards: from `make_rewards`.
      score: what pays: the critic of the moment, or a fixed distance to the targets.
      optimiser: of the policy's parameters.
      devices: the devices that hold the batch.
    """

    def apply(state: LearnerState, critic_params: Any, trajectory: Trajectory):
        reward, reward_metrics = rewards(
            trajectory, lambda images, targets: score(critic_params, images, targets)
        )
        found = jax.grad(loss, has_aux=True)(state.params, trajectory, reward)
        gradients, metrics = devices.mean((found[0], {**found[1], **reward_metrics}))
        return _descend(optimiser, state, gradients, metrics, "policy")

    return Update(_initialiser(optimiser), apply)


def make_critic_update(
    loss: Callable,
    optimiser: optax.GradientTransformation,
    seed: int,
    devices: DeviceGroup,
) -> Update:
    """Builds the critic's learner; `apply` takes `(state, real, fake, target=None)`.

    Args:
      loss: from `make_critic_loss`.
      optimiser: of the critic's parameters.
      seed: of the random interpolates; they depend on (seed, number of the update).
      devices: the devices that hold the batch.
    """

    def apply(
        state: LearnerState,
        real: chex.Array,
        fake: chex.Array,
        target: chex.Array | None = None,
    ):
        key = jax.random.fold_in(jax.random.key(seed), state.num_updates)
        gradients, metrics = devices.mean(
            jax.grad(loss, has_aux=True)(state.params, key, real, fake, target)
        )
        return _descend(optimiser, state, gradients, metrics, "critic")

    return Update(_initialiser(optimiser), apply)


def as_acted_on(trajectory: Trajectory) -> Trajectory:
    """Returns a trajectory with float32 canvases, exactly as the policy saw them."""
    canvases = trajectory.canvases
    if canvases.dtype != np.uint8:
        return trajectory
    return trajectory._replace(canvases=jnp.asarray(_LEVELS)[canvases])


def make_train_step(
    policy_update: Update, critic_update: Update, average_updates: int
) -> Callable:
    """Builds one iteration: replay, then critic updates, then a policy update.

    Args:
      policy_update, critic_update: the learners.
      average_updates: time constant of the average of the policies, in updates.

    Returns:
      `(state, trajectory, batch) -> (state, metrics)`, pure; as many critic updates as
      there are batch.
    """

    def train_step(state: TrainingState, trajectory: Trajectory, batch: CriticBatch):
        trajectory = as_acted_on(trajectory)
        pictures, targets = trajectory.canvases[-1], trajectory.targets
        if targets is not None:
            pictures = jnp.concatenate([pictures, targets], axis=-1)
        replay = replays.add(state.replay, pictures, trajectory.discounts[-1] == 0)
        critic, metrics = state.critic, {}
        for step in range(batch.replayed.shape[0]):
            fake, target = replays.take(replay, batch.replayed[step]), None
            if batch.real is None:
                fake, target = jnp.split(fake, 2, axis=-1)
                real = target
            else:
                real = batch.real[step].astype(jnp.float32) / 255.0
            critic, metrics = critic_update.apply(critic, real, fake, target)
        policy, policy_metrics = policy_update.apply(
            state.policy, critic.params, trajectory
        )
        # The plain mean at first, so that the initial parameters do not linger.
        weight = 1.0 / jnp.minimum(policy.num_updates, average_updates)
        average = optax.incremental_update(policy.params, state.average, weight)
        state = TrainingState(policy, critic, average, replay)
        return state, {**policy_metrics, **metrics}

    return train_step
