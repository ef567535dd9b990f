"""Cartoon faces made of parts, such as DiceBear's, split by head."""

import hashlib
from pathlib import Path

import numpy as np

from spiral_jax.data.arrays import open_pictures
from spiral_jax.data.cache import load_pictures
from spiral_jax.data.files import Picture, data_path, in_fair_order, num_held_out
from spiral_jax.data.groups import hold_out
from spiral_jax.data.images import Dataset, Images

# Heads are compared at that size, whatever the canvas.
HEAD_WIDTH = 96
# The part of a picture that shows hair or a hat, above glasses and all that is worn.
HEAD_SHARE = 0.3
WHITE = 255
HELP = (
    "data_dir should be a zip or a folder of faces on white, aligned, such as "
    "open_peeps_96.zip or pixel_art_96.zip of DiceBear's."
)


def load_faces(
    data_dir: str | Path,
    canvas_width: int,
    *,
    use_color: bool = True,
    strict: bool = False,
    progress: bool = True,
) -> Dataset:
    """Loads aligned faces on white, so that no test face has a head seen in training.

    Faces with the same outline of the upper 30 % have the same head: hair, or a hat.
    Colours and all below, expressions, glasses, clothes, do not count. Whole heads are
    held out, in the order of their hashes, until there is a tenth of the faces, at most
    2,000; heads of more than half as many faces are for training. Decoded pictures are
    cached, see `load_pictures`.

    Args:
      data_dir: a zip or folder of pictures.
      canvas_width: width and height in px.
      use_color: colour, or grey.
      strict: refuse the data if one picture cannot be read; else it is left out.
      progress: whether to show a bar.

    Returns:
      Training and test `Images`, `[N, canvas_width, canvas_width, 1 or 3]`.

    Raises:
      FileNotFoundError, ValueError: what is missing or wrong.
    """
    files = open_pictures(data_path(data_dir, HELP))
    if not files.names:
        raise ValueError(f"{data_dir} holds no pictures. {HELP}")
    pictures = in_fair_order([Picture(files, name) for name in files.names])
    how = {"strict": strict, "progress": progress}
    # What cannot be read is left out of both.
    heads = load_pictures("faces-heads", pictures, HEAD_WIDTH, channels=1, **how)
    channels = 3 if use_color else 1
    images = load_pictures("faces", pictures, canvas_width, channels=channels, **how)
    num_test = num_held_out(len(images))
    test = hold_out(find_heads(heads), num_test, largest=num_test // 2)
    if not test.any():
        raise ValueError(
            f"{data_dir}: {len(images)} faces with {len(set(find_heads(heads)))} heads, "
            "too few to hold some of them out; --dataset=folder splits by name."
        )
    return Dataset(Images(images[~test]), Images(images[test]))


def find_heads(faces: np.ndarray) -> list[str]:
    """Tells heads apart by their outline.

    Args:
      faces: `[N, W, W, 1]` uint8, on white.

    Returns:
      N names, equal where the upper 30 % have the same outline: in each row the first
      and the last px that is not white, in each column the first.
    """
    top = round(HEAD_SHARE * faces.shape[1])
    ink = faces[:, :top, :, 0] < WHITE
    outline = np.concatenate(
        [_first(ink, axis=2), _first(ink[:, :, ::-1], axis=2), _first(ink, axis=1)],
        axis=1,
    )
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in outline]


def _first(ink: np.ndarray, axis: int) -> np.ndarray:
    """Returns where the first ink is, and the size of the axis where there is none."""
    found = np.where(ink.any(axis), ink.argmax(axis), ink.shape[axis])
    return found.astype("<u2")  # the same bytes on every machine
