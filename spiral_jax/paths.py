"""Paths that people give, and files that are written whole or not at all."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

# `Path` makes one slash of two. Drives of Windows have one letter.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_REMEDIES = {
    errno.ENOSPC: "free some space there, or name another place",
    errno.EDQUOT: "free some space there, or name another place",
    errno.EACCES: "ask for the right to it, or name another place",
    errno.EPERM: "ask for the right to it, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOTDIR: "a file is where a folder should be: move it, or name another place",
    errno.EEXIST: "a file is where a folder should be: move it, or name another place",
    errno.EISDIR: "a folder is where a file should be: move it, or name another place",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "links lead in a circle: name the place itself",
    errno.EMFILE: "let processes open more files: ulimit -n",
    errno.EIO: "the disk, or the network to it, is at fault: try again, or another one",
    errno.ESTALE: "the network's disk was away: try again",
}


def local_path(path: str | Path, name: str = "path") -> Path:
    """Returns the absolute path that is meant: `~` is a home, links stay as they are.

    Args:
      path: what was given.
      name: what it is called in errors.

    Raises:
      ValueError: it is empty, the address of a bucket or of another server, a home that
        is not known, or nothing that a file can be called.
    """
    text = os.fspath(path)
    if not text:
        raise ValueError(f"{name}={text!r}: expected the path of a file or folder.")
    if found := _ADDRESS.match(text):
        raise ValueError(
            f"{name}={text!r}: {found[1]}:// is not read or written, files of this "
            "machine are; expected a path, such as one where the bucket is mounted, or "
            "of a copy."
        )
    if "\0" in text:
        raise ValueError(f"{name}={text!r}: no file's name has a zero byte in it.")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded.startswith("~") and not os.path.exists(text):
        raise ValueError(
            f"{name}={text!r}: nobody knows that home; give the path itself, or "
            f"{'./' + text!r} if that is what it is called."
        )
    return Path(os.path.abspath(expanded))


def check_utf8(path: Path, name: str = "path") -> None:
    """Refuses the folder of a run whose path is not UTF-8: orbax cannot open it.

    Raises:
      ValueError: it is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name}={str(path)!r}: not UTF-8, so that no checkpoint can be kept there; "
            "rename the folder."
        ) from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Lets errors of the operating system name a file; of full disks they do not.

    Raises:
      OSError: as it came, with `filename`.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


def reason(error: OSError) -> str:
    """Says what the operating system refused: which file, why, and what to do.

    An error from `explained`, or one that we raised, is said as it is.
    """
    if error.strerror is None:
        return str(error)
    remedy = _REMEDIES.get(error.errno, "")
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{where}{error.strerror}" + (f"; {remedy}." if remedy else ".")


def explained(error: OSError, path: str | Path, more: str = "") -> OSError:
    """Returns an error of the same kind whose text is its reason.

    Args:
      error: what the operating system raised, or one that was explained already.
      path: what was to be read or written, if the error does not say.
      more: what else the reader should know.
    """
    if error.filename is None and error.strerror is not None:
        error.filename = str(path)
    told = type(error)(f"{reason(error)} {more}".rstrip())
    told.errno = error.errno
    return told


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, if absent.

    Raises:
      OSError: says why that is impossible, and what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, path) from error


def write_file(path: str | Path, content: str | bytes) -> None:
    """Writes a file that appears under its name only once complete.

    Args:
      path: of the file; one that is there is replaced.
      content: bytes, or text, which becomes UTF-8 with lines as they are.

    Raises:
      OSError: names the file.
    """
    data = content
    if isinstance(content, str):
        data = content.encode(errors="surrogateescape")  # names as the system has them
    with naming(path):
        whole = Path(path).resolve()  # what a link leads to is replaced, not the link
        if whole.exists() and not (whole.is_file() or whole.is_dir()):
            whole.write_bytes(data)  # /dev/null, a pipe
            return
        # Processes may share a folder.
        temporary = whole.with_name(f"{whole.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave an empty file
            temporary.replace(whole)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
