"""What all environments share: batched episodes of commands, in lock step."""

import abc
from collections.abc import Collection, Mapping
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from spiral_jax.language import CommandLanguage
from spiral_jax.types import Actions

# The least and the most; locations and pixels are counted in 32 bits.
_LIMITS = {
    "batch_size": (1, None),
    "canvas_width": (4, 2**15),
    "grid_width": (2, 2**15),
    "episode_length": (2, None),
    "seed": (0, None),
}


class BatchedEnvironment(dm_env.Environment):
    """`batch_size` canvases, each changed by one command a step.

    An episode is `episode_length` time steps, that is `episode_length - 1` commands: all
    episodes of the batch begin and end together. Stepping after the last step begins new
    episodes, and the actions of that call are ignored, as in any `dm_env.Environment`.

    The environment's reward is always 0; the critic's score is added by the learner.

    Attributes:
      settings: what a program needs to be drawn again, as JSON can hold it.
      language: the commands.
      batch_size, episode_length: as given.
      exact_in_uint8: whether canvases hold nothing but multiples of 1/255. Rollouts then
        are a quarter as large.
    """

    exact_in_uint8 = False

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        language: CommandLanguage,
        batch_size: int,
        episode_length: int,
        num_channels: int,
    ):
        """Takes what differs between environments; nothing has begun yet."""
        self.settings = settings
        self.language = language
        self.batch_size = int(batch_size)
        self.episode_length = int(episode_length)
        self._channels = num_channels
        self._time = None

    @abc.abstractmethod
    def _begin(self, seed: int | None) -> np.ndarray:
        """Empties all canvases and returns them: `[B, W, W, C]` float32, fresh."""

    @abc.abstractmethod
    def _execute(self, actions: Actions) -> np.ndarray:
        """Executes valid commands `[B]` and returns all canvases, fresh."""

    def _first_mask(self) -> Actions:
        """Returns a reset's action mask: no command came before, nothing was used."""
        return self.language.constant(0, (self.batch_size,), np.float32)

    def reset(self, seed: int | None = None) -> dm_env.TimeStep:
        """Begins new episodes on empty canvases.

        Args:
          seed: starts the renderer's noise anew from here, if it has any; None lets it
            go on where it is.
        """
        self._time = 0
        return self._time_step(self._begin(seed), self._first_mask())

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
        canvas = self._execute(actions)
        self._time += 1
        return self._time_step(canvas, self.language.mask(actions))

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


def check_episodes(**given: int) -> None:
    """Refuses arguments that no environment can have.

    Args:
      **given: any of the numbers in `_LIMITS`, by name.

    Raises:
      ValueError: names the argument, its value and what was expected.
    """
    for name, value in given.items():
        least, most = _LIMITS[name]
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}={value!r}: expected an integer >= {least}.")
        if most is not None and value > most:
            raise ValueError(f"{name}={value!r}: expected an integer <= {most}.")


def check_names(
    settings: Mapping[str, Any], required: Collection[str], known: Collection[str]
) -> None:
    """Refuses a program's settings that lack one, or have one that is not known.

    Args:
      settings: of the program, `"environment"` aside.
      required, known: names of settings; `known` has all.

    Raises:
      ValueError: names the setting, and what was expected.
    """
    if missing := [name for name in required if name not in settings]:
        raise ValueError(f"{missing[0]!r} is missing; expected {list(required)}.")
    if unknown := [k for k in settings if k not in known and k != "environment"]:
        raise ValueError(f"{unknown[0]!r} is not known; expected {list(known)}.")


def check_flags(settings: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuses settings of these names that are neither true nor false.

    Raises:
      ValueError: names the setting and its value.
    """
    for name in names:
        value = settings.get(name, False)
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name}={value!r}: expected True or False.")
