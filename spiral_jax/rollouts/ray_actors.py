"""Actors in processes of their own, here or on other machines, by Ray.

Each process owns environments and a copy of the policy, and acts on the CPU. Parameters
go out and rollouts come back through Ray's object store, which several processes of one
machine share.
"""

import socket
import threading
import time
from typing import Any

import jax
import numpy as np
from absl import logging

from spiral_jax.ray_cluster import PATIENCE, check_installed
from spiral_jax.rollouts.ahead import ActorsAhead
from spiral_jax.rollouts.base import Rollout, concatenate
from spiral_jax.rollouts.queues import POLL_SECONDS, ParameterStore, Stopped
from spiral_jax.rollouts.ray_player import Failure, MakeActor, Player, pickled

# The same exception so often, or as many deaths without a rollout between them, is a bug.
MAX_FAILURES = 3
# A head that is silent for so long is gone. Ray itself ends this process after 60 s.
HEAD_SECONDS = 20.0
BEAT_SECONDS = 2.0


class ActorError(RuntimeError):
    """Actors fail for a reason that does not go away."""


class RayActors(ActorsAhead):
    """A process for each actor, wherever the cluster that was joined has a CPU for it.

    One that dies is replaced, and its successor goes on at the rollout that is missing.
    """

    def __init__(
        self,
        make: MakeActor,
        store: ParameterStore,
        *,
        num_actors: int,
        queue_capacity: int,
        num_rollouts: int = 0,
        images: np.ndarray | None = None,
    ):
        """Takes what makes them; nothing is started yet.

        Args:
          make: makes an actor in its process, each with its part of a batch.
          store: where the policy's parameters are read.
          num_actors: how many.
          queue_capacity: batches that may wait; as many again as actors are being played.
          num_rollouts: how many have been played before.
          images: what `make` takes, one copy for each machine.

        Raises:
          ValueError: Ray is not installed.
        """
        super().__init__(num_actors, 0, num_rollouts)
        check_installed()
        self._make, self._images, self._store = make, images, store
        self._most = num_actors * (queue_capacity + 1)
        self._next = [num_rollouts] * num_actors  # the rollout that each is to play
        self._failures: dict[str, int] = {}
        self._deaths = self._bytes = 0
        self._busy: dict[Any, tuple[int, float]] = {}
        self._handles: list[Any] = []
        self._published: tuple[int, Any] = (-1, None)
        self._taken, self._closing = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name="ray actors", daemon=True)
            for target in (self._dispatch, self._watch_head)
        ]

    def restart(self, num_rollouts: int) -> None:
        """The next rollout has this index; only before any is played."""
        if self._handles:
            raise RuntimeError("Actors play already.")
        self.num_rollouts = num_rollouts
        self._next = [num_rollouts] * self._num_actors

    def example(self) -> Rollout:
        """Returns a rollout to compile for: what one actor plays, as often as needed.

        All begin to play, and what they do is learnt from.
        """
        self.start()
        part = self._queue.get()
        self._queue.put(part)
        return part._replace(trajectory=concatenate([part.trajectory] * self._num_actors))

    def start(self) -> None:
        """Starts the processes, if `example` has not.

        Raises:
          ValueError: `make` cannot be sent to other processes.
        """
        if self._handles:
            return
        import ray

        self._ray, self._head = ray, ray.get_runtime_context().gcs_address
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if cpus < self._num_actors:
            logging.warning(
                "Ray has %d CPUs for %d actors: some wait for machines to come.",
                cpus,
                self._num_actors,
            )
        # Once for each machine, not for each actor.
        images = None if self._images is None else ray.put(np.asarray(self._images))
        self._shared = ray.put(pickled(self._make)), images
        self._handles = [self._player(i) for i in range(self._num_actors)]
        for thread in self._threads:
            thread.start()

    def next(self) -> Rollout:
        """Waits for a part from each, as it were, and returns them as one batch."""
        rollout = super().next()
        self._taken.set()
        self._bytes += sum(x.nbytes for x in jax.tree.leaves(rollout.trajectory))
        return rollout

    def _rates(self, seconds: float) -> dict[str, float]:
        rate, self._bytes = self._bytes / seconds, 0
        return {**super()._rates(seconds), "actor/bytes_per_second": rate}

    def close(self) -> None:
        """Ends the processes, in the middle of their rollouts."""
        self._queue.stop()
        self._closing.set()
        self._taken.set()
        # A cluster whose head is gone never answers.
        leaving = threading.Thread(target=self._leave, daemon=True)
        leaving.start()
        leaving.join(PATIENCE)

    def _leave(self) -> None:
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for handle in self._handles:
            self._ray.kill(handle)
        self._handles = []

    def _player(self, index: int) -> Any:
        remote = self._ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(Player)
        return remote.remote(*self._shared, index)

    def _dispatch(self) -> None:
        """A thread's body: keeps actors playing; reports what ends the run."""
        try:
            while not self._queue.stopped:
                self._send()
                self._receive()
        except Stopped:
            pass
        except BaseException as error:
            self._queue.fail(error)

    def _send(self) -> None:
        """Lets those that have nothing to do play, if there is room for what they do."""
        busy = {index for index, _ in self._busy.values()}
        for index in range(self._num_actors):
            room = self._most - len(self._queue) - len(self._busy)
            if index in busy or room <= 0:
                continue
            version, params = self._store.latest()
            if version != self._published[0]:
                self._published = version, self._ray.put(jax.device_get(params))
            play = self._handles[index].play
            rollout = play.remote(self._next[index], *self._published)
            self._busy[rollout] = index, time.monotonic()

    def _receive(self) -> None:
        """Waits for the next rollout, or for room for more of them."""
        if not self._busy:
            self._taken.wait(POLL_SECONDS)
            self._taken.clear()
            return
        idle = len(self._busy) < self._num_actors
        wait = POLL_SECONDS / 10 if idle else POLL_SECONDS
        ready, _ = self._ray.wait(list(self._busy), timeout=wait)
        for reference in ready:
            index, begun = self._busy.pop(reference)
            try:
                rollout = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                self._replace(index, error)
                continue
            if isinstance(rollout, Failure):
                self._count(index, rollout)
                continue
            self._deaths = 0
            self._next[index] = rollout.num_rollouts
            self._queue.put(rollout._replace(begun=begun))

    def _replace(self, index: int, error: Exception) -> None:
        """Puts another actor in the place of one that died."""
        reason = " ".join(str(error).split())
        self._deaths += 1
        if self._deaths == MAX_FAILURES * self._num_actors:
            raise ActorError(
                f"{self._deaths} actors died and none played in between; the last one's "
                f"reason: {reason}"
            ) from error
        logging.warning(
            "Actor %d died; another one goes on at its rollout %d. %s",
            index,
            self._next[index],
            reason,
        )
        self._ray.kill(self._handles[index])
        self._handles[index] = self._player(index)

    def _count(self, index: int, failure: Failure) -> None:
        """Lets an actor try again, unless it is of no use."""
        count = self._failures.get(failure.kind, 0) + 1
        self._failures[failure.kind] = count
        if count == MAX_FAILURES:
            raise ActorError(
                f"actors failed {count} times by {failure.kind}; in the process of actor "
                f"{index}:\n{failure.text}"
            )
        logging.warning(
            "Actor %d failed by %s; it plays its rollout %d again.",
            index,
            failure.kind,
            self._next[index],
        )

    def _watch_head(self) -> None:
        """A thread's body: ends the run if the head of the cluster is gone."""
        host, _, port = self._head.rpartition(":")
        heard = time.monotonic()
        while not self._closing.wait(BEAT_SECONDS):
            try:
                socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
                heard = time.monotonic()
            except OSError as error:
                if time.monotonic() - heard < HEAD_SECONDS:
                    continue
                self._queue.fail(
                    ConnectionError(
                        f"the head of the Ray cluster, {self._head}, does not answer "
                        f"({error})"
                    )
                )
                return
