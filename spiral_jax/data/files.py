"""Picture files on the user's disk: listed in folders and zips, and decoded."""

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

ENDINGS = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
LEAST_SIDE = 8
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
    pixels = fit(image, width, channels, crop)
    return 255 - pixels if invert else pixels


def fit(
    image: Image.Image, width: int, channels: int, crop: int | None = None
) -> np.ndarray:
    """Returns the square in a picture's middle, resized.

    Arguments and result are those of `decode`.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    side = crop or min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != width:
        image = image.resize((width, width), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(width, width, channels)


def why_unreadable(error: Exception) -> str:
    """Says in a few words why a file cannot be read."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
