r"""Reward at the end or at every command: does an agent use all of its strokes? (P1).

  python -m experiments.studies.reward_forms --max_minutes=60

Trains two unconditional MNIST agents on the same budget: rewarded by the critic's score
of the finished drawing (`final`), and by what each command adds to it (`delta`). The
figure shows Fréchet distance against frames, and for each command of the episode the
share of drawings in which its stroke is still seen at the end.
experiments/studies/study.py explains how to train side by side.
"""

from typing import Any

import numpy as np

from experiments.curves import make_figure, plot_curve
from experiments.studies.study import Options, Study, Trained, run_study
from spiral_jax.data import to_float
from spiral_jax.environments import BatchedEnvironment
from spiral_jax.environments.rerender import execute
from spiral_jax.sampling import sample_drawings
from spiral_jax.types import Actions

STUDY = Study(
    name="reward_forms",
    preset="mnist_small",
    variants={"delta": {"reward": "delta"}, "final": {"reward": "final"}},
)
COLORS = {"delta": "tab:blue", "final": "tab:orange"}
NUM_DRAWINGS, TINY_DRAWINGS = 512, 8


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds how many commands paint, and how many of their strokes are seen at the end."""
    num_drawings = TINY_DRAWINGS if options.tiny else NUM_DRAWINGS
    for label, agent in agents.items():
        result["variants"][label] |= count_visible(agent, num_drawings)


def count_visible(agent: Trained, num_drawings: int) -> dict[str, Any]:
    """Counts what is seen in the end of what an agent's commands paint.

    Args:
      agent: of paintings; a conditional one is shown the first held-out targets.
      num_drawings: how many are looked at.

    Returns:
      As JSON can hold it: for each command the share of drawings in which it paints,
      `"painted"`, and in which that is seen, `"visible"`; and how many of all strokes
      painted are, `"visible_of_painted"`.
    """
    system, targets = agent.system, None
    if system.config.conditional:
        targets = to_float(agent.data.test.images[:num_drawings])
    seed = system.seed("evaluation")
    drawings = sample_drawings(system, agent.params, num_drawings, seed, targets)
    environment = system.environment(batch_size=num_drawings)
    visible = visible_strokes(environment, drawings.actions)
    environment.close()
    painted = drawings.actions["flag"] == 1
    return {
        "painted": painted.mean(axis=1).tolist(),
        "visible": visible.mean(axis=1).tolist(),
        "visible_of_painted": float(visible.sum() / max(painted.sum(), 1)),
    }


def visible_strokes(environment: BatchedEnvironment, actions: Actions) -> np.ndarray:
    """Says which strokes are seen on the finished canvas.

    A stroke is seen if the finished canvas would change, had the pen been moved instead,
    by at least half as much (summed over px) as the stroke alone changes an empty canvas:
    ink is translucent, so what is painted over hardly ever vanishes altogether.

    Args:
      environment: a painting without noise, of `B` canvases.
      actions: commands `[T, B]`.

    Returns:
      `[T, B]` bool; False where nothing was painted.
    """
    flags = actions["flag"]
    play = lambda flag: execute(environment, {**actions, "flag": flag})[-1]
    finished, blank = play(flags), play(np.zeros_like(flags))
    visible = np.zeros(flags.shape, bool)
    for t in range(len(flags)):
        this = np.arange(len(flags))[:, None] == t
        lost = np.abs(play(np.where(this, 0, flags)) - finished).sum(axis=(1, 2, 3))
        alone = np.abs(play(np.where(this, flags, 0)) - blank).sum(axis=(1, 2, 3))
        visible[t] = (flags[t] == 1) & (lost >= 0.5 * alone)
    return visible


def draw(result: dict[str, Any]):
    """Draws distance against frames, and what is seen of each command's strokes."""
    figure, axes = make_figure(share_y=False)
    for label, variant in result["variants"].items():
        color = COLORS[label]
        plot_curve(axes[0], variant["curve"], "frames", color=color, label=label)
        plot_visible(axes[1], variant, label, color)
    axes[0].set_yscale("log")
    axes[0].set_ylabel(variant["label"])
    axes[0].legend()
    return figure


def plot_visible(axis, counts: dict[str, Any], label: str, color: str) -> None:
    """Draws what `count_visible` returned against commands."""
    commands = np.arange(1, len(counts["visible"]) + 1)
    for key, line in (("painted", ":"), ("visible", "-")):
        axis.plot(
            commands,
            counts[key],
            color=color,
            linestyle=line,
            marker=".",
            label=f"{label}, {key}",
        )
    axis.set_xlabel("command")
    axis.locator_params(axis="x", integer=True)
    axis.set_ylabel("share of drawings")
    axis.set_ylim(0, 1.03)
    axis.grid(alpha=0.3)
    axis.legend()


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
