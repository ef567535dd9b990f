r"""What keeps the critic smooth: gradient penalty or spectral normalisation (P2).

  python -m experiments.studies.critic_regularisers --max_minutes=60

Trains two unconditional MNIST agents on the same budget: one with the Wasserstein loss
and a gradient penalty, as in SPIRAL, one with spectral normalisation and the standard GAN
loss, as in SPIRAL++. The figure shows Fréchet distance against frames and minutes.
experiments/studies/study.py explains how to train side by side.
"""

from typing import Any

from experiments.curves import make_figure, plot_curves
from experiments.studies.study import Study, run_study

STUDY = Study(
    name="critic_regularisers",
    preset="mnist_small",
    variants={
        "gp": {"critic_regulariser": "gp"},
        "spectral": {"critic_regulariser": "spectral"},
    },
)
COLORS = {"gp": "tab:blue", "spectral": "tab:orange"}


def draw(result: dict[str, Any]):
    """Draws distance against frames, and against minutes."""
    figure, axes = make_figure()
    plot_curves(axes, result["variants"], lambda label: {"color": COLORS[label]})
    axes[0].set_yscale("log")
    axes[0].set_ylabel(next(iter(result["variants"].values()))["label"])
    axes[1].legend()
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw)
