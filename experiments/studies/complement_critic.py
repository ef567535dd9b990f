r"""What a conditional critic is shown: pairs, or halves that complete each other (P2).

  python -m experiments.studies.complement_critic --max_minutes=60

Trains three conditional MNIST agents on the same budget: with the critic of pairs, with
the complement critic of SPIRAL++, and with the distance to the target. The figure shows
l2 on held-out digits against frames, and how many drawings classifiers take for the digit
that was shown: an agent may hit that without hitting its px.
OUT/complement_critic_drawings.png shows what they draw.
experiments/studies/study.py explains how to train side by side.
"""

from typing import Any

import numpy as np

from experiments.curves import make_figure, plot_curve
from experiments.studies.study import (
    Options,
    Study,
    Trained,
    redrawn,
    run_study,
    save_rows,
)
from spiral_jax.features import accuracy, as_ink, classify, load_classifiers

STUDY = Study(
    name="complement_critic",
    preset="mnist_conditional_small",
    variants={
        "pairs": {"complement": False, "reward_source": "critic"},
        "complement": {"complement": True, "reward_source": "critic"},
        "l2": {"complement": False, "reward_source": "l2"},
    },
)
COLORS = {"pairs": "tab:blue", "complement": "tab:green", "l2": "tab:orange"}


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds how many drawings are taken for the right digit, and writes a picture."""
    rows: list[np.ndarray] = []
    classifiers = load_classifiers()
    for label, agent in agents.items():
        targets, drawings = redrawn(agent)
        digits = agent.data.test.labels[: len(targets)]
        background = agent.system.config.background
        for name, images in (("right_digits", drawings), ("right_targets", targets)):
            looks = classify(classifiers, as_ink(images, background))
            result["variants"][label][name] = accuracy(looks, digits)
        rows += [] if rows else [targets]
        rows.append(drawings)
    save_rows(STUDY, options, rows, f"targets, {', '.join(agents)}")


def draw(result: dict[str, Any]):
    """Draws l2 against frames, and the share of right digits as bars."""
    figure, axes = make_figure(share_y=False)
    variants = result["variants"]
    for label, variant in variants.items():
        color = COLORS[label]
        plot_curve(axes[0], variant["curve"], "frames", color=color, label=label)
        axes[1].bar(label, variant["right_digits"], color=color)
    axes[0].axhline(variant["blank"], color="grey", linestyle=":", label="blank canvas")
    axes[0].set_ylabel(variant["label"])
    axes[0].legend()
    axes[1].axhline(variant["right_targets"], color="grey", linestyle=":")
    axes[1].set_ylim(0, 1)
    axes[1].set_ylabel("taken for the digit that was shown")
    axes[1].grid(alpha=0.3, axis="y")
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
