r"""Measures a trained agent, and draws the curve of its run.

  python -m experiments.evaluate --run_dir=runs/mnist_small

Prints how good its drawings are, beside real pictures and blank canvases; of a
conditional agent, its l2 distance to held-out targets. docs/measures.md explains the
figures. --run_dir=mnist measures the agent that comes with the package. With --curve it
also draws the distances in metrics.jsonl against frames and minutes (needs matplotlib:
`pip install 'spiral_jax[plot]'`).
"""

from absl import flags

from spiral_jax.agents import agent_folder
from spiral_jax.data.registry import load_dataset
from spiral_jax.reconstruction import make_evaluator

from .cli import define_data_dir, define_path, open_agent, run
from .curves import draw_curve, read_curve, save_figure

_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    "runs/mnist_small",
    "Folder of the run, or the name of an agent that comes with the package.",
)
_DATA_DIR = define_data_dir()
_CURVE = define_path("curve", None, "PNG file to draw the run's curve into.")


def main(argv: list[str]) -> None:
    run_dir = agent_folder(_RUN_DIR.value)
    agent = open_agent(run_dir, _DATA_DIR.value)
    system = agent.system
    evaluator = make_evaluator(system, load_dataset(system.config))
    measures, _ = evaluator.measure(agent.params)
    table = evaluator.table(measures)
    print(f"{_RUN_DIR.value} after {agent.num_updates} updates\n{table}")
    untrained, _ = evaluator.measure(system.initial_policy())
    print(f"\nThe untrained agent: {evaluator.in_short(untrained)}")
    if _CURVE.value:
        curve = read_curve(run_dir, evaluator.metric, untrained[evaluator.metric])
        save_figure(draw_curve(curve, evaluator.label, table.floor), _CURVE.value)


if __name__ == "__main__":
    run(main, "evaluate")
