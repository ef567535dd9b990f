"""Assembles the parts of a run from its configuration."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.actor import (
    TRAJECTORY_PLACES,
    Actor,
    Agent,
    DeviceActor,
    Player,
    concatenate,
    make_agent,
    rollout,
)
from spiral_jax.config import Config
from spiral_jax.data import ImageData
from spiral_jax.environments import Episodes, make_environment
from spiral_jax.environments.on_device import DevicePainting
from spiral_jax.language import CommandLanguage
from spiral_jax.learner import (
    STATE_PLACES,
    FusedLearner,
    Learner,
    Supply,
    TrainingState,
    Update,
    make_critic_update,
    make_iteration,
    make_policy_update,
)
from spiral_jax.losses import make_critic_loss, make_policy_loss
from spiral_jax.networks import (
    Discriminator,
    Policy,
    make_discriminator,
    make_policy,
)
from spiral_jax.optimisers import Optimisers, make_optimisers
from spiral_jax.parallel import Parallel
from spiral_jax.precision import in_float32
from spiral_jax.programs import Program
from spiral_jax.queues import ParameterStore
from spiral_jax.replay import empty_replay
from spiral_jax.rewards import ScoreFn, make_rewards, negative_distance
from spiral_jax.types import Trajectory

# Every random stream of a run has a number of its own, so that none repeats another.
_STREAMS = ("policy", "critic", "penalty", "actors", "data", "replay", "evaluation")


class System(NamedTuple):
    """The pure and stateless parts of a run.

    Attributes:
      config: the settings.
      language: the commands that the agent writes.
      blank: a blank canvas `[H, W, C]`.
      policy, discriminator: the networks.
      agent: the policy compiled for acting.
      optimisers: of both networks.
      score: what pays the policy.
    """

    config: Config
    language: CommandLanguage
    blank: np.ndarray
    policy: Policy
    discriminator: Discriminator
    agent: Agent
    optimisers: Optimisers
    score: ScoreFn

    def environment(self, batch_size: int, seed: int = 0) -> Episodes:
        """Makes an environment of this run's kind."""
        settings = self.config.environment()
        return make_environment(settings, batch_size=batch_size, seed=seed)

    def seed(self, stream: str) -> int:
        """Returns the seed of a named random stream of this run."""
        sequence = np.random.SeedSequence([self.config.seed, _STREAMS.index(stream)])
        return int(sequence.generate_state(1)[0] >> 1)

    @in_float32
    def initial_policy(self) -> Any:
        """Returns the parameters that training starts from: the untrained agent."""
        # Compiled: each layer by itself takes twice as long.
        return jax.jit(self.policy.init)(jax.random.key(self.seed("policy")))


class MakePolicy(Protocol):
    """Builds a policy for the commands of a language and for canvases like a blank one.

    The blank canvas is `[H, W, C]` float32 in 0..1.
    """

    def __call__(
        self, config: Config, language: CommandLanguage, blank: np.ndarray
    ) -> Policy: ...


def make_system(
    config: Config,
    *,
    policy: MakePolicy | None = None,
    discriminator: Discriminator | None = None,
    optimisers: Optimisers | None = None,
    score: ScoreFn | None = None,
) -> System:
    """Builds the parts of a run; what is not given is as the configuration says.

    Args:
      config: the settings.
      policy: what builds a policy network of your own.
      discriminator: a critic of your own.
      optimisers: of both, instead of Adam at the rates of the settings.
      score: what pays the policy, instead of the critic's score.
    """
    environment = make_environment(config.environment(), batch_size=1)
    blank = environment.reset().observation["canvas"][0]
    environment.close()
    network = (policy or _policy)(config, environment.language, blank)
    discriminator = discriminator or make_discriminator(
        config.critic_width,
        spectral=config.critic_regulariser == "spectral",
        complement=config.complement,
    )
    return System(
        config=config,
        language=environment.language,
        blank=blank,
        policy=network,
        discriminator=discriminator,
        agent=make_agent(network, environment.language),
        optimisers=optimisers
        or make_optimisers(
            config.policy_learning_rate,
            config.critic_learning_rate,
            config.max_gradient_norm,
        ),
        score=score or _score(config, discriminator),
    )


def _policy(config: Config, language: CommandLanguage, blank: np.ndarray) -> Policy:
    return make_policy(
        language,
        blank.shape,
        config.policy,
        blank,
        conditional=config.conditional,
        blind=config.blind,
        compute_dtype=config.compute_dtype,
    )


def _score(config: Config, discriminator: Discriminator) -> ScoreFn:
    if config.reward_source == "l2":
        return lambda critic_params, images, targets: negative_distance(images, targets)
    return discriminator.apply


def make_updates(system: System, parallel: Parallel) -> tuple[Update, Update]:
    """Builds the learners of policy and critic as pure functions.

    Args:
      system: from `make_system`.
      parallel: the devices that hold the batch.
    """
    config = system.config
    policy_update = make_policy_update(
        make_policy_loss(
            system.policy,
            system.language,
            algorithm=config.algorithm,
            discount=config.discount,
            entropy_cost=config.entropy_cost,
            value_cost=config.value_cost,
            normalise_advantages=config.normalise_advantages,
            bootstrap=config.unrolls_per_episode > 1,
            parallel=parallel,
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
        parallel,
    )
    critic_update = make_critic_update(
        make_critic_loss(
            system.discriminator,
            regulariser=config.critic_regulariser,
            gradient_penalty_cost=config.gradient_penalty_cost,
            offset_cost=config.offset_cost,
            parallel=parallel,
        ),
        system.optimisers.critic,
        system.seed("penalty"),
        parallel,
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
    parallel: Parallel | None = None,
) -> Learner:
    """Builds what learns, with fresh parameters.

    Args:
      system: from `make_system`.
      images: real pictures `[N, H, W, C]` uint8.
      store: where the policy's parameters are published.
      parallel: the devices that learn; None: one.
    """
    config, parallel = system.config, parallel or Parallel()
    updates, seed = make_updates(system, parallel), system.seed("data")
    state = initial_state(system, updates, images.shape[1:])
    arguments = {
        "iteration": make_iteration(*updates, config.average_updates),
        "state": parallel.part(state, STATE_PLACES),
        "supply": Supply(
            None if config.conditional else ImageData(images, seed, parallel.shard),
            batch_size=config.batch_size,
            critic_steps=config.critic_steps if config.reward_source == "critic" else 0,
            seed=system.seed("replay"),
            shard=parallel.shard,
        ),
        "store": store,
        "parallel": parallel,
    }
    if config.fuse:
        player = make_player(system, images, parallel)
        return FusedLearner(player=player, num_iterations=config.fuse, **arguments)
    return Learner(actors_on_device=config.actors == "device", **arguments)


def make_player(system: System, images: np.ndarray, parallel: Parallel) -> Player:
    """Builds what plays on the accelerator.

    Args:
      system: from `make_system`.
      images: what a conditional agent is shown to draw: pictures `[N, H, W, C]` uint8.
      parallel: the devices that play.
    """
    config, seed = system.config, system.seed("actors")
    return Player(
        system.policy,
        DevicePainting(config.environment()),
        num_commands=config.num_commands // config.unrolls_per_episode,
        num_stages=config.unrolls_per_episode,
        batch_size=config.batch_size,
        seed=seed,
        parallel=parallel,
        targets=ImageData(images, seed, parallel.shard) if config.conditional else None,
    )


def make_actor(
    system: System,
    store: ParameterStore,
    actor_id: int,
    num_rollouts: int = 0,
    images: np.ndarray | None = None,
    parallel: Parallel | None = None,
) -> Actor:
    """Builds an actor with an environment of its own.

    Each process plays its part of a batch, with random streams of its own. But of a
    synchronous run each plays the whole batch and keeps its part, so that the same seed
    gives the same run with any number of processes.

    Args:
      system: from `make_system`.
      store: where it reads the policy's parameters.
      actor_id: its number in this process; decides its random stream.
      num_rollouts: how many it has played before.
      images: what a conditional agent is shown to draw: pictures `[N, H, W, C]` uint8.
      parallel: the devices that learn, and that actors use; None: one of this process.

    Raises:
      ValueError: the process's part of a batch cannot be split among an episode's stages.
    """
    config, seed, parallel = system.config, system.seed("actors"), parallel or Parallel()
    device = parallel.actor_device(actor_id)
    batch_size, keep = config.batch_size, lambda trajectory: trajectory
    if config.synchronous:
        keep = lambda trajectory: parallel.part(trajectory, TRAJECTORY_PLACES)
    else:
        process, num_processes = parallel.shard
        batch_size //= num_processes
        actor_id += process * config.num_actors
    stages = config.unrolls_per_episode
    if batch_size % stages:
        raise ValueError(
            f"batch_size={config.batch_size} with {parallel.shard[1]} processes, that is "
            f"{batch_size} episodes each, and {stages} unrolls per episode: as many "
            "episodes are to be at each stage; expected a multiple of both."
        )
    return Actor(
        [
            system.environment(batch_size // stages, seed + actor_id)
            for _ in range(stages)
        ],
        system.agent,
        store,
        seed=seed,
        actor_id=actor_id,
        num_rollouts=num_rollouts,
        unroll_length=config.unroll_length,
        targets=ImageData(images, seed + actor_id) if config.conditional else None,
        device=device,
        keep=keep,
    )


def make_device_actor(
    system: System,
    store: ParameterStore,
    num_rollouts: int,
    images: np.ndarray,
    parallel: Parallel,
) -> DeviceActor:
    """Builds the actor that plays on the accelerator; see `make_actor`."""
    player = make_player(system, images, parallel)
    return DeviceActor(player, store, parallel, num_rollouts)


def sample_trajectories(
    system: System,
    params: Any,
    num_episodes: int,
    seed: int,
    targets: np.ndarray | None = None,
    batch_size: int = 100,
) -> Iterator[Trajectory]:
    """Yields trajectories that hold at least `num_episodes` episodes together.

    Args:
      system: from `make_system`.
      params: the policy's parameters.
      num_episodes: how many drawings are wanted.
      seed: of the sampling; the same seed draws the same.
      targets: what a conditional agent is shown, `[N, H, W, C]` float32; begun again
        if there are more episodes.
      batch_size: episodes a trajectory.
    """
    batch_size = min(batch_size, num_episodes)
    environment = system.environment(batch_size, seed)
    key = jax.random.key(seed)
    for number in range(-(-num_episodes // batch_size)):
        shown = None
        if targets is not None:
            first = number * batch_size
            shown = targets[np.arange(first, first + batch_size) % len(targets)]
        number_key = jax.random.fold_in(key, number)
        yield rollout(environment, system.agent, params, number_key, shown)
    environment.close()


def sample_drawings(
    system: System,
    params: Any,
    num_episodes: int,
    seed: int,
    targets: np.ndarray | None = None,
) -> Trajectory:
    """Samples exactly `num_episodes` episodes as one trajectory."""
    parts = sample_trajectories(system, params, num_episodes, seed, targets)
    joined = concatenate(list(parts))
    places = jax.tree.broadcast(TRAJECTORY_PLACES, joined)
    first = lambda axis, x: np.split(x, [num_episodes], axis)[0]
    return jax.tree.map(first, places, joined)


def programs_of(system: System, trajectory: Trajectory) -> list[Program]:
    """Returns what a trajectory's episodes drew, as programs."""
    settings = system.environment(batch_size=1).settings
    return [
        Program({k: v[:, i] for k, v in trajectory.actions.items()}, settings)
        for i in range(trajectory.behaviour_log_prob.shape[1])
    ]
