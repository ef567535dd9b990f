"""Picture files on the user's disk: read from folders and zips, decoded once, cached.

Decoded pictures are kept as one uint8 array on disk, which is memory-mapped: data sets
may be larger than memory, and the second run starts at once.
"""

import hashlib
import io
import json
import os
import platform
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image, ImageOps
from tqdm import tqdm

# To be raised when the same files come to be decoded otherwise.
VERSION = 1
CACHE = Path(".cache") / "spiral_jax"  # in the user's home
ENDINGS = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
LEAST_SIDE = 8
LEAST_PICTURES = 2  # of which a covariance can be told
NUM_PROBES = 16
NUM_NAMED = 10
# What Pillow and zipfile raise for damaged, encrypted or enormous files.
UNREADABLE = (
    *(OSError, EOFError, ValueError, SyntaxError, RuntimeError, KeyError),
    *(struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError),
)


class PictureFiles:
    """The picture files of a folder, all folders below it included, or of a zip.

    A picture file is one with a usual ending (`ENDINGS`); hidden files are not looked at.

    Attributes:
      path: of the folder or zip.
      names: of the files, from there on, separated by "/"; sorted.
    """

    def __init__(self, path: Path):
        """Lists the files.

        Raises:
          FileNotFoundError: there is no such folder or file.
          ValueError: the file is not a complete zip.
        """
        self.path = path
        self._zip = None
        if path.is_dir():
            names = _walk(path)
        elif path.is_file():
            try:
                self._zip = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, OSError) as error:
                raise ValueError(
                    f"{path} is not a complete zip file ({error}); download or pack it "
                    "again."
                ) from error
            names = [i.filename for i in self._zip.infolist() if not i.is_dir()]
        else:
            raise FileNotFoundError(f"{path} is neither a folder nor a file.")
        self.names = tuple(sorted(name for name in names if _is_picture(name)))

    def read(self, name: str) -> bytes:
        """Returns a file's content; raises one of `UNREADABLE` if it cannot."""
        if self._zip is not None:
            return self._zip.read(name)
        return (self.path / name).read_bytes()

    def stamp(self, name: str) -> str:
        """Returns what changes with a file's content, without reading it."""
        try:
            if self._zip is not None:
                info = self._zip.getinfo(name)
                return f"{info.file_size} {info.CRC}"
            status = (self.path / name).stat()
            return f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, KeyError):
            return "unreadable"


class Picture(NamedTuple):
    """A picture file: one name of those in `files`."""

    files: PictureFiles
    name: str

    def __str__(self) -> str:
        return f"{self.files.path}/{self.name}"

    def decode(self, **how) -> np.ndarray:
        """Decodes it; see `decode`."""
        return decode(self.files.read(self.name), **how)


def _walk(folder: Path) -> list[str]:
    """Lists files; follows links to folders, but enters none that it is in already."""
    names = []
    for parent, folders, files in os.walk(folder, followlinks=True):
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
    return names


def _is_picture(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(ENDINGS)


def in_fair_order(pictures: Sequence[Picture]) -> list[Picture]:
    """Orders pictures by a hash of their names: any first few are a fair sample.

    The order is the same on every machine.
    """
    return sorted(pictures, key=lambda p: hashlib.sha256(p.name.encode()).digest())


def decode(
    data: bytes,
    width: int,
    *,
    channels: int,
    crop: int | None = None,
    invert: bool = False,
    background: str = "white",
) -> np.ndarray:
    """Decodes a picture file as the canvas would show it.

    The square in its middle is resized (bilinear, antialiased). Turned as its EXIF says;
    16 bits become 8; what is transparent shows the background; of an animation, the first
    frame.

    Args:
      data: the file's content.
      width: of the canvas in px.
      channels: 1 (grey) or 3 (colour).
      crop: side of the square in px of the file; None: the largest.
      invert: whether black becomes white.
      background: "white" or "black".

    Returns:
      `[width, width, channels]` uint8.

    Raises:
      One of `UNREADABLE`: damaged, no picture, or smaller than 8 px or the crop.
    """
    with Image.open(io.BytesIO(data)) as opened:
        image = ImageOps.exif_transpose(opened)
        least = crop or LEAST_SIDE
        if min(image.size) < least:
            raise ValueError(
                f"{image.width}x{image.height} px; expected at least {least} a side"
            )
        if image.mode.startswith("I"):
            high = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
            image = Image.fromarray(high.astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, background)
            image = Image.alpha_composite(paper, image)
        image = image.convert("L" if channels == 1 else "RGB")
    side = crop or min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != width:
        image = image.resize((width, width), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(width, width, channels)
    return 255 - pixels if invert else pixels


def load_pictures(
    label: str,
    pictures: Sequence[Picture],
    width: int,
    *,
    channels: int,
    strict: bool = False,
    progress: bool = True,
    **how,
) -> np.ndarray:
    """Decodes pictures, or finds them decoded in `.cache/spiral_jax` of the user's home.

    What is cached is used if the files have the names, sizes and times (in a zip:
    checksums) that they had, and 16 of them decode to what it holds; otherwise it is made
    again. Files that cannot be read are named, counted and left out.

    Args:
      label: of the data set and its split, for the cache and the reader.
      pictures: N of them, which decides the order.
      width, channels, how: see `decode`.
      strict: refuse all if one cannot be read.
      progress: whether to show a bar.

    Returns:
      `[M, width, width, channels]` uint8, M <= N, memory-mapped.

    Raises:
      ValueError: fewer than 2 can be read; or, if `strict`, one cannot.
    """
    how = {"width": width, "channels": channels, **how}
    # Where it is cached depends on what is asked, so that stale files are overwritten.
    paths = sorted({str(picture.files.path.resolve()) for picture in pictures})
    asked = json.dumps([label, paths, how])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    path = Path.home() / CACHE / f"{label}-{digest}.npy"
    content = hashlib.sha256(str(VERSION).encode())
    for picture in pictures:
        stamp = picture.files.stamp(picture.name)
        content.update(f"{picture} {stamp}\n".encode())
    header = content.hexdigest()
    found = _read(path, header, pictures, how)
    if found is None:
        found = _make(path, header, label, pictures, how, strict, progress)
    images, unreadable = found
    named = [f"{name} ({why})" for name, why in list(unreadable.items())[:NUM_NAMED]]
    problem = (
        f"{label}: {len(unreadable)} of {len(pictures)} pictures cannot be read: "
        f"{', '.join(named)}{', ...' if len(unreadable) > NUM_NAMED else ''}."
    )
    if strict and unreadable:
        raise ValueError(
            f"{problem} strict=True stops at the first; without it they are left out."
        )
    if len(images) < LEAST_PICTURES:
        raise ValueError(f"{problem} At least {LEAST_PICTURES} are needed.")
    if unreadable:
        logging.warning("%s They are left out.", problem)
    return images


def _make(
    path: Path,
    header: str,
    label: str,
    pictures: Sequence[Picture],
    how: dict,
    strict: bool,
    progress: bool,
) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes pictures into a file, one after the other, and reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hosts may share a home.
    temporary = path.with_suffix(f".{platform.node()}-{os.getpid()}.tmp")
    unreadable: dict[str, str] = {}
    bar = tqdm(pictures, desc=f"reading {label}", disable=not progress, leave=False)
    try:
        with temporary.open("wb") as file, bar:
            _write_header(file, len(pictures), how)
            for picture in bar:
                try:
                    pixels = picture.decode(**how)
                except UNREADABLE as error:
                    unreadable[str(picture)] = why_unreadable(error)
                    if strict:
                        break
                else:
                    file.write(pixels.tobytes())
            # The count is known only now; numpy's header leaves room for it.
            file.seek(0)
            _write_header(file, len(pictures) - len(unreadable), how)
        if len(unreadable) == len(pictures) or (strict and unreadable):
            return np.empty([0]), unreadable
        temporary.replace(path)
        temporary.write_text(json.dumps({"header": header, "unreadable": unreadable}))
        temporary.replace(path.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r"), unreadable


def why_unreadable(error: Exception) -> str:
    """Says in a few words why a file cannot be read."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _write_header(file, count: int, how: dict) -> None:
    shape = (count, how["width"], how["width"], how["channels"])
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _read(
    path: Path, header: str, pictures: Sequence[Picture], how: dict
) -> tuple[np.ndarray, dict[str, str]] | None:
    """Reads a cached file; None if there is none, or it is damaged or of other files."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        if note["header"] != header:
            return None
        images, unreadable = np.load(path, mmap_mode="r"), note["unreadable"]
        known = [picture for picture in pictures if str(picture) not in unreadable]
        if images.shape != (len(known), how["width"], how["width"], how["channels"]):
            return None
        for i in np.unique(np.linspace(0, len(known) - 1, NUM_PROBES, dtype=int)):
            if not np.array_equal(known[i].decode(**how), images[i]):
                return None
        return images, unreadable
    except (*UNREADABLE, TypeError):
        return None
