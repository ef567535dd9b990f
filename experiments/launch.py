r"""Trains an agent, or goes on training the one in the run folder.

  python -m experiments.launch --preset=mnist_small --max_minutes=60

Ctrl-C saves and stops; the same command goes on from there, as it does after a kill. Look
at RUN_DIR/samples.png while it runs, and at curves with `tensorboard --logdir runs`.

Several hosts run the same command, each with its --process_id, or, on TPU pods and under
SLURM, with --distributed: docs/scaling.md. Actors on other machines: docs/ray.md.
"""

import contextlib
import dataclasses
import shlex

import jax
from absl import flags

from spiral_jax.config import PRESETS, Config, preset
from spiral_jax.distributed import processes
from spiral_jax.paths import check_utf8, local_path
from spiral_jax.ray_cluster import joined
from spiral_jax.train import train

from .cli import as_called, define_path, run
from .memory import keep_memory
from .settings import define_settings, short_help

_PRESET = flags.DEFINE_string(
    "preset",
    "mnist_small",
    f"Settings to start from, which other flags change. One of: {', '.join(PRESETS)}.",
)
_RUN_DIR = define_path("run_dir", None, "Folder of the run; runs/PRESET if not given.")
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "The agent whose policy a new run starts from: the name of one that comes with the "
    "package, or the folder of a run or of an exported agent. Its networks have to fit.",
)
_COMPILATION_CACHE = define_path(
    "compilation_cache",
    None,
    "Folder where compiled programs are kept, so that the same run starts faster again.",
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "One process of several, where the surroundings say who takes part: on a TPU pod, "
    "under SLURM or Open MPI.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "One process of several, anywhere else: host:port of process 0, which all can reach.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator: how many processes take part."
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator: this one's number, from 0."
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    "",
    "With --actors=ray: the cluster that plays, auto for the one that this machine is "
    "in; empty: one is started here, and ended with the run.",
)


_SETTINGS = define_settings()


def config_from_flags() -> Config:
    """Returns the preset with the changes that the flags ask for.

    Raises:
      ValueError: an impossible value, or no such preset.
    """
    return dataclasses.replace(preset(_PRESET.value), **_SETTINGS())


def _join_hosts() -> None:
    given = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if _DISTRIBUTED.value or given != (None, None, None):
        processes.start(*given)


def main(argv: list[str]) -> None:
    keep_memory()
    if _COMPILATION_CACHE.value:
        jax.config.update("jax_compilation_cache_dir", str(_COMPILATION_CACHE.value))
    run_dir = _RUN_DIR.value or local_path(f"runs/{_PRESET.value}")
    check_utf8(run_dir, "run_dir")
    _join_hosts()
    config, address = config_from_flags(), _RAY_ADDRESS.value
    if address and config.actors != "ray":
        raise ValueError(
            f"ray_address={address!r} with actors={config.actors!r}: set actors='ray' "
            "with it, or leave it out."
        )
    with joined(address) if address else contextlib.nullcontext():
        table = train(config, run_dir, init_from=_INIT_FROM.value)
    if table is not None:
        print(f"\n{table}\n\nThe run is in {run_dir}; draw with it by")
        command = as_called("python -m experiments.sample")
        print(f"  {command} {shlex.quote(f'--run_dir={run_dir}')}")


if __name__ == "__main__":
    run(main, "launch", short_help=lambda script: short_help(config_from_flags(), script))
