"""The learner: holds what is learnt, and runs training steps on the devices."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from spiral_jax import replay as replays
from spiral_jax.data import ImageData
from spiral_jax.devices import HOST, REPLICATED, DeviceGroup
from spiral_jax.rollouts.base import TRAJECTORY_AXES, Rollout
from spiral_jax.rollouts.device import DeviceRollout
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.training.step import (
    CRITIC_BATCH_AXES,
    STATE_AXES,
    CriticBatch,
    TrainingState,
)


class CriticBatches:
    """Makes what the critic learns from; it depends on (seed, iteration) alone."""

    def __init__(
        self,
        data: ImageData | None,
        *,
        batch_size: int,
        critic_steps: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
    ):
        """Takes where they come from.

        Args:
          data: this process's shard of the real pictures; None for a conditional agent.
          batch_size: B, over all processes.
          critic_steps: S, critic updates per policy update; 0 if another score pays.
          seed: of the draws from the replay.
          shard: which part of them is made, see `DeviceGroup.shard`.
        """
        self._data = data
        self._shard = shard
        self._batch_size = batch_size
        self._steps = critic_steps
        self._seed = seed

    def batch(self, num_updates: int) -> CriticBatch:
        """Returns what the training step after `num_updates` of them takes."""
        indices = range(num_updates * self._steps, (num_updates + 1) * self._steps)
        batch_size, real = self._batch_size, None
        replayed = np.zeros([self._steps, batch_size], np.float32)
        for step, index in enumerate(indices):
            replayed[step] = replays.draw(batch_size, [self._seed, index])
        if self._data is not None:
            real = np.stack([self._data.batch(batch_size, index) for index in indices])
        part, num_parts = self._shard
        return CriticBatch(real, np.split(replayed, num_parts, axis=1)[part])


class Program(NamedTuple):
    """What a learner runs, and how its rollouts lie on the devices.

    Attributes:
      step: `(state, unfinished, rollout, batch) -> (state, unfinished, metrics)`, pure;
        `unfinished` are the episodes behind the rollout, if the program plays itself.
      rollout_axes: how the rollouts' trajectories lie, see `spiral_jax.devices`.
      num_steps: K, training steps of one call; 0: one, without an axis for it in batches
        and metrics.
      init: `(rollout) -> unfinished`, what the first call begins with; None: nothing.
    """

    step: Callable
    rollout_axes: Any
    num_steps: int = 0
    init: Callable | None = None


def learning_program(train_step: Callable) -> Program:
    """Returns the program that learns from trajectories.

    Args:
      train_step: from `make_train_step`.
    """

    def step(state, unfinished, trajectory, batch):
        state, metrics = train_step(state, trajectory, batch)
        return state, unfinished, metrics

    return Program(step, TRAJECTORY_AXES)


def fused_program(
    train_step: Callable, device_rollout: DeviceRollout, num_steps: int
) -> Program:
    """Returns the program that plays K rollouts, and learns from each of them.

    Args:
      train_step: from `make_train_step`.
      device_rollout: plays.
      num_steps: K.
    """

    def body(carry, inputs):
        state, unfinished = carry
        index, targets, batch = inputs
        trajectory, unfinished = device_rollout.unroll(
            state.policy.params, index, targets, unfinished
        )
        state, metrics = train_step(state, trajectory, batch)
        return (state, unfinished), metrics

    def step(state, unfinished, rollout, batches):
        carry, inputs = (state, unfinished), (*rollout, batches)
        if num_steps > 1:
            carry, metrics = jax.lax.scan(body, carry, inputs)
            return *carry, metrics
        # A loop of one step is one still.
        carry, metrics = body(carry, jax.tree.map(lambda x: x[0], inputs))
        return *carry, jax.tree.map(lambda x: x[None], metrics)

    def init(rollout):
        indices, targets = rollout
        first = None if targets is None else targets[0]
        return device_rollout.init(indices[0], first)

    begins = None if device_rollout.whole_episodes else init
    return Program(step, (REPLICATED, 1), num_steps, begins)


class Learner:
    """Runs a program on rollouts, and publishes the policy's parameters.

    Attributes:
      num_updates: training steps so far.
      compile_seconds: what `compile` took.
    """

    def __init__(
        self,
        program: Program,
        state: TrainingState,
        batches: CriticBatches,
        store: ParameterStore,
        devices: DeviceGroup,
        *,
        plays_on_device: bool = False,
    ):
        """Starts from the given state.

        Args:
          program: from `learning_program` or `fused_program`.
          state: everything that is learnt.
          batches: what the critic learns from.
          store: where actors read the policy's parameters.
          devices: the devices that learn.
          plays_on_device: whether rollouts are played on the same devices, between the
            learner's calls. All other actors get copies of the parameters: the memory of
            those that are published is taken by the next update.
        """
        self._description = program
        self._state = devices.place(state, STATE_AXES)
        self._unfinished = None
        self._batches = batches
        self._batch_axes = CRITIC_BATCH_AXES
        if program.num_steps:
            self._batch_axes = CriticBatch(2, 2)
        self._program = devices.compile(
            program.step,
            (STATE_AXES, 0, program.rollout_axes, self._batch_axes),
            (STATE_AXES, 0, HOST),
            donate=(0, 1),
        )
        self._store = store
        self._devices = devices
        self._plays_on_device = plays_on_device
        self.num_updates = 0
        self.compile_seconds = 0.0
        self._publish()

    def _publish(self) -> None:
        params = self._state.policy.params
        if not self._plays_on_device:
            params = self._devices.snapshot(params)
        self._published = params
        self._store.publish(self.num_updates, params)

    def compile(self, rollout: Rollout) -> None:
        """Compiles the program for rollouts like this one; learns nothing from it."""
        arguments = self._arguments(rollout)
        start = time.monotonic()
        if init := self._description.init:
            begin = self._devices.compile(init, (self._description.rollout_axes,), 0)
            self._unfinished = begin(arguments[0])
        lowered = self._program.lower(self._state, self._unfinished, *arguments)
        self._program = lowered.compile()
        self.compile_seconds = time.monotonic() - start

    @property
    def flops(self) -> float:
        """Of the compiled program, see `flops_of`."""
        return flops_of(self._program)

    def _arguments(self, rollout: Rollout) -> tuple:
        place, axes = self._devices.place, self._description.rollout_axes
        on_devices = self._plays_on_device and not self._description.num_steps
        trajectory = rollout.trajectory
        if not on_devices:
            trajectory = place(trajectory, axes)
        count = self._description.num_steps
        made = [self._batches.batch(self.num_updates + i) for i in range(count or 1)]
        batch = made[0]
        if count:
            batch = jax.tree.map(lambda *arrays: np.stack(arrays), *made)
        return trajectory, place(batch, self._batch_axes)

    def step(self, rollout: Rollout) -> dict[str, chex.Array]:
        """Learns from one rollout, or from each of the K that the program plays.

        Returns:
          Metrics, `[K]` each of such a program's; they may still be computing on the
          device.
        """
        lag = np.float32(self.num_updates - rollout.version)
        arguments = self._arguments(rollout)
        if not self._plays_on_device:
            # One update at a time: while it is computed, the next rollout comes to the
            # device, but no further one, which would be of ever older parameters.
            jax.block_until_ready(self._published)
        self._state, self._unfinished, metrics = self._program(
            self._state, self._unfinished, *arguments
        )
        count = self._description.num_steps
        self.num_updates += count or 1
        self._publish()
        return {**metrics, "actor/policy_lag": np.full(count, lag) if count else lag}

    @property
    def average(self) -> Any:
        """The averaged parameters of the policy, copied to the host."""
        return self._devices.fetch(self._state.average)

    def state(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold, as a tree of arrays.

        It is the same for any number of devices.
        """
        state = self._devices.save(self._state, STATE_AXES)
        return {**state._asdict(), "num_updates": np.asarray(self.num_updates)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` returned, and publishes its parameters."""
        fields = {name: state[name] for name in TrainingState._fields}
        self._state = self._devices.place(TrainingState(**fields), STATE_AXES)
        self.num_updates = int(state["num_updates"])
        self._publish()


def flops_of(program: Any) -> float:
    """Returns what XLA counts of a compiled program's arithmetic; loops once."""
    analysis = program.cost_analysis()
    return (analysis[0] if isinstance(analysis, list) else analysis)["flops"]
