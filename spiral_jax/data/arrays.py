"""Pictures that are arrays already: a caller's, or those of a `.npy` or `.npz` file."""

from pathlib import Path

import numpy as np
from PIL import Image

from spiral_jax.data.decoding import LEAST_SIDE, as_shown
from spiral_jax.data.files import PictureFiles, PictureSource
from spiral_jax.data.images import to_uint8
from spiral_jax.documents import read_array, read_arrays

ENDINGS = (".npy", ".npz")
# What the pictures are called in a `.npz` that holds other arrays as well.
PICTURES = "images"
EXPECTED = (
    "expected [N, H, W, C] with C = 1, 3 or 4, or [N, H, W], of uint8 or float in 0..1"
)
_CHUNK = 1_000


class PictureArray:
    """The pictures of a file that holds an array, read as if they were files in a folder.

    Attributes:
      path: of the file.
      names: the pictures' numbers, from 0.
      others, closed: of a folder; here there are none.
    """

    others = ()
    closed = ()

    def __init__(self, path: Path):
        """Opens the file; of a `.npy`, pictures are read when they are decoded.

        Raises:
          OSError: the file cannot be opened.
          ValueError: it is damaged, or its array is not of pictures.
        """
        self.path = path
        self._images = _read(path)
        check_pictures(self._images, str(path))
        if min(self._images.shape[1:3]) < LEAST_SIDE:
            raise ValueError(
                f"{path} has the shape {self._images.shape}; expected pictures of at "
                f"least {LEAST_SIDE} px a side."
            )
        if self._images.dtype != np.uint8:
            check_range(*_finite_range(self._images), str(path))
        self.names = tuple(str(index) for index in range(len(self._images)))
        status = path.stat()
        self._stamp = f"{status.st_size} {status.st_mtime_ns}"

    def stamp(self, name: str) -> str:
        """Returns what changes with the file's content, without reading it."""
        return self._stamp

    def decode(self, name: str, **how) -> np.ndarray:
        """Makes a picture what the canvas would show, see `files.decode`.

        Raises:
          ValueError: not all of its values are finite.
        """
        return as_shown(image_of(self._images[int(name)]), **how)


def is_array(path: Path) -> bool:
    """Whether a path is that of a file which is called as arrays are."""
    return path.suffix.lower() in ENDINGS and not path.is_dir()


def open_pictures(path: Path) -> PictureSource:
    """Opens a folder or zip of picture files, or a file that holds an array of pictures.

    Raises:
      OSError, ValueError: see `PictureFiles` and `PictureArray`.
    """
    return PictureArray(path) if is_array(path) else PictureFiles(path)


def check_pictures(images: np.ndarray, name: str) -> None:
    """Checks the shape and the dtype of what should be pictures.

    Raises:
      ValueError: says what `name` is, and what was expected.
    """
    shape = images.shape
    # As wide as a colour, it would be one picture, not N grey ones.
    is_grey = images.ndim == 3 and shape[2] >= LEAST_SIDE
    if not images.size or not (is_grey or (images.ndim == 4 and shape[3] in (1, 3, 4))):
        raise ValueError(
            f"{name} has the shape {shape}; {EXPECTED}. Of a single picture, that is "
            "picture[None]."
        )
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name} is {images.dtype}; {EXPECTED}.")


def check_range(low: float, high: float, name: str) -> None:
    """Checks the least and the largest value of pictures of floats; NaN is neither.

    Raises:
      ValueError: they are not in 0..1.
    """
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} has values in {low:g}..{high:g}; {EXPECTED}. Divide by 255 what has "
            "256 levels."
        )


def image_of(picture: np.ndarray) -> Image.Image:
    """Returns a picture of 256 levels.

    Args:
      picture: `[H, W]` or `[H, W, C]` uint8 or float in 0..1, with C = 1 (grey), 3 (RGB)
        or 4 (RGB, and 0 where it is transparent).

    Raises:
      ValueError: not all of its values are finite.
    """
    if picture.dtype != np.uint8:
        if not np.isfinite(picture).all():
            raise ValueError("not all of its values are finite numbers")
        picture = to_uint8(picture)
    return Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)


def _read(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return read_array(path)
    arrays = read_arrays(path)
    if PICTURES in arrays:
        return arrays[PICTURES]
    if len(arrays) != 1:
        raise ValueError(
            f"{path} holds the arrays {sorted(arrays)}; expected a single one, or one "
            f"that is called {PICTURES!r}, as np.savez(path, {PICTURES}=...) writes it."
        )
    return next(iter(arrays.values()))


def _finite_range(images: np.ndarray) -> tuple[float, float]:
    """Returns the least and the largest finite value; infinities if there is none."""
    low, high = np.inf, -np.inf
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        finite = np.isfinite(chunk)
        low = min(low, np.min(chunk, where=finite, initial=np.inf))
        high = max(high, np.max(chunk, where=finite, initial=-np.inf))
    return low, high
