"""Rewards: from the critic's scores of canvases to a reward per command."""

from collections.abc import Callable, Mapping
from typing import Protocol

import chex
import haiku as hk
import jax.numpy as jnp

from spiral_jax.names import REWARD_FORMS
from spiral_jax.types import Trajectory


class ScoreFn(Protocol):
    """What pays the policy, `(critic_params, images, targets) -> scores`, in JAX.

    Images and targets (None for an unconditional agent) are `[N, H, W, C]` float32 in
    0..1, scores `[N]` float32, higher is better.
    """

    def __call__(
        self, critic_params: hk.Params, images: chex.Array, targets: chex.Array | None
    ) -> chex.Array: ...


def negative_distance(images: chex.Array, targets: chex.Array) -> chex.Array:
    """Returns `-|image - target|_2`, `[N]`, the paper's baseline for a critic's score."""
    return -jnp.sqrt(jnp.sum((images - targets) ** 2, axis=(1, 2, 3)))


def make_rewards(
    form: str,
    *,
    stroke_start_cost: float,
    blank_cost: float,
    blank: chex.Numeric,
    compound: bool = False,
) -> Callable[..., tuple[chex.Array, Mapping[str, chex.Array]]]:
    """Builds `rewards(trajectory, score) -> ([T, B] float32, metrics)`.

    `score` maps canvases and targets `[N, H, W, C]` (None for an unconditional agent) to
    `[N]` scores, higher is better.

    Args:
      form: "final": `r_T = D(canvas_T)` at the end of the episode, 0 before (paper,
        equation 4); or "delta":
        `r_t = D(canvas_t) - D(canvas_{t-1})`, whose sum differs from it by a constant
        (SPIRAL++'s temporal credit assignment).
      stroke_start_cost: subtracted for every command that puts the pen down (paper,
        section 4.2); of compound strokes, that paints.
      blank_cost: subtracted at the end of the episode if the canvas is blank.
      blank: a blank canvas `[H, W, C]`, or the one value of it.
      compound: whether strokes are compound.

    Raises:
      ValueError: unknown form.
    """
    if form not in REWARD_FORMS:
        raise ValueError(f"reward={form!r}: expected one of {REWARD_FORMS}.")

    def rewards(trajectory: Trajectory, score: Callable[..., chex.Array]):
        t, b = trajectory.rewards.shape
        final_canvas, targets = trajectory.canvases[-1], trajectory.targets
        ends = trajectory.discounts[-1] == 0
        if form == "delta":
            canvases = trajectory.canvases
            if targets is not None:
                targets = jnp.tile(targets, (t + 1, 1, 1, 1))
            scores = score(canvases.reshape(-1, *canvases.shape[2:]), targets)
            scores = scores.reshape(t + 1, b)
            reward = scores[1:] - scores[:-1]
            final_scores = scores[-1]
        else:
            final_scores = score(final_canvas, targets)
            reward = jnp.zeros([t, b]).at[-1].set(final_scores * ends)
        untouched = jnp.abs(final_canvas - blank) < 1 / 255
        untouched = jnp.all(untouched, axis=(1, 2, 3))
        reward = reward.at[-1].add(-blank_cost * (untouched & ends))
        if stroke_start_cost:
            flags = trajectory.actions["flag"]
            before = trajectory.start.previous_actions["flag"]
            starts = flags == 1 if compound else stroke_starts(flags, before)
            reward -= stroke_start_cost * starts
        return reward + trajectory.rewards, {
            "policy/score": jnp.mean(final_scores),
            "policy/blank_share": jnp.mean(untouched),
        }

    return rewards


def stroke_starts(flags: chex.Array, before: chex.Array) -> chex.Array:
    """Returns where the pen is put down: `[T, B]` flags to `[T, B]` bool.

    Args:
      flags: of the commands.
      before: `[B]`, that of the command before them; 0 if there was none.
    """
    before = jnp.concatenate([before[None], flags[:-1]])
    return (flags == 1) & (before == 0)
