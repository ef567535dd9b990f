"""Builds the learner of a run."""

import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.data import ImageData
from spiral_jax.devices import DeviceGroup
from spiral_jax.losses import make_critic_loss, make_policy_loss
from spiral_jax.replay import empty_replay
from spiral_jax.rewards import make_rewards
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.system import System
from spiral_jax.training.learner import (
    CriticBatches,
    Learner,
    fused_program,
    learning_program,
)
from spiral_jax.training.sources import make_device_rollout, num_fused
from spiral_jax.training.step import (
    STATE_AXES,
    TrainingState,
    Update,
    make_critic_update,
    make_policy_update,
    make_train_step,
)


def make_updates(system: System, devices: DeviceGroup) -> tuple[Update, Update]:
    """Builds the learners of policy and critic as pure functions.

    Args:
      system: from `make_system`.
      devices: the devices that hold the batch.
    """
    config = system.config
    policy_update = make_policy_update(
        make_policy_loss(
            system.policy,
            system.language,
            algorithm=config.algorithm,
            discount=config.discount,
            entropy_cost=config.entropy_cost,
            entropy_floor=config.entropy_floor,
            hindsight_cost=config.hindsight_cost,
            value_cost=config.value_cost,
            normalise_advantages=config.normalise_advantages,
            advantage_scale=config.advantage_scale,
            bootstrap=config.unrolls_per_episode > 1,
            devices=devices,
        ),
        make_rewards(
            config.reward,
            stroke_start_cost=config.stroke_start_cost,
            blank_cost=config.blank_cost,
            blank=system.blank,
            compound=config.compound,
        ),
        system.score,
        system.optimisers.policy,
        devices,
    )
    critic_update = make_critic_update(
        make_critic_loss(
            system.discriminator,
            regulariser=config.critic_regulariser,
            gradient_penalty_cost=config.gradient_penalty_cost,
            offset_cost=config.offset_cost,
            devices=devices,
        ),
        system.optimisers.critic,
        system.seed("penalty"),
        devices,
    )
    return policy_update, critic_update


def initial_state(
    system: System, updates: tuple[Update, Update], shape: tuple[int, int, int]
) -> TrainingState:
    """Makes what training starts from.

    Args:
      system: from `make_system`.
      updates: from `make_updates`.
      shape: (H, W, C) of the pictures.
    """
    config = system.config
    example = np.zeros([1, *shape], np.float32)
    # A conditional agent's replay and critic take pairs with the target.
    pair = (example, example) if config.conditional else (example,)
    critic_params = system.discriminator.init(
        jax.random.key(system.seed("critic")), *pair
    )
    policy_params = system.initial_policy()
    height, width, channels = shape
    return TrainingState(
        policy=updates[0].init(policy_params),
        critic=updates[1].init(critic_params),
        # A copy: the state's memory is given to its successor, each part once.
        average=jax.tree.map(jnp.copy, policy_params),
        replay=empty_replay(
            config.replay_batches,
            (config.batch_size, height, width, channels * len(pair)),
        ),
    )


def make_learner(
    system: System,
    images: np.ndarray,
    store: ParameterStore,
    devices: DeviceGroup | None = None,
) -> Learner:
    """Builds what learns, with fresh parameters.

    Args:
      system: from `make_system`.
      images: real pictures `[N, H, W, C]` uint8.
      store: where the policy's parameters are published.
      devices: the devices that learn; None: one.
    """
    config, devices = system.config, devices or DeviceGroup()
    updates, seed = make_updates(system, devices), system.seed("data")
    train_step = make_train_step(*updates, config.average_updates)
    program = learning_program(train_step)
    if config.fuse:
        device_rollout = make_device_rollout(system, images, devices)
        program = fused_program(train_step, device_rollout, num_fused(config))
    state = initial_state(system, updates, images.shape[1:])
    return Learner(
        program,
        devices.part(state, STATE_AXES),
        CriticBatches(
            None if config.conditional else ImageData(images, seed, devices.shard),
            batch_size=config.batch_size,
            critic_steps=config.critic_steps if config.reward_source == "critic" else 0,
            seed=system.seed("replay"),
            shard=devices.shard,
        ),
        store,
        devices,
        plays_on_device=config.actors == "device",
    )
