"""Programs as pictures: sheets, animations of the drawing, and vector graphics."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from spiral_jax.data import to_uint8
from spiral_jax.environments import language_of
from spiral_jax.environments.pens import make_pens
from spiral_jax.paths import local_path, write_file
from spiral_jax.renderers.mypaint import Brush
from spiral_jax.types import Stroke

if TYPE_CHECKING:  # programs are made of what is here
    from spiral_jax.programs import Program
    from spiral_jax.tiles import Mosaic

# What programs are saved as, and which of it a brush paints.
ENDINGS = (".png", ".gif", ".svg", ".json")
_PAINTED = (".png", ".gif")


def sheet(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Lays pictures out in a grid.

    Args:
      images: `[N, H, W, C]` float32 in 0..1.
      columns: pictures a row; None takes the root of N.
      gap: grey px between pictures.

    Returns:
      `[rows * (H + gap) + gap, columns * (W + gap) + gap, 3]` uint8.
    """
    n, h, w, _ = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    page = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 190, np.uint8)
    for i, image in enumerate(to_uint8(images)):
        y, x = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        page[y : y + h, x : x + w] = image
    return page


def save_png(path: str | Path, picture: np.ndarray, scale: int = 1) -> None:
    """Writes a picture as PNG; see `write_file`.

    Args:
      path: of the file.
      picture: `[H, W, 1 or 3]`, uint8 or float in 0..1.
      scale: how many px wide and high each of its px becomes.
    """
    file = io.BytesIO()
    _scaled(picture, scale).save(file, format="PNG", optimize=True)
    write_file(path, file.getvalue())


def save_gif(
    path: str | Path, canvases: np.ndarray, *, scale: int = 1, milliseconds: int = 400
) -> None:
    """Writes sheets of `canvases` `[T+1, N, H, W, C]` as an animation; see `write_file`.

    The finished drawings stay four times as long.
    """
    frames = [_scaled(sheet(canvas), scale) for canvas in canvases]
    if canvases.shape[-1] == 1:
        frames = [frame.convert("L") for frame in frames]
    _write_gif(path, frames, milliseconds)


def save_stages(path: str | Path, stages: np.ndarray, milliseconds: int = 400) -> None:
    """Writes the stages of a drawing `[T+1, H, W, C]` as `save_gif` does, no sheet."""
    _write_gif(path, [_scaled(stage, 1) for stage in stages], milliseconds)


def _write_gif(path: str | Path, frames: list[Image.Image], milliseconds: int) -> None:
    file = io.BytesIO()
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[milliseconds] * (len(frames) - 1) + [4 * milliseconds],
        loop=0,
    )
    write_file(path, file.getvalue())


def _scaled(picture: np.ndarray, scale: int) -> Image.Image:
    if np.issubdtype(picture.dtype, np.floating):
        picture = to_uint8(picture)
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    size = (image.width * scale, image.height * scale)
    return image.resize(size, Image.Resampling.NEAREST)


def save_program(
    program: Program | Mosaic,
    path: str | Path,
    width: int = 512,
    brush: str | Path | Brush | None = None,
    milliseconds: int = 400,
) -> None:
    """Writes a program as a picture, or as its commands; see `Program.save`."""
    path = local_path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(
            f"path={str(path)!r}: expected a name that ends in one of "
            f"{', '.join(ENDINGS)}; the ending says what is written."
        )
    if brush is not None and ending not in _PAINTED:
        raise ValueError(
            f"brush={brush!r} with path={str(path)!r}: expected none, only "
            f"{' and '.join(_PAINTED)} are painted with a brush; leave it out."
        )
    if ending == ".png":
        save_png(path, program.render(width, brush))
    elif ending == ".gif":
        save_stages(path, program.stages(width, brush), milliseconds)
    elif ending == ".svg":
        write_file(path, program.to_svg(width))
    else:
        write_file(path, program.to_json())


def program_to_svg(program: Program, width: int = 256) -> str:
    """Writes a painting's strokes as vector paths, one for each command that paints.

    The units of the document are px of the program's canvas, and the paths are the very
    curves that the pen follows; moves of the lifted pen leave none. Brushes are only
    approximated: the line is twice the radius wide, with hard edges and round ends, and
    its opacity is the mean of the pressures at both ends. A stroke of length zero is a
    dot. `Program.render` draws what the brush would.

    Args:
      program: of a `Painting`.
      width: width and height at which viewers show the document, px.

    Raises:
      ValueError, TypeError: the program is no painting, or not valid.
    """
    lines = strokes_to_svg(program)
    side = program.settings["canvas_width"]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{width}" '
        f'viewBox="0 0 {side} {side}">'
    )
    return "\n".join([head, *lines, "</svg>\n"])


def programs_to_svg(programs: Sequence[Program], width: int = 128) -> str:
    """Lays several programs out in a square of SVG drawings, `width` px wide each.

    Each is a group that is moved and scaled to its place: not all viewers know documents
    within documents.
    """
    columns = int(np.ceil(np.sqrt(len(programs))))
    rows = -(-len(programs) // columns)
    drawings = [strokes_to_svg(program) for program in programs]
    sides = [program.settings["canvas_width"] for program in programs]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * width}" '
        f'height="{rows * width}" viewBox="0 0 {columns * width} {rows * width}">'
    ]
    # Strokes end at the edge of their own canvas, as they do on it.
    lines += [
        f'<clipPath id="canvas{side}"><rect width="{side}" height="{side}"/></clipPath>'
        for side in sorted(set(sides))
    ]
    for i, (side, drawing) in enumerate(zip(sides, drawings)):
        x, y = i % columns * width, i // columns * width
        lines += [
            f'<g transform="translate({x} {y}) scale({width / side:g})" '
            f'clip-path="url(#canvas{side})">',
            *drawing,
            "</g>",
        ]
    return "\n".join([*lines, "</svg>\n"])


def strokes_to_svg(program: Program) -> list[str]:
    """Writes the inside of `program_to_svg`'s document: paper, then a path a stroke."""
    environment = program.settings.get("environment", "painting")
    if environment != "painting":
        raise ValueError(
            f"environment={environment!r}: only paintings have strokes to write as SVG. "
            "environments.export_mjcf writes the world of a scene."
        )
    language = language_of(program.settings)
    actions = language.validate(program.actions, (len(program),))
    side = program.settings["canvas_width"]
    paper = program.settings["background"]
    pens = make_pens(program.settings)
    state = pens.begin(batch_size=1)
    lines = [f'<rect width="{side}" height="{side}" fill="{paper}"/>']
    for t in range(len(program)):
        command = {name: values[t : t + 1] for name, values in actions.items()}
        strokes, state = pens.strokes(state, command)
        curves = [
            Stroke(*(field[0] for field in strokes.at(index)))
            for index in range(strokes.count)
        ]
        curves = [stroke for stroke in curves if stroke.paint]
        if not curves:
            continue
        stroke = curves[0]
        y, x = stroke.start
        path = f"M {x:g} {y:g}"
        for curve in curves:
            (y1, x1), (y2, x2) = curve.control, curve.end
            path += f" Q {x1:g} {y1:g} {x2:g} {y2:g}"
        color = np.broadcast_to(to_uint8(stroke.color), 3)
        opacity = (stroke.pressure_start + stroke.pressure_end) / 2
        lines.append(
            f'<path d="{path}" '
            f'fill="none" stroke="rgb({color[0]},{color[1]},{color[2]})" '
            f'stroke-width="{2 * stroke.radius:g}" '
            f'stroke-opacity="{opacity:.3g}" '
            f'stroke-linecap="round" stroke-linejoin="round"/>'
        )
    return lines
