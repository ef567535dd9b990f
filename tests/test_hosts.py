"""Several processes on one machine: one run, whatever happens to one of them."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from spiral_jax.agents import load_agent
from spiral_jax.checkpoint import Checkpointer, read_newest
from spiral_jax.config import preset
from spiral_jax.distributed import processes
from spiral_jax.networks.presets import PRESETS
from spiral_jax.train import train
from spiral_jax.training import evaluations
from tests.conftest import assert_trees_equal

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

# `experiments.launch` without the measuring of drawings, which has tests of its own. Each
# process leaves its own copy of the policy.
WORKER = """
import numpy as np
from absl import app
from spiral_jax import train as t
from spiral_jax.training import evaluations, loop
from tests.test_hosts import NoEvaluator
class Run(loop.Run):
    def close(self):
        super().close()
        name = "seen_by_0" if self._group.first else "seen_by_1"
        params = self._learner._store.latest()[1]
        np.savez(self._dir / name, **{f"{m}/{k}": v for m in params
                                      for k, v in params[m].items()})
evaluations.make_evaluator, t.Run = NoEvaluator, Run
from experiments import launch
app.run(launch.main)
"""


# Centred gradients cancel to next to nothing, of which Adam makes steps that show how
# sums were rounded. tests/devices compares them, in float64; here networks do without.
UNCENTRED = dataclasses.replace(PRESETS["small"], centred_gradients=False)
UNCENTRED_WORKER = (
    "from spiral_jax.networks.presets import PRESETS\n"
    "from tests.test_hosts import UNCENTRED\n"
    "PRESETS['small'] = UNCENTRED\n"
) + WORKER


class Processes:
    """Both processes of a run, killed at the latest when the context ends."""

    def __init__(self, config, run_dir, cache, worker=WORKER, **changes):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        config = dataclasses.replace(config, devices=0, **changes)
        default, self._logs = preset("mnist_small"), []
        flags = [
            f"--{name}={value}"
            for name, value in dataclasses.asdict(config).items()
            if value != getattr(default, name)
        ]
        flags += [f"--run_dir={run_dir}", f"--compilation_cache={cache}"]
        flags += [f"--coordinator=localhost:{port}", "--num_processes=2"]
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            # Two devices each, and compiled in half the time.
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2 "
            "--xla_backend_optimization_level=0",
        }
        self.processes = []
        for i in range(2):
            self._logs.append(run_dir.parent / f"{run_dir.name}_{port}_{i}.log")
            with self._logs[i].open("w", encoding="utf-8") as log:
                command = [sys.executable, "-c", worker, *flags, f"--process_id={i}"]
                self.processes.append(
                    subprocess.Popen(
                        command, cwd=ROOT, env=environment, stdout=log, stderr=log
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()  # jax.distributed may swallow anything milder
            process.wait()

    def log(self, i):
        return self._logs[i].read_text(encoding="utf-8")

    def wait(self, seconds=300):
        """Waits for both to end."""
        deadline = time.monotonic() + seconds
        for i, process in enumerate(self.processes):
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                pytest.fail(f"Process {i} did not end:\n{self.log(i)[-3000:]}")
        return [process.returncode for process in self.processes]

    def wait_for(self, condition, seconds=300):
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [p for p in self.processes if p.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n\n".join(self.log(i)[-3000:] for i in range(2))
                pytest.fail(f"In vain:\n{logs}")
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compiled once for all runs of this file."""
    return tmp_path_factory.mktemp("compiled")


def final_state(run_dir):
    return read_newest(run_dir / "checkpoints")


def saved_updates(run_dir):
    names = (path.name for path in (run_dir / "checkpoints").iterdir())
    return {int(name) for name in names if name.isdigit()}


def logged_updates(run_dir):
    path = run_dir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line)["updates"] for line in lines if "critic/gap" in line]


class NoEvaluator:
    metric, label = "frechet/distance", "Fréchet distance"
    num_drawings = 4

    def __init__(self, system, data):
        pass

    def measure(self, params, stopped):
        return {self.metric: 1.0}, np.ones([4, 16, 16, 1], np.float32)

    def in_short(self, measures):
        return ""

    def table(self, measures):
        return None


def assert_close(a, b):
    """Sums over two devices of two processes are rounded otherwise than over one."""
    atol = min(1e-5, 1e-3 * np.abs(b).max())
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "actors",
    [{}, {"actors": "device"}, {"actors": "device", "fuse": 5}],
    ids=["threads", "device", "fused"],
)
def test_two_processes_learn_what_one_does(
    tiny_config, tmp_path, cache, monkeypatch, actors
):
    config = dataclasses.replace(tiny_config, max_updates=50, **actors)
    two, one = tmp_path / "two", tmp_path / "one"
    monkeypatch.setitem(PRESETS, "small", UNCENTRED)
    with Processes(config, two, cache, UNCENTRED_WORKER) as run:
        assert run.wait() == [0, 0]
    monkeypatch.setattr(evaluations, "make_evaluator", NoEvaluator)
    train(config, one)
    assert_trees_equal(*(dict(np.load(two / f"seen_by_{i}.npz")) for i in range(2)))
    found, expected = final_state(two), final_state(one)
    del found["minutes"], expected["minutes"]
    jax.tree.map(assert_close, found, expected)
    assert logged_updates(two) == logged_updates(one) == list(range(5, 51, 5))
    assert not list((two / "processes").iterdir())
    # Far from where they began, and a checkpoint like any other.
    system, average, num_updates = load_agent(two)
    assert num_updates == 50
    moved = jax.tree.map(
        lambda x, y: np.abs(x - y).max(), average, system.initial_policy()
    )
    assert min(jax.tree.leaves(moved)) > 1e-4


def test_one_process_goes_on_where_two_stopped(tiny_config, tmp_path, cache, monkeypatch):
    config = dataclasses.replace(tiny_config, max_updates=5)
    with Processes(config, tmp_path / "run", cache) as run:
        assert run.wait() == [0, 0]
    monkeypatch.setattr(evaluations, "make_evaluator", NoEvaluator)
    train(dataclasses.replace(config, max_updates=10), tmp_path / "run")
    assert logged_updates(tmp_path / "run") == [5, 10]


def test_what_ends_one_ends_both_and_the_same_command_goes_on(
    tiny_config, tmp_path, cache
):
    config = dataclasses.replace(tiny_config, synchronous=False, stuck_seconds=10.0)
    run_dir = tmp_path / "run"
    started = lambda: len(logged_updates(run_dir)) > 3
    with Processes(config, run_dir, cache) as run:
        run.wait_for(started)
        run.processes[1].send_signal(signal.SIGTERM)
        assert run.wait(60) == [0, 0]
        said = re.search(r"Stopped and saved after (\d+) updates", run.log(0))
    assert said
    stopped = int(said[1])
    assert max(saved_updates(run_dir)) == stopped

    config = dataclasses.replace(config, checkpoint_minutes=0.01)
    with Processes(config, run_dir, cache) as run:
        run.wait_for(lambda: len(saved_updates(run_dir) - {stopped}) > 1)
        run.processes[1].kill()
        assert run.wait(60) == [1, -signal.SIGKILL]
        assert re.search(r"cannot go on. Process 1 .* killed, or frozen", run.log(0))
    killed = max(saved_updates(run_dir))
    assert killed > stopped

    with Processes(config, run_dir, cache, max_updates=killed + 10) as run:
        assert run.wait() == [0, 0]
    updates = logged_updates(run_dir)
    assert updates == sorted(set(updates))
    assert max(saved_updates(run_dir)) == killed + 10


# Half a second an update, as on small machines, or of large networks.
SLOW_WORKER = WORKER.replace(
    "    def close(self):",
    "    def _learn(self):\n        time.sleep(0.5)\n        return super()._learn()\n"
    "    def close(self):",
).replace("import numpy", "import time\nimport numpy")


def test_a_run_resumed_at_update_20000_stops_within_seconds(tiny_config, tmp_path, cache):
    """The first agreement came 20,000 / (seconds since start) updates later."""
    config = dataclasses.replace(tiny_config, log_updates=1)
    run_dir = tmp_path / "run"
    with Processes(config, run_dir, cache, max_updates=5) as run:
        assert run.wait() == [0, 0]
    state = final_state(run_dir)
    state["learner"]["num_updates"] = np.asarray(20_000)
    with contextlib.closing(Checkpointer(run_dir / "checkpoints")) as checkpointer:
        checkpointer.save(20_000, state)
    with Processes(config, run_dir, cache, worker=SLOW_WORKER) as run:
        run.wait_for(lambda: max(logged_updates(run_dir), default=0) > 20_000)
        begin = time.monotonic()
        run.processes[1].send_signal(signal.SIGTERM)
        while "Stopped and saved" not in run.log(0) and time.monotonic() < begin + 60:
            time.sleep(0.1)
            run.processes[1].send_signal(signal.SIGTERM)  # while it saves, too
        assert run.wait(60) == [0, 0]
        seconds = time.monotonic() - begin
        said = re.search(r"Stopped and saved after (\d+) updates", run.log(0))
    assert 20_000 < int(said[1]) <= 20_000 + 60
    assert int(said[1]) == max(saved_updates(run_dir))
    assert seconds < 40


def test_a_second_run_of_two_processes_is_refused(tiny_config, tmp_path, cache):
    config = dataclasses.replace(tiny_config, synchronous=False)
    run_dir = tmp_path / "run"
    with Processes(config, run_dir, cache) as run:
        run.wait_for(lambda: logged_updates(run_dir))
        with Processes(config, run_dir, cache) as second:
            assert second.wait() == [1, 1]
            pid = run.processes[0].pid
            assert f"{run_dir} is in use by process {pid} on" in second.log(0)
            assert "Process 0 cannot use the folder" in second.log(1)
        before = max(logged_updates(run_dir))
        run.wait_for(lambda: max(logged_updates(run_dir)) > before + 20)
        run.processes[1].send_signal(signal.SIGTERM)
        assert run.wait(60) == [0, 0]
    updates = logged_updates(run_dir)
    assert updates == sorted(set(updates))


def test_all_end_with_the_process_that_coordinates(tiny_config, tmp_path, cache):
    config = dataclasses.replace(tiny_config, synchronous=False)
    with Processes(config, tmp_path / "run", cache) as run:
        run.wait_for(lambda: logged_updates(tmp_path / "run"))
        run.processes[0].kill()
        codes = run.wait(60)
        assert codes[1] not in (0, None)
        assert "leader task was preempted/died" in run.log(1)  # JAX's own message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("10.0.0.1:8476", 2, None), "process_id=None: expected all three"),
        (("10.0.0.1:8476", 2, 2), r"process_id=2: expected process_id in 0\.\.1"),
        (("10.0.0.1", 2, 0), "expected coordinator as host:port"),
    ],
)
def test_joining_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        processes.start(*arguments)


def test_launch_says_that_nothing_tells_who_takes_part(tmp_path):
    command = [sys.executable, "-m", "experiments.launch", "--distributed"]
    process = subprocess.run(
        [*command, f"--run_dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("launch: distributed=True, but JAX finds no TPU pod")


def test_the_pod_script_starts_the_same_command_on_all_hosts(tmp_path):
    """A stand-in for gcloud runs the remote command, with a stand-in for Python."""
    (tmp_path / "home").mkdir()
    (tmp_path / "gcloud").write_text(
        "#!/bin/bash\n"
        'echo "$*" >> "$CALLS"\n'
        'cd "$HOME"\n'
        'if [ "$4" = scp ]; then cp "$5" "${6#*:}"; '
        'else bash -c "${!##--command=}"; fi\n',
        encoding="utf-8",
    )
    (tmp_path / "python").write_text(
        "#!/bin/bash\n"
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"\n'
        'printf "#!/bin/bash\\n" > "$3/bin/pip"; chmod +x "$3/bin/pip"\n'
        'else printf "%s\\n" "$@"; fi\n',
        encoding="utf-8",
    )
    for name in ("gcloud", "python"):
        (tmp_path / name).chmod(0o755)
    flags = ["--preset=mnist", "--data_dir=my data"]
    found = subprocess.run(
        [ROOT / "experiments" / "tpu_pod.sh", "pod", "zone", "/shared/run", *flags],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "CALLS": str(tmp_path / "calls"),
            "PYTHON": str(tmp_path / "python"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    launched = ["-m", "experiments.launch", "--distributed", "--run_dir=/shared/run"]
    assert found.stdout.splitlines() == [*launched, *flags]
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert calls.count("--zone=zone --worker=all") == 2
    assert (tmp_path / "home" / "spiral_jax" / "spiral_jax" / "train.py").exists()
