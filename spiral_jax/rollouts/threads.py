"""Actors that play ahead in threads, each its part of every batch."""

import threading
from collections.abc import Sequence

from spiral_jax.precision import in_float32
from spiral_jax.rollouts.base import Rollout, RolloutSource, concatenate, join
from spiral_jax.rollouts.host import Actor
from spiral_jax.rollouts.queues import Stopped, TrajectoryQueue


class ThreadedActors(RolloutSource):
    """N threads that each play one N-th of a batch at a time.

    A batch is the first N parts that are ready, whoever played them. So the policy lag
    does not grow with N: while the learner works on a batch, the next one is played.
    """

    def __init__(self, actors: Sequence[Actor], queue_capacity: int):
        """Takes the actors.

        Args:
          actors: each with its part of a batch.
          queue_capacity: batches that may wait.
        """
        self._actors = actors
        self._queue = TrajectoryQueue(queue_capacity * len(actors))
        self.num_rollouts = max(actor.num_rollouts for actor in actors)
        self._threads = [
            threading.Thread(target=self._run, args=(actor,), name="actor", daemon=True)
            for actor in actors
        ]

    def restart(self, num_rollouts: int) -> None:
        """Forgets unfinished episodes; the next rollout has this index."""
        self.num_rollouts = num_rollouts
        for actor in self._actors:
            actor.restart(num_rollouts)

    def example(self) -> Rollout:
        """Returns a rollout to compile for: what one actor plays, as often as needed."""
        part = self._actors[0].example()
        parts = [part.trajectory] * len(self._actors)
        return part._replace(trajectory=concatenate(parts))

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def next(self) -> Rollout:
        """Waits for a part from each, as it were, and returns them as one batch."""
        rollout = join([self._queue.get() for _ in self._actors])
        self.num_rollouts = max(self.num_rollouts, rollout.num_rollouts)
        return rollout._replace(num_rollouts=self.num_rollouts)

    def stop(self) -> None:
        """Ends every wait."""
        self._queue.stop()

    def close(self) -> None:
        """Ends the threads, each after the rollout that it is at."""
        self._queue.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @property
    def num_waiting(self) -> int:
        """How many batches are ready to be learnt from."""
        return len(self._queue) // len(self._actors)

    @in_float32
    def _run(self, actor: Actor) -> None:
        """A thread's body: plays until it is stopped; reports what it dies of."""
        try:
            while not self._queue.stopped:
                self._queue.put(actor.next())
        except Stopped:
            pass
        except BaseException as error:
            self._queue.fail(error)
