"""How well conditional agents redraw what they are shown: l2 on held-out targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spiral_jax.data import Dataset, to_float
from spiral_jax.queues import Stopped
from spiral_jax.rewards import negative_distance
from spiral_jax.system import System, sample_trajectories

NUM_TARGETS = 500


class Reconstruction(NamedTuple):
    """Mean l2 distances of finished canvases to held-out targets.

    Attributes:
      untrained: of the agent that training starts from.
      now: of this agent.
      blank: of blank canvases, what an agent gets that draws nothing.
    """

    untrained: float
    now: float
    blank: float

    def __str__(self) -> str:
        return "\n".join(
            [
                "l2 distance to held-out targets",
                f"  untrained agent          {self.untrained:8.3f}",
                f"  this agent               {self.now:8.3f}   "
                f"({self.now / self.untrained:.3f} of untrained)",
                f"  blank canvas             {self.blank:8.3f}   "
                f"({self.blank / self.untrained:.3f} of untrained)",
            ]
        )


class ReconstructionEvaluator:
    """Measures agents on the first 500 held-out targets of a run's data.

    Attributes:
      metric, label: what the measure is called in metrics.jsonl, and for readers.
    """

    metric = "reconstruction/l2"
    label = "held-out l2"

    def __init__(self, system: System, data: Dataset, run_dir: Path):
        """Takes the test pictures; `run_dir` is not needed here, see `Evaluator`."""
        self._system = system
        self._targets = to_float(data.test.images[:NUM_TARGETS])

    def distance(
        self, params: Any, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[float, np.ndarray]:
        """Measures one drawing of each target, always of the same random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          The mean of `|canvas - target|_2`, and targets and finished canvases in turns,
          `[2N, H, W, C]`.

        Raises:
          Stopped: `stopped` said so.
        """
        drawings = []
        num, seed = len(self._targets), self._system.seed("evaluation")
        for part in sample_trajectories(self._system, params, num, seed, self._targets):
            if stopped():
                raise Stopped
            drawings.append(part.canvases[-1])
        drawings = np.concatenate(drawings)[:num]
        pairs = np.stack([self._targets, drawings], axis=1)
        return self._mean(drawings), pairs.reshape(-1, *drawings.shape[1:])

    def table(self, params: Any) -> Reconstruction:
        """Measures an agent beside the untrained one and blank canvases."""
        untrained, _ = self.distance(self._system.initial_policy())
        now, _ = self.distance(params)
        environment = self._system.environment(len(self._targets))
        blank = environment.reset().observation["canvas"]
        environment.close()
        return Reconstruction(untrained, now, self._mean(blank))

    def _mean(self, drawings: np.ndarray) -> float:
        return -float(np.mean(negative_distance(drawings, self._targets)))
