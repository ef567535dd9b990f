"""Actors: play episodes with the latest parameters and hand them to the learner."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import numpy as np

from spiral_jax.data import ImageData
from spiral_jax.losses import command_log_prob_and_entropy
from spiral_jax.networks import Policy
from spiral_jax.programs import CommandLanguage
from spiral_jax.queues import Item, ParameterStore, Stopped, TrajectoryQueue
from spiral_jax.types import Trajectory


class Agent(NamedTuple):
    """The acting side of a policy, compiled once and shared by all actors.

    Attributes:
      begin: `(key, batch_size) -> AgentState`.
      act: `(params, observation, state) -> (actions, log_prob [B], state)`.
    """

    begin: Callable
    act: Callable


def make_agent(policy: Policy, language: CommandLanguage) -> Agent:
    """Compiles a policy for acting."""

    def act(params, observation, state):
        output, state = policy.step(params, observation, state)
        log_prob, _ = command_log_prob_and_entropy(language, output)
        return output.actions, log_prob, state

    return Agent(jax.jit(policy.initial_state, static_argnums=1), jax.jit(act))


def rollout(
    environment: dm_env.Environment,
    agent: Agent,
    params: Any,
    key: chex.PRNGKey,
    targets: np.ndarray | None = None,
) -> Trajectory:
    """Plays one batch of whole episodes.

    Args:
      environment: batched, all its episodes of one length; its `reset` takes a seed.
      agent: from `make_agent`.
      params: the policy's parameters, the same for all commands.
      key: decides everything that is random, the noise of the brush included.
      targets: `[B, H, W, C]` float32, what a conditional agent is to draw.

    Returns:
      A `Trajectory` of fresh arrays: nothing that is done to the environment's arrays
      later reaches it.
    """
    # By numpy's hash, so that it shares nothing with what the agent draws from the key.
    entropy = np.random.SeedSequence(np.asarray(jax.random.key_data(key)))
    time_step = environment.reset(seed=int(entropy.generate_state(1)[0]))
    state = agent.begin(key, environment.batch_size)
    noise = np.array(state.noise)
    canvases, masks, actions, log_probs = [], [], [], []
    rewards, discounts = [], []
    while True:
        observation = {k: time_step.observation[k] for k in ("canvas", "action_mask")}
        if targets is not None:
            observation["target"] = targets
        canvases.append(observation["canvas"])
        if time_step.step_type[0] == dm_env.StepType.LAST:
            break
        masks.append(observation["action_mask"])
        action, log_prob, state = agent.act(params, observation, state)
        action, log_prob = jax.device_get((action, log_prob))
        time_step = environment.step(action)
        actions.append(action)
        log_probs.append(log_prob)
        rewards.append(time_step.reward)
        discounts.append(time_step.discount)
    stack = lambda *arrays: np.stack(arrays)
    return Trajectory(
        canvases=np.stack(canvases),
        action_masks=jax.tree.map(stack, *masks),
        actions=jax.tree.map(stack, *actions),
        behaviour_log_prob=np.stack(log_probs),
        rewards=np.stack(rewards),
        discounts=np.stack(discounts),
        noise=noise,
        targets=targets,
    )


class Actor:
    """One actor: an environment, an agent, and a random stream of its own.

    The key of a rollout, and the targets of a conditional one, depend on (seed, actor,
    number of the rollout) alone: a resumed actor goes on where the interrupted one was.
    """

    def __init__(
        self,
        environment: dm_env.Environment,
        agent: Agent,
        store: ParameterStore,
        *,
        seed: int,
        actor_id: int = 0,
        num_rollouts: int = 0,
        targets: ImageData | None = None,
    ):
        self._environment = environment
        self._agent = agent
        self._store = store
        self._targets = targets
        self._key = jax.random.fold_in(jax.random.key(seed), actor_id)
        self.actor_id = actor_id
        self.num_rollouts = num_rollouts

    def play(self) -> Item:
        """Plays one batch of episodes; the parameters are read once."""
        version, params = self._store.latest()
        key = jax.random.fold_in(self._key, self.num_rollouts)
        targets = None
        if self._targets is not None:
            batch_size = self._environment.batch_size
            targets = self._targets.batch(batch_size, self.num_rollouts)
        trajectory = rollout(self._environment, self._agent, params, key, targets)
        self.num_rollouts += 1
        return Item(trajectory, version, self.actor_id, self.num_rollouts)

    def run(self, queue: TrajectoryQueue) -> None:
        """A thread's body: plays until the queue is stopped; reports what it dies of."""
        try:
            while not queue.stopped:
                queue.put(self.play())
        except Stopped:
            pass
        except BaseException as error:
            queue.fail(error)
