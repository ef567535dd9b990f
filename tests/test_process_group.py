"""What processes tell each other, and what they make of it: one of them, and actors."""

import contextlib
import json
import re
import threading
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from spiral_jax.distributed import process_group
from spiral_jax.distributed.process_group import Decision, ProcessGroup


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Makes one process of several, what plays the others, and how it ended."""

    def begin(number=0, count=2, stuck_seconds=1.0):
        ended, beats = threading.Event(), iter(range(10**6))
        monkeypatch.setattr(process_group.jax, "process_count", lambda: count)
        monkeypatch.setattr(process_group.jax, "process_index", lambda: number)
        gather = process_group.multihost_utils
        monkeypatch.setattr(gather, "broadcast_one_to_all", lambda x: 7)
        monkeypatch.setattr(gather, "sync_global_devices", lambda name: None)
        monkeypatch.setattr(process_group.os, "_exit", lambda code: ended.set())
        monkeypatch.setattr(process_group, "BEAT_SECONDS", 0.05)

        def other(process=1, **values):
            beat = {"session": 7, "process": process, "host": "b", "pid": 40 + process}
            beat["beats"] = next(beats)
            (tmp_path / f"{process}.json").write_text(
                json.dumps({**beat, **values}), encoding="utf-8"
            )

        return ProcessGroup(tmp_path, stuck_seconds), other, ended

    return begin


def watch(peers, ended, play, seconds=10.0):
    """Lets the others play until the process has ended."""
    deadline = time.monotonic() + seconds
    with peers:
        peers.barrier("update 4")
        while time.monotonic() < deadline and not ended.is_set():
            play()
            time.sleep(0.05)
    return ended.is_set()


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (
            {"doing": "playing for update 4", "moves": 5},
            r"Process 1 \(pid 41 on b\) is stuck for 1 s at: playing for update 4\.",
        ),
        (
            {"doing": "update 4", "moves": 5, "meetings": 1},
            r"All processes are stuck for 1 s at: update 4\.",
        ),
        (
            {"ended": "RuntimeError: the brush broke"},
            r"Process 1 \(pid 41 on b\) has ended\. RuntimeError: the brush broke",
        ),
        ({"session": 6}, r"Process 1 has not been heard of for 1 s"),
    ],
)
def test_process_0_names_who_is_stuck(play, capfd, says, message):
    peers, other, ended = play()
    assert watch(peers, ended, lambda: other(**says))
    assert re.search(message, capfd.readouterr().err)


def test_process_0_waits_for_who_gets_on(play):
    peers, other, ended = play()
    moves = iter(range(1000))
    with peers:
        peers.barrier("update 4")
        for _ in range(40):
            other(moves=next(moves), doing="evaluating")
            time.sleep(0.05)
        with peers.paused("evaluating"):
            for _ in range(40):
                other(moves=0, doing="update 4")
                time.sleep(0.05)
    assert not ended.is_set()


def test_a_request_to_stop_reaches_process_0(play):
    peers, other, _ = play()
    with peers:
        other()
        assert not peers.stopping
        other(stopping=True)
        time.sleep(0.3)
        assert peers.stopping


def test_the_others_end_with_what_process_0_found(play, capfd):
    peers, other, ended = play(number=1, count=3)
    found = "It found: Process 2 (pid 42 on b) is stuck for 1 s at: update 4."
    assert watch(peers, ended, lambda: other(0, ended=found))
    said = capfd.readouterr().err
    assert f"Process 0 (pid 40 on b) has ended. {found}" in said
    assert "Process 1 ends too" in said


def test_the_others_miss_process_0_and_leave_the_rest_to_it(play, capfd):
    """They do not hear those who get on, so they cannot tell who is stuck."""
    peers, other, ended = play(number=1, count=3)
    assert not watch(peers, ended, lambda: other(0, moves=1), seconds=3.0)
    peers, other, ended = play(number=1, count=3)
    assert watch(peers, ended, lambda: other(2))
    said = capfd.readouterr().err
    assert "Process 0 (pid 40 on b) has not been heard of for 1 s" in said


def test_what_fails_in_one_process_makes_process_0_look_closer(play, capfd, monkeypatch):
    monkeypatch.setattr(process_group, "SUSPICION_SECONDS", 0.5)
    peers, other, ended = play(count=3, stuck_seconds=60.0)
    moves = iter(range(1000))
    other(2)
    assert watch(peers, ended, lambda: other(1, suspicious=True, moves=next(moves)))
    said = capfd.readouterr().err
    assert re.search(r"Process 2 .*has not been heard of for 0 s", said)


def test_files_read_grow_with_the_processes_and_not_with_their_square(play, monkeypatch):
    count, opened = 32, []
    real = Path.read_text

    def read_text(path, **how):
        opened.append(path.name)
        return real(path, **how)

    monkeypatch.setattr(Path, "read_text", read_text)
    for number in range(count):
        peers, other, _ = play(number, count)
        other(number)
        peers._listen()
    assert len(opened) == 2 * (count - 1)


class Cluster:
    """Two processes in lock step, on a clock of its own; process 1 is asked to stop.

    An update is computed when its result is asked for, as accelerators do, or at once.
    """

    def __init__(self, monkeypatch, at_once):
        self.now, self.due, self.at_once = 0.0, 0.0, at_once
        self.stop_at, self.agreements = np.inf, 0
        fake = types.SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(process_group, "time", fake)
        monkeypatch.setattr(
            process_group.multihost_utils, "process_allgather", self.gather
        )

    def gather(self, own):
        self.now += self.due + 1e-4
        self.due, self.agreements = 0.0, self.agreements + 1
        theirs = np.array([self.now >= self.stop_at, 0, 0, 0, 10**6])
        return np.stack([own, theirs])

    def update(self, seconds):
        if self.at_once:
            self.now += seconds
        else:
            self.now += 1e-5
            self.due += seconds

    def run(self, peers, num_updates, seconds, until):
        """Learns, from a number of updates on; returns that after the last one."""
        while self.now < until:
            if peers.decide(num_updates, Decision()).stop:
                break
            self.update(seconds)
            num_updates += 1
        return num_updates


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("seconds", [3.0, 0.2, 0.002])
@pytest.mark.parametrize("stop_after", [0.0, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("resumed_at", [0, 20_000, 10**6])
def test_a_request_to_stop_is_honoured_within_seconds(
    play, monkeypatch, resumed_at, stop_after, seconds, at_once
):
    """As soon as 60 s of compiling are over, and at any time later."""
    cluster = Cluster(monkeypatch, at_once)
    peers, _, _ = play()
    cluster.now = 60.0
    cluster.stop_at = 60.0 + stop_after
    cluster.run(peers, resumed_at, seconds, until=10_000.0)
    waited = cluster.now - cluster.stop_at
    assert 0 <= waited <= 2.5 + 2 * seconds
    # And they do not ask each other all the time.
    assert cluster.agreements <= 12 + 2 * stop_after


def test_agreements_follow_how_fast_updates_are(play, monkeypatch):
    """Ten times slower from one moment on, as if somebody else came along."""
    cluster = Cluster(monkeypatch, at_once=False)
    peers, _, _ = play()
    updates = cluster.run(peers, 0, 0.001, until=100.0)
    cluster.stop_at = cluster.now
    updates = cluster.run(peers, updates, 0.01, until=10_000.0)
    assert cluster.now - cluster.stop_at < 12
    cluster.stop_at, cluster.agreements = np.inf, 0
    # The next one after ten more seconds, as agreed on when they were fast.
    cluster.run(peers, updates, 0.01, until=cluster.now + 40)
    assert 25 <= cluster.agreements <= 60


def test_any_process_may_stop_all_and_process_0_decides_the_rest(play, monkeypatch):
    peers, _, _ = play()
    theirs = np.array([1, 1, 1, 1, 99])
    monkeypatch.setattr(
        process_group.multihost_utils,
        "process_allgather",
        lambda own: np.stack([own, theirs]),
    )
    assert peers.decide(0, Decision(save=True)) == Decision(stop=True, save=True)
    assert peers.decide(0, Decision(save=True)) == Decision()  # nothing is due so soon
    assert peers.decide(1, Decision(finish=True)) == Decision(stop=True, finish=True)


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (jax.errors.JaxRuntimeError("INTERNAL: Gloo all-reduce failed"), True),
        (ValueError("UNKNOWN: Gloo all-reduce failed: connection reset"), True),
        (ValueError("batch_size=0: expected at least 1."), False),
    ],
)
def test_a_failed_collective_waits_until_it_is_known_who_is_gone(
    play, monkeypatch, error, ends
):
    peers, other, ended = play(stuck_seconds=60.0)
    monkeypatch.setattr(process_group, "SUSPICION_SECONDS", 1.0)
    with contextlib.suppress(type(error)), peers:
        other()
        time.sleep(0.2)
        raise error
    assert ended.is_set() == ends
