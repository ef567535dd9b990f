"""Actors that play ahead of the learner, each its part of every batch."""

import time

from spiral_jax.rollouts.base import Rollout, RolloutSource, join
from spiral_jax.rollouts.queues import TrajectoryQueue

REPORT_SECONDS = 1.0


class ActorsAhead(RolloutSource):
    """N actors that each play one N-th of a batch at a time.

    A batch is the first N parts that are ready, whoever played them. So the policy lag
    does not grow with N: while the learner works on a batch, the next one is played.
    """

    def __init__(self, num_actors: int, capacity: int, num_rollouts: int):
        """Takes how many they are.

        Args:
          num_actors: N.
          capacity: parts that may wait; 0: whoever puts them there sees to it.
          num_rollouts: how many have been played before.
        """
        self._num_actors = num_actors
        self._queue = TrajectoryQueue(capacity)
        self.num_rollouts = num_rollouts
        self._age = self._waited = 0.0
        self._since = time.monotonic()
        self._reported: dict[str, float] = {}

    def next(self) -> Rollout:
        """Waits for a part from each, as it were, and returns them as one batch."""
        begin = time.monotonic()
        rollout = join([self._queue.get() for _ in range(self._num_actors)])
        now = time.monotonic()
        self._waited += now - begin
        self._age = now - rollout.begun
        self.num_rollouts = max(self.num_rollouts, rollout.num_rollouts)
        return rollout._replace(num_rollouts=self.num_rollouts)

    def metrics(self) -> dict[str, float]:
        """Returns how the learner waits for actors, and for how long rollouts did.

        Rates are those of the last second or more.
        """
        seconds = time.monotonic() - self._since
        if not self._reported or seconds >= REPORT_SECONDS:
            self._reported = self._rates(seconds)
            self._since, self._waited = time.monotonic(), 0.0
        return {**self._reported, "actor/rollout_age": self._age}

    def _rates(self, seconds: float) -> dict[str, float]:
        return {"learner/wait_share": self._waited / seconds}

    def stop(self) -> None:
        """Ends every wait."""
        self._queue.stop()

    @property
    def num_waiting(self) -> int:
        """How many batches are ready to be learnt from."""
        return len(self._queue) // self._num_actors
