"""Drawings stored as pen strokes (stroke-3 format, Ha and Eck 2017), rasterised."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from spiral_jax.data.images import Dataset, Images
from spiral_jax.documents import read_arrays

SPLITS = ("train", "test")
# As in Omniglot's own pictures, about 5 px of 105.
LINE_WIDTH = 5 / 105
SUPERSAMPLING = 4
HELP = (
    "Expected a .npz with train_points and test_points [N, 3] (dx, dy, and 1 where the "
    "pen is lifted after that point) of all drawings one after the other, and "
    "train_lengths and test_lengths, the number of points of each drawing; docs/data.md "
    "says how to make it of sketch-rnn's files."
)


def load_strokes(
    path: str | Path, canvas_width: int, background: str, progress: bool = True
) -> Dataset:
    """Loads drawings of pen strokes as the agent's canvas would show them.

    All are drawn to one scale, so that the largest drawing of the file just fits, as in
    Omniglot's own pictures; each is centred, since the format does not say where it was.

    Args:
      path: a .npz with `{split}_points` and `{split}_lengths`, splits train and test;
        others are not used.
      canvas_width: width and height in px.
      background: "white" draws black on white, "black" the inverse.
      progress: whether to show a bar.

    Returns:
      Training and test `Images`, `[N, canvas_width, canvas_width, 1]`.

    Raises:
      FileNotFoundError, ValueError: there is no such file, or it is not of that format.
    """
    splits = [_read(Path(path), split) for split in SPLITS]
    extent = max(float(np.ptp(d[:, :2], axis=0).max()) for s in splits for d in s)
    scale = (1 - LINE_WIDTH) / max(extent, 1.0)
    images = []
    for split, drawings in zip(SPLITS, splits):
        bar = tqdm(
            drawings, desc=f"drawing {split} strokes", disable=not progress, leave=False
        )
        images.append(
            np.stack([rasterise(d, canvas_width, scale) for d in bar])[..., None]
        )
    if background == "black":
        images = [255 - x for x in images]
    return Dataset(*map(Images, images))


def rasterise(drawing: np.ndarray, width: int, scale: float) -> np.ndarray:
    """Draws a drawing, centred, black on white, antialiased.

    Args:
      drawing: points `[L, 3]`: x, y (downwards), and 1 where the pen is lifted.
      width: of the canvas in px.
      scale: canvas widths a unit of x and y.

    Returns:
      `[width, width]` uint8.
    """
    fine = width * SUPERSAMPLING
    xy, lifted = drawing[:, :2], drawing[:, 2] == 1
    middle = (xy.max(axis=0) + xy.min(axis=0)) / 2
    xy = (xy - middle) * scale * fine + fine / 2
    line = LINE_WIDTH * fine
    image = Image.new("L", (fine, fine), 255)
    canvas = ImageDraw.Draw(image)
    for stroke in np.split(xy, np.flatnonzero(lifted[:-1]) + 1):
        canvas.line(stroke.ravel().tolist(), fill=0, width=round(line), joint="curve")
        for end in (stroke[0], stroke[-1]):  # round ends; a dot has nothing else
            canvas.ellipse([*(end - line / 2), *(end + line / 2 - 1)], fill=0)
    return np.asarray(image.resize((width, width), Image.Resampling.BOX))


def _read(path: Path, split: str) -> list[np.ndarray]:
    """Reads the drawings of a split: each `[L, 3]` float64 with absolute x and y."""
    try:
        arrays = read_arrays(path)
        points, lengths = arrays[f"{split}_points"], arrays[f"{split}_lengths"]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist. {HELP}") from error
    except KeyError as error:
        raise ValueError(
            f"{path} holds no drawings of {split} ({error}). {HELP}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path} holds no drawings of {split}: {error} {HELP}"
        ) from error
    if points.dtype.kind not in "iuf" or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {split}_points are {points.dtype}, {split}_lengths "
            f"{lengths.dtype}; expected numbers, and whole ones. {HELP}"
        )
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: {split}_points are not all finite. {HELP}")
    if points.ndim != 2 or points.shape[1] != 3 or lengths.ndim != 1:
        raise ValueError(
            f"{path}: {split}_points has the shape {points.shape}, {split}_lengths "
            f"{lengths.shape}. {HELP}"
        )
    if not len(lengths) or lengths.min() < 1 or lengths.sum() != len(points):
        raise ValueError(
            f"{path}: {split}_lengths have the sum {lengths.sum()}, {split}_points are "
            f"{len(points)}. {HELP}"
        )
    drawings = []
    for steps in np.split(points.astype(np.float64), np.cumsum(lengths)[:-1]):
        xy = np.cumsum(steps[:, :2], axis=0)
        # The pen starts, down, where the first offset is measured from.
        start = [[0.0, 0.0, 0.0]]
        drawings.append(np.concatenate([start, np.column_stack([xy, steps[:, 2]])]))
    return drawings
