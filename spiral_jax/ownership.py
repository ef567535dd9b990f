"""Who owns a run's folder: one run at a time, however it ended, wherever it ran.

The owner's file is `owner/N.json`. It is made so that making it fails if it exists
(O_EXCL): of several that try, one succeeds, on local disks and over NFS. It says who owns
the folder; its time of change, renewed every 2 s, says that the owner lives. The locks of
operating systems (flock, fcntl) would need no such renewal, but over NFS they are a
service of their own, which may be off or reach no further than the host, and the lock of
a host that crashed may stay.

After a kill the file stays. That its owner is gone is asked of the operating system, if
it ran here; of another host's, or another container's, it is believed if no sign of life
comes for 30 s. Whoever finds an owner gone makes `N+1.json`, and again one succeeds. No
number is used twice, and no clock is compared with another.

An owner that was only thought to be gone (its host was frozen, say) finds its own file
gone when it wakes, and ends without writing.
"""

import contextlib
import dataclasses
import errno
import json
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax
from absl import logging

from spiral_jax.distributed.processes import from_first
from spiral_jax.paths import explained, make_folder

FOLDER = "owner"
BEAT_SECONDS = 2.0
# So many looks, one each BEAT_SECONDS, without a sign of life. They are counted, and not
# the time: a file server that hangs delays the looks as well.
SILENT_LOOKS = 15


class OwnerError(OSError):
    """The folder belongs to another run."""


@dataclasses.dataclass(frozen=True)
class _Process:
    """Who owns a folder.

    Attributes:
      host, pid: who it is, for readers.
      since: when it took the folder, for readers.
      machine: the same for processes that see each other's numbers, and for no others.
      started: tells it from later processes of the same number; empty if unknown.
    """

    host: str
    pid: int
    since: str
    machine: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def lives(self) -> bool | None:
        """Asks the operating system; None if it cannot tell."""
        if self.machine != _machine() or os.name != "posix":
            return None
        if self.started:
            return _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return None  # there is one of that number


def _machine() -> str:
    """Names the boot of the host, and the container, whose process numbers we see."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str:
    """Returns when a process started, in the kernel's count; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # Zombies only wait for their parent to ask what became of them.
    return "" if fields[0] in "ZX" else fields[19]


class Owner:
    """The ownership of a folder, from `take`."""

    def __init__(self, path: Path):
        """Goes on showing signs of life until closed.

        Args:
          path: our file.
        """
        self._path = path
        self._next = path.with_name(f"{int(path.stem) + 1}.json")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="owner", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            # A file system that fails for a moment is no reason to end.
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def check(self) -> None:
        """Makes sure that the folder is still ours; to be asked before writing.

        Raises:
          OwnerError: it is not.
        """
        folder = self._path.parent
        if _is_there(self._next):
            found = f"{_read(self._next) or 'another process'} owns it now"
        elif _is_there(self._path) is False:
            found = f"{folder} was deleted"
        else:
            return
        raise OwnerError(
            f"{folder.parent} does not belong to this process any more: {found}. This "
            "one was taken for gone, and ends without writing."
        )

    def close(self) -> None:
        """Gives the folder up."""
        self._closed.set()
        self._thread.join()
        # Whoever comes next removes both.
        with contextlib.suppress(OSError):
            if _is_there(self._path):
                self._path.with_suffix(".ended").touch()


def take(run_dir: Path) -> Owner:
    """Makes this process the owner of a run's folder.

    Raises:
      OwnerError: another one is, and lives.
      OSError: the folder cannot be written to.
    """
    folder = run_dir / FOLDER
    make_folder(folder)
    while True:
        number = _latest(folder)
        _refuse_if_owned(folder / f"{number}.json")
        path = folder / f"{number + 1}.json"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(_myself())) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue  # somebody was faster
        except OSError as error:
            path.unlink(missing_ok=True)
            raise explained(error, path) from error
        if _latest(folder) > number + 1:
            path.unlink()  # we slept while others came and went
            continue
        for old in folder.iterdir():
            if _number(old) <= number:
                old.unlink(missing_ok=True)
        return Owner(path)


@contextlib.contextmanager
def owned(run_dir: Path) -> Iterator[Owner | None]:
    """Makes a run's folder if absent, and owns it; process 0 does for all of a run.

    Yields:
      The ownership; None in all other processes.

    Raises:
      OwnerError: another run owns it.
      OSError: it cannot be written to.
    """
    owners = []

    def begin() -> int:
        make_folder(run_dir)
        owners.append(take(run_dir))
        return 0

    from_first(begin, f"cannot use the folder {run_dir}")
    try:
        yield owners[0] if jax.process_index() == 0 else None
    finally:
        for owner in owners:
            owner.close()


def _myself() -> _Process:
    return _Process(
        host=platform.node(),
        pid=os.getpid(),
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        machine=_machine(),
        started=_started(os.getpid()),
    )


def _number(path: Path) -> int:
    found = re.fullmatch(r"(\d+)\.(json|ended)", path.name)
    return int(found[1]) if found else 0


def _latest(folder: Path) -> int:
    return max(map(_number, folder.iterdir()), default=0)


def _read(path: Path) -> _Process | None:
    """Returns who wrote a file; None if a kill, or an editor, left it unreadable."""
    try:
        return _Process(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None


def _refuse_if_owned(path: Path) -> None:
    """Returns if nobody owns a folder by this file, which may take 30 s to find out."""
    while path.exists() and not path.with_suffix(".ended").exists():
        try:
            owner = _read(path)
            lives = owner.lives() if owner else None
            if lives is None:
                lives = _shows_life(path, owner)
        except FileNotFoundError:
            continue
        if not lives:
            return
        run_dir = path.parent.parent
        raise OwnerError(
            f"{run_dir} is in use by {owner or 'a process that has not said who it is'}. "
            "One run at a time can write there: name another folder, or stop that "
            "process; once it has ended, the same command goes on. If you know that it "
            f"is gone, delete {path.parent}."
        )


def _shows_life(path: Path, owner: _Process | None) -> bool:
    before = _stamp(path)
    logging.warning(
        "%s was in use by %s, which cannot be asked from here. Waiting up to %.0f s for "
        "a sign of life ...",
        path.parent.parent,
        owner or "a process that did not say who it is",
        SILENT_LOOKS * BEAT_SECONDS,
    )
    for _ in range(SILENT_LOOKS):
        time.sleep(BEAT_SECONDS)
        if _stamp(path) != before:
            return True
    return False


def _is_there(path: Path) -> bool | None:
    """Whether a file exists; None if the file system fails to say, for the moment."""
    try:
        path.stat()
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
        return False if gone else None
    return True


def _stamp(path: Path) -> int:
    # Opened, since NFS asks the server then, and may answer from memory otherwise.
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns
