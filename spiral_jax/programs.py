"""The command language: what a program is made of, and how it is checked and saved.

A *command* is a tuple of discrete *components* (where to, how thick, which colour). The
agent samples them one after the other in the language's order. A *program* is a sequence
of commands with the settings of the environment that runs it. Names, order and meaning of
the painting components are those of DeepMind's SPIRAL environment (paper, section 4.1).
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.documents import parse_json
from spiral_jax.types import Actions

JSON_FORMAT = "spiral_jax.program.v1"


def array_namespace(x: chex.Array):
    """Returns `jax.numpy` for JAX arrays and tracers, `numpy` for everything else."""
    return jnp if isinstance(x, jax.Array) else np


@dataclasses.dataclass(frozen=True)
class Component:
    """One discrete part of a command.

    Attributes:
      name: how actions dictionaries call it.
      num_values: actions are integers in `0..num_values - 1`.
      grid_width: for locations, the width of the square grid that the values index
        row by row (`index = y * grid_width + x`); None for plain categories.
      used_when: `(other component, those of its values)` under which this one has an
        effect; None when it always has.
    """

    name: str
    num_values: int
    grid_width: int | None = None
    used_when: tuple[str, tuple[int, ...]] | None = None

    @property
    def is_location(self) -> bool:
        """Whether the values are places on a grid."""
        return self.grid_width is not None


@dataclasses.dataclass(frozen=True)
class CommandLanguage:
    """The components of a command, in the order in which the agent samples them."""

    components: tuple[Component, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The components' names, in order."""
        return tuple(component.name for component in self.components)

    def mask(self, actions: Actions) -> dict[str, chex.Array]:
        """Says which components of the commands have an effect.

        Args:
          actions: integers of any common shape `[...]`, numpy or JAX.

        Returns:
          `[...]` float32 for each component: 1 where it is used, 0 where it is not.
        """
        masks = {}
        for component in self.components:
            xp = array_namespace(actions[component.name])
            if component.used_when is None:
                masks[component.name] = xp.ones(actions[component.name].shape, np.float32)
            else:
                other, values = component.used_when
                used = xp.isin(actions[other], np.array(values))
                masks[component.name] = used.astype(np.float32)
        return masks

    def random(self, shape: tuple[int, ...], rng: np.random.Generator) -> dict:
        """Draws every component uniformly: integers of `shape` each."""
        return {c.name: rng.integers(c.num_values, size=shape) for c in self.components}

    def constant(self, value: int, shape: tuple[int, ...], dtype) -> dict:
        """Returns a dictionary with an array full of `value` for each component."""
        return {name: np.full(shape, value, dtype) for name in self.names}

    def validate(self, actions: Actions, shape: tuple[int, ...]) -> dict:
        """Checks commands that came from outside.

        Args:
          actions: what should be integers of shape `shape` for every component.
          shape: `[B]` for an environment's step, `[T]` for a program.

        Returns:
          The actions as int32 numpy arrays in the language's order.

        Raises:
          ValueError: a component is missing, unknown, of a wrong shape or out of range.
          TypeError: a component is not an integer array.
        """
        unknown = sorted(set(actions) - set(self.names))
        missing = [name for name in self.names if name not in actions]
        if unknown or missing:
            raise ValueError(
                f"Commands have the components {list(self.names)}; "
                f"missing: {missing}, unknown: {unknown}."
            )
        checked = {}
        for component in self.components:
            values = np.asarray(actions[component.name])
            if not np.issubdtype(values.dtype, np.integer):
                raise TypeError(
                    f"Component '{component.name}' is {values.dtype}; expected "
                    f"integers in 0..{component.num_values - 1}."
                )
            if values.shape != tuple(shape):
                raise ValueError(
                    f"Component '{component.name}' has shape {values.shape}; "
                    f"expected {tuple(shape)}."
                )
            wrong = (values < 0) | (values >= component.num_values)
            if wrong.any():
                index = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ValueError(
                    f"Component '{component.name}' is {values[index]} at index "
                    f"{index}; expected 0..{component.num_values - 1}."
                )
            checked[component.name] = values.astype(np.int32)
        return checked


def painting_language(
    grid_width: int,
    num_sizes: int,
    use_pressure: bool,
    use_color: bool,
    compound: bool = False,
) -> CommandLanguage:
    """Returns the language of brush strokes (paper, section 4.1; spec section 3).

    `flag` 0 lifts the pen and moves it to `end`; 1 paints a quadratic Bézier curve from
    the pen over `control` to `end`. All other components matter only when painting.

    Compound strokes have no `end`. There `flag` 0 adds the point `control` to a stroke; 1
    paints the stroke, a cubic spline through its points, and puts the pen down at
    `control`, the first point of the next stroke. Names and meaning are those of
    DeepMind's environment for them (SPIRAL++).
    """
    painting = ("flag", (1,))
    places = [Component("end", grid_width**2, grid_width)] if not compound else []
    components = [
        Component("flag", 2),
        *places,
        Component("control", grid_width**2, grid_width, None if compound else painting),
        Component("size", num_sizes, None, painting),
    ]
    if use_pressure:
        components.append(Component("pressure", 10, None, painting))
    if use_color:
        components += [
            Component(name, 20, None, painting) for name in ("red", "green", "blue")
        ]
    return CommandLanguage(tuple(components))


OPERATIONS = ("add", "change", "skip")
SHAPES = ("box", "sphere", "cylinder", "capsule")


def scenes_language(grid_width: int) -> CommandLanguage:
    """Returns the language of MuJoCo scenes (paper, section 4.1; spec section 4).

    `operation` 0 adds an object, 1 changes the one added last, 2 skips; the other
    components, which describe the object, matter only when adding or changing.
    """
    building = ("operation", (0, 1))
    return CommandLanguage(
        (
            Component("operation", len(OPERATIONS)),
            Component("shape", len(SHAPES), None, building),
            Component("location", grid_width**2, grid_width, building),
            Component("size", 3, None, building),
            *(Component(name, 4, None, building) for name in ("red", "green", "blue")),
        )
    )


def grid_to_canvas(
    location: chex.Array, grid_width: int, canvas_width: int
) -> chex.Array:
    """Returns the point `[..., 2]` in float32 px, (y, x), of grid locations `[...]`."""
    xp = array_namespace(location)
    cell = xp.stack([location // grid_width, location % grid_width], axis=-1)
    return cell.astype(np.float32) * np.float32(canvas_width / grid_width)


def canvas_to_grid(point: chex.Array, grid_width: int, canvas_width: int) -> chex.Array:
    """Returns the grid location `[...]` int32 nearest to points `[..., 2]` in px."""
    xp = array_namespace(point)
    cell = xp.clip(xp.round(point * (grid_width / canvas_width)), 0, grid_width - 1)
    return (cell[..., 0] * grid_width + cell[..., 1]).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Program:
    """A picture as the commands that draw it.

    Attributes:
      actions: `[T]` int32 for each component of the language.
      settings: keyword arguments of the environment the program runs in.
    """

    actions: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.actions.values())))

    # What draws a program lies further down the data's way and must not be needed here:
    # the shortcuts below are for users, and import it when they are called.

    def render(self, width: int | None = None, brush: Any = None) -> np.ndarray:
        """Draws the program; `environments.rerender` also returns every stage.

        Args:
          width: W in px; None takes the program's own.
          brush: of a painting, as in `Painting`; None takes the program's own.

        Returns:
          The finished picture `[W, W, C]` float32 in 0..1.

        Raises:
          ValueError, TypeError: the program, the width or the brush is not valid.
        """
        from spiral_jax.environments import rerender

        return rerender(self, width, brush)[-1]

    def save(
        self,
        path: str | Path,
        width: int = 512,
        brush: Any = None,
        milliseconds: int = 400,
    ) -> None:
        """Writes the program into a file, as what the end of its name says.

        - `.png`: the finished picture.
        - `.gif`: the drawing of it, a frame for the empty canvas and one after each
          command; the finished picture stays four times as long.
        - `.svg`: a painting's strokes as vector paths, see `to_svg`.
        - `.json`: the commands, see `to_json`.

        Args:
          path: of the file; one that is there is replaced.
          width: and height of a picture in px; of no effect on JSON.
          brush: of PNG and GIF, as in `render`.
          milliseconds: between the frames of a GIF.

        Raises:
          ValueError, TypeError: the name ends otherwise, or the program, the width or the
            brush is not valid.
          OSError: the file cannot be written.
        """
        from spiral_jax.pictures import save_program

        save_program(self, path, width, brush, milliseconds)

    def to_svg(self, width: int = 256) -> str:
        """Writes a painting's strokes as vector paths, see `pictures.program_to_svg`."""
        from spiral_jax.pictures import program_to_svg

        return program_to_svg(self, width)

    def to_json(self) -> str:
        """Writes the program as `programs_to_json` does; `from_json` reads it."""
        from spiral_jax.environments import language_of

        return programs_to_json(language_of(self.settings), [self])

    @classmethod
    def from_json(cls, text: str | bytes, name: str = "the document") -> "Program":
        """Reads a document of one program; `programs_from_json` takes any number.

        Args:
          text: the JSON document; bytes are UTF-8.
          name: what it is called in errors, such as its file.

        Raises:
          ValueError: the text is not such a document; says where, and what was expected.
        """
        from spiral_jax.environments import language_of

        _, programs = programs_from_json(text, language_of, name)
        if len(programs) != 1:
            raise ValueError(
                f"{name} has {len(programs)} programs; expected one. "
                "programs_from_json reads them all."
            )
        return programs[0]


def programs_to_json(language: CommandLanguage, programs: list[Program]) -> str:
    """Writes programs as JSON: settings once, then a list of commands each.

    Components that a command does not use are left out, so that the file reads as what
    is drawn. All programs must share their settings.
    """
    settings = dict(programs[0].settings)
    if any(dict(program.settings) != settings for program in programs):
        raise ValueError("Programs with different settings go into different files.")
    listing = []
    for program in programs:
        mask = language.mask(program.actions)
        listing.append(
            [
                {k: int(program.actions[k][t]) for k in language.names if mask[k][t]}
                for t in range(len(program))
            ]
        )
    head = json.dumps({"format": JSON_FORMAT, "settings": settings}, indent=1)
    # One command a line: easy to read, to edit and to diff.
    body = ",\n".join(
        "  [\n   " + ",\n   ".join(json.dumps(c) for c in commands) + "\n  ]"
        for commands in listing
    )
    return head[:-2] + ',\n "programs": [\n' + body + "\n ]\n}\n"


def programs_from_json(
    text: str | bytes,
    language_of: Callable[[Mapping[str, Any]], CommandLanguage],
    name: str = "the document",
) -> tuple[CommandLanguage, list[Program]]:
    """Reads what `programs_to_json` wrote.

    Args:
      text: the JSON document; bytes are UTF-8.
      language_of: function from the settings to the `CommandLanguage` they imply.
      name: what the document is called in errors, such as its file.

    Returns:
      The language, and the programs with unused components set to 0.

    Raises:
      ValueError: the text is not such a document; names the document, the place in it and
        what was expected there.
    """
    document = parse_json(text, name)
    found = document.get("format") if isinstance(document, dict) else None
    if found != JSON_FORMAT:
        raise ValueError(f"{name}: the format is {found!r}; expected {JSON_FORMAT!r}.")
    for key, kind, what in (
        ("settings", dict, "an object with the environment's settings"),
        ("programs", list, "a list of programs"),
    ):
        if not isinstance(document.get(key), kind):
            raise ValueError(
                f"{name}: {key!r} is {_shown(document.get(key))}; expected {what}."
            )
    settings = document["settings"]
    try:
        language = language_of(settings)
    except ValueError as error:
        raise ValueError(f"{name}: settings: {error}") from error
    # A language of one's own may take for granted what is in the settings.
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"{name}: settings: {_shown(settings)} do not describe a command language "
            f"({type(error).__name__}: {error})."
        ) from error
    programs = []
    for number, commands in enumerate(document["programs"]):
        try:
            actions = _read_commands(commands, language)
        except ValueError as error:
            raise ValueError(f"{name}: Program {number}{error}") from error
        programs.append(Program(actions, settings))
    return language, programs


def _read_commands(commands: Any, language: CommandLanguage) -> dict[str, np.ndarray]:
    """Reads a program's commands; errors begin with the place in it."""
    if not isinstance(commands, list):
        raise ValueError(f" is {_shown(commands)}; expected a list of commands.")
    limits = {c.name: c.num_values for c in language.components}
    for step, command in enumerate(commands):
        place = f": Command {step}"
        if not isinstance(command, dict):
            raise ValueError(f"{place} is {_shown(command)}; expected an object.")
        for key, value in command.items():
            if key not in limits:
                raise ValueError(f"{place} has {key!r}; expected any of {list(limits)}.")
            if type(value) is not int or not 0 <= value < limits[key]:
                raise ValueError(
                    f"{place}: {key!r} is {_shown(value)}; expected an integer in "
                    f"0..{limits[key] - 1}."
                )
    actions = {
        key: np.array([command.get(key, 0) for command in commands], np.int32)
        for key in limits
    }
    mask = language.mask(actions)
    for step, command in enumerate(commands):
        if missing := [k for k in limits if mask[k][step] and k not in command]:
            raise ValueError(
                f": Command {step} has {sorted(command)}; expected {missing} as well."
            )
    return actions


def _shown(value: Any) -> str:
    """Shows a value of a document, shortened."""
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
