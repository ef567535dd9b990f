"""What actors and learner exchange: trajectories one way, parameters the other."""

import queue
import threading
from typing import Any, NamedTuple

from spiral_jax.types import Trajectory

POLL_SECONDS = 0.1


class Item(NamedTuple):
    """A trajectory and where it comes from.

    Attributes:
      trajectory: a batch of episodes, or of unrolls.
      version: of the parameters that acted: the number of policy updates behind them.
      actor_id: who acted.
      num_rollouts: how many of them this actor has played, this one included.
    """

    trajectory: Trajectory
    version: int
    actor_id: int
    num_rollouts: int


class ParameterStore:
    """The latest policy parameters, for any number of readers.

    Version and parameters are one tuple behind one reference, so a reader never sees a
    version with another version's parameters.
    """

    def __init__(self):
        self._latest = None

    def publish(self, version: int, params: Any) -> None:
        """Makes `params` what readers get from now on."""
        self._latest = (version, params)

    def latest(self) -> tuple[int, Any]:
        """Returns the last published `(version, params)`."""
        return self._latest


class Stopped(Exception):
    """The run is over; whoever waits should return."""


class TrajectoryQueue:
    """A bounded queue between threads that can end and can fail.

    A full queue makes actors wait (bounded lag and memory). An actor's exception is
    handed to the learner, which raises it instead of waiting for ever.
    """

    def __init__(self, capacity: int):
        self._queue = queue.Queue(maxsize=capacity)
        self._stop = threading.Event()
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        """Returns how many trajectories wait."""
        return self._queue.qsize()

    def put(self, item: Item) -> None:
        """Waits for room.

        Raises:
          Stopped: the run ended meanwhile.
        """
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
        raise Stopped

    def get(self) -> Item:
        """Waits for a trajectory.

        Raises:
          Stopped: the run ended meanwhile.
          BaseException: whatever an actor died of.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            if self._stop.is_set():
                raise Stopped
            try:
                return self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    def fail(self, error: BaseException) -> None:
        """Makes the next `get` raise `error`, whose traceback is the actor's own."""
        self._failure = error

    def stop(self) -> None:
        """Ends every wait."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether the run is over."""
        return self._stop.is_set()
