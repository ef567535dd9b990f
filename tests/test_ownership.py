"""One run at a time in a folder, whatever ended the one before."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spiral_jax import ownership
from spiral_jax.ownership import OwnerError, take

pytestmark = pytest.mark.thorough

HOLDER = """
import sys, time
from pathlib import Path
from spiral_jax.ownership import take
take(Path(sys.argv[1]))
print("mine", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process of this host, which owns the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def no_waiting(monkeypatch):
    def sleep(seconds):
        raise AssertionError("waited for a sign of life")

    monkeypatch.setattr(ownership.time, "sleep", sleep)


def write_owner(run_dir, number=7, **changes):
    """Leaves the file of an owner that is gone, of this process but for the changes."""
    (run_dir / "owner").mkdir(exist_ok=True)
    path = run_dir / "owner" / f"{number}.json"
    process = dataclasses.asdict(ownership._myself())
    path.write_text(json.dumps({**process, **changes}), encoding="utf-8")
    return path


def test_who_comes_second_is_told_who_was_first(tmp_path, holder, no_waiting):
    with pytest.raises(OwnerError) as caught:
        take(tmp_path)
    year = time.strftime("%Y")
    assert re.match(
        rf"{tmp_path} is in use by process {holder.pid} on \S+, since {year}-.*"
        rf"the same command goes on\. .* delete {tmp_path}/owner\.$",
        str(caught.value),
    )


def test_what_kill_9_leaves_stops_nobody(tmp_path, holder, no_waiting):
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
    owner = take(tmp_path)
    owner.check()
    assert [path.name for path in (tmp_path / "owner").iterdir()] == ["2.json"]
    owner.close()
    take(tmp_path).close()


def test_another_process_with_the_number_of_a_dead_one_does_not_count(
    tmp_path, no_waiting
):
    write_owner(tmp_path, started="1")
    take(tmp_path).close()


def test_a_process_of_another_host_counts_as_long_as_it_shows_life(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.02)
    path = write_owner(tmp_path, machine="elsewhere", host="b", pid=42)
    looks = []

    def sleep(seconds, sleep=time.sleep):
        looks.append(seconds)
        if len(looks) == 5:
            os.utime(path)
        sleep(seconds)

    monkeypatch.setattr(ownership.time, "sleep", sleep)
    with pytest.raises(OwnerError, match="in use by process 42 on b"):
        take(tmp_path)
    assert len(looks) == 5
    # Now for ever silent.
    take(tmp_path).close()
    assert len(looks) == 5 + ownership.SILENT_LOOKS


def test_signs_of_life_do_not_depend_on_clocks(tmp_path, monkeypatch):
    """The owner's clock, and that of the file server, may be years behind ours."""
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.02)
    path = write_owner(tmp_path, machine="elsewhere")
    os.utime(path, (0, 0))
    monkeypatch.setattr(ownership.time, "sleep", lambda seconds: os.utime(path, (1, 1)))
    with pytest.raises(OwnerError):
        take(tmp_path)


def test_a_file_that_a_kill_left_empty_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.001)
    write_owner(tmp_path).write_text("", encoding="utf-8")
    take(tmp_path).close()


def test_the_owner_shows_life(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.02)
    owner = take(tmp_path)
    path = tmp_path / "owner" / "1.json"
    before = path.stat().st_mtime_ns
    deadline = time.monotonic() + 30
    while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
        time.sleep(0.02)
    owner.close()
    assert path.stat().st_mtime_ns > before


def test_of_many_that_find_an_owner_gone_one_succeeds(tmp_path):
    write_owner(tmp_path, started="1")
    owners, refused = [], []
    together = threading.Barrier(16)

    def compete():
        together.wait()
        try:
            owners.append(take(tmp_path))
        except OwnerError:
            refused.append(1)

    threads = [threading.Thread(target=compete) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(owners), len(refused)) == (1, 15)
    owners[0].check()
    owners[0].close()


def test_who_sleeps_while_others_come_and_go_does_not_take_the_folder(
    tmp_path, monkeypatch
):
    """Between finding the owner gone and taking its place."""
    write_owner(tmp_path, started="1")
    real, others = ownership._refuse_if_owned, []

    def refuse_if_owned(path):
        real(path)
        if not others:
            others.append(None)
            take(tmp_path).close()
            others.append(take(tmp_path))

    monkeypatch.setattr(ownership, "_refuse_if_owned", refuse_if_owned)
    with pytest.raises(OwnerError):
        take(tmp_path)
    others[1].check()
    assert [path.name for path in (tmp_path / "owner").iterdir()] == ["9.json"]
    others[1].close()


def test_an_owner_that_was_taken_for_gone_finds_out(tmp_path, monkeypatch):
    frozen = take(tmp_path)
    frozen.check()
    write_owner(tmp_path, number=2, host="b", pid=42)
    with pytest.raises(OwnerError, match=r"process 42 on b, .* owns it now"):
        frozen.check()
    frozen.close()
    assert not (tmp_path / "owner" / "2.ended").exists()


def test_an_owner_whose_file_was_deleted_finds_out(tmp_path):
    owner = take(tmp_path)
    (tmp_path / "owner" / "1.json").unlink()
    with pytest.raises(OwnerError, match=f"{tmp_path}/owner was deleted"):
        owner.check()
    owner.close()


def test_a_file_system_that_fails_for_a_moment_is_no_loss(tmp_path, monkeypatch):
    owner = take(tmp_path)

    def stat(path, **how):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(Path, "stat", stat)
        owner.check()
    owner.close()
