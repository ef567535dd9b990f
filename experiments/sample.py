r"""Draws with a trained agent.

  python -m experiments.sample --run_dir=runs/mnist_small

Writes into the run folder (or --out): samples.png, a sheet of finished drawings;
drawing.gif, the strokes one by one; programs.json, the commands; drawings.svg, the
strokes as vector paths.
"""

from pathlib import Path

from absl import app, flags, logging

from spiral_jax.pictures import programs_to_svg, save_gif, save_png, sheet
from spiral_jax.programs import programs_to_json
from spiral_jax.system import load_agent, programs_of, sample_drawings

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/mnist_small", "Folder of the run.")
_OUT = flags.DEFINE_string("out", None, "Where to write; the run folder if not given.")
_NUM = flags.DEFINE_integer("num", 100, "How many drawings.", lower_bound=1)
_NUM_ANIMATED = flags.DEFINE_integer(
    "num_animated", 36, "How many of them the GIF and the SVG show.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed draws the same.")
_SCALE = flags.DEFINE_integer(
    "scale", 2, "Width of a canvas px in samples.png and drawing.gif.", lower_bound=1
)


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # orbax and JAX tell every step at INFO
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; settings are flags.")
    try:
        system, params, num_updates = load_agent(_RUN_DIR.value)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"sample: {error}") from error
    out = Path(_OUT.value or _RUN_DIR.value)
    out.mkdir(parents=True, exist_ok=True)
    drawings = sample_drawings(system, params, _NUM.value, _SEED.value)
    programs = programs_of(system, drawings)
    save_png(out / "samples.png", sheet(drawings.canvases[-1]), _SCALE.value)
    save_gif(
        out / "drawing.gif",
        drawings.canvases[:, : _NUM_ANIMATED.value],
        scale=_SCALE.value,
    )
    (out / "programs.json").write_text(programs_to_json(system.language, programs))
    (out / "drawings.svg").write_text(programs_to_svg(programs[: _NUM_ANIMATED.value]))
    print(
        f"{len(programs)} drawings of the agent after {num_updates} updates: "
        f"{out}/samples.png, drawing.gif, programs.json, drawings.svg"
    )


if __name__ == "__main__":
    app.run(main)
