r"""Rebuilds pictures with a trained conditional agent: held-out ones, or your own.

  python -m experiments.reconstruct picture.png
  python -m experiments.reconstruct my_folder cat.png --brush=classic/pen
  python -m experiments.reconstruct --agent=runs/scenes_small

Without --agent, the agent that comes with the package redraws digits.

Of a picture of your own it writes painting.gif, the strokes one by one; painting.png;
painting.svg, the strokes as vector paths; and program.json, the commands. Of several
pictures, each gets a folder with these, of its own name: docs/painting.md.

Of all of them together, or of held-out ones, it writes reconstructions.png, each target
with its reconstruction on the right; programs.json; drawings.svg and svg/, the strokes,
together and one by one, or mjcf/, the worlds of scenes for MuJoCo's viewer; and
metrics.json, l2 of each and the mean, as the agent's own canvas shows it. Of held-out
scenes it also says how far what is built agrees with what there is (docs/scenes.md).

All goes into RUN_DIR/reconstructions, or --out, or reconstructions.

Your own pictures are files, folders, or arrays in a .npy or .npz (docs/data.md). Of each
the square in the middle is taken, resized to the agent's canvas.
Agents of paintings that learnt on white paper expect dark ink on light: --invert turns
light on dark into that. --tiles=8 paints 8 x 8 tiles of a larger picture and joins them:

  python -m experiments.reconstruct photograph.jpg --tiles=8 --samples=4
"""

import itertools
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging

from spiral_jax.agents import TrainedAgent, agent_folder, is_shipped, shipped_agent
from spiral_jax.config import Config
from spiral_jax.data import to_float
from spiral_jax.data.arrays import is_array, open_pictures
from spiral_jax.data.decoding import decode, why_unreadable
from spiral_jax.data.files import Picture, warn_of_others
from spiral_jax.data.registry import load_dataset
from spiral_jax.images import save_png
from spiral_jax.paths import local_path, write_file
from spiral_jax.programs import programs_to_json
from spiral_jax.reconstruction import compare, opposite_ink
from spiral_jax.scene_accuracy import compare_programs
from spiral_jax.tiles import Tiling

from .cli import brush_value, define_data_dir, define_path, open_agent, run
from .drawings import (
    PAINTING_WIDTH,
    actions_of,
    describe,
    export,
    redraw,
    save_painting,
    sheet_of_pairs,
    warnings,
)

SHIPPED_AGENT = "mnist_conditional"

_AGENT = flags.DEFINE_string(
    "agent",
    None,
    "An agent that comes with the package, by its name, or the folder of a run or of an "
    f"exported agent; {SHIPPED_AGENT} if not given.",
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "The same as --agent.")
_DATA_DIR = define_data_dir()
_OUT = define_path(
    "out",
    None,
    "Where to write; if not given, RUN_DIR/reconstructions, or reconstructions for an "
    "agent that comes with the package.",
)
_NUM = flags.DEFINE_integer(
    "num", 100, "How many held-out targets, if no images are given.", lower_bound=1
)
_IMAGES = flags.DEFINE_list(
    "images",
    [],
    "Your own targets: picture files, folders or arrays of them, comma-separated; the "
    "same as without --images=, one after the other.",
)
_INVERT = flags.DEFINE_bool("invert", False, "Black becomes white in your own pictures.")
_TILES = flags.DEFINE_integer(
    "tiles",
    1,
    "Tiles a side that your own pictures are painted in, each as large as the agent's "
    "canvas.",
    lower_bound=1,
)
_SAMPLES = flags.DEFINE_integer(
    "samples",
    1,
    "Drawings of each picture, or tile, of which the nearest by l2 is kept.",
    lower_bound=1,
)
_WIDTH = flags.DEFINE_integer(
    "width",
    None,
    "Px of each picture that is drawn. If not given, painting.png and .gif have "
    f"{PAINTING_WIDTH}, and the sheet shows the agent's own canvas.",
)
_BRUSH = flags.DEFINE_string(
    "brush", None, "Brush of all that is drawn; the agent's if not given."
)

SHEET_WIDTH = 128  # px of a small canvas on the sheet


def read_images(
    paths: Sequence[str | Path],
    config: Config,
    num_channels: int,
    invert: bool,
    width: int | None = None,
) -> tuple[list[str], np.ndarray]:
    """Reads the user's pictures as the agent's canvas would show them.

    Args:
      paths: files; folders, of which all picture files are taken; or `.npy` and `.npz`
        files, of which all pictures are.
      config: of the agent.
      num_channels: of its canvas.
      invert: whether black becomes white.
      width: W in px; None: of the agent's canvas.

    Returns:
      The names of N pictures, and `[N, W, W, C]` uint8.

    Raises:
      ValueError: names every picture that cannot be read, and why.
      OSError: an array's file cannot be opened.
    """
    if invert and config.dataset == "scenes":
        raise ValueError(
            "invert=True: only drawings have ink that may be light or dark; leave it out."
        )
    found: list[tuple[str, Callable[..., np.ndarray]]] = []
    pictures, problems = [], []
    for path in map(Path, paths):
        if path.is_dir() or is_array(path):
            source = open_pictures(path)
            warn_of_others("reconstruct", source)
            inside = [Picture(source, name) for name in source.names]
            found += [(str(picture), picture.decode) for picture in inside]
            if not inside:
                problems.append(f"{path} (a folder without pictures)")
        else:
            found.append((str(path), partial(_decode_file, path)))
    for name, read in found:
        try:
            picture = read(
                width=width or config.canvas_width,
                channels=num_channels,
                invert=invert,
                background=config.background,
            )
            pictures.append(picture)
        except Exception as error:  # of damaged files Pillow raises anything
            problems.append(f"{name} ({why_unreadable(error)})")
    if problems:
        raise ValueError(
            f"{len(problems)} of your pictures cannot be read: {', '.join(problems)}. "
            "Expected files that Pillow can open, such as PNG or JPEG, or arrays of "
            "finite values."
        )
    return [name for name, _ in found], np.stack(pictures)


def _decode_file(path: Path, **how) -> np.ndarray:
    return decode(path.read_bytes(), **how)


def folders_of(names: Sequence[str]) -> list[str]:
    """Returns a folder's name for each picture: the picture's, and none twice.

    Args:
      names: of pictures, as `read_images` returns them.
    """
    found: list[str] = []
    for path in map(Path, names):
        # Pictures of an array have numbers for names.
        name = f"{path.parent.stem}-{path.name}" if is_array(path.parent) else path.stem
        choices = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
        found.append(next(choice for choice in choices if choice not in found))
    return found


def _open() -> tuple[Path, TrainedAgent]:
    """Opens the agent that the flags name; returns its folder as well."""
    if _AGENT.value and _RUN_DIR.value:
        raise ValueError(
            f"agent={_AGENT.value!r} with run_dir={_RUN_DIR.value!r}: expected one of "
            "them, they mean the same."
        )
    given = _AGENT.value or _RUN_DIR.value
    folder = agent_folder(given) if given else shipped_agent(SHIPPED_AGENT)
    agent = open_agent(folder, _DATA_DIR.value)
    if not agent.system.config.conditional:
        raise ValueError(
            f"agent={str(folder)!r} is of an unconditional agent, which cannot be "
            "shown a picture; take one of a conditional preset, such as "
            "mnist_conditional_small, or draw with python -m experiments.sample."
        )
    return folder, agent


def _held_out(config: Config) -> Any:
    """Returns the first held-out pictures, in the form of their data set."""
    for name, given in (("invert", _INVERT.value), ("tiles", _TILES.value > 1)):
        if given:
            raise ValueError(
                f"{name}={flags.FLAGS[name].value} is for your own pictures; name some "
                "of them."
            )
    test = load_dataset(config).test
    if _NUM.value > len(test.images):
        raise ValueError(
            f"num={_NUM.value}: expected at most {len(test.images)}, the held-out "
            "pictures."
        )
    return type(test)(*(field[: _NUM.value] for field in test))


def reconstruct(paths: Sequence[str]) -> str:
    """Does what the flags ask for, and returns what to tell the user."""
    paths = [local_path(path, "picture") for path in paths]
    brush = brush_value(_BRUSH.value) if _BRUSH.value else None
    folder, agent = _open()
    system, config, num_tiles = agent.system, agent.system.config, _TILES.value
    _, width, channels = system.blank.shape
    if paths:
        width = Tiling(num_tiles, width).side
        names, images = read_images(paths, config, channels, _INVERT.value, width)
    else:
        test = _held_out(config)
        images = test.images
        names = [f"held-out {i}" for i in range(len(images))]
    # The evaluator's random keys: as many targets as it takes give its figure.
    seed, targets = system.seed("evaluation"), to_float(images)
    paintings, finished = agent.reconstruct(images, seed, _SAMPLES.value, num_tiles)
    blank = system.blank if num_tiles == 1 else system.blank[0, 0]
    likeness = compare(finished, targets, blank)
    said, metrics = describe(likeness), {"updates": agent.num_updates}
    metrics |= {"l2": likeness.drawn.mean(), "blank": likeness.blank.mean()}
    if not paths and config.dataset == "scenes":
        parse = compare_programs(actions_of(paintings), test, config.grid_width)
        metrics["parse"] = parse._asdict()
        said += f"; right are {parse}"
    metrics["targets"] = [
        {"name": name, "l2": l2, "blank": blank}
        for name, l2, blank in zip(names, likeness.drawn, likeness.blank)
    ]
    if paths:
        opposite = opposite_ink(targets, system.blank)
        for warning in warnings(names, likeness, opposite, config.background):
            logging.warning("%s", warning)
    if _WIDTH.value or _BRUSH.value:
        finished = redraw(paintings, _WIDTH.value, brush)
    here = local_path("reconstructions")
    out = _OUT.value or (here if is_shipped(folder) else folder / "reconstructions")
    out.mkdir(parents=True, exist_ok=True)
    page = sheet_of_pairs(targets, finished)
    save_png(out / "reconstructions.png", page, max(1, SHEET_WIDTH // finished.shape[1]))
    text = json.dumps(metrics, indent=1, default=float)  # of numpy's numbers
    write_file(out / "metrics.json", text + "\n")
    files = ["reconstructions.png", "metrics.json"]
    if num_tiles == 1:
        text = programs_to_json(system.language, paintings)
        write_file(out / "programs.json", text)
        files += ["programs.json", export(out, paintings)]
    lines = [
        f"{len(paintings)} targets, {agent.num_updates} updates: {said}",
        f"{out}/{', '.join(files)}",
    ]
    if paths:
        places = [out / name for name in folders_of(names)] if len(names) > 1 else [out]
        for place, painting in zip(places, paintings):
            files = save_painting(place, painting, _WIDTH.value, brush)
            lines.append(f"{place}/{', '.join(files)}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    print(reconstruct([*_IMAGES.value, *argv[1:]]))


if __name__ == "__main__":
    run(main, "reconstruct", positional="pictures")
