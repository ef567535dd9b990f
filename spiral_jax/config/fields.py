"""Fields of a configuration: each explains itself and knows its bounds."""

import dataclasses
import json
from collections.abc import Collection
from typing import Any

# Beyond any setting, and within all arithmetic with them: float32's, of numbers.
_LARGEST = {int: 2**53, float: 2.0**127}


def setting(
    default: Any,
    help: str,
    choices: Collection[str] = (),
    minimum: float | None = None,
) -> Any:
    """A field with its explanation, the values it may have, and the least of them.

    The values may be a registry, which may know of more later.
    """
    if choices:
        help = f"{help} One of: {', '.join(choices)}."
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "kind": type(default),
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_kind(name: str, value: Any, kind: type) -> None:
    """Refuses a value that is not of a setting's kind, whatever wrote it."""
    expected = {
        bool: "True or False",
        int: "an integer",
        float: "a finite number",
        str: "text",
        tuple: "numbers",
        dict: "names, each with its value as JSON has it",
    }[kind]
    parts = [value]
    if kind is dict and isinstance(value, dict):
        try:
            same = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ValueError(f"{name}={value!r}: expected {expected}.")
    if kind is tuple and isinstance(value, tuple):
        parts, kind = value, float
    for part in parts:
        good = isinstance(part, (int, float) if kind is float else kind)
        good = good and (kind is bool or not isinstance(part, bool))
        if not good or (kind in (int, float) and not abs(part) < _LARGEST[kind]):
            raise ValueError(f"{name}={value!r}: expected {expected}.")


def check_field(field: dataclasses.Field, value: Any) -> None:
    """Refuses a value that a field cannot have.

    Raises:
      ValueError: names the field, the value and what was expected.
    """
    check_kind(field.name, value, field.metadata["kind"])
    least, choices = field.metadata["minimum"], field.metadata["choices"]
    if least is not None and value < least:
        raise ValueError(f"{field.name}={value}: expected at least {least}.")
    if choices and value not in choices:
        raise ValueError(f"{field.name}={value!r}: expected one of {tuple(choices)}.")
