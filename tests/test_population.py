import dataclasses
import importlib
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from experiments.populations import agents as trained_agents
from experiments.populations import schedule as schedules
from experiments.populations.agents import (
    copy_run,
    read_fitness,
    read_progress,
    take_over,
    train_generation,
)
from experiments.populations.figures import (
    draw_comparison,
    draw_population,
    pieces,
    ranked,
)
from experiments.populations.schedule import Schedule, replay
from experiments.populations.state import (
    FACTORS,
    Exploit,
    Plan,
    Population,
    Progress,
    Range,
    decide,
    draw,
)
from spiral_jax import ray_cluster
from spiral_jax.config import preset
from spiral_jax.metrics import NotFiniteError
from tests.test_experiments import ROOT, TINY, run

RANGES = {"policy_learning_rate": Range(1e-5, 3e-4), "entropy_cost": Range(2e-3, 1e-1)}
PLAN = Plan(4, "frechet", exploit_updates=10, exploit_minutes=5.0)
A, B, C, D = PLAN.agents


def open_population(folder, plan=PLAN):
    return Population.open(folder, plan, RANGES, seed=0)


def reached(updates, *fitnesses):
    return {
        agent: Progress(updates, updates / 10, fitness)
        for agent, fitness in zip(PLAN.agents, fitnesses)
    }


def test_first_hyperparameters_lie_in_their_ranges_evenly_in_the_logarithm():
    names = [str(i) for i in range(500)]
    drawn = draw(names, RANGES, seed=0)
    for name, limits in RANGES.items():
        values = [drawn[agent][name] for agent in names]
        assert limits.low <= min(values) < max(values) <= limits.high
        middle = math.sqrt(limits.low * limits.high)
        assert 200 < sum(value < middle for value in values) < 300
    assert drawn == draw(names, RANGES, seed=0) != draw(names, RANGES, seed=1)


def test_the_worst_quarter_takes_over_the_best(tmp_path):
    population = open_population(tmp_path)
    exploits = decide(population, reached(10, 30.0, 10.0, 20.0, 40.0), RANGES, seed=0)
    assert {name: exploit.source for name, exploit in exploits.items()} == {D: B}
    for name, limits in RANGES.items():
        before = population.hyperparameters(B)[name]
        after = exploits[D].hyperparameters[name]
        assert limits.low <= after <= limits.high
        assert after != before or limits.clip(before * FACTORS[1]) == before


@pytest.mark.parametrize(("fitness", "worst"), [("critic", A), ("frechet", C), ("l2", C)])
def test_a_score_is_to_be_high_and_a_distance_low(tmp_path, fitness, worst):
    plan = Plan(3, fitness, exploit_updates=10, exploit_minutes=5.0)
    exploits = decide(open_population(tmp_path, plan), reached(10, 1, 2, 3), RANGES, 0)
    assert list(exploits) == [worst]


def test_hyperparameters_are_multiplied_or_drawn_anew_within_their_ranges(tmp_path):
    population = open_population(tmp_path)
    ended = reached(10, 1.0, 2.0, 3.0, 4.0)
    before = population.hyperparameters(A)["entropy_cost"]
    factors = [
        decide(population, ended, RANGES, seed)[D].hyperparameters["entropy_cost"]
        / before
        for seed in range(200)
    ]
    multiplied = np.isclose(np.subtract.outer(factors, FACTORS), 0, atol=2e-3).any(axis=1)
    assert 0.65 < multiplied.mean() < 0.9


def test_who_failed_takes_over_and_is_not_taken_over(tmp_path):
    population = open_population(tmp_path)
    exploits = decide(population, reached(10, None, None, math.nan, 5.0), RANGES, seed=0)
    assert {name: x.source for name, x in exploits.items()} == {A: D, B: D, C: D}
    assert not decide(population, reached(10, None, None, None, None), RANGES, seed=0)


def test_a_random_search_takes_nothing_over(tmp_path):
    population = open_population(tmp_path, Plan(4, "frechet", 10, 5.0, exploits=False))
    assert decide(population, reached(10, 1.0, 2.0, 3.0, 4.0), RANGES, seed=0) == {}


@pytest.fixture
def trained(tmp_path):
    """Three generations; D took over B, then A took over D."""
    population = open_population(tmp_path)
    first = {"policy_learning_rate": 1e-4, "entropy_cost": 0.05}
    population.record(reached(10, 4.0, 3.0, 5.0, 6.0), {D: Exploit(B, first)})
    second = {"policy_learning_rate": 2e-4, "entropy_cost": 0.04}
    population.record(reached(20, 4.0, 3.0, 3.5, 2.0), {A: Exploit(D, second)})
    population.record(reached(30, 1.0, 3.0, 3.5, None))
    return population


def test_a_population_goes_on_from_its_file(trained, tmp_path):
    found = open_population(tmp_path)
    assert found.generations == trained.generations
    assert found.generation == 3  # of which nothing has been decided
    assert found.hyperparameters(A)["entropy_cost"] == 0.04
    assert found.hyperparameters(D)["entropy_cost"] == 0.05
    assert found.exploits() == {D: (1, B), A: (2, D)}
    assert found.best() == A
    found.record(reached(30, 1.0, 3.0, 3.5, 9.0), {})  # it trains longer
    assert open_population(tmp_path).generation == 4
    assert len(found.generations) == 3


def test_a_schedule_follows_whoever_had_the_state(trained):
    initial = trained.generations[0]["agents"][B]["hyperparameters"]
    assert trained.schedule(A) == [
        {"until_updates": 10, **initial},
        {"until_updates": 20, "policy_learning_rate": 1e-4, "entropy_cost": 0.05},
        {"until_updates": 30, "policy_learning_rate": 2e-4, "entropy_cost": 0.04},
    ]
    assert trained.schedule(B) == [{"until_updates": 30, **initial}]


def test_another_plan_is_refused(tmp_path):
    open_population(tmp_path)
    with pytest.raises(ValueError, match="exploit_updates=20, but the population in"):
        open_population(tmp_path, Plan(4, "frechet", 20, 5.0))
    (tmp_path / "population.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no population"):
        open_population(tmp_path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, "critic", 0, 5.0), "num_agents=1: expected at least 2"),
        ((4, "score", 0, 5.0), "fitness='score': expected one of"),
        ((4, "critic", -1, 5.0), "exploit_updates=-1: expected at least 0"),
        ((4, "critic", 0, 0.0), "exploit_minutes=0.0 with exploit_updates=0"),
    ],
)
def test_impossible_plans_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Plan(*values)


def test_generations_end_by_updates_or_minutes():
    assert [PLAN.limits(g, 25, 0.0)["max_updates"] for g in (1, 2, 3)] == [10, 20, 25]
    assert PLAN.num_generations(25, 0.0) == 3
    minutes = Plan(4, "frechet", 0, 5.0)
    assert [minutes.limits(g, 99, 12.0)["max_minutes"] for g in (1, 3)] == [5.0, 12.0]
    assert minutes.num_generations(99, 12.0) == 3
    with pytest.raises(ValueError, match="max_minutes=0: a population needs an end"):
        minutes.num_generations(99, 0.0)


def make_run(folder, text, steps=(10,)):
    for step in steps:
        (folder / "checkpoints" / str(step)).mkdir(parents=True)
        (folder / "checkpoints" / str(step) / "state").write_text(text, encoding="utf-8")
    (folder / "owner").mkdir()
    (folder / "config.json").write_text(text, encoding="utf-8")


def test_a_copied_run_has_the_newest_checkpoint_alone_and_no_owner(tmp_path):
    make_run(tmp_path / "a", "good", steps=(9, 10))
    make_run(tmp_path / "b", "bad", steps=(7, 8))
    copy_run(tmp_path / "a", tmp_path / "b", {"note": "x"})
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    found = {path.name for path in (tmp_path / "b").iterdir()}
    assert found == {"checkpoints", "config.json", "note"}
    assert [path.name for path in (tmp_path / "b" / "checkpoints").iterdir()] == ["10"]
    assert (tmp_path / "b" / "checkpoints" / "10" / "state").read_text(
        encoding="utf-8"
    ) == "good"
    assert (tmp_path / "a" / "checkpoints" / "9").exists()


def test_a_kill_while_runs_are_copied_changes_nothing(trained, tmp_path, monkeypatch):
    trained.record(
        reached(30, 1.0, 2.0, 3.0, 4.0), {C: Exploit(A, {}), D: Exploit(B, {})}
    )
    for agent in PLAN.agents:
        make_run(trained.run_dir(agent), agent)
    copied = []

    def copy_then_die(source, target, files):
        if copied:
            target.rename(target.with_name(f"{target.name}.old"))
            raise KeyboardInterrupt
        copied.append(target.name)
        copy_run(source, target, files)

    with monkeypatch.context() as patched:
        patched.setattr(trained_agents, "copy_run", copy_then_die)
        with pytest.raises(KeyboardInterrupt):
            take_over(trained)
    done = tmp_path / "agents" / copied[0]
    (done / "trained_since").touch()
    take_over(open_population(tmp_path))
    texts = [
        (trained.run_dir(agent) / "config.json").read_text(encoding="utf-8")
        for agent in PLAN.agents
    ]
    assert texts == [A, B, A, B]
    assert (done / "trained_since").exists()  # was not copied again


def write_metrics(run_dir, *records):
    run_dir.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"frames": 1, "minutes": r["updates"] / 10, **r}) for r in records
    ]
    (run_dir / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_fitness_is_the_mean_score_or_the_last_distance(tmp_path):
    write_metrics(
        tmp_path,
        {"updates": 10, "policy/score": 9.0},
        {"updates": 10, "frechet/distance": 70.0},
        {"updates": 15, "policy/score": 1.0},
        {"updates": 20, "policy/score": 2.0},
        {"updates": 20, "frechet/distance": 50.0},
        {"updates": 25, "policy/score": 99.0},  # of no checkpoint
    )
    assert read_fitness(tmp_path, "critic", 10, 20) == Progress(20, 2.0, 1.5)
    assert read_fitness(tmp_path, "frechet", 10, 20) == Progress(20, 2.0, 50.0)
    assert read_fitness(tmp_path, "l2", 10, 20) == Progress(20, 2.0, None)


@pytest.fixture
def fake_train(monkeypatch):
    """Trains in no time, and remembers the settings."""
    calls = []

    def train(config, run_dir, **parts):
        calls.append(config)
        if config.entropy_cost > 0.5:
            run_dir.mkdir(parents=True)  # as a run does before it trains
            raise NotFiniteError
        (run_dir / "checkpoints" / str(config.max_updates)).mkdir(parents=True)
        record = {"updates": config.max_updates, "frechet/distance": 7.0}
        write_metrics(run_dir, record)
        return "table"

    monkeypatch.setattr(trained_agents, "train", train)
    monkeypatch.setattr(schedules, "train", train)
    return calls


def test_a_generation_is_trained_once(tmp_path, fake_train):
    population = open_population(tmp_path)
    config = preset("mnist_small")
    expected = Progress(10, 1.0, 7.0)
    for _ in range(2):
        assert train_generation(population, B, config) == expected
    (called,) = fake_train
    assert called.max_updates == 10
    assert called.seed == 1
    assert called.entropy_cost == population.hyperparameters(B)["entropy_cost"]
    assert read_progress(population.run_dir(B), 1) == expected
    assert read_progress(population.run_dir(B), 2) is None


def test_an_agent_whose_metrics_are_not_finite_is_the_worst(tmp_path, fake_train):
    plan = Plan(2, "frechet", 10, 5.0)
    population = Population.open(tmp_path, plan, {"entropy_cost": Range(0.6, 0.9)}, 0)
    ended = train_generation(population, A, preset("mnist_small"))
    assert ended == Progress(0, 0.0, None)
    assert plan.score(ended.fitness) == -math.inf


def test_no_agent_begins_once_the_population_is_to_stop(tmp_path, fake_train):
    (tmp_path / "stop").touch()
    population = open_population(tmp_path)
    assert train_generation(population, A, preset("mnist_small")) is None
    assert not fake_train


def test_a_schedule_is_replayed_from_where_the_run_is(trained, tmp_path, fake_train):
    settings = {"batch_size": 4, "seed": 3}
    Schedule(settings, trained.schedule(A)).save(tmp_path / "schedule.json")
    schedule = Schedule.load(tmp_path / "schedule.json")
    (tmp_path / "run" / "checkpoints" / "10").mkdir(
        parents=True
    )  # the first step is done
    assert replay(schedule, tmp_path / "run", {"seed": 5}) == "table"
    steps = [(c.max_updates, c.entropy_cost, c.seed, c.batch_size) for c in fake_train]
    assert steps == [(20, 0.05, 5, 4), (30, 0.04, 5, 4)]
    with pytest.raises(ValueError, match=r"entropy_cost=1.0: the schedule decides it"):
        replay(schedule, tmp_path / "run", {"entropy_cost": 1.0})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"settings": {}}',
        '{"settings": {}, "steps": []}',
        '{"settings": {}, "steps": [{"until_updates": 2}, {"until_updates": 2}]}',
    ],
)
def test_what_is_no_schedule_is_refused(tmp_path, text):
    (tmp_path / "schedule.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"schedule.json holds no schedule"):
        Schedule.load(tmp_path / "schedule.json")


def test_figures_break_lines_where_agents_take_over(trained):
    parts = pieces(trained, A)
    assert [[at_end["updates"] for at_end in part] for part in parts] == [[10, 20], [30]]
    assert parts[1][0]["started"]["fitness"] == 2.0  # D's
    assert ranked(trained)["best"] == [3.0, 2.0, 1.0]
    assert ranked(trained)["median"] == [4.5, 3.25, 3.25]
    assert ranked(trained)["worst"][:2] == [6.0, 4.0]
    assert math.isnan(ranked(trained)["worst"][2])


def test_figures_can_be_drawn(trained):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert len(draw_population(trained).axes) == 4
    draw_comparison({"population": trained, "random search": trained})
    pyplot.close("all")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--entropy_cost=0.1"], "entropy_cost=0.1: the population tunes it"),
        (["--entropy_cost_range=0.1"], "entropy_cost_range=0.1: expected two numbers"),
        (["--fitness=l2"], "fitness='l2' with conditional=False: what is measured"),
        ([], "max_minutes=0: a population needs an end"),
    ],
)
def test_the_command_refuses_with_a_reason(flags, words, tmp_path):
    result = run("population", f"--population_dir={tmp_path}", *flags)
    assert result.returncode != 0
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ValueError, match=r"no Ray: pip install 'spiral_jax\[ray\]'"),
        ray_cluster.joined(),
    ):
        pass


class InlineRay:
    """Enough of Ray to run tasks at once, in this process."""

    class exceptions:
        class RayTaskError(Exception):
            def __init__(self, cause):
                self.cause = cause

    @staticmethod
    def cluster_resources():
        return {"CPU": 4.0, "GPU": 1.0}

    @staticmethod
    def remote(function):
        class Task:
            def options(self, **options):
                self.options = options
                return self

            def remote(self, *arguments):
                try:
                    result = function(*arguments)
                except Exception as error:
                    result = InlineRay.exceptions.RayTaskError(error)
                return lambda: result

        return Task()

    @staticmethod
    def wait(tasks, timeout):
        return tasks[:1], tasks[1:]

    @staticmethod
    def get(task):
        if isinstance(result := task(), InlineRay.exceptions.RayTaskError):
            raise result
        return result


@pytest.fixture
def on_ray(monkeypatch):
    """The module that uses Ray, with tasks that run at once."""
    monkeypatch.setitem(sys.modules, "ray", InlineRay)
    monkeypatch.delitem(sys.modules, "experiments.populations.on_ray", raising=False)
    module = importlib.import_module("experiments.populations.on_ray")
    monkeypatch.setattr(module, "keep_memory", lambda: None)
    yield module
    sys.modules.pop("experiments.populations.on_ray", None)


def test_agents_share_cores_and_gpus(on_ray):
    assert on_ray.resources(3) == {"num_cpus": 1, "num_gpus": 1 / 3}
    assert on_ray.resources(8) == {"num_cpus": 0.5, "num_gpus": 1 / 8}


def fitness_by_rate(agent_config):
    return 100 * abs(math.log(agent_config.policy_learning_rate / 1e-4))


def test_a_population_trains_to_its_end_and_longer(tmp_path, on_ray, monkeypatch):
    trained = []

    def train(config, run_dir, **parts):
        trained.append((run_dir.name, config.max_updates))
        (run_dir / "checkpoints" / str(config.max_updates)).mkdir(parents=True)
        record = {
            "updates": config.max_updates,
            "frechet/distance": fitness_by_rate(config),
        }
        write_metrics(run_dir, record)
        return "table"

    monkeypatch.setattr(trained_agents, "train", train)
    config = dataclasses.replace(preset("mnist_small"), max_updates=30)
    lines = []
    for max_updates in (20, 20, 30):
        longer = dataclasses.replace(config, max_updates=max_updates)
        population = open_population(tmp_path)
        assert on_ray.train_population(population, longer, RANGES, 2, lines.append)
    assert trained == [(agent, n) for n in (10, 20, 30) for agent in PLAN.agents]
    found = open_population(tmp_path)
    assert len(found.generations) == 3
    assert [len(g.get("exploits", [])) for g in found.generations] == [1, 1, 0]
    best = min(
        fitness_by_rate(dataclasses.replace(config, **g["hyperparameters"]))
        for g in found.generations[-1]["agents"].values()
    )
    agents = found.generations[-1]["agents"]
    assert agents[found.best()]["fitness"] == pytest.approx(best)
    assert any("takes over" in line for line in lines)


def test_a_population_that_is_stopped_decides_nothing(
    tmp_path, on_ray, fake_train, monkeypatch
):
    population = open_population(tmp_path)
    config = dataclasses.replace(preset("mnist_small"), max_updates=20)
    train = trained_agents.train

    def stop_after_two(*arguments, **parts):
        if len(fake_train) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            return None
        return train(*arguments, **parts)

    monkeypatch.setattr(trained_agents, "train", stop_after_two)
    lines = []
    assert not on_ray.train_population(population, config, RANGES, 2, lines.append)
    assert lines[-1] == "Stopped and saved; the same command goes on from there."
    assert population.generations == []
    monkeypatch.setattr(trained_agents, "train", train)
    assert on_ray.train_population(population, config, RANGES, 2, lines.append)
    assert len(fake_train) == 8


def test_what_an_agent_dies_of_is_raised(tmp_path, on_ray, monkeypatch):
    def train(*arguments, **parts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trained_agents, "train", train)
    config = dataclasses.replace(preset("mnist_small"), max_updates=20)
    with pytest.raises(OSError, match="No space left"):
        on_ray.train_population(open_population(tmp_path), config, RANGES, 2, print)


# A population whose agents train in no time, but in Ray's processes. One dies at once.
SESSION = """
import dataclasses, json, os, signal, sys
from pathlib import Path

from experiments.populations import agents, on_ray
from experiments.populations.state import Plan, Population, Range
from spiral_jax import ray_cluster
from spiral_jax.config import preset

folder, ray_trains = Path(sys.argv[1]), on_ray._train


def train(config, run_dir, **parts):
    (run_dir / "checkpoints" / str(config.max_updates)).mkdir(parents=True)
    with (folder / "trained.txt").open("a") as file:
        file.write(f"{run_dir.name} {config.max_updates}\\n")
    if run_dir.name == "agent_01" and not (folder / "died").exists():
        (folder / "died").touch()
        (run_dir / "checkpoints" / str(config.max_updates)).rmdir()
        os.kill(os.getpid(), signal.SIGKILL)
    record = {"updates": config.max_updates, "frames": 1, "minutes": 0.1}
    record["frechet/distance"] = 1e6 * config.policy_learning_rate
    (run_dir / "metrics.jsonl").write_text(json.dumps(record), encoding="utf-8")
    return "table"


def task(*arguments):
    agents.train = train
    return ray_trains(*arguments)


on_ray._train = task
config = dataclasses.replace(preset("mnist_small"), max_updates=20)
ranges = {"policy_learning_rate": Range(1e-5, 3e-4)}
population = Population.open(folder, Plan(3, "frechet", 10, 5.0), ranges, seed=0)
with ray_cluster.joined(num_cpus=1):
    on_ray.train_population(
        population, config, ranges, 1, lambda line: print(line, flush=True)
    )
"""


def test_processes_of_ray_and_the_command_may_be_killed(tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'spiral_jax[ray]'")
    command = [sys.executable, "-c", SESSION, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "agent_01" in line:  # whose process died, and was replaced
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert "generation 1 of 2: agent_01" in lines[-1], "".join(lines)
    result = subprocess.run(command, cwd=ROOT, timeout=600, check=False, **pipes)
    assert result.returncode == 0, result.stdout
    population = Population.load(tmp_path)
    assert population.generation == 2
    assert len(population.generations) == 2
    assert len(population.generations[0]["exploits"]) == 1
    trained = (tmp_path / "trained.txt").read_text(encoding="utf-8").split("\n")
    assert trained.count("agent_00 10") == 1  # not again after the kill
    assert trained.count("agent_01 10") == 2
    assert all(trained.count(f"{agent} 20") == 1 for agent in PLAN.agents[:3])


FLAGS = [
    *(flag for flag in TINY if "max_updates" not in flag),
    *("--canvas_width=16", "--replay_batches=3", "--log_updates=5", "--num_agents=2"),
    *("--num_concurrent=1", "--exploit_updates=10", "--max_updates=20"),
]


@pytest.mark.slow
def test_a_population_leaves_a_run_that_can_be_used(tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'spiral_jax[ray]'")
    result = run("population", f"--population_dir={tmp_path}", *FLAGS)
    assert result.returncode == 0, result.stdout + result.stderr
    population = Population.load(tmp_path)
    assert len(population.generations[0]["exploits"]) == 1
    assert (
        json.loads((tmp_path / "best" / "config.json").read_text(encoding="utf-8"))[
            "max_updates"
        ]
        == 20
    )
    assert (tmp_path / "population.png").exists()
    assert Schedule.load(tmp_path / "schedule.json").steps[-1]["until_updates"] == 20
    result = run("evaluate", f"--run_dir={tmp_path / 'best'}")
    assert "after 20 updates" in result.stdout, result.stderr
