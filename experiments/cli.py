"""How the scripts here begin and end: flags, paths, and errors in one line.

`run(main, "NAME")` makes a program of a script. What its user can mend, a setting, a
file, a full disk, ends it with the line "NAME: what, why, and what to do" and exit code
1; --debug shows where it came from. Whatever else is raised is a mistake of ours, and has
its traceback.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import jax
from absl import app, flags, logging

from spiral_jax.agents import TrainedAgent, agent_folder, load_agent
from spiral_jax.data.cache import keep_in
from spiral_jax.documents import parse_json
from spiral_jax.extensions import import_extensions
from spiral_jax.metrics import NotFiniteError
from spiral_jax.paths import local_path, naming, reason
from spiral_jax.run_folder import CONFIG_FILE

from . import COMMANDS

flags.disclaim_key_flags()  # they are flags of the script, whose --help lists them

_OUTPUT = "standard output"
_HELP = {"--help", "-help", "-h"}


class PathFlag:
    """A flag whose value is a path of this machine, see `local_path`.

    Attributes:
      value: the path; None if it was not given, or is empty.
    """

    def __init__(self, name: str, default: str | None, help: str):
        self._holder = flags.DEFINE_string(name, default, help)

    @property
    def value(self) -> Path | None:
        given = self._holder.value
        return local_path(given, self._holder.name) if given else None


_PATHS: list[PathFlag] = []


def define_path(name: str, default: str | None, help: str) -> PathFlag:
    """Makes a flag for the path of a file or folder."""
    flag = PathFlag(name, default, help)
    _PATHS.append(flag)
    return flag


def brush_value(given: str) -> str:
    """Returns a brush that a flag gives: a name stays, a file's path becomes absolute."""
    return str(local_path(given, "brush")) if given.endswith(".myb") else given


def as_called(text: str) -> str:
    """Returns a text that names scripts as they are called where this one was installed.

    Args:
      text: names them as in a checkout, `python -m experiments.launch`.
    """
    if __package__ != "experiments":  # but spiral_jax.commands
        for command, script in COMMANDS.items():
            text = text.replace(
                f"python -m experiments.{script}", f"spiral-jax {command}"
            )
    return text


def define_data_dir() -> PathFlag:
    """Makes the flag of scripts that take a run's data from where they are now."""
    return define_path(
        "data_dir", None, "Folder of the run's data, if they have moved since."
    )


def open_agent(name: str | Path, data_dir: str | Path | None = None) -> TrainedAgent:
    """Loads an agent, see `load_agent`, and first what its run was extended by.

    The modules that its settings name as module:name are imported, as the command that
    trained it did.
    """
    path = agent_folder(name) / CONFIG_FILE
    settings = parse_json(path.read_bytes(), str(path)) if path.exists() else None
    if isinstance(settings, dict):
        import_extensions(settings)
    return load_agent(path.parent if path.exists() else name, data_dir)


def run(
    main: Callable[[list[str]], None],
    name: str,
    positional: str = "",
    short_help: Callable[[ModuleType], str] | None = None,
) -> None:
    """Runs a script.

    Args:
      main: takes what is on the command line beside flags, the script's path first.
      name: of the script, as errors begin.
      positional: what may stand there beside flags; nothing, if empty.
      short_help: of the script's module: what --help prints, called when flags are
        read; absl's, if not given.
    """
    show_anything()
    script = sys.modules["__main__"]
    script.__doc__ = as_called(script.__doc__ or "")  # --help shows it
    debug = flags.DEFINE_bool("debug", False, "Show the traceback of every error.")
    cache_dir = define_path(
        "cache_dir",
        None,
        "Where decoded pictures and scenes are kept; if not given, spiral_jax in "
        "$XDG_CACHE_HOME, or in .cache of your home.",
    )

    def guarded(argv: list[str]) -> None:
        with one_line(name, debug.value):
            if len(argv) > 1 and not positional:
                raise ValueError(f"Unexpected argument {argv[1]!r}; settings are flags.")
            for flag in _PATHS:
                _ = flag.value  # refused before anything is made
            if cache_dir.value:
                keep_in(cache_dir.value)
            logging.set_verbosity(logging.WARNING)  # orbax and JAX tell every step
            if not {"", os.getcwd()} & set(sys.path):
                sys.path.append(os.getcwd())  # as of python -m; modules of one's own
            if jax.config.jax_enable_x64:
                jax.config.update("jax_enable_x64", False)
                logging.warning("JAX_ENABLE_X64 is off here: float32 is meant.")
            main(argv)

    def read_flags(argv: list[str]) -> list[str]:
        with one_line(name):
            if short_help is None or not _HELP & set(argv[1:]):
                return flags.FLAGS(argv)
            flags.FLAGS([arg for arg in argv if arg not in _HELP])
            print(short_help(script))
        raise SystemExit(0)

    app.run(guarded, flags_parser=read_flags)


def show_anything() -> None:
    """Lets output that cannot show a character show a substitute instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not those of notebooks
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def one_line(name: str, debug: bool = False) -> Iterator[None]:
    """Ends the program with one line for what its user can mend, and exit code 1.

    Args:
      name: of the script, as the line begins.
      debug: whether to let errors through, for the traceback.
    """
    try:
        yield
        with naming(Path(_OUTPUT)):
            sys.stdout.flush()  # or a full disk would be noticed after the end only
    except (ValueError, OSError, NotFiniteError, flags.Error) as error:
        if debug:
            raise
        if getattr(error, "filename", None) == _OUTPUT or isinstance(
            error, BrokenPipeError
        ):
            # The interpreter would try to write the rest, and complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from error  # who read the output has seen enough
        raise SystemExit(f"{name}: {explain(error)}") from error


def explain(error: Exception) -> str:
    """Says in one line what happened, to which file, and what to do."""
    parts, end = [str(error)], ""
    if isinstance(error, OSError):
        parts, end = [reason(error).removesuffix(".")], "."
    parts += getattr(error, "__notes__", ())
    return as_called(" ".join("; ".join(part for part in parts if part).split()) + end)
