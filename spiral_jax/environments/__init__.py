"""Environments: batched episodes of commands around a renderer."""

from spiral_jax.environments.painting import Painting
from spiral_jax.environments.rerender import rerender

__all__ = ["Painting", "rerender"]
