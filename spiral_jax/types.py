"""Every record that crosses a module boundary, and the shape letters of all docstrings.

    T   commands in an unroll: those of a whole episode (`episode_length - 1`), or of a
        part of it
    B   episodes drawn side by side by one environment (the batch)
    N   images in a batch whose origin does not matter
    H W C   height, width and channels of a canvas; C is 1 (grey) or 3 (RGB)
    S   samples along one stroke's curve
    Z   length of the policy's noise vector
    K   components of a command
    M   objects of a scene, at most

Images are float32 in 0..1 with the channels last. Locations are (y, x), in that order.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import haiku as hk
import numpy as np

# One command per episode: component name -> `[B]` int32 (`[T, B]` in a trajectory).
Actions = Mapping[str, chex.Array]


class Stroke(NamedTuple):
    """One curve or move per canvas, in canvas pixels: all that a renderer gets to see.

    Attributes:
      paint: `[B]` bool; False lifts the pen and moves it to `end`.
      start: `[B, 2]` float32 px, (y, x), where the pen stands.
      control: `[B, 2]` float32 px, control point of the quadratic Bézier curve.
      end: `[B, 2]` float32 px, where the pen stands afterwards.
      radius: `[B]` float32 px.
      pressure_start: `[B]` float32 in 0..1, pressure at `start`.
      pressure_end: `[B]` float32 in 0..1, pressure at `end`; linear in between.
      color: `[B, C]` float32 in 0..1.
      idle: `[B]` bool; where True nothing happens: neither is painted nor is the pen
        lifted, and `paint` is False.
    """

    paint: chex.Array
    start: chex.Array
    control: chex.Array
    end: chex.Array
    radius: chex.Array
    pressure_start: chex.Array
    pressure_end: chex.Array
    color: chex.Array
    idle: chex.Array


class Objects(NamedTuple):
    """What stands on the ground of each scene: all that the scene renderer gets to see.

    Attributes:
      count: `[B]` int32 in 0..M; a scene's objects are its first `count`.
      shape: `[B, M]` int32, index into `programs.SHAPES`.
      position: `[B, M, 2]` float32, where it stands, (y, x) in world units from the
        ground's middle; y grows away from the camera, x to the right.
      radius: `[B, M]` float32, world units.
      color: `[B, M, 3]` float32 in 0..1.
    """

    count: np.ndarray
    shape: np.ndarray
    position: np.ndarray
    radius: np.ndarray
    color: np.ndarray


class AgentState(NamedTuple):
    """What the policy remembers between two commands of one episode.

    Attributes:
      lstm: `[B, hidden]` hidden and cell state.
      noise: `[B, Z]` float32, standard normal, constant over the episode.
      previous_actions: the last command, `[B]` int32 each; zeros at the first step.
      key: the random key that the next command is sampled with; None in trajectories.
    """

    lstm: hk.LSTMState
    noise: chex.Array
    previous_actions: Actions
    key: chex.PRNGKey | None


class PolicyOutput(NamedTuple):
    """What the policy says about one command per episode (leading axes `[...]`).

    Attributes:
      actions: the sampled, or the given, command: `[...]` int32 each.
      log_probs: log-probability of each component given the ones before it, `[...]`.
      entropies: entropy in nats of each of those distributions, `[...]`.
      value: `[...]` float32, estimate of the return from here on.
    """

    actions: Actions
    log_probs: Mapping[str, chex.Array]
    entropies: Mapping[str, chex.Array]
    value: chex.Array


class Trajectory(NamedTuple):
    """A batch of unrolls, as the actor hands it to the learner.

    Attributes:
      canvases: `[T+1, B, H, W, C]` float32, or uint8 where that is exact; `canvases[t]`
        is what the policy saw before command `t`; `canvases[T]`, at the end of an
        episode, is the finished picture.
      action_masks: `[T, B]` float32 each: 1 where the *previous* command used the
        component (the environment's observation).
      actions: `[T, B]` int32 each.
      behaviour_log_prob: `[T, B]` float32, log-probability of the whole command under
        the parameters that acted (unused components left out).
      rewards: `[T, B]` float32, the environment's own rewards (0 for paintings).
      discounts: `[T, B]` float32; 0 at the end of an episode, which is the unroll's too.
      start: what the policy remembered before command 0, `[B, ...]`, without its key.
      targets: `[B, H, W, C]` float32, what a conditional agent was shown to draw; None
        for an unconditional one.
    """

    canvases: np.ndarray
    action_masks: Mapping[str, np.ndarray]
    actions: Mapping[str, np.ndarray]
    behaviour_log_prob: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    start: AgentState
    targets: np.ndarray | None = None


class LearnerState(NamedTuple):
    """Everything one learner carries from update to update.

    Attributes:
      params: the network's parameters.
      opt_state: the optimiser's state.
      num_updates: int32 scalar; also what the learner's random keys are derived from.
    """

    params: Any
    opt_state: Any
    num_updates: chex.Array
