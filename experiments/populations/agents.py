"""One agent of a population: an ordinary run, trained a generation at a time."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.populations.state import Population, Progress
from spiral_jax.checkpoint import newest_step
from spiral_jax.config import Config
from spiral_jax.documents import parse_json
from spiral_jax.metrics import FILE, NotFiniteError, read_records
from spiral_jax.ownership import FOLDER as OWNER_FOLDER
from spiral_jax.paths import write_file
from spiral_jax.rollouts.queues import Stopped
from spiral_jax.train import train

# In a run folder: how its last generation ended, and whom it was copied from.
_PROGRESS, _SOURCE = "generation.json", "source.json"
# In a population's folder: agents save and stop once it is there.
STOP_FILE = "stop"
_METRICS = {
    "critic": "policy/score",
    "frechet": "frechet/distance",
    "l2": "reconstruction/l2",
}


class _StopFile:
    """A metrics writer that stops the run, which saves, once a file is there."""

    def __init__(self, path: Path):
        self._path = path

    def scalars(self, num_updates: int, values: Mapping[str, float]) -> None:
        if self._path.exists():
            raise Stopped

    def picture(self, num_updates: int, name: str, picture: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass


def train_generation(population: Population, agent: str, config: Config):
    """Trains an agent to the end of the generation, unless it is there already.

    Args:
      population: whose.
      agent: its name.
      config: settings of all agents; their limits are those of the whole training.

    Returns:
      Its `Progress`; None if it was stopped, which saves.
    """
    run_dir, generation = population.run_dir(agent), population.generation
    if (ended := read_progress(run_dir, generation)) is not None:
        return ended
    stop_file = population.folder / STOP_FILE
    if stop_file.exists():
        return None
    plan, number = population.plan, population.plan.agents.index(agent)
    config = dataclasses.replace(
        config,
        **population.hyperparameters(agent),
        **plan.limits(generation, config.max_updates, config.max_minutes),
        seed=config.seed + number,
        evaluate_minutes=0.0,  # at the end of each generation, that is
    )
    before = newest_step(run_dir / "checkpoints") or 0
    failed = False
    try:
        if train(config, run_dir, writers=[_StopFile(stop_file)]) is None:
            return None
    except NotFiniteError:
        failed = True  # the worst of all, so that it takes over another one
    updates = newest_step(run_dir / "checkpoints") or 0
    ended = read_fitness(run_dir, plan.fitness, before, updates)
    if failed:
        ended = ended._replace(fitness=None)
    values = {"generation": generation, **ended._asdict()}
    write_file(run_dir / _PROGRESS, json.dumps(values) + "\n")
    return ended


def read_progress(run_dir: Path, generation: int) -> Progress | None:
    """Returns how an agent's generation ended; None if it has not."""
    path = run_dir / _PROGRESS
    if not path.exists():
        return None
    values = parse_json(path.read_bytes(), str(path))
    return Progress(**values) if values.pop("generation") == generation else None


def read_fitness(run_dir: Path, fitness: str, before: int, updates: int) -> Progress:
    """Reads a generation's fitness from the metrics of its run.

    Args:
      run_dir: of the agent.
      fitness: see `Plan`; the critic's score is the mean over the generation, all else
        was measured at its end.
      before, updates: the policy updates behind the agent when it began and ended.
    """
    key, minutes, values = _METRICS[fitness], 0.0, []
    path = run_dir / FILE
    for record in read_records(path) if path.exists() else []:
        if record["updates"] <= updates:
            minutes = record["minutes"]
            if key in record and record["updates"] > before:
                values.append(record[key])
    if fitness != "critic":
        values = values[-1:]
    return Progress(updates, minutes, float(np.mean(values)) if values else None)


def take_over(population: Population) -> None:
    """Copies runs as the last decision says, those that are not copied yet.

    To be called while no agent trains. It may be killed at any moment, and be called
    again.
    """
    for agent, (generation, source) in population.exploits().items():
        if generation != population.generation - 1:
            continue
        run_dir = population.run_dir(agent)
        note = {"generation": generation, "source": source}
        path = run_dir / _SOURCE
        if path.exists() and parse_json(path.read_bytes(), str(path)) == note:
            continue
        copy_run(population.run_dir(source), run_dir, {_SOURCE: json.dumps(note) + "\n"})


def copy_run(source: Path, target: Path, files: Mapping[str, str] | None = None) -> None:
    """Puts a copy of a run, with its newest checkpoint, in place of another one.

    Args:
      source: the run's folder; nobody trains in it.
      target: where the copy goes; what was there is gone.
      files: texts that the copy has besides, by name.
    """
    newest = newest_step(source / "checkpoints")

    def others(folder: str, names: list[str]) -> list[str]:
        if Path(folder) == source:
            return [OWNER_FOLDER, _SOURCE]
        if Path(folder) == source / "checkpoints":
            return [name for name in names if name != str(newest)]
        return []

    part, old = (target.with_name(f"{target.name}.{end}") for end in ("part", "old"))
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, part, ignore=others)
    for name, text in (files or {}).items():
        write_file(part / name, text)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)
