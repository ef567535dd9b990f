r"""Draws with a trained agent.

  python -m experiments.sample --run_dir=runs/mnist_small

--run_dir=mnist draws with the agent that comes with the package. Writes into the run
folder (or --out, or drawings): samples.png, a sheet of finished drawings;
drawing.gif, the strokes one by one; programs.json, the commands; drawings.svg and svg/,
the strokes as vector paths, together and one by one, or mjcf/, the worlds of scenes for
MuJoCo's viewer. Conditional agents draw the first held-out pictures, which the sheet
shows before each drawing.
--width and --brush draw the sheet's programs again, crisper or with another brush:

  python -m experiments.sample --run_dir=runs/mnist_pen --width=512 --num=16 --scale=1
"""

from absl import flags

from spiral_jax.agents import agent_folder, is_shipped
from spiral_jax.data import to_float
from spiral_jax.data.registry import load_dataset
from spiral_jax.images import save_gif, save_png, sheet
from spiral_jax.paths import local_path, write_file
from spiral_jax.programs import programs_to_json
from spiral_jax.sampling import programs_of, sample_drawings

from .cli import brush_value, define_data_dir, define_path, open_agent, run
from .drawings import export, redraw, sheet_of_pairs

_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    "runs/mnist_small",
    "Folder of the run, or the name of an agent that comes with the package.",
)
_DATA_DIR = define_data_dir()
_OUT = define_path(
    "out",
    None,
    "Where to write; if not given, the run folder, or drawings for an agent that comes "
    "with the package.",
)
_NUM = flags.DEFINE_integer("num", 100, "How many drawings.", lower_bound=1)
_NUM_ANIMATED = flags.DEFINE_integer(
    "num_animated", 36, "How many of them the GIF and the SVG show.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed draws the same.")
_SCALE = flags.DEFINE_integer(
    "scale", 2, "Width of a canvas px in samples.png and drawing.gif.", lower_bound=1
)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Canvas px of the sheet's drawings; the agent's own if not given."
)
_BRUSH = flags.DEFINE_string(
    "brush", None, "Brush of the sheet's drawings; the agent's own if not given."
)


def main(argv: list[str]) -> None:
    brush = brush_value(_BRUSH.value) if _BRUSH.value else None
    folder = agent_folder(_RUN_DIR.value)
    agent = open_agent(folder, _DATA_DIR.value)
    out = _OUT.value or (local_path("drawings") if is_shipped(folder) else folder)
    out.mkdir(parents=True, exist_ok=True)
    system, targets = agent.system, None
    if system.config.conditional:
        targets = to_float(load_dataset(system.config).test.images[: _NUM.value])
    drawings = sample_drawings(system, agent.params, _NUM.value, _SEED.value, targets)
    programs = programs_of(system, drawings)
    finished = drawings.canvases[-1]
    if _WIDTH.value or _BRUSH.value:
        finished = redraw(programs, _WIDTH.value, brush)
    page = sheet(finished)
    if drawings.targets is not None:
        page = sheet_of_pairs(drawings.targets, finished)
    save_png(out / "samples.png", page, _SCALE.value)
    save_gif(
        out / "drawing.gif",
        drawings.canvases[:, : _NUM_ANIMATED.value],
        scale=_SCALE.value,
    )
    write_file(out / "programs.json", programs_to_json(system.language, programs))
    last = export(out, programs[: _NUM_ANIMATED.value])
    print(
        f"{len(programs)} drawings of the agent after {agent.num_updates} updates: "
        f"{out}/samples.png, drawing.gif, programs.json, {last}"
    )


if __name__ == "__main__":
    run(main, "sample")
