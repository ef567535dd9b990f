"""Decoded pictures, kept on disk as one uint8 array, which is memory-mapped.

Data sets may be larger than memory, and the second run starts at once.
"""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from spiral_jax.data.decoding import why_unreadable
from spiral_jax.data.files import Picture, name_bytes
from spiral_jax.paths import naming, write_file

# To be raised when the same files come to be decoded otherwise.
VERSION = 2
CACHE = Path(".cache") / "spiral_jax"  # in the user's home
LEAST_PICTURES = 2  # of which a covariance can be told
NUM_PROBES = 16
NUM_NAMED = 10
ELSEWHERE = (
    "name a folder for cached data by --cache_dir, XDG_CACHE_HOME or "
    "spiral_jax.data.cache.keep_in"
)


_chosen: list[Path] = []


def keep_in(folder: Path) -> None:
    """Decides for this process where data are cached."""
    _chosen[:] = [folder]


def cache_folder() -> Path:
    """Returns where data are cached: as `keep_in` said, or where the user's caches are.

    These are in `$XDG_CACHE_HOME`, and without it in `.cache` of the user's home.

    Raises:
      ValueError: there is no home.
    """
    if _chosen:
        return _chosen[0]
    # Others are to be ignored, says the standard.
    if os.path.isabs(caches := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(caches) / "spiral_jax"
    try:
        return Path.home() / CACHE
    except RuntimeError as error:
        raise ValueError(f"no place to cache data: {error} So {ELSEWHERE}.") from error


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
    """Decodes pictures, or finds them decoded in `cache_folder()`.

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
      OSError: they cannot be cached.
    """
    how = {"width": width, "channels": channels, **how}
    # Where it is cached depends on what is asked, so that stale files are overwritten.
    paths = sorted({str(picture.files.path.resolve()) for picture in pictures})
    asked = json.dumps([label, paths, how])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    path = cache_folder() / f"{label}-{digest}.npy"
    content = hashlib.sha256(str(VERSION).encode())
    for picture in pictures:
        stamp = picture.files.stamp(picture.name)
        content.update(name_bytes(f"{picture} {stamp}\n"))
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
    # Hosts may share a home.
    temporary = path.with_suffix(f".{platform.node()}-{os.getpid()}.tmp")
    unreadable: dict[str, str] = {}
    with caching(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        bar = tqdm(pictures, desc=f"reading {label}", disable=not progress, leave=False)
        try:
            with temporary.open("wb") as file, bar:
                _write_header(file, len(pictures), how)
                for picture in bar:
                    try:
                        pixels = picture.decode(**how)
                    # Of damaged files Pillow and zipfile raise whatever they run into.
                    except Exception as error:
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
            note = {"header": header, "unreadable": unreadable}
            write_file(path.with_suffix(".json"), json.dumps(note))
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return np.load(path, mmap_mode="r"), unreadable


@contextlib.contextmanager
def caching(path: Path) -> Iterator[None]:
    """Lets what the operating system refuses name the cached file and the remedy."""
    try:
        with naming(path):
            yield
    except OSError as error:
        error.add_note(ELSEWHERE)
        raise


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
        note = json.loads(path.with_suffix(".json").read_bytes())
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
    except Exception:  # whatever is wrong with it, it can be made again
        return None
