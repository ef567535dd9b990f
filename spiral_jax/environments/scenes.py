"""The MuJoCo scenes environment (paper, section 4.1): worlds built object by object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spiral_jax.data.images import to_float
from spiral_jax.environments.base import (
    BatchedEnvironment,
    check_episodes,
    check_flags,
    check_names,
)
from spiral_jax.environments.objects import Builders, build, place
from spiral_jax.language import CommandLanguage, scenes_language
from spiral_jax.renderers.scene import SceneRenderer, scene_to_mjcf
from spiral_jax.types import Actions, Objects

if TYPE_CHECKING:  # programs are made of what is here
    from spiral_jax.programs import Program

_SETTINGS = ("canvas_width", "grid_width", "shadows")


class Scenes(BatchedEnvironment):
    """`batch_size` worlds, each seen on a canvas of its own; see `BatchedEnvironment`.

    A command adds an object (box, sphere, cylinder or capsule) to the world, changes all
    of the one added last, or skips. Adding has no effect once there are 20 objects;
    changing before there is one adds.

    Attributes:
      settings: the arguments below that change the picture, and `"environment"`.
      language: the commands.
      batch_size, episode_length: as given.
    """

    exact_in_uint8 = True  # GL's pictures

    def __init__(
        self,
        *,
        batch_size: int = 1,
        canvas_width: int = 64,
        grid_width: int = 16,
        episode_length: int = 21,
        shadows: bool = True,
        seed: int = 0,
    ):
        """Builds the environment; every argument is checked.

        Args:
          batch_size: B, number of worlds.
          canvas_width: H and W in px.
          grid_width: locations lie on a square grid of that many cells a side, which
            always covers the same ground.
          episode_length: time steps of an episode, the reset included.
          shadows: whether objects cast shadows, see `SceneRenderer`.
          seed: has no effect: scenes have no noise.

        Raises:
          ValueError: names the argument, its value and what was expected; or MuJoCo
            cannot draw on this machine, and what to install.
        """
        check_episodes(
            batch_size=batch_size,
            canvas_width=canvas_width,
            grid_width=grid_width,
            episode_length=episode_length,
            seed=seed,
        )
        settings: dict[str, Any] = {
            "environment": "scenes",
            "canvas_width": int(canvas_width),
            "grid_width": int(grid_width),
            "shadows": bool(shadows),
        }
        super().__init__(
            settings=settings,
            language=language_of(settings),
            batch_size=batch_size,
            episode_length=episode_length,
            num_channels=3,
        )
        self._renderer = SceneRenderer(settings["canvas_width"], settings["shadows"])
        self._blank = self._renderer.render(self._objects(Builders(1)))

    def _objects(self, builders: Builders) -> Objects:
        return place(builders.counts, builders.parts, self.settings["grid_width"])

    def _begin(self, seed: int | None) -> np.ndarray:
        self._builders = Builders(self.batch_size)
        self._pictures = np.repeat(self._blank, self.batch_size, axis=0)
        return to_float(self._pictures)

    def _execute(self, actions: Actions) -> np.ndarray:
        # Drawing is nearly all the cost, so only what changed is drawn again.
        built = self._builders.build(actions)
        changed = Objects(*(field[built] for field in self._objects(self._builders)))
        self._pictures[built] = self._renderer.render(changed)
        return to_float(self._pictures)

    def close(self) -> None:
        """Frees the GL context of the calling thread."""
        self._renderer.close()


def language_of(settings: Mapping[str, Any]) -> CommandLanguage:
    """Returns the command language that the settings of scenes imply.

    Raises:
      ValueError: they are not those of scenes; names the setting and what was expected.
    """
    check_names(settings, _SETTINGS, _SETTINGS)
    check_episodes(**{name: settings[name] for name in ("canvas_width", "grid_width")})
    check_flags(settings, ("shadows",))
    return scenes_language(settings["grid_width"])


def export_mjcf(program: Program) -> str:
    """Writes what a program builds as MJCF, which MuJoCo's viewer opens.

    Each object is a free body that stands on the ground; the camera "camera" shows the
    program's picture until physics moves something. To look at it, save it and run
    `python -m mujoco.viewer --mjcf=FILE`.

    Args:
      program: of `Scenes`.

    Raises:
      ValueError, TypeError: its commands are not valid.
    """
    settings = program.settings
    actions = language_of(settings).validate(program.actions, (len(program),))
    builders = build({name: values[:, None] for name, values in actions.items()})
    objects = place(builders.counts, builders.parts, settings["grid_width"])
    scene = Objects(*(field[0] for field in objects))
    return scene_to_mjcf(scene, settings["canvas_width"], settings["shadows"])
