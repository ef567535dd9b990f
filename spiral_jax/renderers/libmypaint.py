"""The real libmypaint, where the system has it: `apt install libmypaint-1.5-1`.

For who wants the original, and to compare with. It is driven as `mypaint/calls.py` says;
every brush file that the library reads can be used, those that ours refuses included.
"""

import colorsys
import ctypes
import functools
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spiral_jax.renderers.mypaint import (
    Brush,
    BrushFileError,
    read_brush_text,
    read_settings,
)
from spiral_jax.renderers.mypaint.calls import BEZIER_CALLS
from spiral_jax.types import Stroke

# libmypaint 1.6.0, by the name that its interface has had since 1.5.
_LIBRARY = "libmypaint-1.5.so.1"
_PACKAGE = "libmypaint-1.5-1"
_TILE_WIDTH = 64
_ONE = 1 << 15  # libmypaint's fixed point
_STATE_X, _STATE_Y = 0, 1  # of enum MyPaintBrushState

_Pointer, _Float = ctypes.c_void_p, ctypes.c_float


class _Rectangle(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "width", "height")]


class _TileRequest(ctypes.Structure):
    _fields_ = [
        ("tx", ctypes.c_int),
        ("ty", ctypes.c_int),
        ("readonly", ctypes.c_int),
        ("buffer", ctypes.POINTER(ctypes.c_uint16)),
        ("context", _Pointer),
        ("thread_id", ctypes.c_int),
        ("mipmap_level", ctypes.c_int),
    ]


# Result and arguments of what is used.
_PROTOTYPES = {
    "brush_new": (_Pointer, []),
    "brush_unref": (None, [_Pointer]),
    "brush_from_defaults": (None, [_Pointer]),
    "brush_from_string": (ctypes.c_int, [_Pointer, ctypes.c_char_p]),
    "brush_setting_from_cname": (ctypes.c_int, [ctypes.c_char_p]),
    "brush_set_base_value": (None, [_Pointer, ctypes.c_int, _Float]),
    "brush_set_state": (None, [_Pointer, ctypes.c_int, _Float]),
    "brush_reset": (None, [_Pointer]),
    "brush_new_stroke": (None, [_Pointer]),
    # brush, surface, x, y, pressure, two tilts, seconds
    "brush_stroke_to": (
        ctypes.c_int,
        [_Pointer, _Pointer, *[_Float] * 5, ctypes.c_double],
    ),
    "fixed_tiled_surface_new": (_Pointer, [ctypes.c_int] * 2),
    "fixed_tiled_surface_interface": (_Pointer, [_Pointer]),
    "surface_unref": (None, [_Pointer]),
    "surface_begin_atomic": (None, [_Pointer]),
    "surface_end_atomic": (None, [_Pointer, ctypes.POINTER(_Rectangle)]),
    "tiled_surface_tile_request_start": (None, [_Pointer, _Pointer]),
    "tiled_surface_tile_request_end": (None, [_Pointer, _Pointer]),
}


@functools.cache
def load_library() -> ctypes.CDLL:
    """Loads the system's libmypaint.

    Raises:
      ValueError: it is not installed; the package is named.
    """
    try:
        # Global, so that a compiled loop (experiments/stroke_loop.c) finds it.
        library = ctypes.CDLL(_LIBRARY, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ValueError(
            f"renderer='libmypaint': {error}; expected the real library on this system: "
            f"install it (Debian, Ubuntu: apt install {_PACKAGE}), or leave `renderer` "
            "out for ours, which needs no library."
        ) from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, f"mypaint_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class LibmypaintRenderer:
    """Paints strokes onto `B` square canvases with the system's libmypaint.

    Args:
      brush: a shipped name or the path of a `.myb` file.
      batch_size: B.
      canvas_width: height and width of each canvas in px.
      use_color: three colour channels, else one.
      background: the blank canvas' value in 0..1.

    Raises:
      ValueError: the library is not installed, or cannot read the brush.
    """

    def __init__(
        self,
        brush: str | Path,
        *,
        batch_size: int,
        canvas_width: int = 64,
        use_color: bool = True,
        background: float = 1.0,
    ):
        self._library = load_library()
        if isinstance(brush, Brush):
            raise ValueError(
                f"brush is a Brush ({brush.name}): renderer='libmypaint' reads files "
                "itself; expected a shipped name or the path of a .myb file."
            )
        self._width, self._background = canvas_width, background
        self._channels = 3 if use_color else 1
        tiles = range(-(-canvas_width // _TILE_WIDTH))
        self._tiles = [(y, x) for y in tiles for x in tiles]
        text = read_brush_text(brush)
        unreadable = f"brush={str(brush)!r}: libmypaint cannot read this file"
        try:
            read_settings(text, str(brush))  # over some mistakes the library aborts
        except BrushFileError as error:
            raise BrushFileError(f"{unreadable}: {error}.") from error
        self._brushes = [self._library.mypaint_brush_new() for _ in range(batch_size)]
        self._surfaces = [
            self._library.mypaint_fixed_tiled_surface_interface(
                self._library.mypaint_fixed_tiled_surface_new(canvas_width, canvas_width)
            )
            for _ in range(batch_size)
        ]
        weakref.finalize(self, _free, self._library, self._brushes, self._surfaces)
        for each in self._brushes:  # for what the file leaves out; else it would be 0
            self._library.mypaint_brush_from_defaults(each)
        if not all(
            self._library.mypaint_brush_from_string(each, text.encode())
            for each in self._brushes
        ):
            raise BrushFileError(
                f"{unreadable}; expected JSON of brush version 3: copy it again, or save "
                "it in MyPaint 1.2 or later."
            )
        self._settings = [
            self._library.mypaint_brush_setting_from_cname(name)
            for name in (b"radius_logarithmic", b"color_h", b"color_s", b"color_v")
        ]
        self._pen_up = np.ones(batch_size, bool)
        self._blank()

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Blanks all canvases and moves all pens to (0, 0), lifted.

        Args:
          seed: of no effect: the library's random stream starts with its brush, always
            at the same place, and goes on.

        Returns:
          Fresh canvases `[B, H, W, C]` float32 in 0..1.
        """
        del seed
        self._blank()
        for row, brush in enumerate(self._brushes):
            # The cursor follows the pen slowly: from where the last episode ended it
            # would not quite reach the corner, and episodes would depend on each other.
            for coordinate in _STATE_X, _STATE_Y:
                self._library.mypaint_brush_set_state(brush, coordinate, 0.0)
            self._move(row, (0.0, 0.0))
        self._pen_up[:] = True
        return self._canvas()

    def step(self, stroke: Stroke) -> np.ndarray:
        """Executes a command and returns the canvases `[B, H, W, C]`."""
        t = np.arange(1, BEZIER_CALLS + 1, dtype=np.float32)[:, None] / BEZIER_CALLS
        for row in np.flatnonzero(~stroke.idle):
            one = Stroke(*(field[row] for field in stroke))
            if not one.paint:
                self._move(row, one.end)
                continue
            self._ink(row, one.radius, one.color)
            points = (1 - t) ** 2 * one.start + 2 * t * (1 - t) * one.control
            points += t**2 * one.end
            rise = one.pressure_end - one.pressure_start
            calls = np.concatenate([points, one.pressure_start + rise * t], axis=1)
            if self._pen_up[row]:
                self._call(row, [*one.start, one.pressure_end])
            for call in calls.tolist():
                self._call(row, call)
        self._pen_up = np.where(stroke.idle, self._pen_up, ~stroke.paint)
        return self._canvas()

    def _ink(self, row: int, radius: float, color: np.ndarray) -> None:
        """Sets what a stroke may choose of its brush."""
        for setting, value in zip(self._settings, ink_values(radius, color)):
            self._library.mypaint_brush_set_base_value(self._brushes[row], setting, value)

    def _move(self, row: int, end: np.ndarray) -> None:
        self._library.mypaint_brush_reset(self._brushes[row])
        self._library.mypaint_brush_new_stroke(self._brushes[row])
        self._call(row, [*end, 0.0])

    def _call(self, row: int, y_x_pressure: list[float]) -> None:
        """One event of 0.1 s, executed at once."""
        y, x, pressure = y_x_pressure
        surface = self._surfaces[row]
        self._library.mypaint_surface_begin_atomic(surface)
        self._library.mypaint_brush_stroke_to(
            self._brushes[row], surface, x, y, pressure, 0.0, 0.0, np.float32(0.1)
        )
        self._library.mypaint_surface_end_atomic(surface, ctypes.byref(_Rectangle()))

    def _blank(self) -> None:
        for row in range(len(self._surfaces)):
            for tile in self._tiles:
                self._with_tile(row, tile, self._blank_tile)

    def _blank_tile(self, pixels: np.ndarray) -> None:
        pixels[..., :3], pixels[..., 3] = round(self._background * _ONE), _ONE

    def _canvas(self) -> np.ndarray:
        shape = (len(self._surfaces), self._width, self._width, self._channels)
        canvas = np.empty(shape, np.float32)
        for row in range(len(self._surfaces)):
            for y, x in self._tiles:
                top, left = y * _TILE_WIDTH, x * _TILE_WIDTH
                place = canvas[row, top : top + _TILE_WIDTH, left : left + _TILE_WIDTH]
                copy = functools.partial(_copy_tile, place)
                self._with_tile(row, (y, x), copy)
        return canvas

    def _with_tile(self, row: int, tile: tuple[int, int], work) -> None:
        """Calls `work` with a tile's pixels, `[64, 64, 4]` uint16, premultiplied."""
        request = _TileRequest(tx=tile[1], ty=tile[0], thread_id=-1)
        arguments = (self._surfaces[row], ctypes.byref(request))
        self._library.mypaint_tiled_surface_tile_request_start(*arguments)
        shape = (_TILE_WIDTH, _TILE_WIDTH, 4)
        work(np.ctypeslib.as_array(request.buffer, shape))
        self._library.mypaint_tiled_surface_tile_request_end(*arguments)


def ink_values(radius: float, color: np.ndarray) -> tuple[float, ...]:
    """Returns the base values log-radius, hue, saturation, value of an ink `[C]`."""
    rgb = color if len(color) == 3 else np.repeat(color, 3)
    return float(np.log(radius)), *colorsys.rgb_to_hsv(*rgb.tolist())


def _copy_tile(place: np.ndarray, pixels: np.ndarray) -> None:
    height, width, channels = place.shape
    np.multiply(pixels[:height, :width, :channels], np.float32(1 / _ONE), out=place)


def _free(library: ctypes.CDLL, brushes: list[int], surfaces: list[int]) -> None:
    for brush in brushes:
        library.mypaint_brush_unref(brush)
    for surface in surfaces:
        library.mypaint_surface_unref(surface)


def check_like_library(settings: Mapping[str, Any]) -> None:
    """Refuses a painting whose brush behaves otherwise than the library as installed."""
    for name, value in (("mypaint_version", "1.6"), ("noise", "libmypaint")):
        if settings[name] != value:
            raise ValueError(
                f"{name}={settings[name]!r}: renderer='libmypaint' is the library as "
                f"installed; pass {name}={value!r} with it."
            )
