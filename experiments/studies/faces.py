r"""Rewards for redrawing faces, and which strokes are left of them (S7).

  python -m experiments.studies.faces --data_dir=data/celeba --max_minutes=60

Trains two conditional agents on the same budget, rewarded by the critic and by the
distance to the target. The figure shows l2 on held-out faces against frames, and for each
command the share of drawings in which its stroke is still seen at the end.
OUT/faces_drawings.png shows targets and what each agent draws of them. docs/data.md says
where CelebA comes from; experiments/studies/study.py how to train side by side.
"""

from typing import Any

from experiments.curves import make_figure, plot_curve
from experiments.studies.reward_forms import count_visible, plot_visible
from experiments.studies.study import (
    Options,
    Study,
    Trained,
    redrawn,
    run_study,
    save_rows,
)

STUDY = Study(
    name="faces",
    preset="celeba_conditional_small",
    variants={
        "critic": {"reward_source": "critic"},
        "l2": {"reward_source": "l2"},
    },
)
COLORS = {"critic": "tab:blue", "l2": "tab:orange"}
NUM_DRAWINGS = 256


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds which strokes are seen at the end, and writes a picture of drawings."""
    rows = []
    for label, agent in agents.items():
        num_drawings = min(NUM_DRAWINGS, len(agent.data.test.images))
        result["variants"][label] |= count_visible(agent, num_drawings)
        targets, drawings = redrawn(agent)
        rows += [] if rows else [targets]
        rows.append(drawings)
    save_rows(STUDY, options, rows, f"targets, {', '.join(agents)}")


def draw(result: dict[str, Any]):
    """Draws l2 against frames, and what is seen of each command's strokes."""
    figure, axes = make_figure(share_y=False)
    for label, variant in result["variants"].items():
        color = COLORS[label]
        plot_curve(axes[0], variant["curve"], "frames", color=color, label=label)
        plot_visible(axes[1], variant, label, color)
    axes[0].axhline(variant["blank"], color="grey", linestyle=":", label="blank canvas")
    axes[0].set_ylabel(variant["label"])
    axes[0].legend()
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
