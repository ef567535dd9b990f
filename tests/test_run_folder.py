"""What is written into a run's folder, and what is said where that fails."""

import contextlib
import errno
import json
import os
import subprocess

import pytest

from spiral_jax.ownership import owned
from spiral_jax.paths import explained, reason, write_file
from spiral_jax.run_folder import keep_earlier_settings

NOBODY = 65534


@contextlib.contextmanager
def without_rights():
    """As a user who owns nothing; root may write everywhere."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB of its own."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    try:
        mounted = (
            os.geteuid() == 0
            and not subprocess.run(command, capture_output=True).returncode
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(folder):
    """Leaves no room on a small disk."""
    with contextlib.suppress(OSError), (folder / "filling").open("wb", 0) as file:
        while True:
            file.write(bytes(4096))


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("", encoding="utf-8")
    for run_dir in (tmp_path / "run", tmp_path / "run" / "below"):
        with (
            pytest.raises(OSError, match="a file is where a folder should be") as caught,
            owned(run_dir),
        ):
            pass
        assert str(caught.value).startswith(f"{run_dir}: ")


def test_a_folder_that_one_may_not_write_to_is_named(tmp_path):
    with (
        without_rights(),
        pytest.raises(PermissionError) as caught,
        owned(tmp_path / "run"),
    ):
        pass
    assert str(caught.value) == (
        f"{tmp_path / 'run'}: Permission denied; ask for the right to it, or name "
        "another place."
    )
    assert caught.value.errno == errno.EACCES


def test_a_full_disk_leaves_the_old_file(small_disk):
    path = small_disk / "config.json"
    write_file(path, "old")
    fill(small_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_file(path, 2**16 * "new")
    assert reason(caught.value) == (
        f"{path}: No space left on device; free some space there, or name another place."
    )
    assert path.read_text(encoding="utf-8") == "old"
    assert {p.name for p in small_disk.iterdir()} == {"config.json", "filling"}


def test_what_explains_itself_is_only_added_to():
    error = explained(PermissionError(errno.EACCES, "Permission denied", "/a"), "/b")
    assert str(error).startswith("/a: Permission denied; ")
    again = explained(error, "/c", "All is safe.")
    assert str(again) == f"{error} All is safe."
    assert type(again) is PermissionError


def test_earlier_settings_are_kept_once(tmp_path):
    config, earlier = tmp_path / "config.json", tmp_path / "earlier_settings.json"

    def go_on(settings, num_updates):
        keep_earlier_settings(tmp_path, settings, num_updates)
        write_file(config, json.dumps(settings))

    go_on({"rate": 1, "sizes": (1, 2)}, 0)
    go_on({"rate": 1, "sizes": (1, 2)}, 10)
    assert not earlier.exists()
    go_on({"rate": 2, "sizes": (1, 2)}, 20)
    # As after a kill between the two files.
    config.write_text(json.dumps({"rate": 1, "sizes": [1, 2]}), encoding="utf-8")
    go_on({"rate": 2, "sizes": (1, 2)}, 20)
    config.write_text("{ mended by hand", encoding="utf-8")
    go_on({"rate": 3}, 30)
    assert json.loads(earlier.read_text(encoding="utf-8")) == [
        {"until_updates": 20, "settings": {"rate": 1, "sizes": [1, 2]}},
        {"until_updates": 30, "settings": "{ mended by hand"},
    ]
