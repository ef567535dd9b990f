"""Trains a population on Ray: a task is one agent's generation.

Ray runs as many tasks as there are resources for, the others wait: so agents take turns.
It starts a task again whose process died, and its processes stay for the next tasks, with
JAX imported. docs/population.md says why Ray Tune is not used.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import ray

from experiments.memory import keep_memory
from experiments.populations.agents import STOP_FILE, take_over, train_generation
from experiments.populations.state import Population, Progress, Range, decide
from spiral_jax.config import Config
from spiral_jax.extensions import import_extensions
from spiral_jax.training.signals import on_signals

RETRIES = 3  # of a task whose process died
WAIT_SECONDS = 0.5
_CACHE = "compilation_cache"  # in the population's folder


def _train(
    folder: Path, agent: str, settings: dict[str, Any], gpu_share: float
) -> Progress | None:
    """Trains an agent to the end of its generation, in a process of Ray's."""
    keep_memory()
    if 0 < gpu_share < 1:  # agents that share a GPU share its memory; before JAX asks
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 * gpu_share:.3f}")
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(folder / _CACHE))
    import_extensions(settings)
    ended = train_generation(Population.load(folder), agent, Config.from_dict(settings))
    jax.clear_caches()  # the next agent has programs of its own
    return ended


def resources(num_concurrent: int) -> dict[str, float]:
    """Returns an agent's share of a cluster of which so many train side by side."""
    there = ray.cluster_resources()
    shares = {
        f"num_{key.lower()}s": there.get(key, 0) / num_concurrent
        for key in ("CPU", "GPU")
    }
    # Ray gives whole ones, or a part of one.
    return {k: math.floor(x) if x > 1 else x for k, x in shares.items()}


def train_population(
    population: Population,
    config: Config,
    ranges: Mapping[str, Range],
    num_concurrent: int,
    say: Callable[[str], None] = print,
) -> bool:
    """Trains a population, or goes on with it; Ray has been joined.

    Args:
      population: which.
      config: of all agents, with the limits of the whole training of each.
      ranges: of the hyperparameters.
      num_concurrent: how many agents train side by side.
      say: prints a line.

    Returns:
      Whether it has trained for so long; False after Ctrl-C or SIGTERM, which save.

    Raises:
      ray.exceptions.RayError: an agent's process died, again and again.
      Exception: whatever an agent died of.
    """
    last = population.plan.num_generations(config.max_updates, config.max_minutes)
    stop_file = population.folder / STOP_FILE
    stop_file.unlink(missing_ok=True)
    with on_signals(stop_file.touch):
        while len(population.generations) < last:
            take_over(population)
            progress = _train_all(population, config, num_concurrent, last, say)
            if progress is None:
                say("Stopped and saved; the same command goes on from there.")
                return False
            if population.generation == last:
                population.record(progress)
                break
            exploits = decide(population, progress, ranges, config.seed)
            population.record(progress, exploits)
            for agent, exploit in exploits.items():
                values = ", ".join(
                    f"{k} {v:g}" for k, v in exploit.hyperparameters.items()
                )
                say(f"  {agent} takes over {exploit.source}, with {values}")
    return True


def _train_all(
    population: Population,
    config: Config,
    num_concurrent: int,
    last: int,
    say: Callable[[str], None],
) -> dict[str, Progress] | None:
    """Trains all agents to the end of the generation; None if they were stopped."""
    generation, plan = population.generation, population.plan
    # Called again if its process dies; then it goes on from its last checkpoint.
    share = resources(num_concurrent)
    task = ray.remote(_train).options(max_retries=RETRIES, **share)
    common = (dataclasses.asdict(config), share["num_gpus"])
    agents = {
        task.remote(population.folder, agent, *common): agent for agent in plan.agents
    }
    progress: dict[str, Progress] = {}
    waiting = list(agents)
    try:
        while waiting:
            done, waiting = ray.wait(waiting, timeout=WAIT_SECONDS)
            for task_id in done:
                ended = ray.get(task_id)
                if ended is None:
                    continue
                progress[agents[task_id]] = ended
                fitness = "failed" if ended.fitness is None else f"{ended.fitness:.4g}"
                say(
                    f"generation {generation} of {last}: {agents[task_id]}, "
                    f"{plan.fitness} {fitness}, {ended.updates:,} updates, "
                    f"{ended.minutes:.1f} min"
                )
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    return progress if len(progress) == plan.num_agents else None
