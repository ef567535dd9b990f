"""All settings of a run: a frozen dataclass whose fields explain themselves.

`experiments.launch` makes one flag of each field; the parts are where defaults live.
Nothing here reads a file or loads JAX before it is asked to.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from spiral_jax.config.data import ELSEWHERE, DataSettings
from spiral_jax.config.environment import EnvironmentSettings
from spiral_jax.config.fields import check_field
from spiral_jax.config.networks import NetworkSettings
from spiral_jax.config.objective import ObjectiveSettings
from spiral_jax.config.optimisation import OptimisationSettings
from spiral_jax.config.running import RunSettings
from spiral_jax.documents import parse_json
from spiral_jax.extensions import registered_name
from spiral_jax.names import BRUSH_ENDING, ENVIRONMENTS, OUR_ENVIRONMENTS, SOFT_BRUSH
from spiral_jax.paths import write_file

# What a run's brush is called in its folder, if it is a file.
BRUSH_FILE = "brush.myb"


@dataclasses.dataclass(frozen=True)
class Config(
    # The fields stand in the reverse of this order.
    RunSettings,
    OptimisationSettings,
    ObjectiveSettings,
    NetworkSettings,
    EnvironmentSettings,
    DataSettings,
):
    """Settings of a training run; impossible values are refused with the reason."""

    def __post_init__(self):
        """Refuses impossible values: names the value, what was expected, what to do."""
        for field in dataclasses.fields(self):
            check_field(field, getattr(self, field.name))
        self.check_data()
        self.check_environment()
        self.check_objective()
        self.check_optimisation()
        self.check_run()
        self._check_episodes()
        self._check_targets()
        self._check_kind_of_environment()
        if self.dataset in ("mnist", "omniglot") and self.use_color:
            raise ValueError(
                f"use_color=True with dataset={self.dataset!r}: its pictures are grey, "
                "the critic would tell them by colour alone; set use_color=False."
            )

    def _check_episodes(self) -> None:
        if self.unroll_length and self.num_commands % self.unroll_length:
            raise ValueError(
                f"unroll_length={self.unroll_length} with episode_length="
                f"{self.episode_length}, which is {self.num_commands} commands: expected "
                "a divisor of these, or 0 for whole episodes."
            )
        if self.batch_size % self.unrolls_per_episode:
            raise ValueError(
                f"batch_size={self.batch_size} with {self.unrolls_per_episode} unrolls "
                "per episode: as many episodes are to be at each stage; expected a "
                "multiple of them."
            )

    def _check_targets(self) -> None:
        for name in ("blind", "complement", "reward_source"):
            value = getattr(self, name)
            if not self.conditional and value in (True, "l2"):
                raise ValueError(
                    f"{name}={value!r} needs a target; set conditional=True with it."
                )
        if self.hindsight_cost and not (self.conditional and not self.unroll_length):
            raise ValueError(
                f"hindsight_cost={self.hindsight_cost} needs targets and whole episodes; "
                "set conditional=True and unroll_length=0 with it."
            )
        if self.dataset == "scenes" and self.max_objects > self.grid_width**2:
            raise ValueError(
                f"max_objects={self.max_objects} with grid_width={self.grid_width}: "
                f"each needs a cell of its own; expected at most {self.grid_width**2}."
            )

    def _check_kind_of_environment(self) -> None:
        if self._kind not in ENVIRONMENTS:
            raise ValueError(
                f"environment_name={self.environment_name!r}: expected one of "
                f"{tuple(ENVIRONMENTS)}, or empty. {ELSEWHERE}"
            )
        if self.own and self._kind in OUR_ENVIRONMENTS and not self.has_own_dataset:
            raise ValueError(
                f"own={self.own!r}: these are for environments and data sets of your "
                "own, and here is neither; leave them out."
            )
        if (self._kind == "scenes") != (self.dataset == "scenes"):
            raise ValueError(
                f"environment_name={self.environment_name!r} with dataset="
                f"{self.dataset!r}: scenes belong to each other; leave it empty."
            )
        for name in ("stroke_start_cost", "compound"):
            if getattr(self, name) and self._kind != "painting":
                raise ValueError(
                    f"{name}={getattr(self, name)} with {self._kind}: no strokes there; "
                    "leave it out."
                )
        if self.actors != "device":
            return
        if self._kind != "painting":
            raise ValueError(
                f"environment={self._kind!r} runs on CPUs; set actors='threads'."
            )
        if self.brush != SOFT_BRUSH:
            raise ValueError(
                f"brush={self.brush!r} runs on CPUs; set actors='threads', or "
                "brush='soft'."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Reads what `dataclasses.asdict` and JSON wrote.

        Raises:
          ValueError: a setting is unknown to this version, or impossible.
        """
        if not isinstance(values, dict):
            raise ValueError("expected an object, each setting with its value.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"Unknown settings {unknown}: made by another version.")
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )

    def save(self, path: Path) -> None:
        """Writes the settings as JSON, and beside it the brush, if that is a file.

        Raises:
          OSError: it cannot be written.
        """
        settings = dataclasses.asdict(self)
        if self.brush.endswith(BRUSH_ENDING):
            text = _read_brush(self.brush)
            settings["brush"] = BRUSH_FILE
            if path.with_name(BRUSH_FILE) != Path(self.brush):
                write_file(path.with_name(BRUSH_FILE), text)
        write_file(path, json.dumps(settings, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Reads what `save` wrote, wherever it has been moved.

        Raises:
          OSError: it cannot be read.
          ValueError: the file is no such JSON, or of another version; names the file and
            the setting.
        """
        values = parse_json(path.read_bytes(), str(path))
        if isinstance(values, dict) and values.get("brush") == BRUSH_FILE:
            values["brush"] = str(path.absolute().with_name(BRUSH_FILE))
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def environment(self) -> dict[str, Any]:
        """Returns the settings for `make_environment` that this run fixes."""
        names = ("canvas_width", "grid_width", "episode_length")
        if self._kind == "scenes":
            names += ("shadows",)
        else:
            names += ("use_color", "background")
        if self._kind == "painting":
            names += ("brush", "brush_sizes", "use_pressure", "compound")
            return {name: getattr(self, name) for name in names}
        own = {} if self._kind in OUR_ENVIRONMENTS else self.own
        return {
            "environment": self._kind,
            **{name: getattr(self, name) for name in names},
            **own,
        }

    @property
    def _kind(self) -> str:
        scenes = self.dataset == "scenes"
        name = registered_name(self.environment_name)
        return name or ("scenes" if scenes else "painting")

    @property
    def unrolls_per_episode(self) -> int:
        """Into how many parts the commands of an episode are cut."""
        return self.num_commands // (self.unroll_length or self.num_commands)

    @property
    def frames_per_update(self) -> int:
        """Commands that an update learns from, of all its episodes together."""
        return self.batch_size * self.num_commands // self.unrolls_per_episode


def _read_brush(path: str) -> str:
    # Imported for runs that have a brush file: it comes with the renderers.
    from spiral_jax.renderers.mypaint import read_brush_text

    return read_brush_text(path)
