r"""A renderer of one's own, step by step in docs/howto/environment.md: rectangles.

  python -m experiments.examples.rectangles --max_minutes=10

trains an agent to make digits of six filled rectangles each, and draws with it.
"""

import dataclasses

import numpy as np
from absl import flags

from experiments.cli import define_path, run
from spiral_jax.agents import load_agent
from spiral_jax.config import preset
from spiral_jax.environments import BatchedEnvironment, register_environment
from spiral_jax.images import save_png, sheet
from spiral_jax.language import CommandLanguage, Component
from spiral_jax.train import train


def language_of(settings) -> CommandLanguage:
    """A command is two opposite corners, and whether to fill with ink or with paper."""
    width = settings["grid_width"]
    corners = [Component(name, width**2, width) for name in ("corner", "opposite")]
    return CommandLanguage((*corners, Component("paper", 2)))


def fill(canvases: np.ndarray, actions, grid_width: int) -> None:
    """The renderer: fills a rectangle on each canvas `[B, W, W, 1]`, corners included."""
    cell = canvases.shape[1] // grid_width
    ends = np.stack([actions["corner"], actions["opposite"]])
    y, x = np.sort(ends // grid_width, axis=0), np.sort(ends % grid_width, axis=0)
    (top, bottom), (left, right) = cell * (y + [[0], [1]]), cell * (x + [[0], [1]])
    for i, paper in enumerate(actions["paper"]):
        canvases[i, top[i] : bottom[i], left[i] : right[i]] = paper


class Rectangles(BatchedEnvironment):
    """Grey canvases on which commands fill rectangles, black or white."""

    def __init__(
        self,
        *,
        batch_size: int = 1,
        canvas_width: int = 32,
        grid_width: int = 16,
        episode_length: int = 7,
        use_color: bool = False,
        background: str = "white",
        seed: int = 0,
    ):
        """Takes what `Config.environment` gives; without noise, seed has no effect."""
        if use_color or background != "white" or canvas_width % grid_width:
            raise ValueError(
                f"use_color={use_color}, background={background!r}, canvas_width="
                f"{canvas_width}, grid_width={grid_width}: expected black ink on "
                "white paper, and cells of whole px."
            )
        sizes = {"canvas_width": canvas_width, "grid_width": grid_width}
        super().__init__(
            settings={"environment": "rectangles", **sizes},
            language=language_of(sizes),
            batch_size=batch_size,
            episode_length=episode_length,
            num_channels=1,
        )

    def _begin(self, seed: int | None) -> np.ndarray:
        width = self.settings["canvas_width"]
        self._canvases = np.ones((self.batch_size, width, width, 1), np.float32)
        return self._canvases.copy()

    def _execute(self, actions) -> np.ndarray:
        fill(self._canvases, actions, self.settings["grid_width"])
        return self._canvases.copy()


register_environment("rectangles", Rectangles, language_of)
CONFIG = dataclasses.replace(preset("mnist_small"), environment_name="rectangles")


if __name__ == "__main__":
    run_dir = define_path("run_dir", "runs/rectangles", "Folder of the run.")
    max_minutes = flags.DEFINE_float("max_minutes", 10.0, "Stop after that many minutes.")

    def main(argv: list[str]) -> None:
        config = dataclasses.replace(CONFIG, max_minutes=max_minutes.value)
        if table := train(config, run_dir.value):
            print(table)
        _, canvases = load_agent(run_dir.value).sample(64)
        save_png(run_dir.value / "rectangles.png", sheet(canvases), scale=4)

    run(main, "rectangles")
