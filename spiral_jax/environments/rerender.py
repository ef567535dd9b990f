"""Programs run again: the environment that a program's settings ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spiral_jax.environments import painting, scenes
from spiral_jax.environments.base import BatchedEnvironment
from spiral_jax.language import CommandLanguage
from spiral_jax.names import ENVIRONMENTS, OUR_ENVIRONMENTS
from spiral_jax.renderers.mypaint import Brush
from spiral_jax.types import Actions

if TYPE_CHECKING:  # programs are made of what is here
    from spiral_jax.programs import Program


class EnvironmentSpec(NamedTuple):
    """What a name of an environment stands for.

    Attributes:
      make: the class: its keyword arguments are a program's settings, and those of
        `BatchedEnvironment`.
      language_of: function from a program's settings to the language they imply.
    """

    make: Callable[..., BatchedEnvironment]
    language_of: Callable[[Mapping[str, Any]], CommandLanguage]


ENVIRONMENTS.update(
    painting=EnvironmentSpec(painting.Painting, painting.language_of),
    scenes=EnvironmentSpec(scenes.Scenes, scenes.language_of),
)


def register_environment(
    name: str,
    make: Callable[..., BatchedEnvironment],
    language_of: Callable[[Mapping[str, Any]], CommandLanguage],
) -> None:
    """Makes an environment of your own known, in this process, to runs and programs.

    Args:
      name: `"environment"` of its settings, and `Config.environment_name`.
      make, language_of: see `EnvironmentSpec`.

    Raises:
      ValueError: the name is that of an environment of this package.
    """
    if name in OUR_ENVIRONMENTS:
        raise ValueError(f"name={name!r}: expected a name other than {OUR_ENVIRONMENTS}.")
    ENVIRONMENTS[name] = EnvironmentSpec(make, language_of)


def make_environment(settings: Mapping[str, Any], **episodes: int) -> BatchedEnvironment:
    """Makes the environment that a program's settings describe.

    Args:
      settings: `"environment"`, "painting" if absent, and arguments of that class.
      **episodes: its other arguments, such as `batch_size`.

    Raises:
      ValueError: there is no such environment, or a setting is impossible.
    """
    name = _name(settings)
    arguments = {k: v for k, v in settings.items() if k != "environment"} | episodes
    make = ENVIRONMENTS[name].make
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"The settings of environment {name!r}: {error}.") from error
    return make(**arguments)


def language_of(settings: Mapping[str, Any]) -> CommandLanguage:
    """Returns the command language that a program's settings imply."""
    return ENVIRONMENTS[_name(settings)].language_of(settings)


def _name(settings: Mapping[str, Any]) -> str:
    name = settings.get("environment", "painting")
    if not isinstance(name, str) or name not in ENVIRONMENTS:
        raise ValueError(
            f"environment={name!r}: expected one of {tuple(ENVIRONMENTS)}. What is "
            "registered elsewhere needs that module to be imported first."
        )
    return name


def rerender(
    program: Program,
    width: int | None = None,
    brush: str | Path | Brush | None = None,
) -> np.ndarray:
    """Runs a program on one empty canvas, of any width and with any brush.

    Args:
      program: what to draw.
      width: W in px; None takes the program's own. Locations and brush sizes scale with
        it, so that a drawing of 64 px becomes a crisp one of 512 px.
      brush: of a painting, as in `Painting`; None takes the program's own. A program that
        was drawn with a `Brush` of no file or other name needs it here.

    Returns:
      `[T+1, W, W, C]` float32 in 0..1: the canvas before the first and after every
      command.

    Raises:
      ValueError, TypeError: the program, the width or the brush is not valid.
    """
    return rerender_all([program], width, brush)[:, 0]


def rerender_all(
    programs: Sequence[Program],
    width: int | None = None,
    brush: str | Path | Brush | None = None,
) -> np.ndarray:
    """Runs programs of the same settings and length side by side, see `rerender`.

    Returns:
      `[T+1, B, W, W, C]` float32 in 0..1, of B programs.

    Raises:
      ValueError, TypeError: a program, the width or the brush is not valid.
    """
    settings = dict(programs[0].settings)
    if width is not None:
        settings["canvas_width"] = width
    if brush is not None:
        if _name(settings) != "painting":
            raise ValueError(f"brush={brush!r}: only paintings have one; leave it out.")
        settings["brush"] = brush
    environment = make_environment(
        settings, batch_size=len(programs), episode_length=len(programs[0]) + 1
    )
    actions = {
        name: np.stack([program.actions[name] for program in programs], axis=1)
        for name in programs[0].actions
    }
    canvases = execute(environment, actions)
    environment.close()
    return canvases


def execute(environment: BatchedEnvironment, actions: Actions) -> np.ndarray:
    """Runs programs side by side, one on each of an environment's empty canvases.

    Args:
      environment: of `B` canvases; it begins anew.
      actions: valid commands, `[T, B]` each, T at most the episode's commands.

    Returns:
      `[T+1, B, H, W, C]` float32 in 0..1: the canvases before the first and after every
      command.
    """
    steps = [environment.reset()]
    for commands in zip(*actions.values()):
        steps.append(environment.step(dict(zip(actions, commands))))
    return np.stack([step.observation["canvas"] for step in steps])
