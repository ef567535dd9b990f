r"""Exports a run's agent: a small folder to share, which `spiral_jax.load_agent` opens.

  python -m experiments.export_agent --run_dir=runs/mnist_small --out=my_agent

Writes config.json, params.npz (the averaged parameters, arrays only) and README.md, which
says by which command the agent was trained.
"""

from pathlib import Path

from absl import app, flags, logging

from spiral_jax.trained import export_agent, load_agent

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/mnist_small", "Folder of the run.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; made if absent.", required=True)


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # orbax and JAX tell every step at INFO
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; settings are flags.")
    out = Path(_OUT.value)
    try:
        export_agent(load_agent(Path(_RUN_DIR.value)), out)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"export_agent: {error}") from error
    megabytes = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print(f"{out}: {megabytes:.1f} MB, for spiral_jax.load_agent({str(out)!r})")


if __name__ == "__main__":
    app.run(main)
