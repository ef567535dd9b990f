r"""Measures whole training on one accelerator: what an H100 or a TPU makes of a preset.

  python -m experiments.accelerator_speed --preset=mnist --json=accelerator.json

Trains fused (rollout, critic and policy update in one program) with batches of several
sizes, and prints frames/s and the share that this is of a matrix product's FLOP/s. On a
GPU it does so with XLA's command buffers (CUDA graphs) and without. Then it takes an
iteration to pieces, each timed alone: the rollout, acting and painting in it, and what
the learners do. Each batch size has a process of its own, as XLA reads its flags once.
--json writes all records.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.cli import define_path, run
from experiments.scale_speed import (
    calls_per_second,
    flops_per_frame,
    iteration_parts,
    matmul_peak,
    updates_per_second,
)
from spiral_jax.config import PRESETS, Config, preset
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.environments.painting_jax import DevicePainting
from spiral_jax.names import DTYPES
from spiral_jax.paths import write_file
from spiral_jax.system import System

_PRESET = flags.DEFINE_enum("preset", "mnist", list(PRESETS), "What to measure.")
_DATA_DIR = define_path("data_dir", None, "As launch has it.")
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes", ["64", "128", "256", "512"], "Episodes per update, several."
)
_FUSE = flags.DEFINE_integer("fuse", 20, "Iterations a call.", lower_bound=1)
_DTYPE = flags.DEFINE_enum("compute_dtype", DTYPES[1], DTYPES, "As launch has it.")
_SECONDS = flags.DEFINE_float("seconds", 20.0, "How long each is measured.")
_JSON = define_path("json", None, "File for all records.")
_ONLY = flags.DEFINE_string("only", "", "Internal: the one measurement of this process.")

NO_COMMAND_BUFFERS = "--xla_gpu_enable_command_buffer="
# A line of a process that begins with this is its record.
MARK = "RECORD "


def config_of(batch_size: int) -> Config:
    """Returns the settings of a run on the accelerator."""
    return dataclasses.replace(
        preset(_PRESET.value),
        data_dir=str(_DATA_DIR.value or ""),
        batch_size=batch_size,
        compute_dtype=_DTYPE.value,
        actors="device",
        fuse=_FUSE.value,
    )


def surroundings() -> dict[str, Any]:
    """Measures what figures are held against."""
    peak = matmul_peak(_SECONDS.value / 4, _DTYPE.value)
    return {
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "preset": _PRESET.value,
        "compute_dtype": _DTYPE.value,
        "fuse": _FUSE.value,
        "matmul_tflops": peak / 1e12,
    }


def speed(batch_size: int) -> dict[str, Any]:
    """Trains for a while with one batch size."""
    config = config_of(batch_size)
    images = load_dataset(config).train.images
    rate, compiling = updates_per_second(config, images, DeviceGroup(), _SECONDS.value)
    return {
        "frames_per_second": rate * config.frames_per_update,
        "flops_per_frame": flops_per_frame(config, images),
        "compile_seconds": compiling,
    }


def rollout_parts(system: System, batch_size: int) -> dict[str, Callable]:
    """Compiles what a rollout does, acting and painting, each alone."""
    config, language = system.config, system.language
    painting = DevicePainting(config.environment())
    length = config.num_commands
    params = jax.device_put(system.initial_policy())
    rng = np.random.default_rng(0)
    actions = jax.device_put(language.random((length, batch_size), rng))
    begun = jax.jit(lambda: painting.begin(batch_size))()
    start = system.policy.initial_state(jax.random.key(0), batch_size)
    observation = {
        "canvas": begun.canvas,
        "action_mask": {name: jnp.ones([batch_size]) for name in language.names},
    }
    if config.conditional:
        observation["target"] = begun.canvas

    @jax.jit
    def act(params, observation, state):
        def step(state, _):
            output, state = system.policy.step(params, observation, state)
            return state, output.actions

        return jax.lax.scan(step, state, length=length)[1]

    @jax.jit
    def paint(begun, actions):
        return jax.lax.scan(lambda s, a: (painting.step(s, a), ()), begun, actions)[0]

    return {
        "acting alone": lambda: act(params, observation, start),
        "painting alone": lambda: paint(begun, actions).canvas,
    }


def parts(batch_size: int) -> dict[str, float]:
    """Returns the milliseconds of each part of an iteration, each alone."""
    system, _, work = iteration_parts(config_of(batch_size))
    work |= rollout_parts(system, batch_size)
    seconds = _SECONDS.value / 4
    return {name: 1e3 / calls_per_second(call, seconds) for name, call in work.items()}


def measure(what: str) -> dict[str, Any]:
    """Does one measurement in this process: "surroundings", "speed:B" or "parts:B"."""
    kind, _, size = what.partition(":")
    if kind == "surroundings":
        return surroundings()
    return {"speed": speed, "parts": parts}[kind](int(size))


def in_a_process(what: str, xla_flags: str = "") -> dict[str, Any]:
    """Does one measurement in a process of its own.

    Raises:
      ValueError: it failed; what it said is on the screen.
    """
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {xla_flags}".strip()
    }
    command = [sys.executable, "-m", "experiments.accelerator_speed", *sys.argv[1:]]
    found = subprocess.run(
        [*command, f"--only={what}"],
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    for line in found.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    raise ValueError(f"{what} with XLA_FLAGS={environment['XLA_FLAGS']!r} failed.")


def main(argv: list[str]) -> None:
    if _ONLY.value:
        print(MARK + json.dumps(measure(_ONLY.value)))
        return
    try:
        sizes = [int(size) for size in _BATCH_SIZES.value]
    except ValueError as error:
        given = ",".join(_BATCH_SIZES.value)
        raise ValueError(f"batch_sizes={given}: expected numbers.") from error
    result = in_a_process("surroundings")
    peak = result["matmul_tflops"] * 1e12
    print(
        f"{result['preset']} on {result['device']}, jax {result['jax']}: "
        f"{result['matmul_tflops']:.2f} TFLOP/s in a {result['compute_dtype']} matrix "
        "product\nbatch  command buffers     frames/s   share of peak   compiling"
    )
    variants = {"as they are": ""}
    if result["backend"] == "gpu":
        variants = {"on": "", "off": NO_COMMAND_BUFFERS}
    result["speed"], result["parts"] = [], []
    for size in sizes:
        for buffers, xla_flags in variants.items():
            found = in_a_process(f"speed:{size}", xla_flags)
            rate = found["frames_per_second"]
            found["share_of_peak"] = rate * found["flops_per_frame"] / peak
            record = {"batch_size": size, "command_buffers": buffers, **found}
            result["speed"].append(record)
            print(
                f"{size:5d}  {buffers:15s}{rate:13,.0f}{found['share_of_peak']:16.1%}"
                f"{found['compile_seconds']:10.1f} s",
                flush=True,
            )
    print("\nParts of an iteration, each alone, ms")
    for size in sizes:
        found = in_a_process(f"parts:{size}")
        result["parts"] += [
            {"batch_size": size, "part": name, "ms": ms} for name, ms in found.items()
        ]
        told = ", ".join(f"{name} {ms:.2f}" for name, ms in found.items())
        print(f"{size:5d}  {told}", flush=True)
    if _JSON.value:
        write_file(_JSON.value, json.dumps(result, indent=1) + "\n")
        print(f"\nAll of this is in {_JSON.value}.")


if __name__ == "__main__":
    run(main, "accelerator_speed")
