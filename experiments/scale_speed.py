"""`benchmark scale`: the speed of whole training, by where rollouts run."""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.config import Config
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import REPLICATED, DeviceGroup
from spiral_jax.distributed.choice import choose_devices
from spiral_jax.system import System, make_system
from spiral_jax.training.build import initial_state, make_learner, make_updates
from spiral_jax.training.learner import flops_of
from spiral_jax.training.sources import (
    make_actor,
    make_device_actor,
    make_source,
    make_store,
)
from spiral_jax.training.step import TrainingState, Update, as_acted_on
from spiral_jax.types import Trajectory

MATMUL_SIZE = {"cpu": 2048, "gpu": 8192, "tpu": 8192}


def matmul_peak(seconds: float, dtype) -> float:
    """Returns the FLOP/s of a large product of random square matrices."""
    size = MATMUL_SIZE[jax.default_backend()]
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    multiply = jax.jit(jnp.matmul)
    return 2 * size**3 * calls_per_second(lambda: multiply(a, b), seconds)


def flops_per_frame(config: Config, images: np.ndarray) -> float:
    """Counts what XLA says of one iteration's arithmetic, rollout included.

    The loop over time of the LSTM is counted as one step of it: a lower bound.
    """
    system = make_system(config)
    batch = config.batch_size
    threads = dataclasses.replace(config, actors="threads", fuse=0)
    store = make_store(threads)
    learner = make_learner(make_system(threads), images, store)
    example = make_actor(system, store, 0, images=images).example()
    learner.compile(example)
    state = system.actor_core.init(jax.random.key(0), batch)
    observation = {
        "canvas": example.trajectory.canvases[0],
        "action_mask": {k: v[0] for k, v in example.trajectory.action_masks.items()},
    }
    if config.conditional:
        observation["target"] = example.trajectory.targets
    select_action = system.actor_core.select_action
    act = select_action.lower(system.initial_policy(), observation, state).compile()
    flops = learner.flops + config.num_commands * flops_of(act)
    return flops / (batch * config.num_commands)


def calls_per_second(work: Callable, seconds: float) -> float:
    """Returns calls per second, after one that compiles; waits for every call."""
    jax.block_until_ready(work())
    start, calls = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        jax.block_until_ready(work())
        calls += 1
    return calls / (time.monotonic() - start)


def updates_per_second(
    config: Config, images: np.ndarray, devices: DeviceGroup, seconds: float
) -> tuple[float, float]:
    """Trains for a while.

    Returns:
      Updates per second, and how many seconds compilation took.
    """
    system, store = make_system(config), make_store(config)
    learner = make_learner(system, images, store, devices)
    source = make_source(system, store, 0, images, devices)
    learner.compile(source.example())
    source.start()
    learner.step(source.next())
    updates_per_call = learner.num_updates
    rate = calls_per_second(lambda: learner.step(source.next()), seconds)
    source.close()
    return rate * updates_per_call, learner.compile_seconds


def benchmark_scale(config: Config, name: str, seconds: float, fuse: int) -> None:
    """Prints frames/s and updates/s for threads, device and fused on 1..N devices."""
    images = load_dataset(config).train.images
    dtype = config.compute_dtype
    peak = matmul_peak(seconds / 2, dtype)
    flops = flops_per_frame(config, images)
    frames = config.frames_per_update
    device = jax.devices()[0]
    print(
        f"{name}: {config.policy} net, {config.canvas_width} px, {frames} frames an "
        f"update, {flops / 1e6:.1f} MFLOP a frame\n"
        f"{device.device_kind}: {peak / 1e12:.2f} TFLOP/s in a {dtype} matrix product"
    )
    print("rollouts  devices   updates/s     frames/s   share of peak   compiling")
    for num_devices in _powers_of_two(jax.device_count()):
        if config.batch_size % num_devices:
            continue
        devices = choose_devices(num_devices, config.parallel, config.batch_size)
        for label, changes in (
            ("threads", {"actors": "threads", "fuse": 0}),
            ("device", {"actors": "device", "fuse": 0}),
            (f"fused {fuse}", {"actors": "device", "fuse": fuse}),
        ):
            changed = dataclasses.replace(config, **changes)
            rate, compiling = updates_per_second(changed, images, devices, seconds)
            share = rate * frames * flops / (peak * num_devices)
            print(
                f"{label:10s}{num_devices:6d}{rate:12.2f}{rate * frames:13,.0f}"
                f"{share:15.1%}{compiling:11.1f} s",
                flush=True,
            )


def _powers_of_two(limit: int) -> Iterator[int]:
    number = 1
    while number <= limit:
        yield number
        number *= 2


def iteration_parts(
    config: Config,
) -> tuple[System, Trajectory, dict[str, Callable]]:
    """Compiles the rollout on the device and what learners do, each part alone.

    Returns:
      The run's parts, a trajectory, and what to call.
    """
    images = load_dataset(config).train.images
    config = dataclasses.replace(config, actors="device", fuse=0)
    system, store, devices = make_system(config), make_store(config), DeviceGroup()
    store.publish(0, devices.place(system.initial_policy(), REPLICATED))
    actor = make_device_actor(system, store, 0, images, devices)
    trajectory = jax.block_until_ready(actor.next().trajectory)
    parts = {"rollout": lambda: actor.next().trajectory.canvases}
    return system, trajectory, parts | update_parts(system, trajectory)


def benchmark_parts(config: Config, seconds: float) -> None:
    """Prints what the parts of an iteration cost on the device, each alone."""
    system, trajectory, parts = iteration_parts(config)
    for name, work in parts.items():
        took = 1 / calls_per_second(work, seconds)
        print(f"  {name:24s}{1e3 * took:9.2f} ms", flush=True)
    updates, state = initial(system, trajectory)
    products = products_of(
        updates[0].apply, state.policy, state.critic.params, trajectory
    )
    least = sum(
        number / calls_per_second(work, seconds / 10) for work, number in products
    )
    number = sum(number for _, number in products)
    print(
        f"  {'its products alone':24s}{1e3 * least:9.2f} ms ({number} convolutions and "
        f"matrix products)\n  the policy update takes {took / least:.2f} times as long"
    )


def update_parts(system: System, trajectory: Trajectory) -> dict[str, Callable]:
    """Compiles what learners do, each part alone, on a trajectory and fresh parameters.

    The first two parts are in the policy update, the last one.
    """
    trajectory = as_acted_on(trajectory)
    updates, state = initial(system, trajectory)
    policy_update, critic_update = (jax.jit(update.apply) for update in updates)
    pictures, targets = trajectory.canvases[-1], trajectory.targets
    canvases = trajectory.canvases.reshape(-1, *trajectory.canvases.shape[2:])
    tiled = targets
    if targets is not None:
        tiled = jnp.tile(targets, (len(canvases) // len(targets), 1, 1, 1))
    score = jax.jit(system.discriminator.apply)
    unroll = jax.jit(system.policy.unroll)
    return {
        "scores of all canvases": lambda: score(state.critic.params, canvases, tiled),
        "unroll": lambda: unroll(state.policy.params, trajectory)[0].value,
        "critic update": lambda: critic_update(state.critic, pictures, pictures, targets),
        "policy update": lambda: policy_update(
            state.policy, state.critic.params, trajectory
        ),
    }


def initial(
    system: System, trajectory: Trajectory
) -> tuple[tuple[Update, Update], TrainingState]:
    """Makes the learners of policy and critic, and fresh parameters on the device."""
    updates = make_updates(system, DeviceGroup())
    state = initial_state(system, updates, trajectory.canvases.shape[2:])
    return updates, jax.device_put(state)


def products_of(function: Callable, *arguments) -> list[tuple[Callable, int]]:
    """Takes the convolutions and matrix products out of a program.

    Args:
      function: what is compiled.
      *arguments: what it is called with; only shapes and dtypes matter.

    Returns:
      Each kind of product, compiled by itself for random numbers of the same shapes, and
      how often the program has it, loops counted in full.
    """
    found, counts = {}, collections.Counter()
    for equation, times in visit(jax.make_jaxpr(function)(*arguments).jaxpr):
        shapes = [str(variable.aval) for variable in equation.invars]
        kind = f"{equation.primitive} {shapes} {equation.params}"
        found[kind] = equation
        counts[kind] += times
    return [(_alone(equation), counts[kind]) for kind, equation in found.items()]


def visit(jaxpr, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Yields a program's products, and how often each is computed."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation, times
        inside = times * equation.params.get("length", 1)
        for value in jax.tree.leaves(equation.params, is_leaf=_is_program):
            if _is_program(value):
                yield from visit(getattr(value, "jaxpr", value), inside)


def _is_program(value) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def _alone(equation) -> Callable:
    key = jax.random.key(0)
    operands = [
        jax.random.normal(key, variable.aval.shape, variable.aval.dtype)
        for variable in equation.invars
    ]
    multiply = jax.jit(lambda *xs: equation.primitive.bind(*xs, **equation.params))
    return lambda: multiply(*operands)
