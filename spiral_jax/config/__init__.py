"""All settings of a run, presets, and the commands that name them."""

from spiral_jax.config.commands import flag_value, launch_command
from spiral_jax.config.config import Config
from spiral_jax.config.presets import PRESETS, preset

__all__ = ["PRESETS", "Config", "flag_value", "launch_command", "preset"]
