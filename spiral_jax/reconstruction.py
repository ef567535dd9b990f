"""How well conditional agents redraw what they are shown: l2 on held-out targets."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from spiral_jax.data import Dataset, to_float
from spiral_jax.evaluation import Evaluator, FrechetEvaluator, draw
from spiral_jax.rewards import negative_distance
from spiral_jax.system import System

NUM_TARGETS = 500


class ReconstructionReport(NamedTuple):
    """Mean l2 distances of finished canvases to held-out targets.

    Attributes:
      now: of this agent.
      blank: of blank canvases, what an agent gets that draws nothing.
    """

    now: float
    blank: float

    @property
    def floor(self) -> tuple[str, float]:
        """What curves are to come below: its name, and the distance."""
        return "blank canvas", self.blank

    def __str__(self) -> str:
        return (
            "l2 distance to held-out targets\n"
            f"  {'this agent':24s} {self.now:#8.4g}   "
            f"({self.now / self.blank:.3f} of blank)\n"
            f"  {'blank canvas':24s} {self.blank:#8.4g}"
        )


class ReconstructionEvaluator:
    """Measures agents on the first 500 held-out targets of a run's data.

    Attributes:
      metric, label: what the measure is called in metrics.jsonl, and for readers.
    """

    metric = "reconstruction/l2"
    label = "held-out l2"

    def __init__(self, system: System, data: Dataset):
        """Takes the test pictures."""
        self._system = system
        self._targets = to_float(data.test.images[:NUM_TARGETS])
        self.num_drawings = len(self._targets)

    def measure(
        self, params: Any, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, float], np.ndarray]:
        """Measures one drawing of each target, always of the same random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          The mean of `|canvas - target|_2` by its name in metrics.jsonl, and targets and
          finished canvases in turns, `[2N, H, W, C]`.

        Raises:
          Stopped: `stopped` said so.
        """
        num, targets = len(self._targets), self._targets
        drawings = draw(self._system, params, num, stopped, targets)
        pairs = np.stack([targets, drawings], axis=1)
        measures = {self.metric: self._mean(drawings)}
        return measures, pairs.reshape(-1, *drawings.shape[1:])

    def table(self, agent: dict[str, float]) -> ReconstructionReport:
        """Puts what `measure` returned beside blank canvases."""
        blank = np.broadcast_to(self._system.blank, self._targets.shape)
        return ReconstructionReport(agent[self.metric], self._mean(blank))

    def in_short(self, measures: dict[str, float]) -> str:
        """Writes what `measure` returned in a line."""
        return f"{self.label} {measures[self.metric]:.4g}"

    def _mean(self, drawings: np.ndarray) -> float:
        return -float(np.mean(negative_distance(drawings, self._targets)))


def make_evaluator(system: System, data: Dataset) -> Evaluator:
    """Makes what measures this run's agent: conditional ones by what they were shown."""
    if system.config.conditional:
        return ReconstructionEvaluator(system, data)
    return FrechetEvaluator(system, data)
