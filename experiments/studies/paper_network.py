r"""Why the released agent's network goes blind, and what keeps it seeing.

  python -m experiments.studies.paper_network --max_updates=400 --evaluate_minutes=2

Trains that network on digits of 32 px with 6 commands, batches of 32, in lock step: with
the recipe, and with one part of it changed at a time. The figure shows how much of the
torso's output varies between canvases, what the LSTM's gates see, and Fréchet distance.
experiments/studies/study.py explains how to train side by side.
"""

import dataclasses
from typing import Any

from experiments.curves import plot_curve
from experiments.studies.study import Options, Study, Trained, run_study
from spiral_jax.metrics import FILE, read_records
from spiral_jax.networks.presets import PRESETS as POLICIES

NETWORKS = {
    "released_weights": {"he_weights": False},
    "uncentred": {"centred_gradients": False},
    "unnormalised": {"core_norm": False},
}
for _label, _changes in NETWORKS.items():
    POLICIES[f"paper_{_label}"] = dataclasses.replace(POLICIES["paper"], **_changes)

_RECIPE: dict[str, Any] = {
    "policy": "paper",
    "batch_size": 32,
    "policy_learning_rate": 2e-4,
    "entropy_cost": 0.05,
    "synchronous": True,
}
STUDY = Study(
    name="paper_network",
    preset="mnist_small",
    variants={
        "recipe": _RECIPE,
        **{label: {**_RECIPE, "policy": f"paper_{label}"} for label in NETWORKS},
        "fast": {**_RECIPE, "policy_learning_rate": 6e-4},
        "low_entropy_cost": {**_RECIPE, "entropy_cost": 0.01},
        "clipped": {**_RECIPE, "max_gradient_norm": 1.0},
    },
)
SIGNALS = {
    "policy/torso_variation": "share of the torso that varies",
    "policy/gate_rms": "rms of what the gates see",
}


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds how the network's signals went."""
    for label in agents:
        records = read_records(options.runs / label / FILE)
        for name in SIGNALS:
            points = [(r["updates"], r[name]) for r in records if name in r]
            result["variants"][label][name] = points


def draw(result: dict[str, Any]):
    """Draws both signals against updates, and the distance against frames."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.6))
    for number, (label, variant) in enumerate(result["variants"].items()):
        style = {"color": f"C{number}", "label": label}
        for axis, (name, title) in zip(axes, SIGNALS.items()):
            axis.plot(*zip(*variant[name]), **style)
            axis.set_yscale("log")
            axis.set_xlabel("updates")
            axis.set_ylabel(title)
            axis.grid(alpha=0.3)
        plot_curve(axes[2], variant["curve"], "frames", **style)
    axes[2].set_ylabel(variant["label"])
    axes[2].legend(fontsize="small")
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
