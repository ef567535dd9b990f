"""Rollouts on the accelerator, environment included: one program plays them.

The episodes are the same that an `Actor` plays on the host.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.data import ImageData
from spiral_jax.devices import REPLICATED, DeviceGroup
from spiral_jax.environments.painting_jax import DevicePainting, PaintingState
from spiral_jax.networks import Policy
from spiral_jax.networks.likelihood import command_log_prob_and_entropy
from spiral_jax.rollouts.base import TRAJECTORY_AXES, Rollout, RolloutSource
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.types import Actions, AgentState, Trajectory


class RolloutState(NamedTuple):
    """Episodes between two rollouts on the accelerator, `[B, ...]` each.

    Attributes:
      painting: canvases and pens.
      mask: which components the last commands used.
      state: what the policy remembers, without its key.
      targets: what it is shown, float32; None if nothing.
    """

    painting: PaintingState
    mask: Actions
    state: AgentState
    targets: chex.Array | None


class DeviceRollout:
    """Plays episodes on the accelerator, as a whole or, as `Actor` does, in stages.

    Of episodes of several rollouts, as many begin with each. The very first ones are
    shorter: all begin with the first rollout, at the stages where they should be.

    Attributes:
      targets: what a conditional agent is shown; None for an unconditional one.
    """

    def __init__(
        self,
        policy: Policy,
        painting: DevicePainting,
        *,
        num_commands: int,
        num_stages: int,
        batch_size: int,
        seed: int,
        devices: DeviceGroup,
        targets: ImageData | None = None,
    ):
        """Takes what decides episodes.

        Args:
          policy: the network.
          painting: the environment.
          num_commands: T, of a rollout.
          num_stages: rollouts of an episode.
          batch_size: B, over all devices.
          seed: of all actors; this one's index is 0 among them.
          devices: the devices that play.
          targets: what a conditional agent is shown.
        """
        self._policy = policy
        self._painting = painting
        self._num_commands = num_commands
        self._num_stages = num_stages
        self._batch_size = batch_size
        self._seed = seed
        self._devices = devices
        self._targets = targets

    @property
    def whole_episodes(self) -> bool:
        """Whether a rollout is one."""
        return self._num_stages == 1

    def targets(self, index: int) -> np.ndarray | None:
        """Returns what rollout `index` is shown, `[B, H, W, C]` uint8, if anything."""
        if self._targets is None:
            return None
        return self._targets.batch(self._batch_size, index)

    def _init(
        self, index: chex.Array, targets: chex.Array | None
    ) -> tuple[RolloutState, chex.PRNGKey]:
        language, devices = self._painting.language, self._devices
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self._seed), 0), index)
        state = self._policy.initial_state(key, self._batch_size)
        key = devices.own_key(state.key)
        state = devices.split(state._replace(key=None))
        painting = devices.split(self._painting.begin(self._batch_size))
        if targets is not None:
            targets = targets.astype(jnp.float32) / 255.0
        mask = {name: jnp.zeros(state.noise.shape[:1]) for name in language.names}
        return RolloutState(painting, mask, state, targets), key

    def init(self, index: chex.Array, targets: chex.Array | None) -> RolloutState:
        """Begins all episodes; pure. Arguments as those of `unroll`."""
        return self._init(index, targets)[0]

    def unroll(
        self,
        params: Any,
        index: chex.Array,
        targets: chex.Array | None,
        unfinished: RolloutState | None,
    ) -> tuple[Trajectory, RolloutState | None]:
        """Plays rollout `index`, of whole episodes the same that `Actor` would; pure.

        Args:
          params: the policy's parameters.
          index: int32 scalar.
          targets: what `targets` returned.
          unfinished: from `init`, or from the rollout before; None for whole episodes.

        Returns:
          A trajectory, and the episodes behind it; None if they are over.
        """
        language, devices = self._painting.language, self._devices
        fresh, key = self._init(index, targets)
        ends = True
        if unfinished is None:
            unfinished = fresh
        else:
            place = devices.split(jnp.arange(self._batch_size))
            first = place * self._num_stages // self._batch_size
            stage = (index + first) % self._num_stages
            ends = stage == self._num_stages - 1
            begins = lambda x: (stage == 0).reshape(-1, *[1] * (x.ndim - 1))
            unfinished = jax.tree.map(
                lambda new, old: jnp.where(begins(new), new, old), fresh, unfinished
            )
        painting, mask, start, targets = unfinished
        before, state = painting.canvas, start._replace(key=key)

        def command(carry, _):
            painting, mask, state = carry
            observation = {"canvas": painting.canvas, "action_mask": mask}
            if targets is not None:
                observation["target"] = targets
            output, state = self._policy.step(params, observation, state)
            log_prob, _ = command_log_prob_and_entropy(language, output)
            painting = self._painting.step(painting, output.actions)
            carry = (painting, language.mask(output.actions), state)
            return carry, (painting.canvas, mask, output.actions, log_prob)

        # Convolutions are slow inside loops on CPUs.
        unroll = jax.default_backend() == "cpu"
        carry, (canvases, masks, actions, log_prob) = jax.lax.scan(
            command, (painting, mask, state), length=self._num_commands, unroll=unroll
        )
        trajectory = Trajectory(
            canvases=jnp.concatenate([before[None], canvases]),
            action_masks=masks,
            actions=actions,
            behaviour_log_prob=log_prob,
            rewards=jnp.zeros_like(log_prob),
            discounts=jnp.ones_like(log_prob).at[-1].set(1.0 - ends),
            start=start,
            targets=targets,
        )
        if self.whole_episodes:
            return trajectory, None
        painting, mask, state = carry
        return trajectory, RolloutState(painting, mask, state._replace(key=None), targets)


class DeviceActor(RolloutSource):
    """The source of a run whose rollouts are a program of their own."""

    actor_id = 0

    def __init__(
        self,
        device_rollout: DeviceRollout,
        store: ParameterStore,
        devices: DeviceGroup,
        num_rollouts: int = 0,
    ):
        """Takes what plays, and how many rollouts have been played before."""
        self._rollout = device_rollout
        self._store = store
        self._devices = devices
        self._init = devices.compile(device_rollout.init, (REPLICATED, 0), 0)
        self._unroll = devices.compile(
            device_rollout.unroll,
            (REPLICATED, REPLICATED, 0, 0),
            (TRAJECTORY_AXES, 0),
            donate=(3,),
        )
        self.restart(num_rollouts)

    def restart(self, num_rollouts: int) -> None:
        """Forgets unfinished episodes; the next rollout has this index."""
        self.num_rollouts = num_rollouts
        self._unfinished: RolloutState | None = None

    def next(self) -> Rollout:
        """Plays one batch of episodes; they stay on the devices."""
        version, params = self._store.latest()
        place, targets = self._devices.place, self._rollout.targets(self.num_rollouts)
        index = place(np.int32(self.num_rollouts), REPLICATED)
        targets = place(targets, 0)
        if self._unfinished is None and not self._rollout.whole_episodes:
            self._unfinished = self._init(index, targets)
        trajectory, self._unfinished = self._unroll(
            params, index, targets, self._unfinished
        )
        self.num_rollouts += 1
        return Rollout(trajectory, version, self.actor_id, self.num_rollouts)


class FusedSource(RolloutSource):
    """The source of a learner that plays within its own program.

    Its rollouts hold what is to be played: the indices `[K]` of the rollouts, and what
    each is shown, `[K, B, H, W, C]` uint8, if anything.
    """

    actor_id = 0

    def __init__(
        self,
        device_rollout: DeviceRollout,
        store: ParameterStore,
        num_iterations: int,
        num_rollouts: int = 0,
    ):
        """Takes what will play, and K, how many rollouts a program plays."""
        self._rollout = device_rollout
        self._store = store
        self._num_iterations = num_iterations
        self.restart(num_rollouts)

    def restart(self, num_rollouts: int) -> None:
        """The next rollout has this index."""
        self.num_rollouts = num_rollouts

    def next(self) -> Rollout:
        """Returns what to play in the next K iterations."""
        first = self.num_rollouts
        self.num_rollouts += self._num_iterations
        indices = np.arange(first, self.num_rollouts, dtype=np.int32)
        targets = [self._rollout.targets(int(i)) for i in indices]
        stacked = None if targets[0] is None else np.stack(targets)
        version, _ = self._store.latest()
        return Rollout((indices, stacked), version, self.actor_id, self.num_rollouts)
