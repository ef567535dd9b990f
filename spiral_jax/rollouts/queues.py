"""What actors and learner exchange: trajectories one way, parameters the other."""

import queue
import threading
from typing import Any

import jax

from spiral_jax.rollouts.base import Rollout

POLL_SECONDS = 0.1


class ParameterStore:
    """The latest policy parameters, for any number of readers.

    Version and parameters are one tuple behind one reference, so a reader never sees a
    version with another version's parameters.
    """

    def __init__(self, *, in_lock_step: bool = True):
        """Takes how it is read.

        Args:
          in_lock_step: whether readers get what was published last, although it may still
            be computing. Else they get what is ready, and need not wait.
        """
        self._in_lock_step = in_lock_step
        self._lock = threading.Lock()
        self._latest: tuple[int, Any] | None = None
        self._computing: tuple[int, Any] | None = None
        self._copies: dict[jax.Device, tuple[int, Any]] = {}

    def publish(self, version: int, params: Any) -> None:
        """Makes `params` what readers get from now on, or as soon as they are ready."""
        with self._lock:
            if self._in_lock_step or self._latest is None:
                self._latest = (version, params)
                return
            # The one before is ready: the learner waits for it before it goes on.
            self._latest = self._computing or self._latest
            self._computing = (version, params)

    def latest(self, device: jax.Device | None = None) -> tuple[int, Any]:
        """Returns `(version, params)`.

        Args:
          device: where they are wanted: all readers there share one copy of a version.
            None: where they are.
        """
        with self._lock:
            if self._computing and _is_ready(self._computing[1]):
                self._latest, self._computing = self._computing, None
            version, params = self._latest
            if device is None:
                return version, params
            if self._copies.get(device, (-1,))[0] != version:
                self._copies[device] = version, jax.device_put(params, device)
            return self._copies[device]


def _is_ready(params: Any) -> bool:
    leaves = jax.tree.leaves(params)
    return all(leaf.is_ready() for leaf in leaves if isinstance(leaf, jax.Array))


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

    def put(self, rollout: Rollout) -> None:
        """Waits for room.

        Raises:
          Stopped: the run ended meanwhile.
        """
        while not self._stop.is_set():
            try:
                return self._queue.put(rollout, timeout=POLL_SECONDS)
            except queue.Full:
                continue
        raise Stopped

    def get(self) -> Rollout:
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
