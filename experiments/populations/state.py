"""What is known of a population: its plan, and all generations so far; no Ray here.

`population.json` is the truth. It is written whole by the one process that decides, so
that a kill at any moment leaves what was decided before, or after, and nothing between.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spiral_jax.documents import parse_json
from spiral_jax.paths import write_file

FILE = "population.json"
FITNESSES = ("critic", "frechet", "l2")

# As Jaderberg et al. 2017 and Ray Tune have them: so large a part of the agents
# takes over as large a part; a hyperparameter is drawn anew so often, else multiplied.
QUANTILE = 0.25
RESAMPLE = 0.25
FACTORS = (0.8, 1.2)

Hyperparameters = dict[str, float]


class Range(NamedTuple):
    """Where a hyperparameter may be; it is drawn evenly in its logarithm."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draws a value, to four digits."""
        return self.clip(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))

    def clip(self, value: float) -> float:
        """Returns the nearest value in the range, to four digits."""
        return min(max(float(f"{value:.4g}"), self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What stays the same for as long as a population lives.

    Attributes:
      num_agents: of the population.
      fitness: `"critic"`, higher is better, or `"frechet"` or `"l2"`, lower is better.
      exploit_updates: policy updates of a generation; 0: `exploit_minutes` decides.
      exploit_minutes: minutes of training of a generation.
      exploits: whether bad agents take over good ones; False is a random search.
    """

    num_agents: int
    fitness: str
    exploit_updates: int
    exploit_minutes: float
    exploits: bool = True

    def __post_init__(self):
        if self.num_agents < 2:
            raise ValueError(f"num_agents={self.num_agents}: expected at least 2.")
        if self.fitness not in FITNESSES:
            raise ValueError(f"fitness={self.fitness!r}: expected one of {FITNESSES}.")
        if self.exploit_updates < 0:
            raise ValueError(
                f"exploit_updates={self.exploit_updates}: expected at least 0."
            )
        if not self.exploit_updates and not 0 < self.exploit_minutes < math.inf:
            raise ValueError(
                f"exploit_minutes={self.exploit_minutes} with exploit_updates=0: "
                "expected minutes above 0."
            )

    @property
    def agents(self) -> list[str]:
        """The agents' names, which are those of their folders."""
        return [f"agent_{i:02d}" for i in range(self.num_agents)]

    def limits(self, generation: int, max_updates: int, max_minutes: float) -> dict:
        """Returns the settings `max_updates` and `max_minutes` that end a generation.

        Args:
          generation: from 1.
          max_updates, max_minutes: of the whole training of an agent; minutes may be 0,
            for no limit.
        """
        if self.exploit_updates:
            until = min(generation * self.exploit_updates, max_updates)
            return {"max_updates": until, "max_minutes": max_minutes}
        until = generation * self.exploit_minutes
        until = min(until, max_minutes) if max_minutes else until
        return {"max_updates": max_updates, "max_minutes": until}

    def num_generations(self, max_updates: int, max_minutes: float) -> int:
        """Returns after how many generations agents have trained for so long.

        Raises:
          ValueError: generations are in minutes, and nothing limits these.
        """
        if self.exploit_updates:
            return math.ceil(max_updates / self.exploit_updates)
        if not max_minutes:
            raise ValueError(
                "max_minutes=0: a population needs an end; expected the minutes of "
                "training of each agent, or --exploit_updates and --max_updates."
            )
        return math.ceil(max_minutes / self.exploit_minutes)

    def score(self, fitness: float | None) -> float:
        """Returns what is to be made large; of an agent that failed, -inf."""
        if fitness is None or not math.isfinite(fitness):
            return -math.inf
        return fitness if self.fitness == "critic" else -fitness


class Progress(NamedTuple):
    """An agent at the end of a generation.

    Attributes:
      updates, minutes: policy updates and minutes of training behind it.
      fitness: see `Plan`; None if a metric became NaN.
    """

    updates: int
    minutes: float
    fitness: float | None


class Exploit(NamedTuple):
    """An agent takes over another one's state.

    Attributes:
      source: whose.
      hyperparameters: with which it goes on.
    """

    source: str
    hyperparameters: Hyperparameters


class Population:
    """A population and its history, kept in a folder.

    Attributes:
      plan: what stays the same.
      generations: of each, `"agents"` maps names to `{"updates", "minutes", "fitness",
        "hyperparameters"}`, and `"exploits"`, once it is decided, maps names to
        `{"source", "hyperparameters"}`.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        initial: Mapping[str, Hyperparameters],
        generations: list[dict[str, Any]],
    ):
        self.folder, self.plan = folder, plan
        self._initial = {name: dict(values) for name, values in initial.items()}
        self.generations = generations

    @classmethod
    def open(cls, folder: Path, plan: Plan, ranges: Mapping[str, Range], seed: int):
        """Reads a folder's population, or begins one.

        Args:
          folder: where; it is there already.
          plan: of the population.
          ranges: of the hyperparameters, from which the first ones are drawn.
          seed: of the draw.

        Raises:
          ValueError: the folder's population has another plan, or its file is damaged.
        """
        if (folder / FILE).exists():
            found = cls.load(folder)
            for field in dataclasses.fields(Plan):
                ours, theirs = getattr(plan, field.name), getattr(found.plan, field.name)
                if ours != theirs:
                    raise ValueError(
                        f"{field.name}={ours!r}, but the population in {folder} began "
                        f"with {theirs!r}: give the same, or name another folder."
                    )
            return found
        population = cls(folder, plan, draw(plan.agents, ranges, seed), [])
        population._save()
        return population

    @classmethod
    def load(cls, folder: Path) -> "Population":
        """Reads a folder's population.

        Raises:
          OSError: there is none.
          ValueError: its file is damaged.
        """
        path = folder / FILE
        values = parse_json(path.read_bytes(), str(path))
        try:
            plan = Plan(**values["plan"])
            return cls(folder, plan, values["initial"], values["generations"])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} holds no population ({error}): restore it, or name another "
                "folder."
            ) from error

    def _save(self) -> None:
        values = {
            "plan": dataclasses.asdict(self.plan),
            "initial": self._initial,
            "generations": self.generations,
        }
        write_file(self.folder / FILE, json.dumps(values, indent=1) + "\n")

    @property
    def generation(self) -> int:
        """The number of the generation that trains now, from 1."""
        return 1 + sum("exploits" in g for g in self.generations)

    def run_dir(self, agent: str) -> Path:
        """Returns the run folder of an agent."""
        return self.folder / "agents" / agent

    def hyperparameters(self, agent: str) -> Hyperparameters:
        """Returns those with which an agent trains now."""
        if self.generation == 1:
            return self._initial[agent]
        last = self.generations[self.generation - 2]
        if agent in last["exploits"]:
            return last["exploits"][agent]["hyperparameters"]
        return last["agents"][agent]["hyperparameters"]

    def record(
        self,
        progress: Mapping[str, Progress],
        exploits: Mapping[str, Exploit] | None = None,
    ) -> None:
        """Keeps how the generation ended that trains now.

        Args:
          progress: of all agents.
          exploits: by the agents that take over; with it the next generation begins.
            None: not decided yet.
        """
        ended = {
            "agents": {
                name: {
                    **progress[name]._asdict(),
                    "hyperparameters": self.hyperparameters(name),
                }
                for name in self.plan.agents
            }
        }
        if exploits is not None:
            ended["exploits"] = {
                name: exploit._asdict() for name, exploit in exploits.items()
            }
        self.generations[self.generation - 1 :] = [ended]
        self._save()

    def exploits(self) -> dict[str, tuple[int, str]]:
        """Returns by agent the last generation after which it took over, and whom."""
        return {
            agent: (number, exploit["source"])
            for number, generation in enumerate(self.generations, 1)
            for agent, exploit in generation.get("exploits", {}).items()
        }

    def best(self) -> str:
        """Returns the agent that was best at the end of the last generation.

        Raises:
          ValueError: no generation has ended yet.
        """
        if not self.generations:
            raise ValueError(f"No generation of {self.folder} has ended yet.")
        agents = self.generations[-1]["agents"]
        return max(agents, key=lambda name: self.plan.score(agents[name]["fitness"]))

    def schedule(self, agent: str) -> list[dict[str, float]]:
        """Returns the hyperparameters that led to an agent, whoever had them then.

        Returns:
          `{"until_updates", **hyperparameters}` in the order of updates; one for each
          change of hyperparameters.
        """
        steps = []
        for number in range(len(self.generations), 0, -1):
            at_end = self.generations[number - 1]["agents"][agent]
            steps.append(
                {"until_updates": at_end["updates"], **at_end["hyperparameters"]}
            )
            if number > 1:
                exploit = self.generations[number - 2]["exploits"].get(agent)
                agent = exploit["source"] if exploit else agent
        merged: list[dict[str, float]] = []
        for step in reversed(steps):
            if merged and {**merged[-1], "until_updates": 0} == {
                **step,
                "until_updates": 0,
            }:
                merged.pop()
            merged.append(step)
        return merged


def draw(
    agents: list[str], ranges: Mapping[str, Range], seed: int
) -> dict[str, Hyperparameters]:
    """Draws the first hyperparameters of agents, evenly in their logarithms."""
    rng = np.random.default_rng(seed)
    return {
        agent: {name: limits.draw(rng) for name, limits in ranges.items()}
        for agent in agents
    }


def decide(
    population: Population,
    progress: Mapping[str, Progress],
    ranges: Mapping[str, Range],
    seed: int,
) -> dict[str, Exploit]:
    """Decides at the end of a generation who takes over whom, and with what.

    The worst quarter takes over agents of the best quarter, drawn by chance. Agents that
    failed take over as well, however many, unless all did.

    Args:
      population: of which the generation has not been recorded yet.
      progress: of all agents.
      ranges: of the hyperparameters, which they do not leave.
      seed: of the run; it and the generation decide what is drawn.
    """
    plan = population.plan
    if not plan.exploits:
        return {}
    rng = np.random.default_rng([seed, population.generation])
    scores = {name: plan.score(progress[name].fitness) for name in plan.agents}
    ranking = sorted(plan.agents, key=scores.__getitem__)
    count = min(math.ceil(QUANTILE * len(ranking)), len(ranking) // 2)
    failed = sum(score == -math.inf for score in scores.values())
    best = [name for name in ranking[-count:] if scores[name] > -math.inf]
    exploits = {}
    for name in ranking[: max(count, failed)] if best else []:
        source = best[rng.integers(len(best))]
        values = population.hyperparameters(source)
        changed = {key: _explore(values[key], ranges[key], rng) for key in ranges}
        exploits[name] = Exploit(source, changed)
    return exploits


def _explore(value: float, limits: Range, rng: np.random.Generator) -> float:
    if rng.random() < RESAMPLE:
        return limits.draw(rng)
    return limits.clip(value * rng.choice(FACTORS))
