r"""Rewards for redrawing characters: the critic or l2; then other drawings (S4, S5).

  python -m experiments.studies.omniglot_rewards --data_dir=data/omniglot \
    --transfer=data/short_kanji_stroke3.npz --max_minutes=60

Trains two conditional Omniglot agents on the same budget, rewarded by the critic and by
the distance to the target. The figure shows l2 on held-out alphabets against frames, and,
with --transfer, l2 on pen strokes of another kind, which neither was trained on
(docs/data.md says how to make such a file). OUT/omniglot_rewards_drawings.png shows what
they draw: in turns a row of targets and a row of each agent's.
experiments/studies/study.py explains how to train side by side.
"""

from typing import Any

import numpy as np
from absl import flags

from experiments.curves import make_figure, plot_curve
from experiments.studies.study import (
    Options,
    Study,
    Trained,
    run_study,
    save_rows,
)
from spiral_jax.data.strokes import load_strokes
from spiral_jax.reconstruction import ReconstructionEvaluator

_TRANSFER = flags.DEFINE_string(
    "transfer", None, "A .npz of pen strokes that trained agents are shown as well."
)

STUDY = Study(
    name="omniglot_rewards",
    preset="omniglot_conditional_small",
    variants={
        "critic": {"reward_source": "critic"},
        "l2": {"reward_source": "l2"},
    },
)
COLORS = {"critic": "tab:blue", "l2": "tab:orange"}


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds l2 on drawings of another kind, and writes a picture of drawings."""
    data = {"held out": {label: agent.data for label, agent in agents.items()}}
    if _TRANSFER.value:
        config = next(iter(agents.values())).system.config
        others = load_strokes(_TRANSFER.value, config.canvas_width, config.background)
        data["transfer"] = dict.fromkeys(agents, others)
    rows: list[np.ndarray] = []
    for name, of_agents in data.items():
        for label, (system, params, _) in agents.items():
            evaluator = ReconstructionEvaluator(system, of_agents[label])
            measures, drawings = evaluator.measure(params)
            untrained, _ = evaluator.measure(system.initial_policy())
            result["variants"][label][name] = {
                **evaluator.table(measures)._asdict(),
                "untrained": untrained[evaluator.metric],
            }
            if label == next(iter(agents)):
                rows.append(drawings[::2])
            rows.append(drawings[1::2])
    save_rows(STUDY, options, rows, f"targets, {', '.join(agents)}")


def draw(result: dict[str, Any]):
    """Draws l2 against frames, and as bars on both kinds of drawings."""
    figure, axes = make_figure()
    variants = result["variants"]
    first = next(iter(variants.values()))
    kinds = [kind for kind in ("held out", "transfer") if kind in first]
    bars = {
        "untrained": ("lightgrey", [first[kind]["untrained"] for kind in kinds]),
        "blank canvas": ("grey", [first[kind]["blank"] for kind in kinds]),
    }
    for label, variant in variants.items():
        color, name = COLORS[label], f"{label} reward"
        plot_curve(axes[0], variant["curve"], "frames", color=color, label=name)
        bars[name] = (color, [variant[kind]["now"] for kind in kinds])
    axes[0].axhline(first["blank"], color="grey", linestyle=":", label="blank canvas")
    axes[0].set_ylabel(first["label"])
    width = 0.8 / len(bars)
    for place, (name, (color, heights)) in enumerate(bars.items()):
        left = np.arange(len(kinds)) + (place - (len(bars) - 1) / 2) * width
        axes[1].bar(left, heights, width, color=color, label=name)
    names = {"held out": "held-out alphabets", "transfer": "other drawings"}
    axes[1].set_xticks(range(len(kinds)), [names[kind] for kind in kinds])
    axes[1].grid(alpha=0.3, axis="y")
    axes[1].set_ylim(top=1.3 * first[kinds[-1]]["untrained"])
    axes[1].legend(ncols=2, loc="upper center")
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
