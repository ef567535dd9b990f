"""Checkpoints that something happened to."""

import contextlib
import json
import logging
import shutil
import subprocess

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from spiral_jax.checkpoint import Checkpointer, read_newest
from tests.conftest import assert_trees_equal
from tests.test_run_folder import fill, small_disk

__all__ = ["small_disk"]


def state_of(num_updates):
    rng = np.random.default_rng(num_updates)
    return {
        "learner": {
            "w": rng.normal(size=(64, 64)).astype(np.float32),
            "broken": np.array([np.nan, np.inf, -0.0], np.float32),
            "num_updates": np.asarray(num_updates),
            "flag": np.zeros([], bool),
        }
    }


def save(folder, *updates):
    with contextlib.closing(Checkpointer(folder)) as checkpointer:
        for num_updates in updates:
            checkpointer.save(num_updates, state_of(num_updates))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save(folder, 1, 2)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """Checkpoints of the updates 1 and 2, to be damaged."""
    shutil.copytree(saved, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def arrays_file(checkpoint):
    """The file with most of the arrays."""
    files = checkpoint.glob("default/ocdbt.process_0/d/*")
    return max(files, key=lambda path: path.stat().st_size)


def cut(checkpoint):
    path = arrays_file(checkpoint)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(checkpoint):
    path = arrays_file(checkpoint)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def without_checksums(damage):
    def do(checkpoint):
        damage(checkpoint)
        (checkpoint / "checksums.json").unlink()

    return do


DAMAGES = {
    "cut": cut,
    "a bit": flip_a_bit,
    "a file": lambda checkpoint: arrays_file(checkpoint).unlink(),
    "metadata": lambda checkpoint: (checkpoint / "default" / "_METADATA").unlink(),
    "its own metadata": lambda c: (c / "_CHECKPOINT_METADATA").unlink(),
    "checksums": lambda c: (c / "checksums.json").write_text("[3", encoding="utf-8"),
    "no arrays": lambda checkpoint: shutil.rmtree(checkpoint / "default"),
    # As a copy of a running run, cut off, would be; or one of an earlier version.
    "copied half, cut": without_checksums(cut),
    "copied half, a file": without_checksums(lambda c: arrays_file(c).unlink()),
    "copied half, manifest": without_checksums(
        lambda checkpoint: (checkpoint / "default" / "manifest.ocdbt").unlink()
    ),
    "copied half, metadata": without_checksums(
        lambda checkpoint: (checkpoint / "default" / "_METADATA").write_text(
            "{", encoding="utf-8"
        )
    ),
    "copied half, nothing": lambda c: (shutil.rmtree(c), c.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder, caplog, damage):
    damage(folder / "2")
    before = sorted(folder.rglob("*"))
    # To look at it changes nothing, and says which to choose.
    with pytest.raises(ValueError, match=r"Checkpoint 2 in .* is damaged") as caught:
        read_newest(folder)
    assert "damaged-2 say, and checkpoint 1 is taken" in str(caught.value)
    assert sorted(folder.rglob("*")) == before
    # To train goes on from it.
    with caplog.at_level(logging.WARNING, logger="absl"):
        checkpointer = Checkpointer(folder)
    with contextlib.closing(checkpointer):
        assert checkpointer.latest() == 1
        assert_trees_equal(checkpointer.restore(state_of(0)), state_of(1))
        checkpointer.save(2, state_of(2))
        assert_trees_equal(checkpointer.restore(state_of(0)), state_of(2))
    assert (folder / "damaged-2").is_dir()
    assert "Checkpoint 2 in" in caplog.text
    assert "kept as damaged-2; the run goes on from checkpoint 1" in caplog.text


def test_twice_damaged_is_kept_twice(folder):
    for _ in range(2):
        cut(folder / "2")
        save(folder, 2)
    assert {p.name for p in folder.iterdir()} == {"1", "2", "damaged-2", "damaged-2-2"}


def test_if_all_are_damaged_none_is_touched(folder):
    for name in ("1", "2"):
        cut(folder / name)
    with pytest.raises(ValueError, match=r"All .* damaged: 2: .* bytes, .*; 1: .* bytes"):
        Checkpointer(folder)
    assert {path.name for path in folder.iterdir()} == {"1", "2"}
    with pytest.raises(ValueError, match="No other is good"):
        read_newest(folder)


def test_a_kill_before_the_checksums_loses_nothing(folder):
    (folder / "2" / "checksums.json").unlink()
    (folder / "3.orbax-checkpoint-tmp").mkdir()
    with contextlib.closing(Checkpointer(folder)):
        assert_trees_equal(read_newest(folder), state_of(2))
    assert {path.name for path in folder.iterdir()} == {"1", "2"}


def test_checksums_are_of_every_file(folder):
    sums = json.loads((folder / "2" / "checksums.json").read_text(encoding="utf-8"))
    files = {p.relative_to(folder / "2").as_posix() for p in (folder / "2").rglob("*.*")}
    assert len(sums) > 5
    assert set(sums) >= files - {"checksums.json"} - {"default/ocdbt.process_0"}
    for name, (size, _) in sums.items():
        assert (folder / "2" / name).stat().st_size == size


def test_what_is_written_wrong_is_found_at_once(folder, monkeypatch):
    """What arrives at the disk differs by one bit."""
    with contextlib.closing(Checkpointer(folder)) as checkpointer:
        real = checkpointer._manager.save

        def save(step, args):
            wrong = jax.tree.map(np.copy, args.item)
            wrong["learner"]["w"].view(np.uint8)[5, 5] ^= 1
            return real(step, args=ocp.args.StandardSave(wrong))

        monkeypatch.setattr(checkpointer._manager, "save", save)
        said = (
            r"3: what is read is not what was written, in learner\.w, .* as damaged-3\."
        )
        with pytest.raises(OSError, match=said):
            checkpointer.save(3, state_of(3))
        assert checkpointer.latest() == 2
    assert {path.name for path in folder.iterdir()} == {"1", "2", "damaged-3"}


def test_a_full_disk_is_said_in_one_line_and_leaves_what_was(small_disk, capfd):
    folder = small_disk / "checkpoints"
    save(folder, 1)
    fill(small_disk)
    with contextlib.closing(Checkpointer(folder)) as checkpointer:
        with pytest.raises(OSError, match="No space left on device") as caught:
            checkpointer.save(2, state_of(2))
        assert str(caught.value).startswith(f"{folder}/2: ")
        assert checkpointer.latest() == 1
        assert [path.name for path in folder.iterdir()] == ["1"]
        (small_disk / "filling").unlink()
        checkpointer.save(2, state_of(2))
        assert_trees_equal(read_newest(folder), state_of(2))
    assert "_SignalingThread" not in capfd.readouterr().err


def test_a_file_system_that_cannot_be_written_to_can_be_read(small_disk):
    save(small_disk / "checkpoints", 1, 2)
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    assert_trees_equal(read_newest(small_disk / "checkpoints"), state_of(2))
    with pytest.raises(FileNotFoundError, match=r"No checkpoint in .*; train first"):
        read_newest(small_disk / "none")
    with pytest.raises(OSError, match=r"Read-only file system; name a place"):
        Checkpointer(small_disk / "none")
