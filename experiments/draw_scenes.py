r"""Draws docs/scenes.md's picture: a program command by command, and held-out scenes.

  python -m experiments.draw_scenes

The first row is one held-out scene as its program builds it, redrawn at 128 px; the other
rows are held-out scenes at 64 px, each px twice as wide.
"""

import tempfile

import numpy as np

from experiments.cli import define_path, run
from spiral_jax.data import to_float
from spiral_jax.data.scenes import load_scenes, scene_program
from spiral_jax.environments import Scenes, rerender
from spiral_jax.images import save_png, sheet

_OUT = define_path("out", "docs/results/scenes.png", "PNG to write.")

COLUMNS, ROWS = 6, 3


def main(argv: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scenes = load_scenes(folder, num_train=1, num_test=100, progress=False).test
    full = int(np.flatnonzero(scenes.counts == COLUMNS - 1)[0])
    built = rerender(scene_program(scenes, full, Scenes().settings), width=128)
    others = to_float(np.delete(scenes.images, full, axis=0)[: COLUMNS * (ROWS - 1)])
    others = others.repeat(2, axis=1).repeat(2, axis=2)
    save_png(_OUT.value, sheet(np.concatenate([built, others]), columns=COLUMNS))


if __name__ == "__main__":
    run(main, "draw_scenes")
