"""The evaluations of a run: what they measure, leave behind, and how long they take."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spiral_jax.data import Dataset
from spiral_jax.evaluation import MeasureFn, Report
from spiral_jax.images import save_png, sheet
from spiral_jax.metrics import Metrics, ProgressLine
from spiral_jax.reconstruction import make_evaluator
from spiral_jax.system import System

SHEET_DRAWINGS = 100


class Evaluations:
    """Measures the run's agent now and then, in the process that writes metrics."""

    def __init__(
        self,
        system: System,
        data: Dataset,
        run_dir: Path,
        own: Sequence[MeasureFn],
        metrics: Metrics,
        progress: ProgressLine,
    ):
        """Takes what is measured, and where it is written.

        Args:
          system: from `make_system`.
          data: the run's.
          run_dir: where the sheet of samples goes.
          own: measures of somebody's own.
          metrics, progress: the run's.
        """
        self._evaluator = make_evaluator(system, data)
        self._system, self._own = system, own
        self._sheet = run_dir / "samples.png"
        self._metrics, self._progress = metrics, progress
        self._last_minutes = 0.0

    def run(
        self,
        params: Any,
        num_updates: int,
        frames: int,
        stopped: Callable[[], bool],
        check: Callable[[], None],
    ) -> dict[str, float]:
        """Writes how well the agent draws, and a sheet of samples.

        Args:
          params: the policy's parameters.
          num_updates, frames: of the run so far.
          stopped: asked between batches whether to give up.
          check: called before anything is written.

        Returns:
          What the run's evaluator measured.

        Raises:
          Stopped: `stopped` said so.
        """
        begun, batches = self._metrics.minutes, itertools.count(1)

        def said_and_stopped() -> bool:
            self._progress.note(
                f"{num_updates:,} updates, measuring: batch {next(batches)}"
            )
            return stopped()

        measures, drawings = self._evaluator.measure(params, said_and_stopped)
        own = {}
        for measure in self._own:
            own |= measure(self._system, drawings)
        check()
        self._metrics.write(num_updates, frames, measures | own)
        page = sheet(drawings[:SHEET_DRAWINGS])
        save_png(self._sheet, page, scale=2)
        self._metrics.picture(num_updates, "samples", page)
        self._last_minutes = self._metrics.minutes - begun
        self._progress.say(
            f"{num_updates} updates, {frames:,} frames, "
            f"{self._metrics.minutes:.1f} min: {self._evaluator.in_short(measures)}"
            + "".join(f", {name} {value:.4g}" for name, value in own.items())
        )
        return measures

    def minutes(self, minutes_per_frame: float) -> float:
        """Returns how long an evaluation takes: the last one, or a guess before it.

        Args:
          minutes_per_frame: of playing and learning, which playing alone takes no longer
            than.
        """
        frames = self._evaluator.num_drawings * self._system.config.num_commands
        return self._last_minutes or minutes_per_frame * frames

    def table(self, measures: dict[str, float]) -> Report:
        """Puts what `run` returned beside what it can be compared with."""
        return self._evaluator.table(measures)
