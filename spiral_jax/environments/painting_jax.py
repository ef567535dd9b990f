"""The painting environment as pure functions, for rollouts on the accelerator."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from spiral_jax.environments.painting import language_of
from spiral_jax.environments.pens import (
    PAPER,
    CompoundState,
    PenState,
    make_pens,
)
from spiral_jax.renderers.soft import num_curve_samples, paint
from spiral_jax.types import Actions


class PaintingState(NamedTuple):
    """What is on `B` canvases, and where the pens stand.

    Attributes:
      canvas: `[B, W, W, C]` float32 in 0..1.
      pens: the pens.
    """

    canvas: chex.Array
    pens: PenState | CompoundState


class DevicePainting:
    """`Painting` with the soft brush inside jit: the same commands, the same pictures.

    Attributes:
      language: the commands.
    """

    def __init__(self, settings: Mapping[str, Any]):
        """Takes the settings of a `Painting`.

        Raises:
          ValueError: only the soft brush can be traced.
        """
        if settings.get("environment", "painting") != "painting":
            raise ValueError(
                f"environment={settings['environment']!r} runs on CPUs; set "
                "actors='threads'."
            )
        if settings["brush"] != "soft":
            raise ValueError(
                f"brush={settings['brush']!r} runs on CPUs; set actors='threads', or "
                "brush='soft'."
            )
        painting = {k: v for k, v in settings.items() if k != "episode_length"}
        self.language = language_of(painting)
        self._pens = make_pens(settings)
        width = settings["canvas_width"]
        channels = 3 if settings["use_color"] else 1
        self._canvas_shape = (width, width, channels)
        self._background = PAPER[settings["background"]]
        self._num_samples = num_curve_samples(width, float(self._pens.radii.min()))

    def begin(self, batch_size: int) -> PaintingState:
        """Returns blank canvases."""
        canvas = jnp.full((batch_size, *self._canvas_shape), self._background)
        return PaintingState(
            canvas, jax.tree.map(jnp.asarray, self._pens.begin(batch_size))
        )

    def step(self, state: PaintingState, actions: Actions) -> PaintingState:
        """Executes one command on every canvas; actions are `[B]` int32 each."""
        strokes, pens = self._pens.strokes(state.pens, actions)

        def body(index, canvas):
            return paint(canvas, strokes.at(index), self._num_samples)

        if isinstance(strokes.count, int):  # one: no loop
            canvas = body(0, state.canvas)
        else:
            canvas = jax.lax.fori_loop(0, strokes.count, body, state.canvas)
        return PaintingState(canvas, pens)
