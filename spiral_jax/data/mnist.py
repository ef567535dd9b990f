"""MNIST: an embedded subset, or the four idx files of the original (LeCun et al.)."""

import gzip
import struct
import zlib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from spiral_jax.data.files import MOVED, listing
from spiral_jax.data.images import Dataset

SIDE = 28
COUNTS = {"train": 60_000, "t10k": 10_000}
EMBEDDED_COUNTS = {"train": 10_000, "t10k": 2_000}
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
HELP = (
    "The four files train-images-idx3-ubyte, train-labels-idx1-ubyte, "
    "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (each may end in .gz) are at "
    "https://yann.lecun.com/exdb/mnist and, mirrored, at "
    "https://storage.googleapis.com/cvdf-datasets/mnist . Without --data_dir the "
    "embedded subset of 10,000 + 2,000 digits is used."
)


class LabelledImages(NamedTuple):
    """Pictures `[N, H, W, C]` uint8 and labels `[N]` uint8."""

    images: np.ndarray
    labels: np.ndarray


def load_mnist(data_dir: str, canvas_width: int, background: str) -> Dataset:
    """Loads MNIST as the agent's canvas would show it.

    Args:
      data_dir: folder of the four idx files; "" takes the embedded subset (the first
        10,000 training and 2,000 test digits).
      canvas_width: digits are centred on it: padded to 32 px, resized (bilinear) for
        any other width.
      background: "white" inverts the digits, which are stored white on black, so that
        data and canvas agree.

    Raises:
      FileNotFoundError, ValueError: what is missing or wrong with which file.
    """
    if data_dir:
        folder = Path(data_dir)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"data_dir={data_dir!r} is not a folder. {HELP} {MOVED}"
            )
        counts = COUNTS
    else:
        folder = Path(str(resources.files("spiral_jax.data") / "mnist_subset"))
        counts = EMBEDDED_COUNTS
    splits = []
    for split, count in counts.items():
        digits = _read(folder, f"{split}-images-idx3-ubyte", IMAGES_MAGIC, count)
        labels = _read(folder, f"{split}-labels-idx1-ubyte", LABELS_MAGIC, count)
        images = fit_to_canvas(digits, canvas_width)
        if background == "white":
            images = 255 - images
        splits.append(LabelledImages(images[..., None], labels))
    return Dataset(*splits)


def fit_to_canvas(digits: np.ndarray, canvas_width: int) -> np.ndarray:
    """Maps digits `[N, 28, 28]` uint8 to `[N, canvas_width, canvas_width]`.

    A frame of 2 px makes them 32x32; other widths are resized from that.
    """
    framed = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    if canvas_width == framed.shape[1]:
        return framed
    size = (canvas_width, canvas_width)
    bilinear = Image.Resampling.BILINEAR
    return np.stack(
        [np.asarray(Image.fromarray(d).resize(size, bilinear)) for d in framed]
    )


def _find(folder: Path, name: str) -> Path:
    """Finds an idx file, wherever the usual programs unpack it, and however they call it.

    Dots for dashes count as the same; torchvision has folders MNIST/raw, other copies a
    folder for each file.
    """
    wanted = (name, f"{name}-gz")
    for place in (folder, *(folder / sub for sub in ("raw", "MNIST/raw", "MNIST", name))):
        if place.is_dir():
            for path in sorted(place.iterdir()):
                called = path.name.lower().replace(".", "-")
                if called in wanted and path.is_file():
                    return path
    raise FileNotFoundError(
        f"{folder} has neither {name} nor {name}.gz, but {listing(folder)}. {HELP}"
    )


def _read(folder: Path, name: str, magic: int, count: int) -> np.ndarray:
    """Reads one idx file; says what is wrong with it."""
    path = _find(folder, name)
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path} is not a complete gzip file ({error}). {HELP}"
            ) from error
    shape = (count, SIDE, SIDE) if magic == IMAGES_MAGIC else (count,)
    header = struct.pack(f">{1 + len(shape)}i", magic, *shape)
    if data[: len(header)] != header:
        raise ValueError(
            f"{path} begins with {data[: len(header)].hex()}; an idx file with magic "
            f"{magic} and the shape {shape} begins with {header.hex()}. {HELP}"
        )
    expected = len(header) + int(np.prod(shape))
    if len(data) != expected:
        raise ValueError(
            f"{path} has {len(data)} bytes uncompressed; expected {expected}. {HELP}"
        )
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)
