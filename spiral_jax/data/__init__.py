"""Data sets: pictures as the canvas would show them, `[N, H, W, C]` uint8."""

from spiral_jax.data.celeba import load_celeba
from spiral_jax.data.emoji import NamedImages, load_emoji
from spiral_jax.data.faces import load_faces
from spiral_jax.data.folder import load_folder
from spiral_jax.data.images import (
    Dataset,
    EpochOrder,
    ImageData,
    Images,
    to_float,
    to_uint8,
)
from spiral_jax.data.mnist import LabelledImages, load_mnist
from spiral_jax.data.omniglot import load_omniglot
from spiral_jax.data.strokes import load_strokes

__all__ = [
    "Dataset",
    "EpochOrder",
    "ImageData",
    "Images",
    "LabelledImages",
    "NamedImages",
    "load_celeba",
    "load_emoji",
    "load_faces",
    "load_folder",
    "load_mnist",
    "load_omniglot",
    "load_strokes",
    "to_float",
    "to_uint8",
]
