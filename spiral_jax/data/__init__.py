"""Data sets: pictures as the canvas would show them, `[N, H, W, C]` uint8."""

from spiral_jax.data.images import EpochOrder, ImageData, to_float, to_uint8
from spiral_jax.data.mnist import Dataset, LabelledImages, load_mnist

__all__ = [
    "Dataset",
    "EpochOrder",
    "ImageData",
    "LabelledImages",
    "load_mnist",
    "to_float",
    "to_uint8",
]
