"""Actors: play episodes with the latest parameters and hand them to the learner.

`Actor` steps an environment on the CPU, in a thread of its own. `Player` plays the same
episodes on the accelerator, environment included: `DeviceActor` one rollout at a time,
the fused learner within its own program.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.data import ImageData, to_float
from spiral_jax.environments.episodes import Episodes
from spiral_jax.environments.on_device import DevicePainting, PaintingState
from spiral_jax.language import CommandLanguage
from spiral_jax.losses import command_log_prob_and_entropy
from spiral_jax.networks import Policy
from spiral_jax.parallel import SAME, Parallel
from spiral_jax.precision import in_float32
from spiral_jax.queues import Item, ParameterStore, Stopped, TrajectoryQueue
from spiral_jax.types import Actions, AgentState, Trajectory

# Where trajectories lie on the devices, see `parallel`: split along the batch.
TRAJECTORY_PLACES = Trajectory(1, 1, 1, 1, 1, 1, start=0, targets=0)


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


def concatenate(trajectories: Sequence[Trajectory]) -> Trajectory:
    """Puts batches of unrolls beside each other; a single one stays as it is."""
    if len(trajectories) == 1:
        return trajectories[0]
    places = jax.tree.broadcast(TRAJECTORY_PLACES, trajectories[0])
    return jax.tree.map(
        lambda axis, *parts: np.concatenate(parts, axis), places, *trajectories
    )


class Performance:
    """A batch of episodes on their way: played as a whole, or unroll after unroll."""

    def __init__(
        self,
        environment: Episodes,
        agent: Agent,
        key: chex.PRNGKey,
        targets: np.ndarray | None = None,
    ):
        """Begins them.

        Args:
          environment: batched, all its episodes of one length; its `reset` takes a seed.
          agent: from `make_agent`.
          key: decides everything that is random, the noise of the brush included.
          targets: `[B, H, W, C]` float32, what a conditional agent is to draw.
        """
        # By numpy's hash: it shares nothing with what the agent draws from the key.
        entropy = np.random.SeedSequence(np.asarray(jax.random.key_data(key)))
        self._time_step = environment.reset(seed=int(entropy.generate_state(1)[0]))
        self._state = agent.begin(key, environment.batch_size)
        self._environment = environment
        self._agent = agent
        self._targets = targets

    @property
    def finished(self) -> bool:
        """Whether the episodes are over."""
        return bool(self._time_step.step_type[0] == dm_env.StepType.LAST)

    def play(self, params: Any, num_commands: int) -> Trajectory:
        """Plays the next commands.

        Args:
          params: the policy's parameters, the same for all of them.
          num_commands: T; less, if the episodes end before; 0 plays to their end.

        Returns:
          A `Trajectory` of fresh arrays: nothing that is done to the environment's arrays
          later reaches it.
        """
        start = jax.tree.map(np.array, self._state._replace(key=None))
        canvases, masks, actions, log_probs = [], [], [], []
        rewards, discounts = [], []
        while True:
            observation = self._time_step.observation
            observation = {k: observation[k] for k in ("canvas", "action_mask")}
            if self._targets is not None:
                observation["target"] = self._targets
            canvases.append(observation["canvas"])
            if self.finished or (num_commands and len(actions) == num_commands):
                break
            masks.append(observation["action_mask"])
            action, log_prob, self._state = self._agent.act(
                params, observation, self._state
            )
            action, log_prob = jax.device_get((action, log_prob))
            self._time_step = self._environment.step(action)
            actions.append(action)
            log_probs.append(log_prob)
            rewards.append(self._time_step.reward)
            discounts.append(self._time_step.discount)
        stack = lambda *arrays: np.stack(arrays)
        return Trajectory(
            canvases=np.stack(canvases),
            action_masks=jax.tree.map(stack, *masks),
            actions=jax.tree.map(stack, *actions),
            behaviour_log_prob=np.stack(log_probs),
            rewards=np.stack(rewards),
            discounts=np.stack(discounts),
            start=start,
            targets=self._targets,
        )


@in_float32
def rollout(
    environment: Episodes,
    agent: Agent,
    params: Any,
    key: chex.PRNGKey,
    targets: np.ndarray | None = None,
) -> Trajectory:
    """Plays one batch of whole episodes; arguments as those of `Performance`."""
    return Performance(environment, agent, key, targets).play(params, num_commands=0)


class Actor:
    """One actor: environments, an agent, and a random stream of its own.

    Each rollout begins some episodes; their key, and the targets of conditional ones,
    depend on (seed, actor, number of the rollout) alone: a resumed actor goes on where
    the interrupted one was.

    Episodes of several rollouts are at different stages, one in each environment, so that
    every rollout has all of them: as many episodes begin with each as end.
    """

    def __init__(
        self,
        environments: Sequence[Episodes],
        agent: Agent,
        store: ParameterStore,
        *,
        seed: int,
        actor_id: int = 0,
        num_rollouts: int = 0,
        unroll_length: int = 0,
        targets: ImageData | None = None,
        device: jax.Device,
        keep: Callable[[Trajectory], Trajectory] = lambda trajectory: trajectory,
    ):
        """Takes environments and what to play with.

        Args:
          environments: batched, all alike; as many as an episode has rollouts.
          agent: from `make_agent`.
          store: where parameters are read.
          seed: of all actors.
          actor_id: its number.
          num_rollouts: how many it has played before.
          unroll_length: T, commands of a rollout; 0: those of a whole episode.
          targets: what a conditional agent is shown.
          device: where the policy runs.
          keep: takes the part of a trajectory that is to be learnt from.
        """
        self._keep = keep
        self._device = device
        self._environments = environments
        self._agent = agent
        self._store = store
        self._targets = targets
        self._key = jax.random.fold_in(jax.random.key(seed), actor_id)
        self.actor_id = actor_id
        self._unroll_length = unroll_length
        self.restart(num_rollouts)

    def restart(self, num_rollouts: int) -> None:
        """Forgets the episodes on their way, and how many rollouts there were."""
        self.num_rollouts = num_rollouts
        self._performances: list[Performance | None] = [None] * len(self._environments)

    def _performance(self, place: int, params: Any) -> Performance:
        """Returns what to go on with in an environment; begins anew if need be."""
        performance, num_stages = self._performances[place], len(self._environments)
        if performance is not None and not performance.finished:
            return performance
        stage = (self.num_rollouts + place) % num_stages
        environment, targets = self._environments[place], None
        number = self.num_rollouts - stage + num_stages - 1  # 0 for the first of all
        if self._targets is not None:
            targets = to_float(self._targets.batch(environment.batch_size, number))
        key = jax.random.fold_in(self._key, number)
        performance = Performance(environment, self._agent, key, targets)
        # At first all of them begin, and some catch up with where they should be.
        for _ in range(stage):
            performance.play(params, self._unroll_length)
        return performance

    def play(self) -> Item:
        """Plays one rollout of a batch of episodes; the parameters are read once."""
        version, params = self._store.latest()
        # Once a rollout instead of once a command.
        params = jax.device_put(params, self._device)
        places = range(len(self._environments))
        self._performances = [self._performance(place, params) for place in places]
        parts = [p.play(params, self._unroll_length) for p in self._performances]
        trajectory = concatenate(parts)
        self.num_rollouts += 1
        return Item(self._keep(trajectory), version, self.actor_id, self.num_rollouts)

    @in_float32
    def run(self, queue: TrajectoryQueue) -> None:
        """A thread's body: plays until the queue is stopped; reports what it dies of."""
        try:
            while not queue.stopped:
                queue.put(self.play())
        except Stopped:
            pass
        except BaseException as error:
            queue.fail(error)


class Underway(NamedTuple):
    """Episodes between two rollouts on the accelerator, `[B, ...]` each.

    Attributes:
      painting: canvases and pens.
      mask: which components the last commands used.
      state: what the policy remembers, without its key.
      targets: what it is shown, float32; None if nothing.
    """

    painting: PaintingState
    mask: Actions
    state: AgentState
    targets: chex.Array | None


class Player:
    """Plays episodes on the accelerator, as a whole or, as `Actor` does, in stages.

    Of episodes of several rollouts, as many begin with each. The very first ones are
    shorter: all begin with the first rollout, at the stages where they should be.

    Attributes:
      targets: what a conditional agent is shown; None for an unconditional one.
    """

    def __init__(
        self,
        policy: Policy,
        painting: DevicePainting,
        *,
        num_commands: int,
        num_stages: int,
        batch_size: int,
        seed: int,
        parallel: Parallel,
        targets: ImageData | None = None,
    ):
        """Takes what decides episodes.

        Args:
          policy: the network.
          painting: the environment.
          num_commands: T, of a rollout.
          num_stages: rollouts of an episode.
          batch_size: B, over all devices.
          seed: of all actors; this one is number 0 among them.
          parallel: the devices that play.
          targets: what a conditional agent is shown.
        """
        self._policy = policy
        self._painting = painting
        self._num_commands = num_commands
        self._num_stages = num_stages
        self._batch_size = batch_size
        self._seed = seed
        self._parallel = parallel
        self._targets = targets

    @property
    def whole_episodes(self) -> bool:
        """Whether a rollout is one."""
        return self._num_stages == 1

    def targets(self, number: int) -> np.ndarray | None:
        """Returns what rollout `number` is shown, `[B, H, W, C]` uint8, if anything."""
        if self._targets is None:
            return None
        return self._targets.batch(self._batch_size, number)

    def _begin(
        self, number: chex.Array, targets: chex.Array | None
    ) -> tuple[Underway, chex.PRNGKey]:
        language, parallel = self._painting.language, self._parallel
        key = jax.random.fold_in(
            jax.random.fold_in(jax.random.key(self._seed), 0), number
        )
        state = self._policy.initial_state(key, self._batch_size)
        key = parallel.own_key(state.key)
        state = parallel.split(state._replace(key=None))
        painting = parallel.split(self._painting.begin(self._batch_size))
        if targets is not None:
            targets = targets.astype(jnp.float32) / 255.0
        mask = {name: jnp.zeros(state.noise.shape[:1]) for name in language.names}
        return Underway(painting, mask, state, targets), key

    def begin(self, number: chex.Array, targets: chex.Array | None) -> Underway:
        """Begins all episodes; pure. Arguments as those of `play`."""
        return self._begin(number, targets)[0]

    def play(
        self,
        params: Any,
        number: chex.Array,
        targets: chex.Array | None,
        underway: Underway | None,
    ) -> tuple[Trajectory, Underway | None]:
        """Plays rollout `number`, of whole episodes the same that `Actor` would; pure.

        Args:
          params: the policy's parameters.
          number: int32 scalar.
          targets: what `targets` returned.
          underway: from `begin`, or from the rollout before; None for whole episodes.

        Returns:
          A trajectory, and the episodes behind it; None if they are over.
        """
        language, parallel = self._painting.language, self._parallel
        fresh, key = self._begin(number, targets)
        ends = True
        if underway is None:
            underway = fresh
        else:
            place = parallel.split(jnp.arange(self._batch_size))
            first = place * self._num_stages // self._batch_size
            stage = (number + first) % self._num_stages
            ends = stage == self._num_stages - 1
            begins = lambda x: (stage == 0).reshape(-1, *[1] * (x.ndim - 1))
            underway = jax.tree.map(
                lambda new, old: jnp.where(begins(new), new, old), fresh, underway
            )
        painting, mask, start, targets = underway
        before, state = painting.canvas, start._replace(key=key)

        def command(carry, _):
            painting, mask, state = carry
            observation = {"canvas": painting.canvas, "action_mask": mask}
            if targets is not None:
                observation["target"] = targets
            output, state = self._policy.step(params, observation, state)
            log_prob, _ = command_log_prob_and_entropy(language, output)
            painting = self._painting.step(painting, output.actions)
            carry = (painting, language.mask(output.actions), state)
            return carry, (painting.canvas, mask, output.actions, log_prob)

        # Convolutions are slow inside loops on CPUs.
        unroll = jax.default_backend() == "cpu"
        carry, (canvases, masks, actions, log_prob) = jax.lax.scan(
            command, (painting, mask, state), length=self._num_commands, unroll=unroll
        )
        trajectory = Trajectory(
            canvases=jnp.concatenate([before[None], canvases]),
            action_masks=masks,
            actions=actions,
            behaviour_log_prob=log_prob,
            rewards=jnp.zeros_like(log_prob),
            discounts=jnp.ones_like(log_prob).at[-1].set(1.0 - ends),
            start=start,
            targets=targets,
        )
        if self.whole_episodes:
            return trajectory, None
        painting, mask, state = carry
        return trajectory, Underway(painting, mask, state._replace(key=None), targets)


class DeviceActor:
    """The actor of the calling thread: a `Player`, one rollout at a time."""

    actor_id = 0

    def __init__(
        self,
        player: Player,
        store: ParameterStore,
        parallel: Parallel,
        num_rollouts: int = 0,
    ):
        """Takes a player, and how many rollouts have been played before."""
        self._player = player
        self._store = store
        self._parallel = parallel
        self._begin = parallel.compile(player.begin, (SAME, 0), 0)
        self._play = parallel.compile(
            player.play, (SAME, SAME, 0, 0), (TRAJECTORY_PLACES, 0), donate=(3,)
        )
        self.restart(num_rollouts)

    def restart(self, num_rollouts: int) -> None:
        """Forgets the episodes on their way, and how many rollouts there were."""
        self.num_rollouts = num_rollouts
        self._underway: Underway | None = None

    def play(self) -> Item:
        """Plays one batch of episodes; they stay on the devices."""
        version, params = self._store.latest()
        place, targets = self._parallel.place, self._player.targets(self.num_rollouts)
        number = place(np.int32(self.num_rollouts), SAME)
        targets = place(targets, 0)
        if self._underway is None and not self._player.whole_episodes:
            self._underway = self._begin(number, targets)
        trajectory, self._underway = self._play(params, number, targets, self._underway)
        self.num_rollouts += 1
        return Item(trajectory, version, self.actor_id, self.num_rollouts)
