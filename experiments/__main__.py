"""Runs the script that a command names: `spiral-jax train --help`.

In a checkout, `python -m experiments COMMAND` does the same.
"""

import ast
import difflib
import importlib.util
import runpy
import sys

from . import COMMANDS


def main() -> None:
    """Runs the script with the rest of the command line, as `python -m` would."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h", "help"):
        print(_help())
        return
    if name not in COMMANDS:
        raise SystemExit(f"spiral-jax: {_refusal(name)}")
    del sys.argv[1]
    # Only this script is imported, or the others' flags would be its own.
    script = f"{__package__}.{COMMANDS[name]}"
    runpy.run_module(script, run_name="__main__", alter_sys=True)


def _help() -> str:
    lines = [f"  {name:12} {_summary(script)}" for name, script in COMMANDS.items()]
    return "\n".join(
        ["spiral-jax COMMAND [flags], where COMMAND is one of", "", *lines, ""]
        + ["`spiral-jax COMMAND --help` explains its flags."]
    )


def _summary(script: str) -> str:
    """Returns the first line of a script's docstring, without importing it."""
    spec = importlib.util.find_spec(f"{__package__}.{script}")
    return ast.get_docstring(ast.parse(spec.loader.get_source(spec.name))).splitlines()[0]


def _refusal(name: str) -> str:
    given = f"There is no command {name!r}" if name else "No command is given"
    said = f"{given}: expected one of {', '.join(COMMANDS)}."
    names = {name: name for name in COMMANDS} | {s: name for name, s in COMMANDS.items()}
    near = difflib.get_close_matches(name, names, n=1)
    return f"{said} Did you mean {names[near[0]]!r}?" if near else said


if __name__ == "__main__":
    main()
