"""The brush environment (paper, section 4.1): canvases painted side by side."""

from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from spiral_jax.programs import (
    CommandLanguage,
    Program,
    grid_to_canvas,
    painting_language,
)
from spiral_jax.renderers import SoftRenderer
from spiral_jax.types import Actions, Stroke

# Brush sizes are given for this canvas width, and scale with the canvas.
REFERENCE_WIDTH = 64
BACKGROUNDS = {"white": 1.0, "black": 0.0}
BRUSHES = ("soft",)


class Painting(dm_env.Environment):
    """`batch_size` pens on `batch_size` canvases, in lock step.

    An episode is `episode_length` time steps, that is `episode_length - 1` commands: all
    episodes of the batch begin and end together. The pen starts lifted at location 0,
    the top left corner. Stepping after the last step begins new episodes, and the
    actions of that call are ignored, as in any `dm_env.Environment`.

    The environment's reward is always 0; the critic's score is added by the learner.
    """

    def __init__(
        self,
        *,
        batch_size: int = 1,
        canvas_width: int = 64,
        grid_width: int = 32,
        episode_length: int = 20,
        brush: str = "soft",
        brush_sizes: Sequence[float] = (1, 2, 4, 8, 12, 24),
        use_color: bool = True,
        use_pressure: bool = True,
        background: str = "white",
        seed: int = 0,
    ):
        """Builds the environment; every argument is checked.

        Args:
          batch_size: B, number of canvases.
          canvas_width: H and W in px.
          grid_width: locations lie on a square grid of that many points a side.
          episode_length: time steps of an episode, the reset included.
          brush: "soft", the Gaussian brush.
          brush_sizes: radii in px on a canvas of 64 px; they scale with the canvas.
          use_color: RGB canvases with red, green and blue components; otherwise grey
            canvases whose ink is the opposite of the background.
          use_pressure: whether commands choose a pressure; otherwise it is 1.
          background: "white" or "black".
          seed: of the brush's own noise; the soft brush has none.

        Raises:
          ValueError: names the argument, its value and what was expected.
        """
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("canvas_width", canvas_width, 4),
            ("grid_width", grid_width, 2),
            ("episode_length", episode_length, 2),
        ):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer >= {least}.")
        if brush not in BRUSHES:
            raise ValueError(f"brush={brush!r}: expected one of {BRUSHES}.")
        if background not in BACKGROUNDS:
            raise ValueError(
                f"background={background!r}: expected one of {tuple(BACKGROUNDS)}."
            )
        sizes = np.asarray(brush_sizes, np.float32)
        if sizes.ndim != 1 or not sizes.size or not np.all(sizes > 0):
            raise ValueError(
                f"brush_sizes={brush_sizes!r}: expected positive radii in px at a "
                f"canvas of {REFERENCE_WIDTH} px."
            )
        self.settings: dict[str, Any] = {
            "canvas_width": int(canvas_width),
            "grid_width": int(grid_width),
            "brush": brush,
            "brush_sizes": [float(size) for size in brush_sizes],
            "use_color": bool(use_color),
            "use_pressure": bool(use_pressure),
            "background": background,
        }
        self.batch_size = int(batch_size)
        self.episode_length = int(episode_length)
        self.seed = seed
        self._radii = sizes * np.float32(canvas_width / REFERENCE_WIDTH)
        self._channels = 3 if use_color else 1
        paper = BACKGROUNDS[background]
        self._ink = 1.0 - paper
        self._pressures = np.linspace(0.1, 1.0, 10, dtype=np.float32)
        self._levels = np.linspace(0.0, 1.0, 20, dtype=np.float32)
        self.language = language_of(self.settings)
        self._renderer = SoftRenderer(
            self.batch_size, canvas_width, self._channels, paper, self._radii.min()
        )
        self._time = None

    def reset(self) -> dm_env.TimeStep:
        """Begins new episodes on blank canvases."""
        self._time = 0
        self._pen = np.zeros([self.batch_size, 2], np.float32)
        self._pen_down = np.zeros([self.batch_size], bool)
        self._pressure = np.zeros([self.batch_size], np.float32)
        # No command came before, so none of its components was used.
        mask = self.language.constant(0, (self.batch_size,), np.float32)
        return self._time_step(self._renderer.reset(), mask)

    def step(self, actions: Actions) -> dm_env.TimeStep:
        """Executes one command on every canvas.

        Args:
          actions: `[B]` integers for each component of `self.language`.

        Returns:
          A batched `dm_env.TimeStep`: `step_type` `[B]` int32, `reward` and `discount`
          `[B]` float32, and the observation described by `observation_spec`.

        Raises:
          ValueError, TypeError: an action is missing, misshapen or out of range.
        """
        if self._time is None or self._time == self.episode_length - 1:
            return self.reset()
        actions = self.language.validate(actions, (self.batch_size,))
        canvas = self._renderer.step(self._stroke(actions))
        self._time += 1
        return self._time_step(canvas, self.language.mask(actions))

    def _stroke(self, actions: Actions) -> Stroke:
        """Translates commands to canvas units, and moves the pen."""
        paint = actions["flag"] == 1
        where = (self.settings["grid_width"], self.settings["canvas_width"])
        end = grid_to_canvas(actions["end"], *where)
        if "pressure" in actions:
            pressure = self._pressures[actions["pressure"]]
        else:
            pressure = np.ones([self.batch_size], np.float32)
        if "red" in actions:
            color = self._levels[
                np.stack([actions[c] for c in ("red", "green", "blue")], axis=-1)
            ]
        else:
            color = np.full([self.batch_size, 1], self._ink, np.float32)
        stroke = Stroke(
            paint=paint,
            start=self._pen,
            control=grid_to_canvas(actions["control"], *where),
            end=end,
            radius=self._radii[actions["size"]],
            # A pen that has just been put down starts with its own pressure.
            pressure_start=np.where(self._pen_down, self._pressure, pressure),
            pressure_end=pressure,
            color=color,
        )
        self._pen, self._pen_down, self._pressure = end, paint, pressure
        return stroke

    def _time_step(self, canvas: np.ndarray, mask: Actions) -> dm_env.TimeStep:
        batch = (self.batch_size,)
        last = self._time == self.episode_length - 1
        step_type = dm_env.StepType.LAST if last else dm_env.StepType.MID
        if self._time == 0:
            step_type = dm_env.StepType.FIRST
        return dm_env.TimeStep(
            step_type=np.full(batch, step_type, np.int32),
            reward=np.zeros(batch, np.float32),
            discount=np.full(batch, 0.0 if last else 1.0, np.float32),
            observation={
                "canvas": canvas,
                "episode_step": np.full(batch, self._time, np.int32),
                "episode_length": np.full(batch, self.episode_length, np.int32),
                "action_mask": mask,
            },
        )

    def observation_spec(self) -> dict:
        """Returns the specs of the observation, batch axis included."""
        batch = (self.batch_size,)
        width = self.settings["canvas_width"]
        last = self.episode_length - 1
        return {
            "canvas": specs.BoundedArray(
                (*batch, width, width, self._channels), np.float32, 0.0, 1.0, "canvas"
            ),
            "episode_step": specs.BoundedArray(batch, np.int32, 0, last, "episode_step"),
            "episode_length": specs.Array(batch, np.int32, "episode_length"),
            "action_mask": {
                name: specs.BoundedArray(batch, np.float32, 0.0, 1.0, name)
                for name in self.language.names
            },
        }

    def action_spec(self) -> dict[str, specs.BoundedArray]:
        """Returns the specs of the actions, in the language's order."""
        return {
            c.name: specs.BoundedArray(
                (self.batch_size,), np.int32, 0, c.num_values - 1, c.name
            )
            for c in self.language.components
        }

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the rewards: `[B]` float32."""
        return specs.Array((self.batch_size,), np.float32, "reward")

    def discount_spec(self) -> specs.BoundedArray:
        """Returns the spec of the discounts: `[B]` float32, 0 at the last step."""
        return specs.BoundedArray((self.batch_size,), np.float32, 0.0, 1.0, "discount")


def language_of(settings: dict[str, Any]) -> CommandLanguage:
    """Returns the command language that a painting's settings imply."""
    return painting_language(
        settings["grid_width"],
        len(settings["brush_sizes"]),
        settings["use_pressure"],
        settings["use_color"],
    )


def render_program(program: Program, canvas_width: int | None = None) -> np.ndarray:
    """Runs a program on one blank canvas.

    Args:
      program: what to draw.
      canvas_width: W in px; None takes the program's own. Brush sizes scale with it.

    Returns:
      `[T+1, W, W, C]` float32: the canvas before the first and after every command.
    """
    settings = dict(program.settings)
    if canvas_width is not None:
        settings["canvas_width"] = canvas_width
    environment = Painting(batch_size=1, episode_length=len(program) + 1, **settings)
    canvases = [environment.reset().observation["canvas"][0]]
    for t in range(len(program)):
        actions = {name: values[t : t + 1] for name, values in program.actions.items()}
        canvases.append(environment.step(actions).observation["canvas"][0])
    return np.stack(canvases)
