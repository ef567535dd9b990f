r"""Measures a trained agent: Fréchet distances or l2, and the curve of its run.

  python -m experiments.evaluate --run_dir=runs/mnist_small

Prints the distance of the untrained agent, of this one and of real pictures; of a
conditional agent, its l2 distance to held-out targets. With --curve
it also draws the distances in metrics.jsonl against frames and minutes (needs matplotlib:
`pip install 'spiral_jax[plot]'`).
"""

from pathlib import Path

from absl import app, flags, logging

from experiments.curves import make_figure, plot_curve, read_curve, save_figure
from spiral_jax.evaluation import NUM_SAMPLES
from spiral_jax.reconstruction import NUM_TARGETS, make_evaluator
from spiral_jax.system import load_dataset
from spiral_jax.trained import load_agent

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/mnist_small", "Folder of the run.")
_CURVE = flags.DEFINE_string("curve", None, "PNG file to draw the run's curve into.")


def draw_curve(
    run_dir: Path,
    metric: str,
    label: str,
    untrained: float,
    floor: tuple[str, float],
    path: Path,
) -> None:
    """Draws a distance against frames and minutes.

    Args:
      run_dir: folder with a metrics.jsonl.
      metric, label: the distance's name there, and for readers.
      untrained: the untrained agent's, where the curve begins.
      floor: name and value of a line to compare with.
      path: PNG to write.
    """
    curve = read_curve(run_dir, metric, untrained)
    figure, axes = make_figure()
    for axis, key in zip(axes, ("frames", "minutes")):
        plot_curve(axis, curve, key)
        axis.axhline(floor[1], color="grey", linestyle=":")
        axis.axhline(0.1 * untrained, color="tab:green", linestyle="--")
        axis.set_yscale("log")
    axes[0].set_ylabel(label)
    axes[1].legend(["agent", floor[0], "0.1 x untrained"])
    save_figure(figure, path)


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
        out, untrained = Path(_CURVE.value), table.untrained
        draw_curve(run_dir, evaluator.metric, evaluator.label, untrained, floor, out)


if __name__ == "__main__":
    app.run(main)
