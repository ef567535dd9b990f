"""Drawings of an agent: trajectories of whole episodes, and their programs."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from spiral_jax.programs import Program
from spiral_jax.rollouts.base import TRAJECTORY_AXES, concatenate
from spiral_jax.rollouts.host import rollout
from spiral_jax.system import System
from spiral_jax.types import Trajectory


def sample_trajectories(
    system: System,
    params: Any,
    num_episodes: int,
    seed: int,
    targets: np.ndarray | None = None,
    batch_size: int = 100,
) -> Iterator[Trajectory]:
    """Yields trajectories that hold at least `num_episodes` episodes together.

    Args:
      system: from `make_system`.
      params: the policy's parameters.
      num_episodes: how many drawings are wanted.
      seed: of the sampling; the same seed draws the same.
      targets: what a conditional agent is shown, `[N, H, W, C]` float32; begun again
        if there are more episodes.
      batch_size: episodes a trajectory.
    """
    batch_size = min(batch_size, num_episodes)
    environment = system.environment(batch_size, seed)
    key = jax.random.key(seed)
    for index in range(-(-num_episodes // batch_size)):
        shown = None
        if targets is not None:
            first = index * batch_size
            shown = targets[np.arange(first, first + batch_size) % len(targets)]
        index_key = jax.random.fold_in(key, index)
        yield rollout(environment, system.actor_core, params, index_key, shown)
    environment.close()


def sample_drawings(
    system: System,
    params: Any,
    num_episodes: int,
    seed: int,
    targets: np.ndarray | None = None,
) -> Trajectory:
    """Samples exactly `num_episodes` episodes as one trajectory."""
    parts = sample_trajectories(system, params, num_episodes, seed, targets)
    joined = concatenate(list(parts))
    axes = jax.tree.broadcast(TRAJECTORY_AXES, joined)
    first = lambda axis, x: np.split(x, [num_episodes], axis)[0]
    return jax.tree.map(first, axes, joined)


def programs_of(system: System, trajectory: Trajectory) -> list[Program]:
    """Returns what a trajectory's episodes drew, as programs."""
    settings = system.environment(batch_size=1).settings
    return [
        Program({k: v[:, i] for k, v in trajectory.actions.items()}, settings)
        for i in range(trajectory.behaviour_log_prob.shape[1])
    ]
