"""CPU time of the networks' parts, for `experiments.benchmark networks`."""

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.scale_speed import update_parts, visit
from spiral_jax.config import Config, preset
from spiral_jax.networks.presets import PRESETS as POLICIES
from spiral_jax.system import System, make_system
from spiral_jax.types import Trajectory

WIDTHS = (32, 64)
BATCH_SIZE = 32
NUM_COMMANDS = 19
MATMUL_SIZE = 1024
# Each part is called at least that often; the median counts.
CALLS = 3


class Record(NamedTuple):
    """What one part of one network costs.

    Attributes:
      network: preset of the policy; `paper` has the paper's critic, the others that of
        the presets for CPUs.
      width: of the canvas, px; the grid is half as wide.
      part: "act", "policy" (an update, rewards given), "critic" (an update) or "scores"
        (the critic's, of all canvases of an update).
      cpu_ms_per_frame: of all threads together; a frame is one command of one episode.
      share_of_peak: FLOP of its products and convolutions per CPU-second, as a share of
        those of a product of square float32 matrices, `MATMUL_SIZE` wide.
    """

    network: str
    width: int
    part: str
    cpu_ms_per_frame: float
    share_of_peak: float


def settings(network: str, width: int) -> Config:
    """Returns the settings of a run with this policy: 19 commands on half the grid."""
    return dataclasses.replace(
        preset("mnist" if network == "paper" else "mnist_small"),
        policy=network,
        canvas_width=width,
        grid_width=width // 2,
        batch_size=BATCH_SIZE,
        episode_length=NUM_COMMANDS + 1,
    )


def random_trajectory(system: System) -> Trajectory:
    """Makes a trajectory of random commands on noise; only its shapes matter."""
    rng, language = np.random.default_rng(0), system.language
    shape = (NUM_COMMANDS, BATCH_SIZE)
    canvases = rng.random([NUM_COMMANDS + 1, BATCH_SIZE, *system.blank.shape])
    start = system.policy.initial_state(jax.random.key(0), BATCH_SIZE)
    trajectory = Trajectory(
        canvases=canvases.astype(np.float32),
        action_masks={k: np.ones(shape, np.float32) for k in language.names},
        actions=language.random(shape, rng),
        behaviour_log_prob=np.full(shape, -10.0, np.float32),
        rewards=np.zeros(shape, np.float32),
        discounts=np.ones(shape, np.float32),
        start=start._replace(key=None),
    )
    return jax.device_put(trajectory)


def network_parts(system: System) -> dict[str, tuple[Callable, int]]:
    """Returns for each part what is to be called, and the frames of a call."""
    trajectory, params = random_trajectory(system), system.initial_policy()
    # Rewards that cost nothing, as the critic's scores are a part by themselves.
    ink = lambda params, images, targets: jnp.mean(images, axis=(1, 2, 3))
    unpaid = system._replace(score=ink)
    state = system.policy.initial_state(jax.random.key(0), BATCH_SIZE)
    observation = {
        "canvas": trajectory.canvases[0],
        "action_mask": {k: v[0] for k, v in trajectory.action_masks.items()},
    }
    critic, frames = update_parts(system, trajectory), NUM_COMMANDS * BATCH_SIZE
    return {
        "act": (
            lambda: system.actor_core.select_action(params, observation, state),
            BATCH_SIZE,
        ),
        "policy": (update_parts(unpaid, trajectory)["policy update"], frames),
        "critic": (critic["critic update"], frames),
        "scores": (critic["scores of all canvases"], frames),
    }


def flop_of_products(work: Callable) -> float:
    """Counts those of a program's convolutions and matrix products, loops in full.

    Multiplications by the zeros that a transposed convolution puts between pixels do not
    count: they are a way to compute it.
    """
    total = 0.0
    for equation, times in visit(jax.make_jaxpr(work)().jaxpr):
        left, right = (variable.aval.shape for variable in equation.invars)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            summands = math.prod(left[axis] for axis in contracted)
        else:
            kernel = equation.params["dimension_numbers"].rhs_spec
            summands = math.prod(right) / right[kernel[0]]
            summands /= math.prod(equation.params["lhs_dilation"])
        total += 2 * times * summands * math.prod(equation.outvars[0].aval.shape)
    return total


def cpu_seconds(works: Sequence[Callable], seconds: float) -> list[float]:
    """Returns each one's CPU time a call, the median; they take turns.

    Args:
      works: what is called; each once more before that, to compile it.
      seconds: all of them go on for that long, but for `CALLS` calls at least.
    """
    for work in works:
        jax.block_until_ready(work())
    taken = [[] for _ in works]
    start = time.monotonic()
    while len(taken[0]) < CALLS or time.monotonic() - start < seconds:
        for work, calls in zip(works, taken):
            before = time.process_time()
            jax.block_until_ready(work())
            calls.append(time.process_time() - before)
    return [statistics.median(calls) for calls in taken]


def measure(network: str, width: int, seconds: float) -> tuple[list[Record], float]:
    """Returns a record of each part, and the FLOP/s of a large product beside them."""
    parts = network_parts(make_system(settings(network, width)))
    a, b = jax.random.normal(jax.random.key(0), (2, MATMUL_SIZE, MATMUL_SIZE))
    multiply = jax.jit(jnp.matmul)
    product, *taken = cpu_seconds(
        [lambda: multiply(a, b), *(work for work, _ in parts.values())], seconds
    )
    peak = 2 * MATMUL_SIZE**3 / product
    records = [
        Record(
            network,
            width,
            part,
            cpu_ms_per_frame=1e3 * cpu / frames,
            share_of_peak=flop_of_products(work) / cpu / peak,
        )
        for (part, (work, frames)), cpu in zip(parts.items(), taken)
    ]
    return records, peak


def benchmark_networks(seconds: float, path: str) -> None:
    """Prints the cost of every network at every width, and writes it down.

    Args:
      seconds: how long each network is measured at each width.
      path: of a JSON file, a list of `Record`s; empty: none.
    """
    found = []
    print(f"{BATCH_SIZE} episodes x {NUM_COMMANDS} commands; CPU-ms a frame (of peak)")
    print("network  width" + "".join(f"{part:>16s}" for part in _PARTS) + "      peak")
    for network in POLICIES:
        for width in WIDTHS:
            print(f"{network:8s}{width:6d}  compiling ...", end="\r", flush=True)
            records, peak = measure(network, width, seconds)
            cells = (
                f"{x.cpu_ms_per_frame:9.3f} ({x.share_of_peak:4.0%})" for x in records
            )
            print(
                f"{network:8s}{width:6d}{''.join(cells)}{peak / 1e9:6.1f} GFLOP/s",
                flush=True,
            )
            found += records
    if path:
        text = json.dumps([record._asdict() for record in found], indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")


_PARTS = ("act", "policy", "critic", "scores")
