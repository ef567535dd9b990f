"""Figures of populations, by matplotlib, which is imported when one is made."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.populations.state import Population

_LABELS = {
    "critic": "critic's score",
    "frechet": "Fréchet distance",
    "l2": "held-out l2",
    "policy_learning_rate": "policy learning rate",
    "critic_learning_rate": "critic learning rate",
    "entropy_cost": "entropy cost",
}


def _figure(num_panels: int):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(num_panels, 2)
    rows = -(-num_panels // columns)
    size = (4.5 * columns, 3.2 * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    return figure, list(axes.flat)


def draw_population(population: Population):
    """Draws the fitness and the hyperparameters of all agents over time.

    A line ends where its agent takes over another one; the best agent's are thick.

    Args:
      population: with a generation or more.
    """
    from matplotlib import pyplot

    plan, best = population.plan, population.best()
    key, unit = ("updates", "updates") if plan.exploit_updates else ("minutes", "minutes")
    names = list(population.hyperparameters(best))
    figure, axes = _figure(1 + len(names))
    colors = pyplot.colormaps["turbo"](np.linspace(0.05, 0.95, plan.num_agents))
    for agent, color in zip(plan.agents, colors):
        style = {"color": color, "linewidth": 2.5 if agent == best else 1}
        for part in pieces(population, agent):
            times = [at_end[key] for at_end in part]
            fitness = [at_end["fitness"] for at_end in part]
            finite = [np.nan if x is None else x for x in fitness]
            axes[0].plot(times, finite, marker=".", **style)
            starts = [part[0]["started"][key], *times[:-1]]
            for axis, name in zip(axes[1:], names):
                x = [t for pair in zip(starts, times) for t in pair]
                y = [at_end["hyperparameters"][name] for at_end in part for _ in "ab"]
                axis.plot(x, y, **style)
    axes[0].set_ylabel(_LABELS[plan.fitness])
    if plan.fitness != "critic":
        axes[0].set_yscale("log")
    for axis, name in zip(axes[1:], names):
        axis.set_ylabel(_LABELS.get(name, name))
        axis.set_yscale("log")
    for axis in axes:
        axis.set_xlabel(f"{unit} of training")
    return figure


def pieces(population: Population, agent: str) -> list[list[dict[str, Any]]]:
    """Cuts an agent's history where it takes over another one.

    Returns:
      Lists of what `generations` say of the agent, each with `"started"`: what was said
      at the end of the generation before of who it came from.
    """
    found: list[list[dict[str, Any]]] = [[]]
    started: Mapping[str, Any] = {"updates": 0, "minutes": 0.0}
    for generation in population.generations:
        found[-1].append({**generation["agents"][agent], "started": started})
        started = generation["agents"][agent]
        if exploit := generation.get("exploits", {}).get(agent):
            started = generation["agents"][exploit["source"]]
            found.append([])
    return [part for part in found if part]


def ranked(population: Population) -> dict[str, list[float]]:
    """Returns the best, median and worst fitness of each generation; NaN: it failed."""
    plan = population.plan
    rows = []
    for generation in population.generations:
        values = [at_end["fitness"] for at_end in generation["agents"].values()]
        scores = np.sort([plan.score(value) for value in values])[::-1]
        picked = np.array([scores[0], np.median(scores), scores[-1]])
        picked[~np.isfinite(picked)] = np.nan
        rows.append(picked if plan.fitness == "critic" else -picked)
    columns = np.array(rows).reshape(-1, 3).T.tolist()
    return dict(zip(("best", "median", "worst"), columns))


def draw_comparison(populations: Mapping[str, Population]):
    """Draws best, median and worst fitness of populations of one plan over time.

    Args:
      populations: by their names.
    """
    figure, axes = _figure(1)
    lines = {"best": "-", "median": "--", "worst": ":"}
    plan = next(iter(populations.values())).plan
    for number, (label, population) in enumerate(populations.items()):
        for name, values in ranked(population).items():
            times = (plan.exploit_updates or plan.exploit_minutes) * np.arange(
                1, len(values) + 1
            )
            style = {"color": f"C{number}", "linestyle": lines[name], "marker": "."}
            axes[0].plot(times, values, label=f"{label}, {name}", **style)
    unit = "updates" if plan.exploit_updates else "minutes"
    axes[0].set_xlabel(f"{unit} of training of each agent")
    axes[0].set_ylabel(_LABELS[plan.fitness])
    if plan.fitness != "critic":
        axes[0].set_yscale("log")
    axes[0].legend(fontsize=7)
    return figure
