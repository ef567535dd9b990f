"""What runs in an actor's process of its own, see `ray_actors`."""

import os
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from spiral_jax.precision import in_float32
from spiral_jax.rollouts.base import Rollout
from spiral_jax.rollouts.host import Actor
from spiral_jax.rollouts.queues import ParameterStore

# `(images, store, actor_id, num_rollouts) -> Actor`, called in the actor's process.
MakeActor = Callable[[np.ndarray | None, ParameterStore, int, int], Actor]


class Failure(NamedTuple):
    """An exception in an actor's process.

    Attributes:
      kind: its type and the line that raised it: the same ones are counted.
      text: its traceback.
    """

    kind: str
    text: str


class Player:
    """What an actor's process runs."""

    def __init__(self, make: bytes, images: np.ndarray | None, actor_id: int):
        """Takes what makes the actor, pickled: it is made when first asked to play."""
        # Whoever learns on this machine needs all of an accelerator's memory.
        jax.config.update("jax_platforms", "cpu")
        # XLA's threads: one for each core of the machine by default, in each process.
        os.environ["NPROC"] = "1"
        self._make, self._images, self._id = make, images, actor_id
        self._store = ParameterStore()
        self._version = -1
        self._actor: Actor | None = None

    @in_float32
    def play(self, index: int, version: int, params: Any) -> Rollout | Failure:
        """Plays one rollout.

        Args:
          index: of the rollout.
          version, params: what acts.
        """
        import ray.cloudpickle as cloudpickle

        try:
            if self._actor is None:
                make = cloudpickle.loads(self._make)
                self._actor = make(self._images, self._store, self._id, index)
            if version != self._version:
                self._store.publish(version, params)
                self._version = version
            return self._actor.next()
        except Exception as error:
            self._actor = None
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} ({last.filename}:{last.lineno})"
            return Failure(kind, traceback.format_exc())


def pickled(make: MakeActor) -> bytes:
    """Returns what `Player` takes.

    Raises:
      ValueError: it cannot be sent to other processes.
    """
    import ray.cloudpickle as cloudpickle

    try:
        return cloudpickle.dumps(make)
    except Exception as error:
        raise ValueError(
            f"actors='ray': a policy of your own cannot be sent to other processes "
            f"({type(error).__name__}: {error}); make all that it needs inside the "
            "function that builds it, or take actors='threads'."
        ) from error
