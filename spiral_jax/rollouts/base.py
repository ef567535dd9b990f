"""What a learner is given, and what it is asked of."""

from typing import Any, NamedTuple

import jax
import numpy as np

from spiral_jax.types import Trajectory

# How trajectories lie on the devices, see `devices`: split along the batch.
TRAJECTORY_AXES = Trajectory(1, 1, 1, 1, 1, 1, start=0, targets=0)


class Rollout(NamedTuple):
    """What an update learns from, or a part of it, and where it comes from.

    Attributes:
      trajectory: a batch of episodes, or of unrolls; for a learner that plays them in its
        own program, what that program is given to play them.
      version: of the parameters that acted: the number of policy updates behind them; of
        several parts, the oldest one's.
      actor_id: who acted.
      num_rollouts: how many of them this actor has played, this one included.
      begun: when its parameters were read, by the learner's `time.monotonic()`; of
        several parts, the first of them.
    """

    trajectory: Any
    version: int
    actor_id: int
    num_rollouts: int
    begun: float = 0.0


class RolloutSource:
    """Where rollouts come from; the training loop knows no more of it.

    Whatever is random in a rollout depends on (seed, actor, index of the rollout) alone,
    so that a source that is restarted at an index goes on where it was.

    Attributes:
      num_rollouts: the index of the next rollout.
    """

    num_rollouts: int = 0

    def next(self) -> Rollout:
        """Returns the next rollout, of a whole batch; waits for it.

        Raises:
          Stopped: `stop` was called.
          BaseException: whatever an actor died of.
        """
        raise NotImplementedError

    def restart(self, num_rollouts: int) -> None:
        """Forgets unfinished episodes; the next rollout has this index."""
        raise NotImplementedError

    def example(self) -> Rollout:
        """Returns a rollout to compile for; nothing is to be learnt from it."""
        before = self.num_rollouts
        example = self.next()
        self.restart(before)
        return example

    def start(self) -> None:
        """Begins to play ahead, if the source does; once, after `example`."""

    def stop(self) -> None:
        """Ends every wait; from any thread, or from a signal's handler."""

    def close(self) -> None:
        """Ends what the source has started; may be called twice."""

    @property
    def num_waiting(self) -> int:
        """How many rollouts are ready to be learnt from."""
        return 0

    def metrics(self) -> dict[str, float]:
        """Returns what is to be logged of the source, with each rollout."""
        return {}


def concatenate(trajectories: list[Trajectory]) -> Trajectory:
    """Puts batches of unrolls beside each other; a single one stays as it is."""
    if len(trajectories) == 1:
        return trajectories[0]
    axes = jax.tree.broadcast(TRAJECTORY_AXES, trajectories[0])
    return jax.tree.map(
        lambda axis, *parts: np.concatenate(parts, axis), axes, *trajectories
    )


def join(parts: list[Rollout]) -> Rollout:
    """Makes one rollout of parts of a batch."""
    return Rollout(
        concatenate([part.trajectory for part in parts]),
        min(part.version for part in parts),
        parts[0].actor_id,
        max(part.num_rollouts for part in parts),
        min(part.begun for part in parts),
    )
