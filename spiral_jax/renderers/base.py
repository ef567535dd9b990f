"""What executes strokes."""

from typing import Protocol

import numpy as np

from spiral_jax.types import Stroke


class Renderer(Protocol):
    """Paints strokes on `B` canvases side by side: pure numpy in and out.

    Canvases are `[B, W, W, C]` float32 in 0..1, and fresh: what is done to one later does
    not reach the renderer.
    """

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Empties all canvases and returns them.

        Args:
          seed: starts the brush's noise anew, if it has any; None lets it go on.
        """
        ...

    def step(self, stroke: Stroke) -> np.ndarray:
        """Paints a stroke on each canvas whose pen is down; returns all canvases."""
        ...
