"""Builds where the rollouts of a run come from."""

import functools

import jax
import numpy as np

from spiral_jax.config import Config
from spiral_jax.data import ImageData
from spiral_jax.devices import DeviceGroup
from spiral_jax.environments.painting_jax import DevicePainting
from spiral_jax.extensions import import_extensions
from spiral_jax.rollouts.base import TRAJECTORY_AXES, RolloutSource
from spiral_jax.rollouts.device import DeviceActor, DeviceRollout, FusedSource
from spiral_jax.rollouts.host import Actor
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.rollouts.ray_actors import RayActors
from spiral_jax.rollouts.threads import ThreadedActors
from spiral_jax.system import MakePolicy, System, make_system


def make_store(config: Config) -> ParameterStore:
    """Makes what the learner publishes to and actors read from.

    Args:
      config: says whether actors run ahead of the learner.
    """
    ahead = config.actors != "device" and not config.synchronous
    return ParameterStore(in_lock_step=not ahead)


def num_fused(config: Config) -> int:
    """Returns how many training steps a fused program does."""
    # XLA's convolutions are slow inside loops on CPUs, 20 times in this one.
    return 1 if jax.default_backend() == "cpu" else config.fuse


def make_source(
    system: System,
    store: ParameterStore,
    num_rollouts: int,
    images: np.ndarray,
    devices: DeviceGroup,
) -> RolloutSource:
    """Builds where a run's rollouts come from.

    Args:
      system: from `make_system`.
      store: where the policy's parameters are read.
      num_rollouts: how many have been played before.
      images: what a conditional agent is shown to draw: pictures `[N, H, W, C]` uint8.
      devices: the devices that learn.
    """
    config = system.config
    if config.fuse:
        device_rollout = make_device_rollout(system, images, devices)
        return FusedSource(device_rollout, store, num_fused(config), num_rollouts)
    if config.actors == "device":
        return make_device_actor(system, store, num_rollouts, images, devices)
    if config.actors == "ray":
        return make_ray_actors(system, store, num_rollouts, images, devices)
    actors = [
        make_actor(system, store, i, num_rollouts, images, devices)
        for i in range(config.num_actors)
    ]
    if config.synchronous:
        return actors[0]
    return ThreadedActors(actors, config.queue_capacity)


def make_device_rollout(
    system: System, images: np.ndarray, devices: DeviceGroup
) -> DeviceRollout:
    """Builds what plays on the accelerator.

    Args:
      system: from `make_system`.
      images: what a conditional agent is shown to draw: pictures `[N, H, W, C]` uint8.
      devices: the devices that play.
    """
    config, seed = system.config, system.seed("actors")
    return DeviceRollout(
        system.policy,
        DevicePainting(config.environment()),
        num_commands=config.num_commands // config.unrolls_per_episode,
        num_stages=config.unrolls_per_episode,
        batch_size=config.batch_size,
        seed=seed,
        devices=devices,
        targets=ImageData(images, seed, devices.shard) if config.conditional else None,
    )


def make_actor(
    system: System,
    store: ParameterStore,
    actor_id: int,
    num_rollouts: int = 0,
    images: np.ndarray | None = None,
    devices: DeviceGroup | None = None,
    shard: tuple[int, int] | None = None,
) -> Actor:
    """Builds an actor with environments of its own.

    The actors of all processes share a batch, each with a random stream of its own. But
    of a synchronous run each process plays the whole batch and keeps its part, so that
    the same seed gives the same run with any number of processes.

    Args:
      system: from `make_system`.
      store: where it reads the policy's parameters.
      actor_id: its index in this process; decides its random stream.
      num_rollouts: how many it has played before.
      images: what a conditional agent is shown to draw: pictures `[N, H, W, C]` uint8.
      devices: the devices that learn, and that actors use; None: one of this process.
      shard: which part of a batch the actors of this learner's process play; None: as
        `devices` says.

    Raises:
      ValueError: a batch cannot be split among all actors and an episode's stages.
    """
    config, seed, devices = system.config, system.seed("actors"), devices or DeviceGroup()
    device = devices.actor_device(actor_id)
    batch_size, keep = config.batch_size, lambda trajectory: trajectory
    stages = config.unrolls_per_episode
    if config.synchronous:
        keep = lambda trajectory: devices.part(trajectory, TRAJECTORY_AXES)
    else:
        process, num_processes = shard or devices.shard
        batch_size = _part_of_batch(config, num_processes)
        actor_id += process * config.num_actors
    return Actor(
        [
            system.environment(batch_size // stages, seed + actor_id)
            for _ in range(stages)
        ],
        system.actor_core,
        store,
        seed=seed,
        actor_id=actor_id,
        num_rollouts=num_rollouts,
        unroll_length=config.unroll_length,
        targets=ImageData(images, seed + actor_id) if config.conditional else None,
        device=device,
        keep=keep,
    )


def make_ray_actors(
    system: System,
    store: ParameterStore,
    num_rollouts: int,
    images: np.ndarray,
    devices: DeviceGroup,
) -> RayActors:
    """Builds actors in processes of their own; arguments as those of `make_source`."""
    config, shard = system.config, devices.shard
    _part_of_batch(config, shard[1])  # refuses what they would refuse
    return RayActors(
        functools.partial(_make_actor_elsewhere, config, system.own_policy, shard),
        store,
        num_actors=config.num_actors,
        queue_capacity=config.queue_capacity,
        num_rollouts=num_rollouts,
        images=images if config.conditional else None,
    )


def _make_actor_elsewhere(
    config: Config,
    policy: MakePolicy | None,
    shard: tuple[int, int],
    images: np.ndarray | None,
    store: ParameterStore,
    actor_id: int,
    num_rollouts: int,
) -> Actor:
    """Builds the very actor that `make_actor` builds, in another process."""
    import_extensions(vars(config))
    system = make_system(config, policy=policy)
    return make_actor(system, store, actor_id, num_rollouts, images, shard=shard)


def _part_of_batch(config: Config, num_processes: int) -> int:
    """Returns how many episodes of a batch each actor plays."""
    num_actors, stages = config.num_actors * num_processes, config.unrolls_per_episode
    if config.batch_size % (num_actors * stages):
        raise ValueError(
            f"batch_size={config.batch_size} with {num_processes} processes of "
            f"num_actors={config.num_actors} and {stages} unrolls per episode: actors "
            "share a batch, and each plays as many episodes at each stage; expected a "
            f"multiple of {num_actors * stages}."
        )
    return config.batch_size // num_actors


def make_device_actor(
    system: System,
    store: ParameterStore,
    num_rollouts: int,
    images: np.ndarray,
    devices: DeviceGroup,
) -> DeviceActor:
    """Builds the actor that plays on the accelerator; see `make_actor`."""
    device_rollout = make_device_rollout(system, images, devices)
    return DeviceActor(device_rollout, store, devices, num_rollouts)
