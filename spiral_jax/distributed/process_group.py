"""Several processes, one for each host: what they agree on, and what if one is gone.

All of them run the same program. Whatever spans their devices, an update of the learner
say, begins only once all have come to it, and a process that waits in there can do
nothing else. Hence two rules. All processes come to the same things in the same order:
what depends on a clock or a signal is decided together first (`ProcessGroup.decide`). And
a thread of each watches the others, and ends the process if they will never come.

A run of one process goes through the same calls, and they do nothing.
"""

import contextlib
import dataclasses
import json
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from spiral_jax.distributed.beat import Beat

BEAT_SECONDS = 1.0
AGREEMENT_SECONDS = 1.0
# A process that is silent for so long is gone, where there is reason to believe so.
SUSPICION_SECONDS = 10.0


class Decision(NamedTuple):
    """What is to be done next.

    Attributes:
      stop: save, and end early.
      finish: the time is up.
      save, evaluate: before going on.
    """

    stop: bool = False
    finish: bool = False
    save: bool = False
    evaluate: bool = False


class ProcessGroup:
    """The processes of a run, as one of them sees them; a context around the run.

    Each tells how it is by a small file in the run's folder, which all share anyway, for
    its checkpoints. That needs no network, which may be what is broken, and
    `cat RUN_DIR/processes/*` shows what each is doing. Process 0 reads what all others
    say, and they read what it found: 2 P files are read a second, not P^2.

    Attributes:
      alone: whether this is the only process.
      first: whether this process is the one that writes what is written once.
    """

    def __init__(self, folder: Path, stuck_seconds: float):
        """Takes part.

        Args:
          folder: where the files lie.
          stuck_seconds: the run ends if one process is silent for so long, or if none
            gets on.
        """
        self._folder = folder
        self._limit = stuck_seconds
        self._me = Beat(0, jax.process_index(), platform.node(), os.getpid())
        self._patient = True
        self._next, self._pause = 0, 1
        self._agreed: tuple[int, float] | None = None
        self.first = self._me.process == 0
        self.alone = jax.process_count() == 1
        numbers = range(1, jax.process_count()) if self.first else (0,)
        self._others: dict[int, Beat] = {}
        self._heard = dict.fromkeys(numbers, 0.0)
        self._moved, self._own_moves = 0.0, 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)

    # What the training loop says and asks.

    def report(self, what: str) -> None:
        """Says what this process begins to do; has to be said often enough."""
        self._patient = False
        self._me.moves += 1
        self._me.doing = what

    def barrier(self, what: str) -> None:
        """Says that this process has come to something that all do together."""
        self._me.meetings += 1
        self.report(what)

    @contextlib.contextmanager
    def paused(self, what: str) -> Iterator[None]:
        """A time in which nothing can be said; the others wait as long as it takes."""
        self.report(what)
        self._patient = True
        yield
        self._patient = False

    def stop(self) -> None:
        """Asks all processes to stop."""
        self._me.stopping = True

    @property
    def stopping(self) -> bool:
        """Whether this process or one that it listens to was asked to stop."""
        return any(beat.stopping for beat in (self._me, *self._others.values()))

    def decide(self, num_updates: int, due: Decision) -> Decision:
        """Settles what all processes do next.

        They ask each other about once a second; between that, nothing is due. Any of
        them may stop the run; for the rest, what process 0 finds due is done.

        Between the first two agreements lies one update, whatever came before: a resumed
        run knows nothing yet of how fast it is. From then on as many as took a second
        lately, but at most twice as many as before.

        Args:
          num_updates: updates of the learner so far, the same everywhere.
          due: what this process finds.
        """
        if self.alone:
            return due
        if num_updates < self._next:
            return Decision()
        self.barrier(f"agreeing after {num_updates} updates")
        told = np.array([*due, self._pause], np.int32)
        found = multihost_utils.process_allgather(told)
        pause = int(found[0, -1])
        self._next = num_updates + pause
        # Only now are the updates done that had been dispatched before.
        now = time.monotonic()
        if self._agreed:
            rate = (num_updates - self._agreed[0]) / max(now - self._agreed[1], 1e-6)
            self._pause = max(1, min(int(rate * AGREEMENT_SECONDS), 2 * pause))
        self._agreed = num_updates, now
        first = Decision(*map(bool, found[0, :-1]))
        return first._replace(stop=bool(found[:, 0].any()))

    # The watch.

    def __enter__(self) -> "ProcessGroup":
        if not self.alone:
            session = np.int32(time.time_ns() % 2**31)
            self._me.session = int(multihost_utils.broadcast_one_to_all(session))
            self._folder.mkdir(parents=True, exist_ok=True)
            self._moved = time.monotonic()
            self._heard = dict.fromkeys(self._heard, self._moved)
            self._thread.start()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self.alone:
            return
        if error is None:
            self.barrier("waiting for the others to end")
            multihost_utils.sync_global_devices("end")
        elif _is_of_devices(error):
            # As a rule because another process is gone: leave it to the watch to find out
            # which, and to end this one.
            self._patient = self._me.suspicious = True
            self._thread.join(2 * SUSPICION_SECONDS)
        self._closed.set()
        self._thread.join()
        if error is None:
            self._path(self._me.process).unlink(missing_ok=True)
        else:
            self._me.ended = f"{kind.__name__}: {error}"
            self._tell()

    def _path(self, process: int) -> Path:
        return self._folder / f"{process}.json"

    def _tell(self) -> None:
        self._me.beats += 1
        self._me.moves += self._patient
        # A file system that fails for a moment is no reason to end.
        with contextlib.suppress(OSError):
            text = json.dumps(dataclasses.asdict(self._me)) + "\n"
            self._path(self._me.process).write_text(text, encoding="utf-8")

    def _listen(self) -> None:
        now = time.monotonic()
        for process in self._heard:
            try:
                beat = Beat(**json.loads(self._path(process).read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                continue  # not written yet, or just being written
            if beat.session != self._me.session:
                continue  # of an earlier session
            before = self._others.get(process)
            if before is None or beat.beats != before.beats:
                self._heard[process] = now
            if before is None or beat.moves != before.moves:
                self._moved = now
            self._others[process] = beat
        if self._me.moves != self._own_moves:
            self._own_moves, self._moved = self._me.moves, now

    def _watch(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            self._tell()
            self._listen()
            if trouble := self._trouble():
                self._end(trouble)

    def _trouble(self) -> str:
        """Says what is wrong, with whom; empty if nothing is."""
        now, limit = time.monotonic(), self._limit
        all_beats = [self._me, *self._others.values()]
        if any(beat.suspicious for beat in all_beats):
            limit = min(limit, SUSPICION_SECONDS)
        for process, heard in self._heard.items():
            beat = self._others.get(process)
            name = str(beat or f"Process {process}")
            if beat and beat.ended:
                return f"{name} has ended. {beat.ended}"
            if now - heard > limit:
                return (
                    f"{name} has not been heard of for {limit:.0f} s: killed, or frozen, "
                    "or cut off from the file system of the run's folder."
                )
        if not self.first or now - self._moved <= limit:
            return ""  # who is stuck only process 0 can tell
        meetings = [beat.meetings for beat in all_beats]
        late = [beat for beat in all_beats if beat.meetings < max(meetings)]
        since = f"for {limit:.0f} s"
        hint = "If that is no reason to end, raise --stuck_seconds."
        if late:
            who = "; ".join(f"{beat} is stuck {since} at: {beat.doing}" for beat in late)
            return f"{who}. The others wait for it. {hint}"
        return (
            f"All processes are stuck {since} at: {self._me.doing}. All have come to it, "
            f"so a device or the network between them has failed. {hint}"
        )

    def _end(self, trouble: str) -> None:
        """Ends this process, whose main thread waits where no exception reaches it."""
        self._me.ended = f"It found: {trouble}"
        self._tell()
        print(
            f"\nThis run cannot go on. {trouble}\nProcess {self._me.process} ends too, "
            "without saving; the same command on all hosts goes on from the newest "
            "checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        if self.first:
            # With it goes JAX's coordinator, and with that whoever is still there.
            time.sleep(3 * BEAT_SECONDS)
        os._exit(1)


def _is_of_devices(error: BaseException) -> bool:
    """Whether an error comes from devices, or from between them, and not from our code.

    Of failed collectives JAX raises ValueError, too: "UNKNOWN: Gloo all-reduce failed".
    """
    if isinstance(error, jax.errors.JaxRuntimeError):
        return True
    return isinstance(error, ValueError) and bool(re.match("[A-Z_]+: ", str(error)))
