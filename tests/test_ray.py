"""Actors in processes of their own: the same episodes, and whatever becomes of them."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.examples import rectangles
from spiral_jax.config import preset
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.metrics import read_records
from spiral_jax.ray_cluster import MISSING
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.rollouts.ray_actors import ActorError, RayActors
from spiral_jax.system import make_system
from spiral_jax.train import train
from spiral_jax.training.sources import make_actor, make_source
from tests.conftest import assert_trees_equal, needs_gl

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def config(tiny_config):
    return dataclasses.replace(
        tiny_config, actors="ray", num_actors=2, synchronous=False, checkpoint_minutes=0.0
    )


def test_what_to_install_is_said(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=re.escape(MISSING)):
        train(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_settings_that_do_not_fit_are_refused(config):
    for changes in ({"synchronous": True, "num_actors": 1}, {"actor_devices": 1}):
        with pytest.raises(ValueError, match="with actors='ray'"):
            dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def cluster():
    """Two machines, as it were, of one actor each; this process has joined the first."""
    pytest.importorskip("ray", reason="Ray is an extra, and is not installed")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    found.second = found.add_node(num_cpus=1)
    ray.init(found.address, log_to_driver=False, logging_level="error")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def actors(cluster):
    """Makes sources of actors, with the untrained policy published."""
    with contextlib.ExitStack() as stack:

        def make(config, images=None):
            system, store = make_system(config), ParameterStore()
            store.publish(0, system.initial_policy())
            source = make_source(system, store, 0, images, DeviceGroup())
            return stack.enter_context(contextlib.closing(source))

        yield make


def played(config, number, count, images=None):
    """Returns what an actor plays in this process."""
    config = dataclasses.replace(config, actors="threads")
    system, store = make_system(config), ParameterStore()
    store.publish(0, system.initial_policy())
    actor = make_actor(system, store, number, images=images)
    return [actor.next().trajectory for _ in range(count)]


def parts_of(source, count):
    """Returns the next parts of batches, by who played them and when."""
    parts = [source._queue.get() for _ in range(count)]
    return {(part.actor_id, part.num_rollouts - 1): part.trajectory for part in parts}


def process_of(handle) -> int:
    import ray

    return ray.get(handle.__ray_call__.remote(lambda player: os.getpid()))


def test_episodes_are_those_of_threads_whatever_dies(config, actors, caplog):
    source = actors(config)
    example = source.example()
    assert example.trajectory.canvases.shape[:2] == (4, 4)
    found = parts_of(source, 2)
    os.kill(process_of(source._handles[0]), signal.SIGKILL)
    while not {(0, 2), (1, 2)} <= set(found):
        found |= parts_of(source, 1)
        source._taken.set()
    expected = [played(config, number, 3) for number in range(2)]
    for (number, index), trajectory in found.items():
        if index < 3:
            assert_trees_equal(trajectory, expected[number][index])
    assert "Actor 0 died; another one goes on at its rollout" in caplog.text
    rollout = source.next()
    assert rollout.trajectory.canvases.shape[:2] == (4, 4)
    metrics = source.metrics()
    assert metrics["actor/rollout_age"] > 0
    assert metrics["actor/bytes_per_second"] > 0
    assert 0 <= metrics["learner/wait_share"] <= 1


def test_targets_of_conditional_agents_are_those_of_threads(config, actors):
    """And an environment of one's own is imported there."""
    own = f"{rectangles.__name__}:rectangles"
    config = dataclasses.replace(
        config, conditional=True, num_actors=1, environment_name=own
    )
    images = load_dataset(config).train.images
    source = actors(config, images)
    source.start()
    found = parts_of(source, 2)
    for index, trajectory in enumerate(played(config, 0, 2, images)):
        assert_trees_equal(found[0, index], trajectory)


@needs_gl
def test_each_process_draws_scenes(actors, few_scenes):
    config = dataclasses.replace(
        preset("scenes_small"),
        canvas_width=16,
        episode_length=3,
        batch_size=2,
        actors="ray",
        num_actors=2,
    )
    images = np.ascontiguousarray(few_scenes.train.images[:, ::4, ::4])
    source = actors(config, images)
    source.start()
    found = parts_of(source, 2)
    for number in {number for number, _ in found}:
        expected = played(config, number, 1, images)[0]
        assert_trees_equal(found[number, 0], expected)


def test_a_run_learns_and_says_how_it_waits(config, cluster, tmp_path):
    train(dataclasses.replace(config, max_updates=10), tmp_path)
    records = [r for r in read_records(tmp_path / "metrics.jsonl") if "policy/loss" in r]
    assert records[-1]["frames"] == 10 * config.frames_per_update
    assert 0 <= records[-1]["actor/policy_lag"] <= 2
    assert {"actor/rollout_age", "learner/wait_share"} <= set(records[-1])


def test_what_an_environment_raises_again_and_again_ends_the_run(cluster):
    def broken(images, store, actor_id, num_rollouts):
        raise ArithmeticError(f"bug of actor {actor_id}")

    source = RayActors(broken, ParameterStore(), num_actors=2, queue_capacity=1)
    source._store.publish(0, np.zeros(1))
    with contextlib.closing(source):
        source.start()
        with pytest.raises(ActorError) as error:
            source.next()
    for words in ("failed 3 times by ArithmeticError", "Traceback", "in broken"):
        assert words in str(error.value)


def test_what_cannot_be_sent_is_refused(cluster):
    lock = threading.Lock()
    source = RayActors(lambda *_: lock, ParameterStore(), num_actors=1, queue_capacity=1)
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        source.start()


def test_a_machine_is_lost_and_the_run_goes_on(config, cluster, actors):
    """The last one that needs two of them."""
    source = actors(config)
    source.example()
    parts_of(source, 2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    for _ in range(4):
        rollout = source.next()
    assert rollout.trajectory.canvases.shape[:2] == (4, 4)


def processes_marked(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text("utf-8")[:80])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(config, tmp_path, number):
    pytest.importorskip("ray", reason="Ray is an extra, and is not installed")
    marker = f"RAY_TEST={tmp_path}"
    settings = {
        **dataclasses.asdict(config),
        "brush_sizes": "2.5,4.0",
        "run_dir": tmp_path / "run",
    }
    del settings["own"], settings["data_dir"]
    command = [sys.executable, "-m", "experiments.launch"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    environment = {**os.environ, "RAY_TEST": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    log = tmp_path / "log"
    with log.open("wb") as file:
        run = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    while not (tmp_path / "run" / "checkpoints").glob("[0-9]*"):
        assert run.poll() is None, log.read_text("utf-8")
        time.sleep(0.5)
    assert processes_marked(marker)
    run.send_signal(number)
    code = run.wait(120)
    assert code == (0 if number == signal.SIGTERM else -number), log.read_text("utf-8")
    deadline = time.monotonic() + 60
    while (left := processes_marked(marker)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []
