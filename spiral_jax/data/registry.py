"""Data sets by name, ours and those of others.

Not imported by `spiral_jax.data`, which environments import: scenes are drawn with the
renderer of an environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from spiral_jax.data.celeba import load_celeba
from spiral_jax.data.emoji import load_emoji
from spiral_jax.data.faces import load_faces
from spiral_jax.data.folder import load_folder
from spiral_jax.data.images import Dataset
from spiral_jax.data.mnist import load_mnist
from spiral_jax.data.omniglot import load_omniglot
from spiral_jax.data.scenes import load_scenes
from spiral_jax.extensions import registered_name
from spiral_jax.names import DATASETS, OUR_DATASETS

if TYPE_CHECKING:  # it reads the names of data sets here
    from spiral_jax.config import Config


class DataSource(Protocol):
    """Loads the pictures of a run.

    Takes the run's settings, and returns training and test pictures that have an
    attribute `images`: `[N, W, W, C]` uint8, of the canvas' width W and its C = 1 or 3
    channels. ValueError and OSError are shown to the user as they are.
    """

    def __call__(self, config: Config) -> Dataset: ...


def _mnist(config: Config) -> Dataset:
    return load_mnist(config.data_dir, config.canvas_width, config.background)


def _omniglot(config: Config) -> Dataset:
    return load_omniglot(
        config.data_dir, config.canvas_width, config.background, strict=config.strict
    )


def _celeba(config: Config) -> Dataset:
    return load_celeba(
        config.data_dir,
        config.canvas_width,
        use_color=config.use_color,
        strict=config.strict,
    )


def _emoji(config: Config) -> Dataset:
    return load_emoji(config.canvas_width, use_color=config.use_color)


def _faces(config: Config) -> Dataset:
    return load_faces(
        config.data_dir,
        config.canvas_width,
        use_color=config.use_color,
        strict=config.strict,
    )


def _folder(config: Config) -> Dataset:
    return load_folder(
        config.data_dir,
        config.canvas_width,
        config.background,
        use_color=config.use_color,
        invert=config.invert,
        strict=config.strict,
    )


def _scenes(config: Config) -> Dataset:
    return load_scenes(
        config.data_dir,
        config.canvas_width,
        grid_width=config.grid_width,
        shadows=config.shadows,
        max_objects=config.max_objects,
        num_train=config.num_scenes,
    )


OURS: dict[str, DataSource] = {
    "mnist": _mnist,
    "omniglot": _omniglot,
    "celeba": _celeba,
    "emoji": _emoji,
    "faces": _faces,
    "folder": _folder,
    "scenes": _scenes,
}
DATASETS.update(OURS)


def register_dataset(name: str, load: DataSource) -> None:
    """Makes a data set of your own known to runs in this process.

    Args:
      name: `Config.dataset`; scripts import its module by `--dataset=module:name`.
      load: see `DataSource`.

    Raises:
      ValueError: the name is that of a data set of this package.
    """
    if name in OUR_DATASETS:
        raise ValueError(f"name={name!r}: expected a name other than {OUR_DATASETS}.")
    DATASETS[name] = load


def load_dataset(config: Config) -> Dataset:
    """Loads the data that a configuration names.

    Raises:
      ValueError: a data set of somebody's own has pictures of another form.
    """
    name = registered_name(config.dataset)
    data = DATASETS[name](config)
    if name not in OUR_DATASETS:
        for part, pictures in (("train", data.train), ("test", data.test)):
            _check(f"dataset={name!r}: its {part} images", pictures.images, config)
    return data


def _check(what: str, images: np.ndarray, config: Config) -> None:
    width, channels = config.canvas_width, 3 if config.use_color else 1
    found = (images.dtype, images.shape[1:])
    if found != (np.uint8, (width, width, channels)) or not len(images):
        raise ValueError(
            f"{what} are {images.dtype} {list(images.shape)}; expected uint8 "
            f"[N, {width}, {width}, {channels}], as canvas_width={width} and "
            f"use_color={config.use_color} say, with N at least 1."
        )
