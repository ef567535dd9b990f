"""The running system: reproducible, resumable, and honest about what goes wrong."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from spiral_jax.agents import load_agent
from spiral_jax.checkpoint import read_newest
from spiral_jax.config import Config
from spiral_jax.evaluation import FrechetReport
from spiral_jax.metrics import NotFiniteError
from spiral_jax.rollouts.host import HostRollout, rollout
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.sampling import sample_drawings
from spiral_jax.system import make_system
from spiral_jax.train import train
from spiral_jax.training import evaluations, loop
from spiral_jax.training.sources import make_actor
from tests.conftest import assert_trees_equal

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def no_evaluation(monkeypatch):
    """The loop is tested here; what it measures has tests of its own."""

    class NoEvaluator:
        metric, label = "frechet/distance", "Fréchet distance"
        num_drawings = 4

        def __init__(self, system, data):
            self._system = system

        def measure(self, params, stopped=None):
            drawings = sample_drawings(self._system, params, 4, seed=0)
            return {self.metric: 1.0, "digits/precision": 0.5}, drawings.canvases[-1]

        def in_short(self, measures):
            return f"Fréchet distance {measures[self.metric]}"

        def table(self, measures):
            return FrechetReport("", measures, measures, measures, None)

    monkeypatch.setattr(evaluations, "make_evaluator", NoEvaluator)


def final_state(run_dir):
    state = read_newest(run_dir / "checkpoints")
    del state["minutes"]
    return state


def with_updates(config, num_updates):
    return dataclasses.replace(config, max_updates=num_updates)


def test_the_same_seed_gives_the_same_run(tiny_config, tmp_path):
    config = with_updates(tiny_config, 20)
    for name in ("a", "b"):
        train(config, tmp_path / name)
    a, b = final_state(tmp_path / "a"), final_state(tmp_path / "b")
    assert_trees_equal(a, b)
    train(dataclasses.replace(config, seed=1), tmp_path / "c")
    c = final_state(tmp_path / "c")
    leaves = lambda s: jax.tree.leaves(s["learner"]["policy"]["params"])
    assert any(not np.array_equal(x, y) for x, y in zip(leaves(a), leaves(c)))


@pytest.fixture
def float64_by_default():
    """As after JAX_ENABLE_X64=1, which threads inherit."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def test_a_run_is_the_same_where_float64_is_the_default(
    tiny_config, tmp_path, float64_by_default
):
    config = with_updates(tiny_config, 3)
    train(config, tmp_path / "found")
    train(with_updates(tiny_config, 6), tmp_path / "found")
    agent = load_agent(tmp_path / "found")
    _, drawings = agent.sample(4)
    jax.config.update("jax_enable_x64", False)
    train(with_updates(tiny_config, 6), tmp_path / "expected")
    found = final_state(tmp_path / "found")
    assert not [x.dtype for x in jax.tree.leaves(found) if x.dtype == np.float64]
    assert_trees_equal(found, final_state(tmp_path / "expected"))
    np.testing.assert_array_equal(load_agent(tmp_path / "found").sample(4)[1], drawings)


def test_threads_train_where_float64_is_the_default(
    tiny_config, tmp_path, float64_by_default
):
    config = dataclasses.replace(with_updates(tiny_config, 5), synchronous=False)
    train(config, tmp_path)
    assert load_agent(tmp_path).num_updates == 5


def test_200_updates_are_100_resumed_for_100_more(tiny_config, tmp_path):
    train(with_updates(tiny_config, 200), tmp_path / "straight")
    train(with_updates(tiny_config, 100), tmp_path / "resumed")
    train(with_updates(tiny_config, 200), tmp_path / "resumed")
    straight = final_state(tmp_path / "straight")
    assert int(straight["learner"]["num_updates"]) == 200
    assert_trees_equal(straight, final_state(tmp_path / "resumed"))
    lines = (
        (tmp_path / "resumed" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    )
    updates = [json.loads(x)["updates"] for x in lines if "critic/gap" in x]
    assert updates == list(range(5, 201, 5))


def test_a_trajectory_does_not_alias_the_environments_arrays(tiny_system):
    class Vandal(type(tiny_system.environment(1))):
        """Overwrites every canvas it handed out, once the next one is asked for."""

        handed_out = None

        def step(self, actions):
            time_step = super().step(actions)
            if self.handed_out is not None:
                self.handed_out[:] = np.nan
            self.handed_out = time_step.observation["canvas"]
            return time_step

    environment = Vandal(batch_size=2, **tiny_system.config.environment())
    params = tiny_system.initial_policy()
    clean = rollout(
        tiny_system.environment(2), tiny_system.actor_core, params, jax.random.key(0)
    )
    kept = rollout(environment, tiny_system.actor_core, params, jax.random.key(0))
    environment.handed_out[:] = np.nan
    np.testing.assert_array_equal(kept.canvases[0], clean.canvases[0])
    np.testing.assert_array_equal(kept.canvases[-1], clean.canvases[-1])


def test_a_rollout_depends_on_its_key_alone_noise_of_the_brush_included(tiny_config):
    """Else a resumed run would not equal an uninterrupted one."""
    config = dataclasses.replace(tiny_config, brush="classic/dry_brush")
    system = make_system(config)
    params, keys = system.initial_policy(), jax.random.split(jax.random.key(0), 2)
    play = lambda e, key: rollout(e, system.actor_core, params, key)
    environment = system.environment(4, seed=1)
    play(environment, keys[0])
    second = play(environment, keys[1])
    alone = play(system.environment(4, seed=2), keys[1])
    assert (second.canvases[-1] < 0.9).any()
    assert_trees_equal(second, alone)


def test_an_episode_in_unrolls_is_the_whole_episode_cut(tiny_system):
    """The same commands; and scored with the carried state, the same probabilities."""
    params, key = tiny_system.initial_policy(), jax.random.key(0)
    play = lambda: HostRollout(tiny_system.environment(2), tiny_system.actor_core, key)
    whole = play().unroll(params, 0)
    cut, parts = play(), []
    while not cut.finished:
        parts.append(cut.unroll(params, 1))
    assert len(parts) == 3
    for t, part in enumerate(parts):
        assert_trees_equal(
            part.actions, {k: v[t : t + 1] for k, v in whole.actions.items()}
        )
        np.testing.assert_array_equal(part.canvases, whole.canvases[t : t + 2])
        np.testing.assert_array_equal(part.discounts, whole.discounts[t : t + 1])
    unroll = jax.jit(tiny_system.policy.unroll, static_argnums=2)
    exact, nothing, _ = unroll(params, whole, False)
    np.testing.assert_array_equal(nothing, 0)
    for t, part in enumerate(parts):
        output, following, _ = unroll(params, part, True)
        np.testing.assert_allclose(output.value[0], exact.value[t], atol=1e-6)
        for name, log_prob in output.log_probs.items():
            np.testing.assert_allclose(log_prob[0], exact.log_probs[name][t], atol=1e-6)
        if t < 2:  # the value of what follows is that which the next unroll begins with
            np.testing.assert_allclose(following, exact.value[t + 1], atol=1e-6)


@pytest.fixture
def long_config(tiny_config):
    """Episodes of three unrolls of one command, two of them at each stage."""
    return dataclasses.replace(tiny_config, unroll_length=1, batch_size=6)


def test_episodes_of_several_unrolls_are_at_different_stages(long_config):
    system, store = make_system(long_config), ParameterStore()
    store.publish(0, system.initial_policy())
    play = lambda actor, num: [actor.next().trajectory for _ in range(num)]
    actor = make_actor(system, store, actor_id=0)
    parts = play(actor, 5)
    assert actor.num_rollouts == 5
    ends = np.stack([part.discounts[-1] == 0 for part in parts])
    # The first two episodes begin, the next two have begun one command earlier, ...
    expected = [[2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 0, 2]]
    np.testing.assert_array_equal(ends, np.repeat(expected, 2, axis=1) == 0)
    begins = np.stack([~part.start.lstm.hidden.any(axis=1) for part in parts])
    np.testing.assert_array_equal(begins[1:], ends[:-1])
    for before, after in itertools.pairwise(parts):
        on = before.discounts[-1] == 1
        np.testing.assert_array_equal(after.canvases[0][on], before.canvases[-1][on])
        np.testing.assert_array_equal(after.start.noise[on], before.start.noise[on])
        assert (after.start.noise[~on] != before.start.noise[~on]).all()
        for name, first in after.start.previous_actions.items():
            np.testing.assert_array_equal(first[on], before.actions[name][-1][on])
    # A resumed actor goes on at the same stages of the same episodes.
    resumed = play(make_actor(system, store, actor_id=0, num_rollouts=1), 4)
    assert_trees_equal(resumed, parts[1:])


def test_long_episodes_train_in_unrolls(long_config, tmp_path):
    """Only finished pictures are kept for the critic, and frames are what was learnt."""
    train(with_updates(long_config, 7), tmp_path)
    replay = final_state(tmp_path)["learner"]["replay"]
    assert replay["num_added"].tolist() == [2, 2, 2, 2, 3, 3]
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["frames"] == 7 * 6
    for changes, said in (
        ({"unroll_length": 2}, "which is 3 commands: expected a divisor"),
        ({"batch_size": 4}, "batch_size=4 with 3 unrolls per episode"),
    ):
        with pytest.raises(ValueError, match=said):
            dataclasses.replace(long_config, **changes)


def test_parameters_are_read_once_per_rollout(tiny_system):
    class Store(ParameterStore):
        reads = 0

        def latest(self, device=None):
            self.reads += 1
            return super().latest(device)

    store = Store()
    store.publish(7, tiny_system.initial_policy())
    actor = make_actor(tiny_system, store, actor_id=0)
    played = actor.next()
    assert (played.version, played.num_rollouts, store.reads) == (7, 1, 1)


def test_the_last_evaluation_is_within_the_time_limit(tiny_config):
    """Updates are of 12 frames, and 300 are played to be measured."""
    run = object.__new__(loop.Run)
    run._config = dataclasses.replace(tiny_config, max_minutes=10.0)
    run._group = types.SimpleNamespace(first=True)
    run._evaluations = object.__new__(evaluations.Evaluations)
    run._evaluations._evaluator = types.SimpleNamespace(num_drawings=100)
    run._evaluations._system = types.SimpleNamespace(config=run._config)
    run._evaluations._last_minutes = 0.0
    run._minutes_before, run._frames_before = 2.0, 0
    for updates, now, last, expected in (
        (0, 9.9, 0.0, False),  # nothing is known of how long it takes
        (50, 6.9, 0.0, False),  # 600 frames in 4.9 minutes: 300 take 2.45
        (50, 8.0, 0.0, True),  # in 6 minutes: 300 take 3
        (50, 8.0, 1.5, False),  # the last one took less than that
        (50, 8.5, 1.5, True),
    ):
        run._learner = types.SimpleNamespace(num_updates=updates)
        run._evaluations._last_minutes = last
        assert run._time_is_up(now) == expected


def test_slow_compilation_leaves_time_to_learn(tiny_config, tmp_path, monkeypatch):
    """It says nothing of evaluations: `make demo` had ended after one update."""
    learn = loop.Run._until_the_end

    def late(run):
        run._metrics._start -= 9 * 60.0
        return learn(run)

    monkeypatch.setattr(loop.Run, "_until_the_end", late)
    train(dataclasses.replace(with_updates(tiny_config, 20), max_minutes=10.0), tmp_path)
    assert final_state(tmp_path)["learner"]["num_updates"] == 20


@pytest.mark.parametrize("num_actors", [1, 2])
def test_threads_train(tiny_config, tmp_path, num_actors):
    config = dataclasses.replace(
        with_updates(tiny_config, 20), synchronous=False, num_actors=num_actors
    )
    train(config, tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if "critic/gap" in line]
    assert records[-1]["frames"] == 20 * 4 * 3
    assert 0 <= records[-1]["actor/policy_lag"] < 10
    agent = load_agent(tmp_path)
    assert agent.num_updates == 20
    programs, canvases = agent.sample(5, seed=1)
    assert canvases.shape == (5, 16, 16, 1)
    assert [len(program) for program in programs] == [3] * 5


def test_a_dead_actor_ends_the_run_with_its_traceback(tiny_config, tmp_path, monkeypatch):
    from spiral_jax.environments import Painting

    real_step = Painting.step
    calls = []

    def step(self, actions):
        calls.append(1)
        if len(calls) > 30:
            raise RuntimeError("the brush broke")
        return real_step(self, actions)

    monkeypatch.setattr(Painting, "step", step)
    config = dataclasses.replace(with_updates(tiny_config, 10_000), synchronous=False)
    with pytest.raises(RuntimeError, match="the brush broke") as caught:
        train(config, tmp_path)
    assert "step" in [entry.name for entry in caught.traceback]
    assert not [t for t in threading.enumerate() if t.name.startswith("actor")]


def test_changed_settings_leave_a_trace(tiny_config, tmp_path):
    train(with_updates(tiny_config, 2), tmp_path)
    changed = dataclasses.replace(with_updates(tiny_config, 4), entropy_cost=0.5)
    train(changed, tmp_path)
    assert Config.load(tmp_path / "config.json") == changed
    (entry,) = json.loads(
        (tmp_path / "earlier_settings.json").read_text(encoding="utf-8")
    )
    assert entry["until_updates"] == 2
    assert Config.from_dict(entry["settings"]) == with_updates(tiny_config, 2)


def test_nan_names_update_metric_and_checkpoint(tiny_config, tmp_path):
    train(with_updates(tiny_config, 10), tmp_path)
    # A penalty whose gradient overflows float32.
    broken = dataclasses.replace(
        with_updates(tiny_config, 20), gradient_penalty_cost=1e38
    )
    with pytest.raises(NotFiniteError) as caught:
        train(broken, tmp_path)
    message = str(caught.value)
    assert "Update 11" in message
    assert "critic/grad_norm" in message
    assert "update 10" in message
    assert int(final_state(tmp_path)["learner"]["num_updates"]) == 10


def test_resuming_with_other_networks_or_against_noresume_is_refused(
    tiny_config, tmp_path
):
    train(with_updates(tiny_config, 2), tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        train(dataclasses.replace(tiny_config, critic_width=16), tmp_path)
    with pytest.raises(ValueError, match="holds a run"):
        train(dataclasses.replace(tiny_config, resume=False), tmp_path)


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_lose_nothing(tiny_config, tmp_path, number):
    config = dataclasses.replace(
        with_updates(tiny_config, 10**6), synchronous=False, checkpoint_minutes=0.02
    )
    code = (
        "import sys, json, time\n"
        "from spiral_jax.train import train\n"
        "from spiral_jax.training import evaluations, loop as t\n"
        "from spiral_jax.config import Config\n"
        "class E:\n"
        "    def __init__(self, *a): pass\n"
        "evaluations.make_evaluator = E\n"
        "real = t.Checkpointer.save\n"
        "def save(*arguments):\n"
        "    open(sys.argv[1] + '/saving', 'w').close(); time.sleep(0.5)\n"
        "    real(*arguments)\n"
        "t.Checkpointer.save = save\n"
        "train(Config.from_dict(json.loads(sys.argv[2])), sys.argv[1])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    settings = json.dumps(dataclasses.asdict(config))
    process = subprocess.Popen([*command, settings], cwd=Path(__file__).parents[1])
    try:
        log = tmp_path / "metrics.jsonl"
        saved = tmp_path / "checkpoints"
        wait_for(
            lambda: log.exists() and len(log.read_text(encoding="utf-8").splitlines()) > 3
        )
        wait_for(lambda: any(p.name.isdigit() for p in saved.iterdir()))
        process.send_signal(number)
        if number == signal.SIGTERM:  # and once more, while it saves
            (tmp_path / "saving").unlink()
            wait_for((tmp_path / "saving").exists)
            process.send_signal(number)
        process.wait(timeout=300 if "CI" in os.environ else 10)
    finally:
        process.kill()
    if number != signal.SIGKILL:
        assert process.returncode == 0
    before = int(final_state(tmp_path)["learner"]["num_updates"])
    goal = before + 10
    train(with_updates(dataclasses.replace(config), goal), tmp_path)
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    updates = [r["updates"] for r in records if "critic/gap" in r]
    assert updates == sorted(set(updates))
    assert updates[-1] == goal
    minutes = [r["minutes"] for r in records]
    assert minutes == sorted(minutes)
