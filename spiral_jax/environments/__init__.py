"""Environments: batched episodes of commands around a renderer."""

from spiral_jax.environments.base import BatchedEnvironment
from spiral_jax.environments.painting import Painting
from spiral_jax.environments.rerender import (
    language_of,
    make_environment,
    register_environment,
    rerender,
    rerender_all,
)
from spiral_jax.environments.scenes import Scenes, export_mjcf

__all__ = [
    "BatchedEnvironment",
    "Painting",
    "Scenes",
    "export_mjcf",
    "language_of",
    "make_environment",
    "register_environment",
    "rerender",
    "rerender_all",
]
