"""Environments: batched episodes of commands around a renderer."""

from spiral_jax.environments.painting import Painting, rerender

__all__ = ["Painting", "rerender"]
