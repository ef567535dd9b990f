r"""Measures a trained agent, and draws the curve of its run.

  python -m experiments.evaluate --run_dir=runs/mnist_small

Prints how good its drawings are, beside real pictures and blank canvases; of a
conditional agent, its l2 distance to held-out targets. docs/measures.md explains the
figures. --run_dir=mnist measures the agent that comes with the package. With --curve it
also draws the distances in metrics.jsonl against frames and minutes (needs matplotlib:
`pip install 'spiral_jax[plot]'`).

With --dataset a conditional agent is shown other pictures than those of its run: how
well it redraws what it never learnt to.

  python -m experiments.evaluate --run_dir=characters --dataset=folder \
    --data_dir=icons --invert
"""

import dataclasses

from absl import flags

from spiral_jax.agents import agent_folder
from spiral_jax.config import Config
from spiral_jax.data.registry import load_dataset
from spiral_jax.names import OUR_DATASETS
from spiral_jax.reconstruction import (
    NUM_TARGETS,
    make_evaluator,
    nearest_distances,
)

from .cli import define_path, open_agent, run
from .curves import draw_curve, read_curve, save_figure

_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    "runs/mnist_small",
    "Folder of the run, or the name of an agent that comes with the package.",
)
_DATA_DIR = define_path(
    "data_dir",
    None,
    "Folder of the run's data, if they have moved since; with --dataset, of those.",
)
_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    [name for name in OUR_DATASETS if name != "scenes"],
    "Other pictures to show a conditional agent.",
)
_INVERT = flags.DEFINE_bool("invert", False, "Whether those of --dataset are inverted.")
_CURVE = define_path("curve", None, "PNG file to draw the run's curve into.")


def main(argv: list[str]) -> None:
    run_dir = agent_folder(_RUN_DIR.value)
    agent = open_agent(run_dir, None if _DATASET.value else _DATA_DIR.value)
    system = agent.system
    data = load_dataset(_shown(system.config))
    evaluator = make_evaluator(system, data)
    measures, _ = evaluator.measure(agent.params)
    table = evaluator.table(measures)
    print(f"{_RUN_DIR.value} after {agent.num_updates} updates\n{table}")
    if system.config.conditional:
        nearest = nearest_distances(data.test.images[:NUM_TARGETS], data.train.images)
        print(f"  {'nearest training picture':24s} {nearest.mean():#8.4g}")
    untrained, _ = evaluator.measure(system.initial_policy())
    print(f"\nThe untrained agent: {evaluator.in_short(untrained)}")
    if _CURVE.value:
        curve = read_curve(run_dir, evaluator.metric, untrained[evaluator.metric])
        save_figure(draw_curve(curve, evaluator.label, table.floor), _CURVE.value)


def _shown(config: Config) -> Config:
    """Returns the run's settings, with the pictures that it is to be shown."""
    if not _DATASET.value:
        return config
    if not config.conditional:
        raise ValueError(
            f"--dataset={_DATASET.value}: {_RUN_DIR.value} is not shown pictures; "
            "expected a conditional agent. Leave --dataset out."
        )
    return dataclasses.replace(
        config,
        dataset=_DATASET.value,
        data_dir=str(_DATA_DIR.value or ""),
        invert=_INVERT.value,
    )


if __name__ == "__main__":
    run(main, "evaluate")
