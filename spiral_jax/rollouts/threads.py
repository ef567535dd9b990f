"""Actors in threads of the learner's process."""

import threading
from collections.abc import Sequence

from spiral_jax.precision import in_float32
from spiral_jax.rollouts.ahead import ActorsAhead
from spiral_jax.rollouts.base import Rollout, concatenate
from spiral_jax.rollouts.host import Actor
from spiral_jax.rollouts.queues import Stopped


class ThreadedActors(ActorsAhead):
    """A thread for each actor."""

    def __init__(self, actors: Sequence[Actor], queue_capacity: int):
        """Takes the actors.

        Args:
          actors: each with its part of a batch.
          queue_capacity: batches that may wait.
        """
        num_rollouts = max(actor.num_rollouts for actor in actors)
        super().__init__(len(actors), queue_capacity * len(actors), num_rollouts)
        self._actors = actors
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

    def close(self) -> None:
        """Ends the threads, each after the rollout that it is at."""
        self._queue.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

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
