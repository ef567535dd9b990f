r"""Measures a trained agent: Fréchet distances or l2, and the curve of its run.

  python -m experiments.evaluate --run_dir=runs/mnist_small

Prints the distance of the untrained agent, of this one and of real pictures; of a
conditional agent, its l2 distance to held-out targets. With --curve
it also draws the distances in metrics.jsonl against frames and minutes (needs matplotlib:
`pip install 'spiral_jax[plot]'`).
"""

from pathlib import Path

from absl import app, flags, logging

from experiments.curves import draw_curve, read_curve, save_figure
from spiral_jax.evaluation import NUM_SAMPLES
from spiral_jax.reconstruction import NUM_TARGETS, make_evaluator
from spiral_jax.system import load_dataset
from spiral_jax.trained import load_agent

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/mnist_small", "Folder of the run.")
_CURVE = flags.DEFINE_string("curve", None, "PNG file to draw the run's curve into.")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # orbax and JAX tell every step at INFO
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; settings are flags.")
    run_dir = Path(_RUN_DIR.value)
    try:
        agent = load_agent(run_dir)
        system = agent.system
        evaluator = make_evaluator(system, load_dataset(system.config), run_dir)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"evaluate: {error}") from error
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
        save_figure(draw_curve(curve, evaluator.label, floor), Path(_CURVE.value))


if __name__ == "__main__":
    app.run(main)
