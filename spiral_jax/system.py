"""The pure and stateless parts of a run, from its configuration."""

from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from spiral_jax.config import Config
from spiral_jax.environments import BatchedEnvironment, make_environment
from spiral_jax.language import CommandLanguage
from spiral_jax.networks import (
    Discriminator,
    Policy,
    make_discriminator,
    make_policy,
)
from spiral_jax.optimisers import Optimisers, make_optimisers
from spiral_jax.precision import in_float32
from spiral_jax.rewards import ScoreFn, negative_distance
from spiral_jax.rollouts.host import ActorCore, make_actor_core

# Every random stream of a run has a number of its own, so that none repeats another.
_STREAMS = ("policy", "critic", "penalty", "actors", "data", "replay", "evaluation")


class System(NamedTuple):
    """The pure and stateless parts of a run.

    Attributes:
      config: the settings.
      language: the commands that the agent writes.
      blank: a blank canvas `[H, W, C]`.
      policy, discriminator: the networks.
      actor_core: the policy compiled for acting.
      optimisers: of both networks.
      score: what pays the policy.
      own_policy: what built the policy, if it is one of somebody's own.
    """

    config: Config
    language: CommandLanguage
    blank: np.ndarray
    policy: Policy
    discriminator: Discriminator
    actor_core: ActorCore
    optimisers: Optimisers
    score: ScoreFn
    own_policy: "MakePolicy | None" = None

    def environment(self, batch_size: int, seed: int = 0) -> BatchedEnvironment:
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
        actor_core=make_actor_core(network, environment.language),
        optimisers=optimisers
        or make_optimisers(
            config.policy_learning_rate,
            config.critic_learning_rate,
            config.max_gradient_norm,
        ),
        score=score or _score(config, discriminator),
        own_policy=policy,
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
