"""The brush environment (paper, section 4.1): canvases painted side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spiral_jax.environments.base import (
    BatchedEnvironment,
    check_episodes,
    check_flags,
    check_names,
)
from spiral_jax.environments.pens import (
    COMPATS,
    PAPER,
    REFERENCE_WIDTH,
    make_pens,
)
from spiral_jax.language import CommandLanguage, painting_language
from spiral_jax.names import BACKGROUNDS, BRUSH_ENDING, SOFT_BRUSH
from spiral_jax.renderers import Renderer, SoftRenderer
from spiral_jax.renderers.libmypaint import LibmypaintRenderer, check_like_library
from spiral_jax.renderers.mypaint import (
    NOISES,
    SHIPPED_BRUSHES,
    VERSIONS,
    Brush,
    BrushFileError,
    MyPaintRenderer,
    load_brush,
)
from spiral_jax.types import Actions

RENDERERS = ("auto", "numpy", "numba", "libmypaint")

_CHOICES = {
    "background": BACKGROUNDS,
    "mypaint_version": VERSIONS,
    "noise": NOISES,
    "compat": COMPATS,
}
# What a program's settings have to name, and what those may leave out that were written
# by hand or before there was a choice.
_REQUIRED = (
    *("canvas_width", "grid_width", "brush_sizes"),
    *("use_color", "use_pressure", "background"),
)
_OPTIONAL = ("brush", "compound", "mypaint_version", "noise", "compat")
# Radii in px on a canvas of 64 px.
_LEAST_SIZE, _LARGEST_SIZE = 0.01, 10_000


class Painting(BatchedEnvironment):
    """`batch_size` pens on `batch_size` canvases, in lock step; see `BatchedEnvironment`.

    The pen starts lifted at location 0, the top left corner.

    Every brush but "soft" has the semantics of libmypaint 1.3.0, driven as DeepMind's
    released environment drives it: a curve is 50 calls of 0.1 s. So is each half of a
    compound stroke's way from one point to the next.

    Attributes:
      settings: what a program needs to be drawn again, as JSON can hold it: the arguments
        below that change the picture. A `Brush` that is what its name loads is called by
        that name; any other cannot be loaded again, see `rerender`. The noise of
        `noise="own"` is no part of a program: it is drawn again with other noise.
      language: the commands.
      batch_size, episode_length: as given.
    """

    def __init__(
        self,
        *,
        batch_size: int = 1,
        canvas_width: int = 64,
        grid_width: int = 32,
        episode_length: int = 20,
        brush: str | Path | Brush = "soft",
        brush_sizes: Sequence[float] = (1, 2, 4, 8, 12, 24),
        use_color: bool = True,
        use_pressure: bool = True,
        compound: bool = False,
        background: str = "white",
        seed: int = 0,
        mypaint_version: str = "1.3",
        noise: str = "own",
        compat: str | None = None,
        renderer: str = "auto",
    ):
        """Builds the environment; every argument is checked.

        Args:
          batch_size: B, number of canvases.
          canvas_width: H and W in px.
          grid_width: locations lie on a square grid of that many points a side.
          episode_length: time steps of an episode, the reset included.
          brush: "soft", the Gaussian brush; "classic/dry_brush" or "classic/pen"; the
            path of a `.myb` file; or a `Brush`.
          brush_sizes: radii in px on a canvas of 64 px; they scale with the canvas.
          use_color: RGB canvases with red, green and blue components; otherwise grey
            canvases whose ink is the opposite of the background.
          use_pressure: whether commands choose a pressure; otherwise it is 1.
          compound: whether commands give points, and strokes are splines through them,
            see `programs.painting_language` and `pens.CompoundPens`.
          background: "white" or "black".
          seed: of the brush's own noise, a stream for each canvas; the soft brush and
            the pen have none. Episodes go on in the streams, see `reset`.
          mypaint_version: of a libmypaint brush: "1.3" measures the pen's speed in radii
            per second, "1.6" in px per second.
          noise: of a libmypaint brush: "own", or "libmypaint" to replay the random
            stream that the library starts with, the same on every canvas.
          compat: "deepmind" for the released environment's two quirks: after a move to
            (y, x) the next curve starts at (y, y), and the action mask of a reset is
            that of a move.
          renderer: what executes strokes: "numpy"; "numba", the same compiled; "auto",
            the faster one that is installed; or "libmypaint", the library itself if
            this system has it. It is 1.6, with its own noise, so it wants
            `mypaint_version="1.6"` and `noise="libmypaint"`. Their pictures of a program
            differ by far less than 1/255 in the mean, so `settings` leave it out.

        Raises:
          ValueError: names the argument, its value and what was expected.
        """
        check_episodes(
            batch_size=batch_size,
            canvas_width=canvas_width,
            grid_width=grid_width,
            episode_length=episode_length,
            seed=seed,
        )
        if renderer not in RENDERERS:
            raise ValueError(f"renderer={renderer!r}: expected one of {RENDERERS}.")
        settings: dict[str, Any] = {
            "canvas_width": int(canvas_width),
            "grid_width": int(grid_width),
            "brush": _name_of(brush),
            "brush_sizes": _check_sizes(brush_sizes),
            "use_color": bool(use_color),
            "use_pressure": bool(use_pressure),
            "compound": bool(compound),
            "background": background,
            "mypaint_version": mypaint_version,
            "noise": noise,
            "compat": compat,
        }
        super().__init__(
            settings=settings,
            language=language_of(settings),  # refuses what is no painting's
            batch_size=batch_size,
            episode_length=episode_length,
            num_channels=3 if use_color else 1,
        )
        self._pens = make_pens(self.settings)
        self._renderer = self.make_renderer(brush, renderer, seed)

    def make_renderer(
        self, brush: str | Path | Brush, renderer: str, seed: int
    ) -> Renderer:
        """Makes what executes strokes; a class of your own may paint with another.

        Args:
          brush, renderer, seed: as given to the environment.

        Raises:
          ValueError: the renderer cannot paint with that brush.
        """
        settings = self.settings
        paper = PAPER[settings["background"]]
        if brush == SOFT_BRUSH:
            if renderer not in ("auto", "numpy"):
                raise ValueError(
                    f"renderer={renderer!r}: brush='soft' has 'auto' and 'numpy' only; "
                    f"expected a libmypaint brush with it, such as {SHIPPED_BRUSHES}."
                )
            return SoftRenderer(
                self.batch_size,
                settings["canvas_width"],
                self._channels,
                paper,
                self._pens.radii.min(),
            )
        common = {
            "batch_size": self.batch_size,
            "canvas_width": settings["canvas_width"],
            "use_color": settings["use_color"],
            "background": paper,
        }
        if renderer == "libmypaint":
            check_like_library(settings)
            return LibmypaintRenderer(brush, **common)
        own = settings["noise"] == "own"
        return MyPaintRenderer(
            find_brush(brush),
            **common,
            version=settings["mypaint_version"],
            noise=settings["noise"],
            seed=seed if own else None,
            backend=renderer,
        )

    def _begin(self, seed: int | None) -> np.ndarray:
        # None lets the noise go on where it is, as libmypaint's does. The real library's
        # cannot be started anew.
        self._pen_state = self._pens.begin(self.batch_size)
        return self._renderer.reset(seed)

    def _execute(self, actions: Actions) -> np.ndarray:
        strokes, self._pen_state = self._pens.strokes(self._pen_state, actions)
        for index in range(strokes.count):
            canvas = self._renderer.step(strokes.at(index))
        return canvas

    def _first_mask(self) -> Actions:
        if self.settings["compat"] != "deepmind":
            return super()._first_mask()
        lifted = self.language.constant(0, (self.batch_size,), np.int32)
        return self.language.mask(lifted)


def language_of(settings: Mapping[str, Any]) -> CommandLanguage:
    """Returns the command language that a painting's settings imply.

    Raises:
      ValueError: they are not a painting's; names the setting and what was expected.
    """
    check_names(settings, _REQUIRED, (*_REQUIRED, *_OPTIONAL))
    check_episodes(**{name: settings[name] for name in ("canvas_width", "grid_width")})
    check_flags(settings, ("use_color", "use_pressure", "compound"))
    for name, choices in _CHOICES.items():
        value = settings.get(name, choices[0])
        if not isinstance(value, str | None) or value not in choices:
            raise ValueError(f"{name}={value!r}: expected one of {choices}.")
    if not isinstance(settings.get("brush", ""), str):
        raise ValueError(f"brush={settings['brush']!r}: expected its name or file.")
    sizes = _check_sizes(settings["brush_sizes"])
    if settings.get("compound") and settings.get("compat"):
        raise ValueError(
            f"compat={settings['compat']!r} with compound=True: leave one of them out."
        )
    return painting_language(
        settings["grid_width"],
        len(sizes),
        settings["use_pressure"],
        settings["use_color"],
        settings.get("compound", False),
        [radius / REFERENCE_WIDTH for radius in sizes],
    )


def find_brush(brush: str | Path | Brush) -> Brush | None:
    """Returns the brush that `Painting(brush=...)` means; None for "soft".

    Raises:
      ValueError: there is no such brush, or its file cannot be used.
    """
    if isinstance(brush, Brush):
        return brush
    if brush == SOFT_BRUSH:
        return None
    name = str(brush)
    if not isinstance(brush, (str, Path)) or (
        name not in SHIPPED_BRUSHES and not name.endswith(BRUSH_ENDING)
    ):
        raise ValueError(
            f"brush={brush!r}: expected one of {(SOFT_BRUSH, *SHIPPED_BRUSHES)}, the "
            "path of a .myb file, or a Brush."
        )
    try:
        return load_brush(brush)
    except BrushFileError as error:
        raise ValueError(f"brush={name!r}: {error}.") from error


def _name_of(brush: str | Path | Brush) -> str:
    """What a program calls a brush: what loads it again, if anything does."""
    if not isinstance(brush, Brush):
        return str(brush)
    try:
        if load_brush(brush.name) == brush:
            return brush.name
    except BrushFileError:
        pass
    return f"a Brush in memory, {brush.name}"


def _check_sizes(brush_sizes: Any) -> list[float]:
    try:
        sizes = [float(x) for x in brush_sizes if not isinstance(x, (str, bool))]
        good = len(sizes) == len(brush_sizes) > 0
        good = good and all(_LEAST_SIZE <= size <= _LARGEST_SIZE for size in sizes)
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ValueError(
            f"brush_sizes={brush_sizes!r}: expected radii in px at a canvas of "
            f"{REFERENCE_WIDTH} px, {_LEAST_SIZE:g} to {_LARGEST_SIZE:,} each."
        )
    return sizes
