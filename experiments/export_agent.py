r"""Exports a run's agent: a small folder to share, which `spiral_jax.load_agent` opens.

  python -m experiments.export_agent --run_dir=runs/mnist_small --out=my_agent

Writes config.json, params.npz (the averaged parameters, arrays only) and README.md, which
says by which command the agent was trained.
"""

from spiral_jax.agents import export_agent

from .cli import define_path, open_agent, run

_RUN_DIR = define_path("run_dir", "runs/mnist_small", "Folder of the run.")
_OUT = define_path("out", None, "Folder to write; made if absent.")


def main(argv: list[str]) -> None:
    out = _OUT.value
    if out is None:
        raise ValueError("out: expected the folder to write, such as --out=my_agent.")
    export_agent(open_agent(_RUN_DIR.value), out)
    megabytes = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print(f"{out}: {megabytes:.1f} MB, for spiral_jax.load_agent({str(out)!r})")


if __name__ == "__main__":
    run(main, "export_agent")
