"""The schedule of hyperparameters that a population found, and runs that follow one."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from spiral_jax.checkpoint import newest_step
from spiral_jax.config import Config
from spiral_jax.documents import parse_json
from spiral_jax.evaluation import Report
from spiral_jax.paths import write_file
from spiral_jax.train import train


class Schedule(NamedTuple):
    """Settings, some of which change while a run goes on.

    Attributes:
      settings: of the run, as `config.json` has them.
      steps: `{"until_updates", **settings}`, in the order of updates.
    """

    settings: dict[str, Any]
    steps: list[dict[str, float]]

    def configs(self, changes: dict[str, Any]) -> list[Config]:
        """Returns the settings of each step; it ends by `max_updates`.

        Args:
          changes: settings that the user wants otherwise in all steps.

        Raises:
          ValueError: a setting is impossible, or the schedule decides it.
        """
        decided = {"max_updates", *(key for step in self.steps for key in step)}
        if both := sorted(decided & set(changes)):
            raise ValueError(
                f"{both[0]}={changes[both[0]]!r}: the schedule decides it; leave it out."
            )
        config = dataclasses.replace(Config.from_dict(self.settings), **changes)
        return [
            dataclasses.replace(
                config,
                max_updates=int(step["until_updates"]),
                **{k: v for k, v in step.items() if k != "until_updates"},
            )
            for step in self.steps
        ]

    def save(self, path: Path) -> None:
        """Writes JSON."""
        write_file(path, json.dumps(self._asdict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Schedule":
        """Reads what `save` wrote.

        Raises:
          OSError: it cannot be read.
          ValueError: it holds something else.
        """
        values = parse_json(path.read_bytes(), str(path))
        try:
            schedule = cls(**values)
            numbers = [step["until_updates"] for step in schedule.steps]
            if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 1:
                raise ValueError(f"until_updates is {numbers}, expected rising ones")
            return schedule
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} holds no schedule ({error}): expected the schedule.json of a "
                "population."
            ) from error


def replay(schedule: Schedule, run_dir: Path, changes: dict[str, Any]) -> Report | None:
    """Trains one agent by a schedule, or goes on with it.

    Args:
      schedule: which settings hold for which updates.
      run_dir: the run's folder.
      changes: settings that are to be otherwise in all steps.

    Returns:
      See `train`; None after Ctrl-C.
    """
    configs, table = schedule.configs(changes), None
    for config in configs:
        done = newest_step(run_dir / "checkpoints") or 0
        if done >= config.max_updates and config is not configs[-1]:
            continue
        table = train(config, run_dir)
        if table is None:
            return None
    return table
