"""Renderers: what executes a program. Pure numpy in and out."""

from spiral_jax.renderers.base import Renderer
from spiral_jax.renderers.soft import SoftRenderer

__all__ = ["Renderer", "SoftRenderer"]
