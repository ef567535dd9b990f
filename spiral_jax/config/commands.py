"""Settings as the command line takes them."""

import dataclasses
import json
import shlex
from typing import Any

from spiral_jax.config.config import BRUSH_FILE, Config
from spiral_jax.config.presets import PRESETS
from spiral_jax.names import BRUSH_ENDING


def flag_value(value: Any) -> str:
    """Writes a setting as its flag takes it."""
    if isinstance(value, tuple):
        return ",".join(f"{x:g}" for x in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def launch_command(config: Config) -> str:
    """Returns the command that trains with these settings, from the nearest preset."""
    settings = dataclasses.asdict(config)
    changes = {
        name: {k: v for k, v in settings.items() if v != getattr(start, k)}
        for name, start in PRESETS.items()
    }
    name = min(changes, key=lambda name: len(changes[name]))
    given = [f"--preset={name}"]
    for key, value in changes[name].items():
        if isinstance(value, dict):
            given += [shlex.quote(f"--set={k}={json.dumps(v)}") for k, v in value.items()]
            continue
        if key == "brush" and value.endswith(BRUSH_ENDING):
            value = BRUSH_FILE  # as it is called beside the settings
        given.append(shlex.quote(f"--{key}={flag_value(value)}"))
    return " ".join(["python -m experiments.launch", *given])
