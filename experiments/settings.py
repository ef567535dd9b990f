"""The flags of launch scripts: one for each setting of a run."""

import dataclasses
import json
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

from absl import flags

from spiral_jax.config import PRESETS, Config, flag_value
from spiral_jax.extensions import import_extensions
from spiral_jax.paths import local_path

from .cli import brush_value

flags.disclaim_key_flags()  # they are flags of the script, whose --help lists them

HELP_COLUMNS, FLAG_COLUMNS = 90, 29


def define_settings() -> Callable[[], dict[str, Any]]:
    """Makes a flag of each field of `Config`.

    Returns:
      A function that returns the settings which the command line gives, once it is read.
      It raises ValueError where one cannot be understood.
    """
    holders = {field.name: _define(field) for field in dataclasses.fields(Config)}

    def given() -> dict[str, Any]:
        changes = {k: f.value for k, f in holders.items() if f.value is not None}
        import_extensions(changes)
        if "own" in changes:
            changes["own"] = dict(_own(given) for given in changes["own"])
        # What a run keeps holds wherever it is opened.
        if changes.get("data_dir"):
            changes["data_dir"] = str(local_path(changes["data_dir"], "data_dir"))
        if "brush" in changes:
            changes["brush"] = brush_value(changes["brush"])
        if "brush_sizes" in changes:
            try:
                changes["brush_sizes"] = tuple(float(x) for x in changes["brush_sizes"])
            except ValueError as error:
                raise ValueError(
                    f"brush_sizes={','.join(changes['brush_sizes'])}: expected radii in "
                    "px, such as 2,4."
                ) from error
        return changes

    return given


# Each begins a section of the help, in the order of the fields of `Config`.
_SECTIONS = {
    "dataset": "Data",
    "environment_name": "Environment",
    "policy": "Networks",
    "algorithm": "Objective",
    "batch_size": "Optimisation",
    "actors": "Running",
    "resume": "What is kept",
}


def _settings_help(config: Config) -> str:
    """Lists all settings with the values of a configuration, in a line each."""
    lines = []
    for field in dataclasses.fields(Config):
        if field.name in _SECTIONS:
            lines += ["", f"{_SECTIONS[field.name]}:"]
        name, value = field.name, getattr(config, field.name)
        if field.metadata["kind"] is dict:
            name, value = "set", "KEY=VALUE"
        else:
            value = flag_value(value)
        lines.append(_help_line(f"--{name}={value}", field.metadata["help"]))
    return "\n".join(lines)


def short_help(config: Config, script: ModuleType) -> str:
    """Explains a script in a line a flag: its own ones, then the settings.

    Args:
      config: whose values are shown.
      script: what is explained.
    """
    settings = {"set", *(field.name for field in dataclasses.fields(Config))}
    lines = [script.__doc__ or "", "Flags, in short; --helpfull says all of them:", ""]
    for flag in flags.FLAGS.get_key_flags_for_module(script):
        if flag.name not in settings:
            value = "" if flag.default is None else f"={flag.default_unparsed}"
            lines.append(_help_line(f"--{flag.name}{value}", flag.help))
        if flag.name == "preset":
            indent = {"initial_indent": "    ", "subsequent_indent": "    "}
            lines += textwrap.wrap(", ".join(PRESETS), HELP_COLUMNS, **indent)
    return "\n".join([*lines, _settings_help(config)])


def _help_line(flag: str, help: str) -> str:
    """Explains a flag by the first sentence of its help."""
    sentence = help.split(". ")[0].rstrip(".")
    line = f"  {flag:{FLAG_COLUMNS}s} "
    width = HELP_COLUMNS - len(line)
    return line + textwrap.shorten(sentence, width, placeholder=" ...")


def _own(given: str) -> tuple[str, Any]:
    """Reads KEY=VALUE; what is no JSON is text."""
    key, equals, value = given.partition("=")
    if not (key and equals):
        raise ValueError(f"set={given!r}: expected KEY=VALUE.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _define(field: dataclasses.Field) -> flags.FlagHolder:
    """Makes the flag of a setting; None stands for the preset's value."""
    if field.metadata["kind"] is dict:
        text = "As KEY=VALUE, once for each; VALUE is JSON or text."
        return flags.DEFINE_multi_string("set", None, f"{field.metadata['help']} {text}")
    values = {getattr(config, field.name) for config in PRESETS.values()}
    text = repr(field.default) if len(values) == 1 else "is the preset's"
    define = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple: flags.DEFINE_list,
    }[field.metadata["kind"]]
    return define(field.name, None, f"{field.metadata['help']} Default {text}.")
