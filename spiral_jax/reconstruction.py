"""How well conditional agents redraw what they are shown: l2 on held-out targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spiral_jax.data import Dataset, to_float
from spiral_jax.evaluation import Evaluator, beside_untrained, draw
from spiral_jax.rewards import negative_distance
from spiral_jax.system import System

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
        others = {"this agent": self.now, "blank canvas": self.blank}
        title = "l2 distance to held-out targets"
        return beside_untrained(title, self.untrained, others)


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
        num, targets = len(self._targets), self._targets
        drawings = draw(self._system, params, num, stopped, targets)
        pairs = np.stack([targets, drawings], axis=1)
        return self._mean(drawings), pairs.reshape(-1, *drawings.shape[1:])

    def table(self, now: float) -> Reconstruction:
        """Puts an agent's distance beside the untrained one's and blank canvases'."""
        untrained, _ = self.distance(self._system.initial_policy())
        environment = self._system.environment(len(self._targets))
        blank = environment.reset().observation["canvas"]
        environment.close()
        return Reconstruction(untrained, now, self._mean(blank))

    def _mean(self, drawings: np.ndarray) -> float:
        return -float(np.mean(negative_distance(drawings, self._targets)))


def make_evaluator(
    system: System, data: Dataset, run_dir: Path
) -> Evaluator | ReconstructionEvaluator:
    """Makes what measures this run's agent: conditional ones by l2, others by Fréchet."""
    make = ReconstructionEvaluator if system.config.conditional else Evaluator
    return make(system, data, run_dir)
