r"""Measures the parts of a run on this machine, and names the bottleneck.

  python -m experiments.benchmark system --preset=mnist_small
  python -m experiments.benchmark render
  python -m experiments.benchmark scenes
  python -m experiments.benchmark actors
  python -m experiments.benchmark scale --preset=mnist --compute_dtype=bfloat16
  python -m experiments.benchmark convolution
  python -m experiments.benchmark networks --json=networks.json

`system` times each part alone, then all of them together with one actor thread, waits at
the queue included. `render` compares renderers with libmypaint (if this system has it,
see spiral_jax/renderers/libmypaint.py), pinned to one core and in two threads: strokes/s
per brush and size. `scenes` times the MuJoCo environment: frames/s per canvas width,
with and without shadows, in one thread and in two, and the parts of a frame. `actors`
plays rollouts in one thread and in two, and in one process of Ray's and in two: frames/s
of the soft brush, the pen and scenes.
`scale` trains with rollouts by threads, on the device, and fused with the learners
(--fuse iterations a call), on 1, 2, 4 ... devices: updates/s and frames/s, and the share
that is of the FLOP/s of a large matrix product; then the parts of an iteration, and what
the policy update's convolutions and matrix products cost alone.
`convolution` compares two ways to write a strided convolution. `networks` prints the CPU
time per frame of acting, of the two updates and of the critic's scores, of each policy
network at 32 and 64 px, as a share of a matrix product's FLOP/s too; --json writes it
down. All figures of a call come from one run; on a shared machine only ratios mean
something.
"""

import dataclasses
import time
from collections.abc import Callable

import haiku as hk
import jax
import numpy as np
from absl import flags

from experiments.actor_speed import benchmark_actors
from experiments.cli import define_path, run
from experiments.memory import keep_memory
from experiments.network_speed import benchmark_networks
from experiments.render_speed import benchmark_render
from experiments.scale_speed import (
    benchmark_parts,
    benchmark_scale,
    calls_per_second,
    update_parts,
)
from experiments.scene_speed import benchmark_scenes
from spiral_jax.config import PRESETS, preset
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.losses import gradient_penalty
from spiral_jax.names import DTYPES
from spiral_jax.networks.layers import Downsample
from spiral_jax.system import make_system
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_source, make_store

_PRESET = flags.DEFINE_enum("preset", "mnist_small", list(PRESETS), "What to measure.")
_DATA_DIR = define_path("data_dir", None, "As launch has it.")
_FUSE = flags.DEFINE_integer("fuse", 10, "Iterations a call, of fused ones.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Episodes per update, of `scale`.")
_DTYPE = flags.DEFINE_enum("compute_dtype", DTYPES[0], DTYPES, "As launch has it.")
_JSON = flags.DEFINE_string("json", "", "File that `networks` writes its records to.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "How long each part is measured.")


def seconds_per_call(work: Callable) -> float:
    """Returns the mean time of `work()`, after one call that compiles."""
    return 1 / calls_per_second(work, _SECONDS.value)


def benchmark_system() -> None:
    """Times render, act, critic update, policy update, and all together."""
    config = preset(_PRESET.value)
    system, store = make_system(config), make_store(config)
    images = load_dataset(config).train.images
    learner = make_learner(system, images, store)
    source = make_source(system, store, 0, images, DeviceGroup())
    example = source.example()
    trajectory = example.trajectory
    environment = system.environment(config.batch_size)

    def render():
        environment.reset()
        for t in range(config.num_commands):
            environment.step({k: v[t] for k, v in trajectory.actions.items()})

    learner.compile(example)
    parts = {
        "render": seconds_per_call(render),
        "render and act": seconds_per_call(lambda: source.example().trajectory),
        **{
            name: seconds_per_call(work)
            for name, work in update_parts(system, trajectory).items()
        },
    }
    frames = config.frames_per_update
    print(f"{_PRESET.value}, {frames} frames a batch")
    for name, seconds in parts.items():
        print(f"  {name:16s} {1e3 * seconds:8.1f} ms {frames / seconds:12,.0f} frames/s")

    source.start()
    start, batches, waits = time.monotonic(), 0, 0.0
    while time.monotonic() - start < _SECONDS.value:
        before = time.monotonic()
        rollout = source.next()
        waits += time.monotonic() - before
        jax.block_until_ready(learner.step(rollout))
        batches += 1
    seconds = (time.monotonic() - start) / batches
    source.close()
    print(
        f"  {'end to end':16s} {1e3 * seconds:8.1f} ms {frames / seconds:12,.0f} frames/s"
    )
    share = waits / batches / seconds
    print(f"  the learner waits at the queue for {share:.0%} of the time")
    if share > 0.2:
        print("bottleneck: the actor")
    else:
        slowest = max(("critic update", "policy update"), key=parts.get)
        print(f"bottleneck: the learner, most of all the {slowest}")


def benchmark_convolution() -> None:
    """Times the gradient of the small critic's gradient penalty, written both ways."""
    images = np.random.default_rng(0).random([64, 32, 32, 1]).astype(np.float32)
    times = {}
    for name, layer in (
        ("hk.Conv2D", lambda channels: hk.Conv2D(channels, 4, 2)),
        ("Downsample", Downsample),
    ):

        def score(x, layer=layer):
            for channels in (32, 64, 128):
                x = jax.nn.leaky_relu(layer(channels)(x), 0.2)
            return hk.Linear(1)(hk.Flatten()(x))[:, 0]

        network = hk.without_apply_rng(hk.transform(score))
        params = network.init(jax.random.key(0), images)
        penalty = lambda p, apply=network.apply: gradient_penalty(
            lambda x: apply(p, x), images
        )[0]
        gradient = jax.jit(jax.grad(penalty))
        times[name] = seconds_per_call(lambda g=gradient, p=params: g(p))
        print(f"  {name:12s} {1e3 * times[name]:8.1f} ms")
    print(f"ratio {times['hk.Conv2D'] / times['Downsample']:.1f}")


def measure_scale() -> None:
    config = dataclasses.replace(
        preset(_PRESET.value),
        data_dir=str(_DATA_DIR.value or ""),
        batch_size=_BATCH_SIZE.value,
        compute_dtype=_DTYPE.value,
    )
    benchmark_scale(config, _PRESET.value, _SECONDS.value, _FUSE.value)
    benchmark_parts(config, _SECONDS.value / 5)


BENCHMARKS = {
    "system": benchmark_system,
    "render": benchmark_render,
    "scenes": lambda: benchmark_scenes(_SECONDS.value),
    "actors": lambda: benchmark_actors(_SECONDS.value),
    "scale": measure_scale,
    "convolution": benchmark_convolution,
    "networks": lambda: benchmark_networks(_SECONDS.value, _JSON.value),
}


def main(argv: list[str]) -> None:
    keep_memory()
    if len(argv) != 2 or argv[1] not in BENCHMARKS:
        raise ValueError(f"name one benchmark of {', '.join(BENCHMARKS)}.")
    BENCHMARKS[argv[1]]()


if __name__ == "__main__":
    run(main, "benchmark", positional="benchmark")
