"""Picture files on the user's disk, listed in folders and zips."""

import errno
import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
from absl import logging
from PIL import Image

from spiral_jax.data.decoding import decode

ENDINGS = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
TEST_SHARE = 0.1
MOST_TEST = 2_000
# For errors about where data are not.
MOVED = "If they have moved since the run began, --data_dir says where they are now."
_NUM_NAMED = 5
# Of pictures that Pillow does not read, and of those files beside pictures the share from
# which on they are worth a word.
_FOREIGN = (
    *(".arw", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".jxl"),
    *(".nef", ".orf", ".raf", ".raw", ".rw2", ".svg", ".svgz"),
)
_SHARE_SAID = 0.1


class PictureSource(Protocol):
    """What pictures are read from: `PictureFiles`, or `arrays.PictureArray`.

    Attributes are as in `PictureFiles`.
    """

    path: Path
    names: tuple[str, ...]
    others: tuple[str, ...]
    closed: tuple[str, ...]

    def stamp(self, name: str) -> str: ...

    def decode(self, name: str, **how) -> np.ndarray: ...


class PictureFiles:
    """The picture files of a folder, all folders below it included, or of a zip.

    A picture file is one with a usual ending (`ENDINGS`); hidden files are not looked at.

    Attributes:
      path: of the folder or zip.
      names: of the files, from there on, separated by "/"; sorted.
      others: names of files with other endings.
      closed: folders that cannot be listed, and why.
    """

    def __init__(self, path: Path):
        """Lists the files.

        Raises:
          FileNotFoundError: there is no such folder or file.
          ValueError: the file is not a complete zip.
        """
        self.path = path
        self._zip = None
        closed: list[str] = []
        if path.is_dir():
            names, closed = _walk(path)
        elif path.is_file():
            try:
                self._zip = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
                raise ValueError(
                    f"{path} is not a complete zip file ({error}); download or pack it "
                    "again."
                ) from error
            # Some programs of Windows write its separators, against the zip format.
            self._members = {
                info.filename.replace("\\", "/"): info for info in self._zip.infolist()
            }
            names = [name for name in self._members if not name.endswith("/")]
        else:
            raise FileNotFoundError(f"{path} is neither a folder nor a file.")
        names = [name for name in names if not _is_hidden(name)]
        self.names = tuple(sorted(name for name in names if _is_picture(name)))
        self.others = tuple(sorted(name for name in names if not _is_picture(name)))
        self.closed = tuple(closed)

    def read(self, name: str) -> bytes:
        """Returns a file's content; raises whatever it cannot be read for."""
        if self._zip is not None:
            if name not in self._members:
                raise FileNotFoundError(errno.ENOENT, "not in the zip", name)
            return self._zip.read(self._members[name])
        return (self.path / name).read_bytes()

    def decode(self, name: str, **how) -> np.ndarray:
        """Decodes a file, see `decode`; raises whatever it cannot be read for."""
        return decode(self.read(name), **how)

    def stamp(self, name: str) -> str:
        """Returns what changes with a file's content, without reading it."""
        try:
            if self._zip is not None:
                info = self._members[name]
                return f"{info.file_size} {info.CRC}"
            status = (self.path / name).stat()
            return f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, KeyError):
            return "unreadable"


class Picture(NamedTuple):
    """A picture: one name of those in `files`."""

    files: PictureSource
    name: str

    def __str__(self) -> str:
        return f"{self.files.path}/{self.name}"

    def decode(self, **how) -> np.ndarray:
        """Decodes it; see `decode`."""
        return self.files.decode(self.name, **how)


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Lists files; follows links to folders, but enters none that it is in already.

    Returns:
      The files, and the folders that cannot be listed with the reason.
    """
    names, closed = [], []

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        where = os.path.relpath(error.filename, folder)
        closed.append(f"{where} ({error.strerror})")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=note):
        here = Path(parent)
        above = {os.path.realpath(p) for p in (here, *here.parents)}
        folders[:] = [
            name
            for name in folders
            if not ((here / name).is_symlink() and os.path.realpath(here / name) in above)
        ]
        # A folder that is named as a picture is counted as one that cannot be read.
        odd = [name for name in folders if _is_picture(name)]
        names += [(here / name).relative_to(folder).as_posix() for name in files + odd]
    return names, closed


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def warn_of_others(label: str, files: PictureFiles) -> None:
    """Says what in a folder or zip is not looked at, and how much of it there is.

    Of files without a picture's ending there is a word if they are many, or are called
    like pictures that are not read here.
    """
    if files.closed:
        logging.warning(
            "%s: folders in %s cannot be listed: %s.",
            *(label, files.path, ", ".join(files.closed)),
        )
    endings = Counter(
        PurePosixPath(name).suffix.lower() or "none" for name in files.others
    )
    Image.init()
    foreign = {*Image.registered_extensions(), *_FOREIGN} & set(endings)
    if not foreign and len(files.others) <= _SHARE_SAID * len(files.names):
        return
    counts = ", ".join(f"{ending} {n:,}" for ending, n in endings.most_common())
    named = ", ".join(files.others[:_NUM_NAMED])
    logging.warning(
        "%s: %s files in %s are not looked at, %s beside them are (endings: %s): %s%s. "
        "Convert what is a picture to one of %s.",
        *(label, f"{len(files.others):,}", files.path, f"{len(files.names):,}", counts),
        *(named, ", ..." if len(files.others) > _NUM_NAMED else "", ", ".join(ENDINGS)),
    )


def data_folder(data_dir: str | Path, help: str) -> Path:
    """Returns the folder that a run's data are in.

    Args:
      data_dir: as the run was given it.
      help: what is expected in there, for the error.

    Raises:
      FileNotFoundError: there is no such folder.
    """
    folder = Path(data_dir)
    if not data_dir or not folder.is_dir():
        raise FileNotFoundError(
            f"data_dir={str(data_dir)!r} is not a folder. {help} {MOVED}"
        )
    return folder


def data_path(data_dir: str | Path, help: str) -> Path:
    """Returns where pictures of one's own are.

    Raises:
      FileNotFoundError: nothing is there; `help` says what should be.
    """
    if not data_dir or not Path(data_dir).exists():
        raise FileNotFoundError(
            f"data_dir={str(data_dir)!r} is neither a folder nor a file. {help} {MOVED}"
        )
    return Path(data_dir)


def listing(folder: Path) -> str:
    """Says in a few words what a folder holds, for who expected something else there."""
    names = sorted(os.listdir(folder))
    if not names:
        return "nothing at all"
    return ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "")


def name_bytes(name: str) -> bytes:
    """Returns a file name as the file system has it, which need not be UTF-8."""
    return name.encode(errors="surrogateescape")


def in_fair_order(pictures: Sequence[Picture]) -> list[Picture]:
    """Orders pictures by a hash of their names: any first few are a fair sample.

    The order is the same on every machine.
    """
    return sorted(pictures, key=lambda p: hashlib.sha256(name_bytes(p.name)).digest())


def num_held_out(count: int) -> int:
    """Returns how many of so many pictures are for testing."""
    return min(int(TEST_SHARE * count), MOST_TEST)
