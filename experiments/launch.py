r"""Trains an agent, or goes on training the one in the run folder.

  python -m experiments.launch --preset=mnist_small --max_minutes=60

Ctrl-C saves and stops; the same command goes on from there, as it does after a kill. Look
at RUN_DIR/samples.png while it runs, and at curves with `tensorboard --logdir runs`.
"""

import dataclasses
from pathlib import Path

import jax
from absl import app, flags, logging

from experiments.settings import define_settings
from spiral_jax.config import PRESETS, Config, preset
from spiral_jax.metrics import NotFiniteError
from spiral_jax.train import train

_PRESET = flags.DEFINE_string(
    "preset",
    "mnist_small",
    f"Settings to start from, one of: {', '.join(PRESETS)}. The other flags change them.",
)
_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of the run; runs/PRESET if not given."
)
_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder where compiled programs are kept, so that the same run starts faster again.",
)


_SETTINGS = define_settings()


def config_from_flags() -> Config:
    """Returns the preset with the changes that the flags ask for.

    Raises:
      ValueError: an impossible value, or no such preset.
    """
    return dataclasses.replace(preset(_PRESET.value), **_SETTINGS())


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # orbax and JAX tell every step at INFO
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; settings are flags.")
    if _COMPILATION_CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _COMPILATION_CACHE.value)
    run_dir = Path(_RUN_DIR.value or f"runs/{_PRESET.value}")
    try:
        config = config_from_flags()
        table = train(config, run_dir)
    except (ValueError, FileNotFoundError, NotFiniteError) as error:
        raise SystemExit(f"launch: {error}") from error
    if table is not None:
        print(f"\n{table}\n\nThe run is in {run_dir}; draw with it by")
        print(f"  python -m experiments.sample --run_dir={run_dir}")


if __name__ == "__main__":
    app.run(main)
