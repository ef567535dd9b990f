"""Settings of the environment (spec, section 3)."""

import dataclasses
import math

from spiral_jax.config.fields import setting
from spiral_jax.names import (
    BACKGROUNDS,
    BRUSH_ENDING,
    SHIPPED_BRUSHES,
    SOFT_BRUSH,
)


@dataclasses.dataclass(frozen=True)
class EnvironmentSettings:
    """What executes commands."""

    environment_name: str = setting(
        "",
        "What executes the commands: an environment of your own, as module:name, see "
        "docs/howto/environment.md; empty: painting, or scenes for that data set.",
    )
    canvas_width: int = setting(64, "Canvas width and height in px.")
    grid_width: int = setting(
        32, "Locations lie on a grid of that many points a side.", minimum=2
    )
    episode_length: int = setting(
        20,
        "Time steps of an episode, the reset included: one more than commands.",
        minimum=2,
    )
    brush: str = setting(
        "soft",
        "Which brush paints: soft, classic/dry_brush, classic/pen or a path of a .myb.",
    )
    brush_sizes: tuple[float, ...] = setting(
        (1.0, 2.0, 4.0, 8.0, 12.0, 24.0),
        "Brush radii in px at a canvas of 64 px, comma-separated; they scale with it.",
    )
    use_color: bool = setting(False, "RGB canvases and colour components.")
    use_pressure: bool = setting(True, "Whether commands choose a pressure.")
    compound: bool = setting(
        False,
        "Compound strokes: each command adds a point, or paints the stroke, a spline "
        "through its points, and begins the next one.",
    )
    background: str = setting("white", "Colour of the paper.", BACKGROUNDS)
    shadows: bool = setting(
        True, "Whether objects of scenes cast shadows; three quarters of their cost."
    )

    def check_environment(self) -> None:
        """Refuses settings that no environment can have."""
        if not all(0 < size < math.inf for size in self.brush_sizes):
            raise ValueError(f"brush_sizes={self.brush_sizes}: expected positive radii.")
        known = (SOFT_BRUSH, *SHIPPED_BRUSHES)
        path = self.brush.endswith(BRUSH_ENDING) and "\0" not in self.brush
        if self.brush not in known and not path:
            raise ValueError(
                f"brush={self.brush!r}: expected one of {known}, or the path of a "
                f"{BRUSH_ENDING} file."
            )
        width = self.canvas_width
        if width < 8 or width & (width - 1):
            raise ValueError(
                f"canvas_width={width}: the networks halve it repeatedly; expected a "
                "power of two, at least 8, such as 32 or 64."
            )

    @property
    def num_commands(self) -> int:
        """Commands per episode; what counts as a frame."""
        return self.episode_length - 1
