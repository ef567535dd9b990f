r"""Rewards for rebuilding scenes: the critic or l2; and a search beside them (S8, S9).

  python -m experiments.studies.scenes_rewards --max_minutes=120

Trains two agents on the same budget, rewarded by the critic and by the distance to the
target, and runs Metropolis-Hastings on the first held-out scenes (into
RUNS/metropolis_hastings.json, unless it is there; experiments.baselines.
metropolis_hastings makes it as well). The figure shows l2 on held-out scenes against
frames, and that of the search against renderer calls, with the agents at theirs: one for
each command. The JSON also says how far what is built agrees with what there is.
experiments/studies/study.py explains how to train side by side.
"""

import json
from typing import Any

import numpy as np

from experiments.baselines.metropolis_hastings.baseline import run_baseline, settings_of
from experiments.curves import make_figure, plot_curve
from experiments.studies.study import Options, Study, Trained, run_study
from spiral_jax.data import to_float
from spiral_jax.data.scenes import SceneImages
from spiral_jax.documents import parse_json
from spiral_jax.paths import write_file
from spiral_jax.reconstruction import NUM_TARGETS
from spiral_jax.rewards import negative_distance
from spiral_jax.sampling import sample_drawings
from spiral_jax.scene_accuracy import compare_programs

STUDY = Study(
    name="scenes_rewards",
    preset="scenes_small",
    variants={
        "critic": {"reward_source": "critic"},
        # Of discounts 0.5 and 1 the better one for each: with 0.5 the l2 reward falls
        # into skipping every command within a hundred updates.
        "l2": {"reward_source": "l2", "discount": 1.0},
    },
)
COLORS = {"critic": "tab:blue", "l2": "tab:orange"}
NUM_IMAGES, RENDERER_CALLS = 100, 10_000
TINY_IMAGES, TINY_CALLS = 3, 20


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds the search, and of the agents parses and l2 on the search's pictures."""
    config = next(iter(agents.values())).system.config
    path = options.runs / "metropolis_hastings.json"
    if not path.exists():
        num_images, calls = NUM_IMAGES, RENDERER_CALLS
        if options.tiny:
            num_images, calls = TINY_IMAGES, TINY_CALLS
        write_file(path, json.dumps(run_baseline(config, num_images, calls, seed=0)))
    search = parse_json(path.read_bytes(), str(path))
    if not isinstance(search, dict) or not {"settings", "curve"} <= set(search):
        raise ValueError(
            f"{path} is no search; delete it to have it made again, or name other --runs."
        )
    result["metropolis_hastings"] = search
    print(f"{path} has {search['renderer_calls']:,} renderer calls for each picture")
    num_images = search["settings"]["num_images"]
    wanted = settings_of(config, num_images, search["settings"]["seed"])
    if search["settings"] != wanted:
        raise ValueError(
            f"{path} is of {search['settings']}, the agents' scenes are of {wanted}; "
            "delete it to have it made again."
        )
    for label, agent in agents.items():
        result["variants"][label] |= measure_scenes(agent, num_images)


def measure_scenes(agent: Trained, num_images: int) -> dict[str, Any]:
    """Measures what an agent builds of the evaluator's held-out scenes.

    Returns:
      `"parse"`, see `SceneAccuracy`; `"first"`: mean l2 on the first `num_images`, of the
      agent and of the untrained one; `"renderer_calls"` for each picture.
    """
    system = agent.system
    scenes = SceneImages(*(field[:NUM_TARGETS] for field in agent.data.test))
    targets = to_float(scenes.images)
    built = {
        name: sample_drawings(
            system, params, len(targets), system.seed("evaluation"), targets
        )
        for name, params in (
            ("now", agent.params),
            ("untrained", system.initial_policy()),
        )
    }
    parse = compare_programs(built["now"].actions, scenes, system.config.grid_width)
    return {
        "parse": parse._asdict(),
        "first": {
            name: -float(
                np.mean(negative_distance(drawings.canvases[-1], targets)[:num_images])
            )
            for name, drawings in built.items()
        },
        "renderer_calls": system.config.num_commands,
    }


def draw(result: dict[str, Any]):
    """Draws l2 against frames, and against renderer calls."""
    figure, axes = make_figure()
    curve = result["metropolis_hastings"]["curve"]
    calls = curve["renderer_calls"]
    axes[1].plot(calls, curve["best"], color="tab:green", label="search, best so far")
    axes[1].plot(
        calls, curve["current"], color="tab:green", alpha=0.4, label="search, current"
    )
    for label, variant in result["variants"].items():
        color, name = COLORS[label], f"{label} reward"
        plot_curve(axes[0], variant["curve"], "frames", color=color, label=name)
        spot = variant["renderer_calls"], variant["first"]["now"]
        axes[1].plot(*spot, color=color, marker="o", linestyle="", label=name)
    spot = variant["renderer_calls"], variant["first"]["untrained"]
    axes[1].plot(*spot, color="grey", marker="x", linestyle="", label="untrained")
    for value, line, name in (
        (variant["untrained"], "--", "untrained"),
        (variant["blank"], ":", "blank canvas"),
    ):
        axes[0].axhline(value, color="grey", linestyle=line, label=name)
    axes[0].set_ylabel(variant["label"])
    axes[0].legend()
    axes[1].set_xscale("log")
    axes[1].set_xlabel("renderer calls for each picture")
    axes[1].grid(alpha=0.3)
    axes[1].legend()
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)
