"""The two learners: the critic learns pictures, the policy learns from the critic.

Everything that is learnt is one tree, `TrainingState`, and one iteration is one pure
function, `make_iteration`. `Learner` holds the state, runs the function on the devices,
and publishes the policy's parameters.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiral_jax import replay as replays
from spiral_jax.actor import TRAJECTORY_PLACES, Player, Underway
from spiral_jax.data import ImageData
from spiral_jax.parallel import ONCE, SAME, Parallel
from spiral_jax.queues import Item, ParameterStore
from spiral_jax.replay import Replay
from spiral_jax.rewards import ScoreFn
from spiral_jax.types import LearnerState, Trajectory


class Update(NamedTuple):
    """A learner as pure functions.

    Attributes:
      init: `(params) -> LearnerState`.
      apply: `(state, *batch) -> (state, metrics)`.
    """

    init: Callable[[Any], LearnerState]
    apply: Callable[..., tuple[LearnerState, dict[str, chex.Array]]]


class Draws(NamedTuple):
    """What the critic learns from in one iteration of S critic steps.

    Attributes:
      real: `[S, B, H, W, C]` uint8, real pictures; None for a conditional agent: what is
        real is then the target itself.
      replayed: `[S, B]` float32, see `replay.draw`.
    """

    real: chex.Array | None
    replayed: chex.Array


DRAWS_PLACES = Draws(1, 1)


class TrainingState(NamedTuple):
    """Everything that training changes.

    Attributes:
      policy, critic: the two learners' states.
      average: moving average of the policy's parameters: policy and critic chase each
        other in circles, and the average of the policies on the way draws better than
        most of them. It is what evaluation looks at.
      replay: rendered pictures; of a conditional agent, pairs of render and target, along
        the channels.
    """

    policy: LearnerState
    critic: LearnerState
    average: Any
    replay: Replay


STATE_PLACES = TrainingState(SAME, SAME, SAME, Replay(1, 0))


def _descend(optimiser, state: LearnerState, gradients, metrics, prefix: str):
    updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {**metrics, f"{prefix}/grad_norm": optax.tree.norm(gradients)}
    return LearnerState(params, opt_state, state.num_updates + 1), metrics


def _initialiser(optimiser) -> Callable[[Any], LearnerState]:
    return lambda params: LearnerState(
        params, optimiser.init(params), jnp.zeros([], jnp.int32)
    )


def make_policy_update(
    loss: Callable,
    rewards: Callable,
    score: ScoreFn,
    optimiser: optax.GradientTransformation,
    parallel: Parallel,
) -> Update:
    """Builds the policy learner; `apply` takes `(state, critic_params, trajectory)`.

    Args:
      loss: from `make_policy_loss`.
      rewards: from `make_rewards`.
      score: what pays: the critic of the moment, or a fixed distance to the targets.
      optimiser: of the policy's parameters.
      parallel: the devices that hold the batch.
    """

    def apply(state: LearnerState, critic_params: Any, trajectory: Trajectory):
        reward, reward_metrics = rewards(
            trajectory, lambda images, targets: score(critic_params, images, targets)
        )
        found = jax.grad(loss, has_aux=True)(state.params, trajectory, reward)
        gradients, metrics = parallel.mean((found[0], {**found[1], **reward_metrics}))
        return _descend(optimiser, state, gradients, metrics, "policy")

    return Update(_initialiser(optimiser), apply)


def make_critic_update(
    loss: Callable,
    optimiser: optax.GradientTransformation,
    seed: int,
    parallel: Parallel,
) -> Update:
    """Builds the critic's learner; `apply` takes `(state, real, fake, target=None)`.

    Args:
      loss: from `make_critic_loss`.
      optimiser: of the critic's parameters.
      seed: of the random interpolates; they depend on (seed, number of the update).
      parallel: the devices that hold the batch.
    """

    def apply(
        state: LearnerState,
        real: chex.Array,
        fake: chex.Array,
        target: chex.Array | None = None,
    ):
        key = jax.random.fold_in(jax.random.key(seed), state.num_updates)
        gradients, metrics = parallel.mean(
            jax.grad(loss, has_aux=True)(state.params, key, real, fake, target)
        )
        return _descend(optimiser, state, gradients, metrics, "critic")

    return Update(_initialiser(optimiser), apply)


def make_iteration(
    policy_update: Update, critic_update: Update, average_updates: int
) -> Callable:
    """Builds one iteration: replay, then critic updates, then a policy update.

    Args:
      policy_update, critic_update: the learners.
      average_updates: time constant of the average of the policies, in updates.

    Returns:
      `(state, trajectory, draws) -> (state, metrics)`, pure; as many critic updates as
      there are draws.
    """

    def iteration(state: TrainingState, trajectory: Trajectory, draws: Draws):
        pictures, targets = trajectory.canvases[-1], trajectory.targets
        if targets is not None:
            pictures = jnp.concatenate([pictures, targets], axis=-1)
        replay = replays.add(state.replay, pictures, trajectory.discounts[-1] == 0)
        critic, metrics = state.critic, {}
        for step in range(draws.replayed.shape[0]):
            fake, target = replays.take(replay, draws.replayed[step]), None
            if draws.real is None:
                fake, target = jnp.split(fake, 2, axis=-1)
                real = target
            else:
                real = draws.real[step].astype(jnp.float32) / 255.0
            critic, metrics = critic_update.apply(critic, real, fake, target)
        policy, policy_metrics = policy_update.apply(
            state.policy, critic.params, trajectory
        )
        # The plain mean at first, so that the initial parameters do not linger.
        weight = 1.0 / jnp.minimum(policy.num_updates, average_updates)
        average = optax.incremental_update(policy.params, state.average, weight)
        state = TrainingState(policy, critic, average, replay)
        return state, {**policy_metrics, **metrics}

    return iteration


class Supply:
    """Makes the draws of iterations; they depend on (seed, iteration) alone."""

    def __init__(
        self,
        data: ImageData | None,
        *,
        batch_size: int,
        critic_steps: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
    ):
        """Takes where they come from.

        Args:
          data: this process's shard of the real pictures; None for a conditional agent.
          batch_size: B, over all processes.
          critic_steps: S, critic updates per policy update; 0 if another score pays.
          seed: of the draws from the replay.
          shard: which part of them is made, see `Parallel.shard`.
        """
        self._data = data
        self._shard = shard
        self._batch_size = batch_size
        self._steps = critic_steps
        self._seed = seed

    def draws(self, num_updates: int) -> Draws:
        """Returns what the iteration after `num_updates` of them learns from."""
        numbers = range(num_updates * self._steps, (num_updates + 1) * self._steps)
        batch_size, real = self._batch_size, None
        replayed = np.zeros([self._steps, batch_size], np.float32)
        for step, number in enumerate(numbers):
            replayed[step] = replays.draw(batch_size, [self._seed, number])
        if self._data is not None:
            real = np.stack([self._data.batch(batch_size, number) for number in numbers])
        part, num_parts = self._shard
        return Draws(real, np.split(replayed, num_parts, axis=1)[part])


class Learner:
    """Runs iterations on trajectories, and publishes the policy's parameters.

    Attributes:
      num_updates: iterations so far.
      compile_seconds: what `compile` took.
    """

    def __init__(
        self,
        *,
        iteration: Callable,
        state: TrainingState,
        supply: Supply,
        store: ParameterStore,
        parallel: Parallel,
        actors_on_device: bool = False,
    ):
        """Starts from the given state.

        Args:
          iteration: from `make_iteration`.
          state: everything that is learnt.
          supply: what the critic learns from.
          store: where actors read the policy's parameters.
          parallel: the devices that learn.
          actors_on_device: whether actors are rollouts on the same devices, in the
            calling thread. All others get copies: the memory of what is published is
            taken by the next update.
        """
        self._state = parallel.place(state, STATE_PLACES)
        self._program = self._build(iteration, parallel)
        self._supply = supply
        self._store = store
        self._parallel = parallel
        self._actors_on_device = actors_on_device
        self.num_updates = 0
        self.compile_seconds = 0.0
        self._publish()

    def _build(self, iteration: Callable, parallel: Parallel) -> Callable:
        places = (STATE_PLACES, TRAJECTORY_PLACES, DRAWS_PLACES)
        return parallel.compile(iteration, places, (STATE_PLACES, ONCE), donate=(0,))

    def _publish(self) -> None:
        params = self._state.policy.params
        if not self._actors_on_device:
            params = self._parallel.fetch(params)
        self._store.publish(self.num_updates, params)

    def compile(self, item: Item) -> None:
        """Compiles the iteration for items like this one; learns nothing from it."""
        self._compile(self._arguments(item))

    def _compile(self, arguments: tuple) -> None:
        start = time.monotonic()
        self._program = self._program.lower(self._state, *arguments).compile()
        self.compile_seconds = time.monotonic() - start

    @property
    def flops(self) -> float:
        """Of the compiled iteration, see `flops_of`."""
        return flops_of(self._program)

    def _arguments(self, item: Item) -> tuple:
        place, trajectory = self._parallel.place, item.trajectory
        if not self._actors_on_device:
            trajectory = place(trajectory, TRAJECTORY_PLACES)
        draws = self._supply.draws(self.num_updates)
        return trajectory, place(draws, DRAWS_PLACES)

    def step(self, item: Item) -> dict[str, chex.Array]:
        """Learns from one batch of episodes.

        Returns:
          Metrics, some of which may still be computing on the device.
        """
        lag = np.float32(self.num_updates - item.version)
        self._state, metrics = self._program(self._state, *self._arguments(item))
        self._count(1)
        return {**metrics, "actor/policy_lag": lag}

    def _count(self, num_iterations: int) -> None:
        self.num_updates += num_iterations
        self._publish()

    @property
    def average(self) -> Any:
        """The averaged parameters of the policy, copied to the host."""
        return self._parallel.fetch(self._state.average)

    def state(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold, as a tree of arrays.

        It is the same for any number of devices.
        """
        state = self._parallel.save(self._state, STATE_PLACES)
        return {**state._asdict(), "num_updates": np.asarray(self.num_updates)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` returned, and publishes its parameters."""
        fields = {name: state[name] for name in TrainingState._fields}
        self._state = self._parallel.place(TrainingState(**fields), STATE_PLACES)
        self.num_updates = int(state["num_updates"])
        self._publish()


def flops_of(program: Any) -> float:
    """Returns what XLA counts of a compiled program's arithmetic; loops once."""
    analysis = program.cost_analysis()
    return (analysis[0] if isinstance(analysis, list) else analysis)["flops"]


class FusedLearner(Learner):
    """Rollouts and learning in one program; several iterations a call of `step`."""

    def __init__(self, *, player: Player, num_iterations: int, **learner):
        """Starts from the given state.

        Args:
          player: plays on the devices.
          num_iterations: K, iterations a call of `step`.
          **learner: see `Learner`.
        """
        self._player = player
        self._underway: Underway | None = None
        # XLA's convolutions are slow inside loops on CPUs (20 times in this one): there a
        # program is one iteration, and is called K times.
        self._num_calls = num_iterations if jax.default_backend() == "cpu" else 1
        self._num_iterations = num_iterations // self._num_calls
        super().__init__(**learner, actors_on_device=True)

    def _build(self, iteration: Callable, parallel: Parallel) -> Callable:
        def iterate(state: TrainingState, underway, numbers, targets, draws: Draws):
            def body(carry, inputs):
                state, underway = carry
                number, targets, draws = inputs
                trajectory, underway = self._player.play(
                    state.policy.params, number, targets, underway
                )
                state, metrics = iteration(state, trajectory, draws)
                return (state, underway), metrics

            carry, inputs = (state, underway), (numbers, targets, draws)
            if self._num_iterations > 1:
                carry, metrics = jax.lax.scan(body, carry, inputs)
                return *carry, metrics
            # A loop of one step is one still.
            carry, metrics = body(carry, jax.tree.map(lambda x: x[0], inputs))
            return *carry, jax.tree.map(lambda x: x[None], metrics)

        self._begin = parallel.compile(self._player.begin, (SAME, 0), 0)
        places = (STATE_PLACES, 0, SAME, 1, Draws(2, 2))
        return parallel.compile(iterate, places, (STATE_PLACES, 0, ONCE), donate=(0, 1))

    def compile(self, num_rollouts: int) -> None:
        """Compiles the program; learns nothing."""
        if not self._player.whole_episodes:
            place, targets = self._parallel.place, self._player.targets(num_rollouts)
            number = place(np.int32(num_rollouts), SAME)
            self._underway = self._begin(number, place(targets, 0))
        self._compile((self._underway, *self._arguments(num_rollouts)))

    def _arguments(self, num_rollouts: int) -> tuple:
        place, count = self._parallel.place, range(self._num_iterations)
        draws = [self._supply.draws(self.num_updates + i) for i in count]
        targets = [self._player.targets(num_rollouts + i) for i in count]
        stack = lambda *arrays: np.stack(arrays)
        numbers = np.arange(num_rollouts, num_rollouts + len(count), dtype=np.int32)
        return (
            place(numbers, SAME),
            place(jax.tree.map(stack, *targets), 1),
            place(jax.tree.map(stack, *draws), Draws(2, 2)),
        )

    def step(self, num_rollouts: int) -> dict[str, chex.Array]:
        """Does K iterations.

        Args:
          num_rollouts: how many rollouts have been played before.

        Returns:
          Metrics, `[K]` each, which may still be computing on the device.
        """
        calls = []
        for number in range(self._num_calls):
            arguments = self._arguments(num_rollouts + number)
            self._state, self._underway, metrics = self._program(
                self._state, self._underway, *arguments
            )
            self._count(self._num_iterations)
            calls.append(metrics)
        metrics = calls[0]
        if len(calls) > 1:
            metrics = jax.tree.map(lambda *parts: np.concatenate(parts), *calls)
        lag = np.zeros(self._num_calls * self._num_iterations)
        return {**metrics, "actor/policy_lag": lag}
