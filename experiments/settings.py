"""The flags of launch scripts: one for each setting of a run."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from absl import flags

from experiments.cli import brush_value
from spiral_jax.config import PRESETS, Config
from spiral_jax.extensions import import_named
from spiral_jax.paths import local_path

flags.disclaim_key_flags()  # they are flags of the script, whose --help lists them


def define_settings() -> Callable[[], dict[str, Any]]:
    """Makes a flag of each field of `Config`.

    Returns:
      A function that returns the settings which the command line gives, once it is read.
      It raises ValueError where one cannot be understood.
    """
    holders = {field.name: _define(field) for field in dataclasses.fields(Config)}

    def given() -> dict[str, Any]:
        changes = {k: f.value for k, f in holders.items() if f.value is not None}
        # What a run keeps holds wherever it is opened.
        for name in ("dataset", "environment_name"):
            import_named(changes.get(name, ""), name)
        if "own" in changes:
            changes["own"] = dict(_own(given) for given in changes["own"])
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
    values = {name: getattr(config, field.name) for name, config in PRESETS.items()}
    text = ", ".join(f"{name}: {value!r}" for name, value in values.items())
    if len(set(values.values())) == 1:
        text = repr(field.default)
    define = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple: flags.DEFINE_list,
    }[field.metadata["kind"]]
    return define(field.name, None, f"{field.metadata['help']} Default {text}.")
