r"""Rewards for redrawing digits: the critic or l2, seeing or blind (S2, S3).

  python -m experiments.studies.conditional_rewards --max_minutes=60

Trains four conditional MNIST agents on the same budget: rewarded by the critic or by the
distance to the target, seeing the canvas or blind. The figure shows l2 on held-out
digits. experiments/studies/study.py explains how to train them side by side.
"""

from typing import Any

from experiments.curves import make_figure, plot_curves
from experiments.studies.study import Study, run_study

STUDY = Study(
    name="conditional_rewards",
    preset="mnist_conditional_small",
    variants={
        "critic": {"reward_source": "critic", "blind": False},
        "l2": {"reward_source": "l2", "blind": False},
        "critic_blind": {"reward_source": "critic", "blind": True},
        "l2_blind": {"reward_source": "l2", "blind": True},
    },
)
# A colour for each reward; blind agents are dashed.
COLORS = {"critic": "tab:blue", "l2": "tab:orange"}


def draw(result: dict[str, Any]):
    """Draws l2 against frames, and against minutes."""
    figure, axes = make_figure()
    variants = result["variants"]

    def style(label: str) -> dict[str, str]:
        config = variants[label]["config"]
        line = "--" if config["blind"] else "-"
        return {"color": COLORS[config["reward_source"]], "linestyle": line}

    plot_curves(axes, variants, style)
    variant = next(iter(variants.values()))
    for axis in axes:
        axis.axhline(variant["blank"], color="grey", linestyle=":", label="blank canvas")
    axes[0].set_ylabel(variant["label"])
    axes[1].legend()
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw)
