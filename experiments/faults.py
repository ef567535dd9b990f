"""Faults, one after the other, and what is left of a run after each.

  python -m experiments.faults            # 50 kills and all else: ten minutes of one core
  python -m experiments.faults --short    # some of each: what .ci/run does

One tiny run is stopped in every way and goes on each time. Nothing may be lost but what
came after its last checkpoint: each session has to go on from the newest complete one,
and in the end the run has to hold, bit by bit, what one holds that nothing happened to.
Another run, of two processes, loses one of them.

Prints a table, and ends with 1 if anything was lost. Kills and delays are drawn with a
fixed seed, but when they hit depends on the machine.
"""

import dataclasses
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import launch
from experiments.cli import run
from spiral_jax.checkpoint import read_newest
from spiral_jax.metrics import read_records
from spiral_jax.training import loop

_SHORT = flags.DEFINE_bool("short", False, "Fewer of each, and one process only.")
_KILLS = flags.DEFINE_integer("kills", 50, "How often the run is killed by kill -9.")
_PHASE = flags.DEFINE_string(
    "phase",
    None,
    "Internal: be the process that faults happen to, and say here when.",
)
_CLOCK = flags.DEFINE_bool("clock_jumps", False, "Internal: with a clock that jumps.")

ROOT = Path(__file__).parents[1]
# 8 px, two commands, and all that a run of the usual size has.
SETTINGS = {
    "preset": "mnist_conditional_small",
    "policy": "small",
    "canvas_width": 8,
    "grid_width": 4,
    "episode_length": 3,
    "batch_size": 2,
    "critic_width": 4,
    "replay_batches": 2,
    "log_updates": 5,
    "synchronous": True,
    "checkpoint_minutes": 0.02,
    "evaluate_minutes": 0.05,
}
PHASES = ("start", "compile", "update", "save", "evaluate")
# How long after the beginning of a phase the kill comes, at most.
SECONDS = {"start": 4.0, "compile": 6.0, "update": 1.0, "save": 0.5, "evaluate": 1.0}
PATIENCE = 900.0
DISK = "64m"


class LostError(Exception):
    """Something is gone that a checkpoint held, or a run does not go on."""


# The process that faults happen to.


def be_the_run(phase: Path, jumps: bool) -> None:
    """Makes the training loop say what it is at, and its clock jump."""

    def saying(name: str) -> None:
        real = getattr(loop.Run, name)

        def wrapped(*arguments, **named):
            before = phase.read_text(encoding="utf-8")
            phase.write_text(PHASE_OF[name], encoding="utf-8")
            found = real(*arguments, **named)
            phase.write_text(before, encoding="utf-8")
            return found

        setattr(loop.Run, name, wrapped)

    for name in PHASE_OF:
        saying(name)
    if jumps:
        rng, real = random.Random(0), time.time
        now = lambda: real() + rng.uniform(-1, 1) * 365 * 86400
        time.time, time.time_ns = now, lambda: int(now() * 1e9)


PHASE_OF = {
    "train": "compile",
    "_loop": "update",
    "_save": "save",
    "_evaluate": "evaluate",
}


class Session:
    """One process of a run."""

    def __init__(self, run_dir: Path, cache: Path, jumps: bool = False, **changes):
        """Starts it.

        Args:
          run_dir: the run's folder.
          cache: where compiled programs are kept.
          jumps: whether its clock jumps by up to a year, back and forth, at every look.
          **changes: of the settings, and other flags of `experiments.launch`.
        """
        folder = Path(tempfile.mkdtemp(dir=cache.parent))
        self._phase, self._log = folder / "phase", folder / "log"
        self._phase.write_text("start", encoding="utf-8")
        given = {**SETTINGS, **changes, "run_dir": run_dir, "compilation_cache": cache}
        command = [sys.executable, "-m", "experiments.faults", f"--phase={self._phase}"]
        command += [f"--clock_jumps={jumps}", *(f"--{k}={v}" for k, v in given.items())]
        with self._log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "JAX_PLATFORMS": "cpu",
                    "PYTHONUNBUFFERED": "1",
                    "XLA_FLAGS": "--xla_backend_optimization_level=0",
                    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                },
            )

    @property
    def phase(self) -> str:
        return self._phase.read_text(encoding="utf-8")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace", encoding="utf-8")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise LostError(f"waited in vain for {what}:\n{self.log[-2000:]}")
            time.sleep(0.005)

    def until(self, phase: str) -> None:
        self.wait_for(lambda: self.phase == phase, phase)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, code: int) -> None:
        """Waits until it has ended, with this exit code."""
        try:
            found = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LostError(f"does not end:\n{self.log[-2000:]}") from None
        if found != code:
            raise LostError(f"ended with {found}, not {code}:\n{self.log[-2000:]}")


class Run:
    """A run that things happen to.

    Attributes:
      folder: where it lies.
      safe: the newest update that must never be lost again.
    """

    def __init__(self, folder: Path, cache: Path):
        self.folder, self._cache = folder, cache
        self.safe = 0

    def saved(self) -> list[int]:
        """Returns the updates of complete checkpoints, oldest first."""
        folder = self.folder / "checkpoints"
        paths = folder.iterdir() if folder.exists() else []
        return sorted(int(path.name) for path in paths if path.name.isdecimal())

    def session(self, **changes) -> Session:
        return Session(self.folder, self._cache, **changes)

    def resumed(self, session: Session) -> None:
        """Waits until it makes updates; it has to go on from the newest checkpoint."""
        newest = max(self.saved(), default=0)
        if newest < self.safe:
            raise LostError(f"update {self.safe} was saved, {newest} is the newest left")
        session.until("update")
        said = f"going on from the checkpoint of update {newest}\n"
        if newest and said not in session.log:
            raise LostError(f"{said!r} is missing:\n{session.log[-2000:]}")
        self.safe = newest

    def saves(self, session: Session) -> None:
        """Waits for another checkpoint; it is safe from then on."""
        newest = max(self.saved(), default=0)
        sums = lambda: self.folder / "checkpoints" / str(max(self.saved(), default=0))
        session.wait_for(
            lambda: (
                max(self.saved(), default=0) > newest
                and (sums() / "checksums.json").exists()
            ),
            "a checkpoint",
        )
        self.safe = max(self.saved())

    def check_records(self) -> None:
        """metrics.jsonl has to read as that of one unbroken run."""
        path = self.folder / "metrics.jsonl"
        updates = [r["updates"] for r in read_records(path) if "policy/loss" in r]
        if updates != sorted(set(updates)):
            raise LostError(f"{path} repeats itself")


# What happens. Each leaves a run that no process is at work on.


def kill(run: Run, phase: str, rng: random.Random) -> None:
    """Ends a session by kill -9, somewhere in a phase."""
    session = run.session()
    try:
        if phase != "start":
            session.until("compile")
        if phase in ("update", "save", "evaluate"):
            run.resumed(session)
            session.until(phase)
        time.sleep(rng.uniform(0, SECONDS[phase]))
    finally:
        session.signal(signal.SIGKILL)
        session.process.wait()
    newest = max(run.saved(), default=0)
    if newest < run.safe:
        raise LostError(f"update {run.safe} was saved, {newest} is the newest left")
    run.safe = newest


def stop(run: Run, rng: random.Random, **changes) -> None:
    """SIGTERM, and again and again while it saves."""
    session = run.session(**changes)
    run.resumed(session)
    time.sleep(rng.uniform(0, 2))
    while "Stopped and saved" not in session.log and session.process.poll() is None:
        session.signal(signal.SIGTERM)
        time.sleep(0.02)
    newest = max(run.saved())
    if f"Stopped and saved after {newest} updates" not in session.log:
        raise LostError(f"did not save when stopped:\n{session.log[-2000:]}")
    session.process.wait()
    run.safe = newest


def jump(run: Run, rng: random.Random) -> None:
    """A clock that jumps by up to a year, at every look."""
    stop(run, rng, jumps=True)


def start_twice(run: Run, rng: random.Random) -> None:
    """The same command again, in the folder of a run that is at work."""
    session = run.session()
    run.resumed(session)
    second = run.session()
    second.end(1)
    owner = f"{run.folder} is in use by process {session.process.pid} on "
    if owner not in second.log.splitlines()[-1]:
        raise LostError(f"was not refused:\n{second.log[-2000:]}")
    run.saves(session)
    session.signal(signal.SIGTERM)
    session.end(0)
    run.safe = max(run.saved())


def fill_the_disk(run: Run, rng: random.Random) -> None:
    """No space is left from some moment on, until somebody makes room."""
    session = run.session()
    run.resumed(session)
    run.saves(session)
    filling = run.folder / "filling"
    try:
        with filling.open("wb", 0) as file:
            while session.process.poll() is None:
                try:
                    file.write(bytes(4096))
                except OSError:
                    time.sleep(0.05)  # what is deleted meanwhile is taken as well
        session.end(1)
    finally:
        filling.unlink()
    last = session.log.rstrip().splitlines()[-1]
    newest = max(run.saved())
    for words in ("No space left", str(run.folder), f"checkpoint of update {newest} "):
        if words not in last:
            raise LostError(f"the last line does not say {words!r}: {last}")


def flip_a_bit(checkpoint: Path) -> None:
    path = max(checkpoint.rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(checkpoint: Path) -> None:
    path = max(checkpoint.rglob("d/*"), key=lambda path: path.stat().st_size)
    os.truncate(path, path.stat().st_size // 2)


def copy_half(checkpoint: Path) -> None:
    """As an interrupted copy would leave it."""
    (checkpoint / "checksums.json").unlink()
    for path in sorted(checkpoint.rglob("d/*"))[::2]:
        path.unlink()


def forget(checkpoint: Path) -> None:
    (checkpoint / "default" / "_METADATA").unlink()


DAMAGES = (flip_a_bit, cut, copy_half, forget)


def damage(run: Run, rng: random.Random, how: Callable[[Path], None]) -> None:
    """The newest checkpoint is damaged, while no process is at work."""
    session = run.session()
    run.resumed(session)
    run.saves(session)
    if len(run.saved()) < 2:
        run.saves(session)
    session.signal(signal.SIGTERM)
    session.end(0)
    *_, before, newest = run.saved()
    how(run.folder / "checkpoints" / str(newest))
    run.safe = before
    session = run.session()
    session.until("update")
    if f"the run goes on from checkpoint {before}" not in session.log:
        raise LostError(f"nothing was said:\n{session.log[-2000:]}")
    if not (run.folder / "checkpoints" / f"damaged-{newest}").exists():
        raise LostError("the damaged one was not kept")
    run.saves(session)
    session.signal(signal.SIGTERM)
    session.end(0)
    run.safe = max(run.saved())
    shutil.rmtree(run.folder / "checkpoints" / f"damaged-{newest}")


def lose_a_host(run: Run, rng: random.Random) -> None:
    """One of two processes is killed; the same commands go on with both."""

    def start() -> list[Session]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            place = {"coordinator": f"localhost:{free.getsockname()[1]}"}
        place |= {"num_processes": 2, "evaluate_minutes": 0}
        return [run.session(**place, process_id=i) for i in range(2)]

    sessions = start()
    try:
        run.resumed(sessions[0])
        run.saves(sessions[0])
        sessions[1].signal(signal.SIGKILL)
        sessions[0].end(1)
        if "cannot go on. Process 1" not in sessions[0].log:
            raise LostError(f"nothing was said:\n{sessions[0].log[-2000:]}")
        sessions = start()
        run.resumed(sessions[0])
        sessions[1].until("update")  # while it compiles, SIGTERM ends it as usual
        sessions[1].signal(signal.SIGTERM)
        for session in sessions:
            session.end(0)
    finally:
        for session in sessions:
            session.process.kill()
            session.process.wait()
    run.safe = max(run.saved())


@dataclasses.dataclass
class Row:
    """How a fault was survived."""

    fault: str
    tried: int = 0
    survived: int = 0
    remark: str = ""

    def __str__(self) -> str:
        counts = (self.tried, self.survived, self.tried - self.survived)
        return f"| {' | '.join(map(str, (self.fault, *counts, self.remark)))} |"


def attempt(row: Row, run: Run, fault: Callable, *arguments) -> None:
    """Lets a fault happen, and counts how it went."""
    row.tried += 1
    begin = time.monotonic()
    try:
        fault(run, *arguments)
        run.check_records()
        row.survived += 1
        said = f"update {run.safe} is safe"
    except LostError as error:
        said = f"LOST: {error}"
    print(f"{row.fault}: {said} ({time.monotonic() - begin:.0f} s)", flush=True)


def compare(run: Run, cache: Path, folder: Path, row: Row) -> None:
    """Trains without a fault, as far as the run has got; it has to hold the same."""
    row.tried += 1
    updates = max(run.saved())
    session = Session(
        folder, cache, max_updates=updates, checkpoint_minutes=1e6, evaluate_minutes=0
    )
    session.end(0)
    found, expected = (read_newest(x / "checkpoints") for x in (run.folder, folder))
    del found["minutes"], expected["minutes"]
    same = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), found, expected)
    row.survived += all(jax.tree.leaves(same))
    row.remark = f"after {updates:,} updates"


def small_disk(folder: Path) -> str:
    """Makes a folder a disk of its own; returns why not, if that is impossible."""
    folder.mkdir()
    if os.geteuid():
        return "only root can mount a small disk"
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        refused = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no mount here"
    return refused.stderr.strip()


def campaign(folder: Path, why_no_disk: str) -> list[Row]:
    """Lets everything happen; returns the table.

    Args:
      folder: where runs may be put.
      why_no_disk: why `disk` in it is no disk of its own; empty if it is.
    """
    short, rng, cache = _SHORT.value, random.Random(0), folder / "compiled"
    run = Run(folder / "disk" / "run", cache)
    rows = {
        name: Row(name)
        for name in (
            *(f"kill -9 ({phase})" for phase in PHASES),
            "SIGTERM, again and again",
            "clock jumps",
            "two starts in one folder",
            "disk full",
            *(f"checkpoint damaged ({how.__name__})" for how in DAMAGES),
            "one of two hosts killed",
            "held at last what a run without faults holds",
        )
    }
    phases = ("save", "update") if short else PHASES
    faults = [
        (f"kill -9 ({phase})", kill, phase, rng)
        for phase in itertools.islice(
            itertools.cycle(phases), 2 if short else _KILLS.value
        )
    ]
    few = 1 if short else 3
    if not short:
        faults += few * [("SIGTERM, again and again", stop, rng)]
        faults += few * [("clock jumps", jump, rng)]
    faults += few * [("two starts in one folder", start_twice, rng)]
    if not why_no_disk:
        faults += few * [("disk full", fill_the_disk, rng)]
    rows["disk full"].remark = why_no_disk
    faults += [
        (f"checkpoint damaged ({how.__name__})", damage, rng, how)
        for how in (DAMAGES[:1] if short else DAMAGES)
    ]
    rng.shuffle(faults)
    # The first one finds nothing to go on from.
    attempt(rows["SIGTERM, again and again"], run, stop, rng)
    for name, *fault in faults:
        attempt(rows[name], run, *fault)
    last = rows["held at last what a run without faults holds"]
    compare(run, cache, folder / "without", last)
    if not short:
        two = Run(folder / "two", cache)
        attempt(rows["one of two hosts killed"], two, lose_a_host, rng)
    return [row for row in rows.values() if row.tried or row.remark]


def main(argv: list[str]) -> None:
    if _PHASE.value:
        be_the_run(Path(_PHASE.value), _CLOCK.value)
        return launch.main(argv)
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    begin = time.monotonic()
    why_no_disk = small_disk(folder / "disk")
    try:
        rows = campaign(folder, why_no_disk)
    finally:
        if not why_no_disk:
            subprocess.run(["umount", "--lazy", str(folder / "disk")], check=True)
        shutil.rmtree(folder, ignore_errors=True)
    print("\n| fault | tried | survived | lost | |\n|---|---|---|---|---|")
    print(*rows, sep="\n")
    lost = sum(row.tried - row.survived for row in rows)
    print(f"\n{sum(row.tried for row in rows)} faults in", end=" ")
    print(f"{(time.monotonic() - begin) / 60:.0f} min, {lost} lost.")
    if lost:
        raise SystemExit(1)


if __name__ == "__main__":
    run(main, "faults")
