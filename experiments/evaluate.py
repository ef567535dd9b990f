r"""Measures a trained agent: Fréchet distances or l2, and the curve of its run.

  python -m experiments.evaluate --run_dir=runs/mnist_small

Prints the distance of the untrained agent, of this one and of real pictures; of a
conditional agent, its l2 distance to held-out targets. With --curve
it also draws the distances in metrics.jsonl against frames and minutes (needs matplotlib:
`pip install 'spiral_jax[plot]'`).
"""

from experiments.cli import define_data_dir, define_path, run
from experiments.curves import draw_curve, read_curve, save_figure
from spiral_jax.evaluation import NUM_SAMPLES
from spiral_jax.reconstruction import NUM_TARGETS, make_evaluator
from spiral_jax.system import load_dataset
from spiral_jax.trained import load_agent

_RUN_DIR = define_path("run_dir", "runs/mnist_small", "Folder of the run.")
_DATA_DIR = define_data_dir()
_CURVE = define_path("curve", None, "PNG file to draw the run's curve into.")


def main(argv: list[str]) -> None:
    run_dir = _RUN_DIR.value
    agent = load_agent(run_dir, _DATA_DIR.value)
    system = agent.system
    evaluator = make_evaluator(system, load_dataset(system.config), run_dir)
    now, _ = evaluator.distance(agent.params)
    table = evaluator.table(now)
    if system.config.conditional:
        floor = ("blank canvas", table.blank)
        print(
            f"{run_dir} after {agent.num_updates} updates; {NUM_TARGETS} targets\n{table}"
        )
    else:
        floor = ("real pictures", table.real)
        print(
            f"{run_dir} after {agent.num_updates} updates; {NUM_SAMPLES} drawings each; "
            f"features of {evaluator.classifier}\n{table}"
        )
    if _CURVE.value:
        curve = read_curve(run_dir, evaluator.metric, table.untrained)
        save_figure(draw_curve(curve, evaluator.label, floor), _CURVE.value)


if __name__ == "__main__":
    run(main, "evaluate")
