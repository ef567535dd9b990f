"""The two learners: the critic learns pictures, the policy learns from the critic.

Both updates are pure functions `state -> state`, compiled once. `Learner` holds the two
states and the replay, and runs the updates on a fixed schedule in the calling thread.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiral_jax.data import ImageData
from spiral_jax.queues import Item, ParameterStore
from spiral_jax.replay import Replay
from spiral_jax.types import LearnerState, Trajectory

# Adam's moment decays for the critic (SPIRAL, section 4; SPIRAL++, appendix A).
CRITIC_BETAS = {"b1": 0.5, "b2": 0.999}


class Update(NamedTuple):
    """A learner as pure functions.

    Attributes:
      init: `(params) -> LearnerState`.
      apply: `(state, *batch) -> (state, metrics)`.
    """

    init: Callable[[Any], LearnerState]
    apply: Callable[..., tuple[LearnerState, dict[str, chex.Array]]]


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
    loss: Callable, rewards: Callable, score: Callable, learning_rate: float
) -> Update:
    """Builds the policy learner; `apply` takes `(state, critic_params, trajectory)`.

    Args:
      loss: from `make_policy_loss`.
      rewards: from `make_rewards`.
      score: `(critic_params, images, targets) -> [N]`, what pays: the critic of the
        moment, or a fixed distance to the targets.
      learning_rate: of Adam.
    """
    optimiser = optax.adam(learning_rate)

    def apply(state: LearnerState, critic_params: Any, trajectory: Trajectory):
        reward, reward_metrics = rewards(
            trajectory, lambda images, targets: score(critic_params, images, targets)
        )
        gradients, metrics = jax.grad(loss, has_aux=True)(
            state.params, trajectory, reward
        )
        metrics = {**metrics, **reward_metrics}
        return _descend(optimiser, state, gradients, metrics, "policy")

    return Update(_initialiser(optimiser), jax.jit(apply))


def make_critic_update(loss: Callable, learning_rate: float, seed: int) -> Update:
    """Builds the critic's learner; `apply` takes `(state, real, fake, target=None)`.

    Args:
      loss: from `make_critic_loss`.
      learning_rate: of Adam.
      seed: of the random interpolates; they depend on (seed, number of the update).
    """
    optimiser = optax.adam(learning_rate, **CRITIC_BETAS)

    def apply(
        state: LearnerState,
        real: chex.Array,
        fake: chex.Array,
        target: chex.Array | None = None,
    ):
        key = jax.random.fold_in(jax.random.key(seed), state.num_updates)
        gradients, metrics = jax.grad(loss, has_aux=True)(
            state.params, key, real, fake, target
        )
        return _descend(optimiser, state, gradients, metrics, "critic")

    return Update(_initialiser(optimiser), jax.jit(apply))


@jax.jit
def _towards(average: Any, params: Any, weight: chex.Array) -> Any:
    return optax.incremental_update(params, average, weight)


class Learner:
    """Alternates critic and policy updates, and publishes the policy's parameters.

    Attributes:
      policy, critic: the two learners' states.
      average: exponential moving average of the policy's parameters.
      num_updates: policy updates so far.
      num_draws: batches of real, and of replayed, pictures drawn so far.
    """

    def __init__(
        self,
        *,
        policy_update: Update,
        critic_update: Update,
        policy_params: Any,
        critic_params: Any,
        data: ImageData | None,
        replay: Replay,
        store: ParameterStore,
        critic_steps: int,
        average_updates: int,
    ):
        """Starts both learners from the given parameters.

        Args:
          policy_update, critic_update: the pure learners.
          policy_params, critic_params: initial parameters.
          data: real pictures; None if the agent is conditional: what is real is then the
            target itself.
          replay: rendered ones; of a conditional agent, pairs of render and target, along
            the channels.
          store: where actors read the policy's parameters.
          critic_steps: critic updates per policy update; 0 if another score pays.
          average_updates: time constant of `average`.
        """
        self._policy_update = policy_update
        self._critic_update = critic_update
        self.policy = policy_update.init(policy_params)
        self.critic = critic_update.init(critic_params)
        self._data = data
        self._replay = replay
        self._store = store
        self._critic_steps = critic_steps
        self._average_updates = average_updates
        # Policy and critic chase each other in circles; the average of the policies on
        # the way draws better than most of them, and is what evaluation looks at.
        self.average = policy_params
        self.num_updates = 0
        self.num_draws = 0
        self._store.publish(0, self.policy.params)

    def compile(self, item: Item) -> None:
        """Compiles both updates on an example; learns nothing from it."""
        pictures, targets = item.trajectory.canvases[-1], item.trajectory.targets
        if self._critic_steps:
            self._critic_update.apply(self.critic, pictures, pictures, targets)
        self._policy_update.apply(self.policy, self.critic.params, item.trajectory)

    def step(self, item: Item) -> dict[str, chex.Array]:
        """Learns from one batch of episodes.

        Returns:
          Metrics, some of which may still be computing on the device.
        """
        pictures, targets = item.trajectory.canvases[-1], item.trajectory.targets
        if targets is not None:
            pictures = np.concatenate([pictures, targets], axis=-1)
        self._replay.add(pictures)
        critic_metrics = {}
        for _ in range(self._critic_steps):
            critic_metrics = self.update_critic(len(pictures))
        metrics = self.update_policy(item.trajectory)
        lag = self.num_updates - item.version
        self.num_updates += 1
        # The plain mean at first, so that the initial parameters do not linger.
        weight = 1.0 / min(self.num_updates, self._average_updates)
        self.average = _towards(self.average, self.policy.params, weight)
        self._store.publish(self.num_updates, self.policy.params)
        return {**metrics, **critic_metrics, "actor/policy_lag": np.float32(lag)}

    def update_critic(self, batch_size: int) -> dict[str, chex.Array]:
        """Does one critic update on real pictures and replayed ones."""
        fake, target = self._replay.sample(batch_size, self.num_draws), None
        if self._data is None:
            fake, target = np.split(fake, 2, axis=-1)
            real = target
        else:
            real = self._data.batch(batch_size, self.num_draws)
        self.num_draws += 1
        self.critic, metrics = self._critic_update.apply(self.critic, real, fake, target)
        return metrics

    def update_policy(self, trajectory: Trajectory) -> dict[str, chex.Array]:
        """Does one policy update on a batch of episodes."""
        self.policy, metrics = self._policy_update.apply(
            self.policy, self.critic.params, trajectory
        )
        return metrics

    def state(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold, as a tree of arrays."""
        return {
            "policy": self.policy,
            "average": self.average,
            "critic": self.critic,
            "replay": self._replay.state(),
            "num_updates": np.asarray(self.num_updates),
            "num_draws": np.asarray(self.num_draws),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` returned, and publishes its parameters."""
        self.policy, self.critic = state["policy"], state["critic"]
        self.average = state["average"]
        self._replay.restore(state["replay"])
        self.num_updates = int(state["num_updates"])
        self.num_draws = int(state["num_draws"])
        self._store.publish(self.num_updates, self.policy.params)
