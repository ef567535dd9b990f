"""Rollouts on the host: the policy acts, an environment on the CPU executes it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import numpy as np

from spiral_jax.data import ImageData, to_float, to_uint8
from spiral_jax.environments.base import BatchedEnvironment
from spiral_jax.language import CommandLanguage
from spiral_jax.networks import Policy
from spiral_jax.networks.likelihood import command_log_prob_and_entropy
from spiral_jax.precision import in_float32
from spiral_jax.rollouts.base import Rollout, RolloutSource, concatenate
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.types import Trajectory


class ActorCore(NamedTuple):
    """The acting side of a policy, compiled once and shared by all actors.

    Attributes:
      init: `(key, batch_size) -> AgentState`.
      select_action: `(params, observation, state) -> (actions, log_prob [B], state)`.
    """

    init: Callable
    select_action: Callable


def make_actor_core(policy: Policy, language: CommandLanguage) -> ActorCore:
    """Compiles a policy for acting."""

    def select_action(params, observation, state):
        output, state = policy.step(params, observation, state)
        log_prob, _ = command_log_prob_and_entropy(language, output)
        return output.actions, log_prob, state

    return ActorCore(
        jax.jit(policy.initial_state, static_argnums=1), jax.jit(select_action)
    )


class HostRollout:
    """A batch of episodes on their way: unrolled as a whole, or part by part."""

    def __init__(
        self,
        environment: BatchedEnvironment,
        core: ActorCore,
        key: chex.PRNGKey,
        targets: np.ndarray | None = None,
    ):
        """Begins them.

        Args:
          environment: batched, all its episodes of one length; its `reset` takes a seed.
          core: from `make_actor_core`.
          key: decides everything that is random, the noise of the brush included.
          targets: `[B, H, W, C]` float32, what a conditional agent is to draw.
        """
        # By numpy's hash: it shares nothing with what the agent draws from the key.
        entropy = np.random.SeedSequence(np.asarray(jax.random.key_data(key)))
        self._time_step = environment.reset(seed=int(entropy.generate_state(1)[0]))
        self._state = core.init(key, environment.batch_size)
        self._environment = environment
        self._core = core
        self._targets = targets

    @property
    def finished(self) -> bool:
        """Whether the episodes are over."""
        return bool(self._time_step.step_type[0] == dm_env.StepType.LAST)

    def unroll(self, params: Any, num_commands: int) -> Trajectory:
        """Plays the next commands.

        Args:
          params: the policy's parameters, the same for all of them.
          num_commands: T; less, if the episodes end before; 0 plays to their end.

        Returns:
          A `Trajectory` of fresh arrays: nothing that is done to the environment's arrays
          later reaches it.
        """
        start = jax.tree.map(np.array, self._state._replace(key=None))
        canvases, masks, actions, log_probs = [], [], [], []
        rewards, discounts = [], []
        while True:
            observation = self._time_step.observation
            observation = {k: observation[k] for k in ("canvas", "action_mask")}
            if self._targets is not None:
                observation["target"] = self._targets
            canvases.append(observation["canvas"])
            if self.finished or (num_commands and len(actions) == num_commands):
                break
            masks.append(observation["action_mask"])
            action, log_prob, self._state = self._core.select_action(
                params, observation, self._state
            )
            action, log_prob = jax.device_get((action, log_prob))
            self._time_step = self._environment.step(action)
            actions.append(action)
            log_probs.append(log_prob)
            rewards.append(self._time_step.reward)
            discounts.append(self._time_step.discount)
        stack = lambda *arrays: np.stack(arrays)
        return Trajectory(
            canvases=np.stack(canvases),
            action_masks=jax.tree.map(stack, *masks),
            actions=jax.tree.map(stack, *actions),
            behaviour_log_prob=np.stack(log_probs),
            rewards=np.stack(rewards),
            discounts=np.stack(discounts),
            start=start,
            targets=self._targets,
        )


@in_float32
def rollout(
    environment: BatchedEnvironment,
    core: ActorCore,
    params: Any,
    key: chex.PRNGKey,
    targets: np.ndarray | None = None,
) -> Trajectory:
    """Plays one batch of whole episodes; arguments as those of `HostRollout`."""
    return HostRollout(environment, core, key, targets).unroll(params, num_commands=0)


class Actor(RolloutSource):
    """One actor: environments, a policy, and a random stream of its own.

    By itself it is the source of a lock-step run. Otherwise several play ahead, in
    threads or processes, each its part of a batch.

    Each rollout begins some episodes; their key, and the targets of conditional ones,
    depend on (seed, actor, index of the rollout) alone: a resumed actor goes on where
    the interrupted one was.

    Episodes of several rollouts are at different stages, one in each environment, so that
    every rollout has all of them: as many episodes begin with each as end.
    """

    def __init__(
        self,
        environments: Sequence[BatchedEnvironment],
        core: ActorCore,
        store: ParameterStore,
        *,
        seed: int,
        actor_id: int = 0,
        num_rollouts: int = 0,
        unroll_length: int = 0,
        targets: ImageData | None = None,
        device: jax.Device,
        keep: Callable[[Trajectory], Trajectory] = lambda trajectory: trajectory,
    ):
        """Takes environments and what to play with.

        Args:
          environments: batched, all alike; as many as an episode has rollouts.
          core: from `make_actor_core`.
          store: where parameters are read.
          seed: of all actors.
          actor_id: its index.
          num_rollouts: how many it has played before.
          unroll_length: T, commands of a rollout; 0: those of a whole episode.
          targets: what a conditional agent is shown.
          device: where the policy runs.
          keep: takes the part of a trajectory that is to be learnt from.
        """
        self._keep = keep
        self._device = device
        self._environments = environments
        self._core = core
        self._store = store
        self._targets = targets
        self._key = jax.random.fold_in(jax.random.key(seed), actor_id)
        self.actor_id = actor_id
        self._unroll_length = unroll_length
        self.restart(num_rollouts)

    def restart(self, num_rollouts: int) -> None:
        """Forgets unfinished episodes; the next rollout has this index."""
        self.num_rollouts = num_rollouts
        self._unfinished: list[HostRollout | None] = [None] * len(self._environments)

    def _rollout(self, place: int, params: Any) -> HostRollout:
        """Returns what to go on with in an environment; begins anew if need be."""
        unfinished, num_stages = self._unfinished[place], len(self._environments)
        if unfinished is not None and not unfinished.finished:
            return unfinished
        stage = (self.num_rollouts + place) % num_stages
        environment, targets = self._environments[place], None
        index = self.num_rollouts - stage + num_stages - 1  # 0 for the first of all
        if self._targets is not None:
            targets = to_float(self._targets.batch(environment.batch_size, index))
        key = jax.random.fold_in(self._key, index)
        begun = HostRollout(environment, self._core, key, targets)
        # At first all of them begin, and some catch up with where they should be.
        for _ in range(stage):
            begun.unroll(params, self._unroll_length)
        return begun

    def next(self) -> Rollout:
        """Plays one rollout; the parameters are read once."""
        begun = time.monotonic()
        version, params = self._store.latest(self._device)
        places = range(len(self._environments))
        self._unfinished = [self._rollout(place, params) for place in places]
        parts = [r.unroll(params, self._unroll_length) for r in self._unfinished]
        trajectory = concatenate(parts)
        if self._environments[0].exact_in_uint8:
            trajectory = trajectory._replace(canvases=to_uint8(trajectory.canvases))
        self.num_rollouts += 1
        trajectory = self._keep(trajectory)
        return Rollout(trajectory, version, self.actor_id, self.num_rollouts, begun)
