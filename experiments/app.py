r"""Serves a local page: drop or draw a picture, and watch an agent paint it.

  pip install -e ".[app]"
  python -m experiments.app

Open the address that it prints. Only this machine can: --share asks Gradio's servers for
a public address, which Colab needs (docs/painting.md). --agents adds runs and exported
agents to those that come with the package.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from PIL import Image

from spiral_jax.agents import agent_folder, shipped_agents
from spiral_jax.config import Config
from spiral_jax.data import to_float
from spiral_jax.data.decoding import as_shown, decode, why_unreadable
from spiral_jax.reconstruction import compare, opposite_ink
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES
from spiral_jax.run_folder import CONFIG_FILE
from spiral_jax.tiles import Tiling

from .cli import explain, open_agent, run
from .drawings import describe, save_painting, warnings

_AGENTS = flags.DEFINE_list(
    "agents", [], "Folders of runs or of exported agents that the page offers as well."
)
_PORT = flags.DEFINE_integer("port", 7860, "Port of the page.", lower_bound=1)
_SHARE = flags.DEFINE_bool(
    "share", False, "Ask Gradio's servers for a public address that leads to this page."
)

OWN_BRUSH = "the agent's own"
MOST_TILES, MOST_SAMPLES = 16, 16
FILES = {"painting.gif": "GIF", "painting.svg": "SVG", "painting.png": "PNG"}
FILES["program.json"] = "JSON"


def conditional_agents(names: list[str]) -> list[str]:
    """Returns which of some agents draw what they are shown.

    Args:
      names: as in `load_agent`.

    Raises:
      ValueError: none does.
      OSError: there is no such agent.
    """
    configs = {name: Config.load(agent_folder(name) / CONFIG_FILE) for name in names}
    found = [name for name, config in configs.items() if config.conditional]
    if not found:
        raise ValueError(f"agents={names}: expected a conditional one, which looks.")
    return found


def paint(
    read: Callable[..., Any],
    folder: Path,
    name: str,
    brush: str | None = None,
    num_tiles: int = 1,
    num_samples: int = 1,
    invert: bool = False,
) -> tuple[list[Path], str]:
    """Lets an agent paint one picture.

    Args:
      read: returns the picture as a canvas would show it; takes the arguments of
        `data.decoding.as_shown` but the picture.
      folder: where the files go.
      name: of the agent.
      brush: see `Program.render`.
      num_tiles, num_samples: see `TrainedAgent.reconstruct`.
      invert: whether black becomes white.

    Returns:
      The files, and what to say of the painting.

    Raises:
      ValueError: that cannot be painted.
    """
    agent = _agent(name)
    _, width, channels = agent.system.blank.shape
    background = agent.system.config.background
    side = Tiling(num_tiles, width).side
    how = {"channels": channels, "invert": invert, "background": background}
    pictures = read(width=side, **how)[None]
    (painting,), finished = agent.reconstruct(
        pictures, num_samples=num_samples, tiles=num_tiles
    )
    blank, targets = agent.system.blank, to_float(pictures)
    likeness = compare(finished, targets, blank if num_tiles == 1 else blank[0, 0])
    opposite = opposite_ink(targets, blank)
    said = warnings(["This picture"], likeness, opposite, background)
    files = save_painting(folder, painting, None, brush)
    return [folder / file for file in files], "\n\n".join([describe(likeness), *said])


@functools.lru_cache(maxsize=4)
def _agent(name: str):
    return open_agent(name)


def make_page(agents: list[str], folder: Path) -> Any:
    """Builds the page, a `gradio.Blocks`.

    Args:
      agents: the names of those to choose from.
      folder: where paintings are kept for download.

    Raises:
      ValueError: Gradio is not installed.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise ValueError(
            f"The page needs Gradio ({error}): pip install -e '.[app]' in a checkout, or "
            "pip install gradio."
        ) from error

    def answer(read, agent, brush, tiles, samples, invert):
        place = Path(tempfile.mkdtemp(dir=folder))
        brush = None if brush == OWN_BRUSH else brush
        try:
            paths, said = paint(read, place, agent, brush, tiles, samples, invert)
        except (ValueError, OSError) as error:
            raise gr.Error(explain(error)) from error
        found = {path.name: str(path) for path in paths}
        buttons = [
            gr.DownloadButton(value=found.get(file), interactive=file in found)
            for file in FILES
        ]
        return [found["painting.gif"], said, *buttons]

    def paint_file(path, *choices):
        if path is None:
            raise gr.Error("Drop a picture first.")

        def read(**how):
            try:
                return decode(Path(path).read_bytes(), **how)
            except Exception as error:  # of damaged files Pillow raises anything
                raise ValueError(
                    f"It cannot be read: {why_unreadable(error)}."
                ) from error

        return answer(read, *choices)

    def paint_drawing(drawing, *choices):
        if drawing is None or drawing["composite"] is None:
            raise gr.Error("Draw something first.")
        image: Image.Image = drawing["composite"]
        return answer(functools.partial(_shown, image), *choices)

    with gr.Blocks(
        title="spiral_jax", analytics_enabled=False, delete_cache=(3600, 3600)
    ) as page:
        gr.Markdown("# Watch an agent paint your picture")
        with gr.Row():
            with gr.Column():
                with gr.Tab("Drop a picture"):
                    file = gr.Image(
                        type="filepath",
                        image_mode=None,
                        sources=["upload", "clipboard"],
                        label="The square in its middle is painted",
                        height=400,
                    )
                    file_button = gr.Button("Paint it", variant="primary")
                with gr.Tab("Draw one"):
                    drawing = gr.Sketchpad(
                        type="pil",
                        canvas_size=(400, 400),
                        brush=gr.Brush(default_size=24, default_color="#000000"),
                        label="Draw dark on light",
                    )
                    drawing_button = gr.Button("Paint it", variant="primary")
                agent = gr.Dropdown(agents, value=agents[0], label="Agent")
                brushes = [OWN_BRUSH, "soft", *SHIPPED_BRUSHES]
                brush = gr.Dropdown(brushes, value=OWN_BRUSH, label="Brush")
                tiles = gr.Slider(1, MOST_TILES, value=1, step=1, label="Tiles a side")
                samples = gr.Slider(
                    1, MOST_SAMPLES, value=1, step=1, label="Drawings, the best is kept"
                )
                invert = gr.Checkbox(label="Turn light and dark round (--invert)")
            with gr.Column():
                shown = gr.Image(
                    label="Stroke by stroke", interactive=False, buttons=[], height=512
                )
                said = gr.Markdown()
                with gr.Row():
                    buttons = [
                        gr.DownloadButton(label, interactive=False, elem_id=label)
                        for label in FILES.values()
                    ]
        choices = [agent, brush, tiles, samples, invert]
        results = [shown, said, *buttons]
        for button, source, function in (
            (file_button, file, paint_file),
            (drawing_button, drawing, paint_drawing),
        ):
            button.click(function, [source, *choices], results, concurrency_id="paint")
    return page


def _shown(image: Image.Image, width: int, **how):
    return as_shown(image, width, **how)


def main(argv: list[str]) -> None:
    agents = conditional_agents([*_AGENTS.value, *shipped_agents()])
    with tempfile.TemporaryDirectory(prefix="spiral_jax_app") as folder:
        page = make_page(agents, Path(folder))
        import gradio as gr

        fonts = ["system-ui", "sans-serif"]  # not Google's, from afar
        page.launch(
            server_name="127.0.0.1",
            server_port=_PORT.value,
            share=_SHARE.value,
            theme=gr.themes.Default(font=fonts, font_mono=["monospace"]),
        )


if __name__ == "__main__":
    run(main, "app")
