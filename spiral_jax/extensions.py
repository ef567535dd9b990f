"""Parts of a run that are somebody's own: modules that settings name."""

import importlib
from collections.abc import Mapping
from typing import Any


def registered_name(value: str) -> str:
    """Returns the name that `module:name` registers; other values are names already."""
    return value.rpartition(":")[2]


def import_extensions(settings: Mapping[str, Any]) -> None:
    """Imports the modules that a run's settings name as `module:name`.

    What opens somebody else's run does not call this: only who starts a script says
    which code is to run.

    Args:
      settings: from wherever; those that are absent or no text are left to `Config`.

    Raises:
      ValueError: see `import_named`.
    """
    for setting in ("dataset", "environment_name"):
        if isinstance(value := settings.get(setting), str):
            import_named(value, setting)


def import_named(value: str, setting: str) -> None:
    """Imports the module of `module:name`; on import it registers the name.

    Args:
      value: a setting; without a colon nothing is imported.
      setting: what it is called.

    Raises:
      ValueError: there is no such module, or it cannot be imported.
    """
    module, colon, name = value.rpartition(":")
    if not colon:
        return
    expected = "expected module:name of what the module registers on import"
    if not (module and name):
        raise ValueError(f"{setting}={value!r}: {expected}.")
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{setting}={value!r}: {error}; {expected}. It is looked for in the working "
            "directory, on PYTHONPATH and among what is installed."
        ) from error
