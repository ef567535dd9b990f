"""Programs: commands with the settings of the environment that runs them, and as JSON."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spiral_jax.documents import parse_json
from spiral_jax.environments import language_of, rerender
from spiral_jax.images import program_to_svg, save_program
from spiral_jax.language import CommandLanguage, Component

__all__ = [
    "CommandLanguage",
    "Component",
    "Program",
    "programs_from_json",
    "programs_to_json",
]

JSON_FORMAT = "spiral_jax.program.v1"


class Drawing:
    """What programs and pictures made of several of them have in common."""

    def stages(self, width: int | None = None, brush: Any = None) -> np.ndarray:
        """Draws it command by command; arguments and errors as in `render`.

        Returns:
          `[T+1, W, W, C]` float32 in 0..1: before the first and after every command.
        """
        raise NotImplementedError

    def render(self, width: int | None = None, brush: Any = None) -> np.ndarray:
        """Draws it; `stages` also returns how it came about.

        Args:
          width: W in px; None takes its own.
          brush: of a painting, as in `Painting`; None takes its own.

        Returns:
          The finished picture `[W, W, C]` float32 in 0..1.

        Raises:
          ValueError, TypeError: the program, the width or the brush is not valid.
        """
        return self.stages(width, brush)[-1]

    def save(
        self,
        path: str | Path,
        width: int = 512,
        brush: Any = None,
        milliseconds: int = 400,
    ) -> None:
        """Writes it into a file, as what the end of its name says.

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
        save_program(self, path, width, brush, milliseconds)


@dataclasses.dataclass(frozen=True)
class Program(Drawing):
    """A picture as the commands that draw it.

    Attributes:
      actions: `[T]` int32 for each component of the language.
      settings: keyword arguments of the environment the program runs in.
    """

    actions: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.actions.values())))

    def stages(self, width: int | None = None, brush: Any = None) -> np.ndarray:
        """Draws the program command by command, see `Drawing.stages`."""
        return rerender(self, width, brush)

    def to_svg(self, width: int = 256) -> str:
        """Writes a painting's strokes as vector paths, see `images.program_to_svg`."""
        return program_to_svg(self, width)

    def to_json(self) -> str:
        """Writes the program as `programs_to_json` does; `from_json` reads it."""
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
        _, programs = programs_from_json(text, language_of, name)
        if len(programs) != 1:
            raise ValueError(
                f"{name} has {len(programs)} programs; expected one. "
                "programs_from_json reads them all."
            )
        return programs[0]


def programs_to_json(
    language: CommandLanguage, programs: list[Program], **more: int
) -> str:
    """Writes programs as JSON: settings once, then a list of commands each.

    Components that a command does not use are left out, so that the file reads as what
    is drawn. All programs must share their settings.

    Args:
      language: of the commands.
      programs: N of them.
      **more: what else the document says, such as `tiles`; no part of the programs.
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
    document = {"format": JSON_FORMAT, **more, "settings": settings}
    head = json.dumps(document, indent=1)
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
    for index, commands in enumerate(document["programs"]):
        try:
            actions = _read_commands(commands, language)
        except ValueError as error:
            raise ValueError(f"{name}: Program {index}{error}") from error
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
