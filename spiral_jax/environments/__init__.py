"""Environments: batched episodes of commands around a renderer."""

from spiral_jax.environments.painting import Painting, render_program

__all__ = ["Painting", "render_program"]
