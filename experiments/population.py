r"""Trains a population of agents that tune their own rates and entropy costs, on Ray.

  python -m experiments.population --preset=mnist_small --num_agents=6 --max_minutes=30

Limits are those of each agent. At the end of each generation the worst quarter of the
agents takes over the state of the best, and goes on with changed hyperparameters. Agents
take turns if there are more of them than --num_concurrent. Interrupted, the same command
goes on. POPULATION_DIR/best is the run folder of the best agent, schedule.json how its
hyperparameters went, population.png how all agents' did. --replay_schedule trains one
agent by that schedule, without Ray:

  python -m experiments.population --replay_schedule=runs/population/schedule.json

With --random_search the same agents train again, as long, without taking over anything:
comparison.png has both. docs/population.md says more. Needs `pip install
'spiral_jax[ray]'`, and matplotlib for the figures.
"""

import dataclasses
import importlib.util
import os
import shlex
from pathlib import Path

import jax
from absl import flags

from experiments.cli import as_called, define_path, run
from experiments.curves import save_figure
from experiments.memory import keep_memory
from experiments.populations.agents import copy_run
from experiments.populations.figures import draw_comparison, draw_population
from experiments.populations.schedule import Schedule, replay
from experiments.populations.state import FITNESSES, Plan, Population, Range
from experiments.settings import define_settings, short_help
from spiral_jax import ray_cluster
from spiral_jax.config import PRESETS, Config, preset
from spiral_jax.ownership import owned
from spiral_jax.paths import check_utf8, local_path

_PRESET = flags.DEFINE_string(
    "preset", "mnist_small", f"Settings to start from. One of: {', '.join(PRESETS)}."
)
_POPULATION_DIR = define_path(
    "population_dir", None, "Folder of the population; runs/population if not given."
)
_NUM_AGENTS = flags.DEFINE_integer("num_agents", 12, "Agents of the population.")
_NUM_CONCURRENT = flags.DEFINE_integer(
    "num_concurrent",
    None,
    "Agents that train side by side, the others wait; one a core if not given.",
    lower_bound=1,
)
_FITNESS = flags.DEFINE_enum(
    "fitness",
    None,
    FITNESSES,
    "By what agents are compared: the score by each one's own critic (the paper's), the "
    "Fréchet distance or, of conditional agents, the l2 distance to held-out targets. "
    "One of the distances if not given.",
)
_EXPLOIT_MINUTES = flags.DEFINE_float(
    "exploit_minutes", 5.0, "Minutes of an agent's training between two takings over."
)
_EXPLOIT_UPDATES = flags.DEFINE_integer(
    "exploit_updates", 0, "Policy updates instead of minutes; 0: minutes."
)
_RANGES = {
    name: flags.DEFINE_list(
        f"{name}_range", default, f"Least and largest {text}; drawn log-uniformly."
    )
    for name, default, text in (
        ("policy_learning_rate", ["1e-5", "3e-4"], "learning rate of policies"),
        ("critic_learning_rate", ["1e-5", "3e-4"], "learning rate of critics"),
        ("entropy_cost", ["2e-3", "1e-1"], "weight of the entropy bonus"),
    )
}
_RANDOM_SEARCH = flags.DEFINE_bool(
    "random_search", False, "Afterwards train the same agents without taking over."
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    "",
    "Ray cluster to join, auto for this machine's; empty: one is started for the run.",
)
_REPLAY_SCHEDULE = define_path(
    "replay_schedule", None, "schedule.json of a population, by which one agent trains."
)
_RUN_DIR = define_path(
    "run_dir", None, "With --replay_schedule: the run's folder; runs/replay if not given."
)
_SETTINGS = define_settings()


def ranges() -> dict[str, Range]:
    """Returns the ranges that the flags give.

    Raises:
      ValueError: one is none.
    """
    found = {}
    for name, flag in _RANGES.items():
        try:
            low, high = map(float, flag.value)
            good = 0 < low <= high < 1
        except ValueError:
            good = False
        if not good:
            raise ValueError(
                f"{name}_range={','.join(flag.value)}: expected two numbers between 0 "
                "and 1, the smaller one first."
            )
        found[name] = Range(low, high)
    return found


def config_from_flags() -> Config:
    """Returns the settings of all agents.

    Raises:
      ValueError: an impossible value, no such preset, or a setting that is tuned.
    """
    changes = _SETTINGS()
    if tuned := sorted(set(changes) & set(_RANGES)):
        raise ValueError(
            f"{tuned[0]}={changes[tuned[0]]!r}: the population tunes it, within "
            f"--{tuned[0]}_range; leave it out."
        )
    return dataclasses.replace(preset(_PRESET.value), **changes)


def fitness_of(config: Config, given: str | None) -> str:
    """Returns by what agents are compared.

    Args:
      config: of the agents.
      given: by the user; None: the distance that their evaluation measures.

    Raises:
      ValueError: their evaluation measures the other distance.
    """
    measured = "l2" if config.conditional else "frechet"
    fitness = given or measured
    if fitness not in ("critic", measured):
        raise ValueError(
            f"fitness={fitness!r} with conditional={config.conditional}: what is "
            f"measured there is {measured!r}; expected that or 'critic'."
        )
    return fitness


def _replay() -> None:
    keep_memory()
    run_dir = _RUN_DIR.value or local_path("runs/replay")
    check_utf8(run_dir, "run_dir")
    table = replay(Schedule.load(_REPLAY_SCHEDULE.value), run_dir, _SETTINGS())
    if table is not None:
        print(f"\n{table}\n\nThe run is in {run_dir}.")


def _train(folder: Path, plan: Plan, config: Config) -> Population | None:
    """Trains one population; returns it once it is trained, None if stopped before."""
    # Only here, as Ray may be absent.
    from experiments.populations.on_ray import train_population

    population = Population.open(folder, plan, ranges(), config.seed)
    kind = "population" if plan.exploits else "random search"
    print(f"{kind} of {plan.num_agents} in {folder}", flush=True)

    def say(line: str) -> None:
        print(line, flush=True)

    done = train_population(population, config, ranges(), _num_concurrent(), say)
    _keep_results(population, config)
    return population if done else None


def _num_concurrent() -> int:
    return _NUM_CONCURRENT.value or min(_NUM_AGENTS.value, os.cpu_count() or 1)


def _keep_results(population: Population, config: Config) -> None:
    """Writes the best agent's run folder, its schedule and the figure."""
    if not population.generations:
        return
    folder, best = population.folder, population.best()
    copy_run(population.run_dir(best), folder / "best")
    settings = Config.load(folder / "best" / "config.json")
    steps = population.schedule(best)
    limits = {"max_minutes": 0.0, "evaluate_minutes": config.evaluate_minutes}
    settings = dataclasses.replace(settings, **limits)
    Schedule(dataclasses.asdict(settings), steps).save(folder / "schedule.json")
    save_figure(draw_population(population), folder / "population.png")


def _report(population: Population) -> None:
    best = population.best()
    fitness = population.generations[-1]["agents"][best]["fitness"]
    found = ", ".join(f"{k} {v:.3g}" for k, v in population.hyperparameters(best).items())
    print(
        f"\nThe best of {population.folder} is {best}: {population.plan.fitness} "
        f"{fitness:.4g}, now with {found}. Draw with it by"
    )
    command = as_called("python -m experiments.sample")
    print(f"  {command} {shlex.quote(f'--run_dir={population.folder}/best')}")


def main(argv: list[str]) -> None:
    if _REPLAY_SCHEDULE.value:
        _replay()
        return
    config = config_from_flags()
    folder = _POPULATION_DIR.value or local_path("runs/population")
    check_utf8(folder, "population_dir")
    plan = Plan(
        _NUM_AGENTS.value,
        fitness_of(config, _FITNESS.value),
        _EXPLOIT_UPDATES.value,
        _EXPLOIT_MINUTES.value,
    )
    ranges()  # refused before anything is made, as is a population without an end
    plan.num_generations(config.max_updates, config.max_minutes)
    ray_cluster.check_installed()
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("no matplotlib: pip install 'spiral_jax[plot]'.")
    jax.config.update("jax_platforms", "cpu")  # of this process; agents train elsewhere
    with (  # Ray first: it forks, which JAX's threads would not survive
        ray_cluster.joined(_RAY_ADDRESS.value, _num_concurrent()),
        owned(folder),
    ):
        population = _train(folder, plan, config)
        if population is None:
            raise SystemExit(1)
        compared = {"population": population}
        if _RANDOM_SEARCH.value:
            other = folder / "random_search"
            other.mkdir(exist_ok=True)
            plan = dataclasses.replace(plan, exploits=False)
            compared["random search"] = searched = _train(other, plan, config)
            if searched is None:
                raise SystemExit(1)
            save_figure(draw_comparison(compared), folder / "comparison.png")
    for population in compared.values():
        _report(population)


if __name__ == "__main__":
    run(main, "population", short_help=lambda s: short_help(config_from_flags(), s))
