"""Brush definitions, read from libmypaint's `.myb` files (JSON, version 3)."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from spiral_jax.documents import parse_json
from spiral_jax.names import SHIPPED_BRUSHES
from spiral_jax.renderers.mypaint.brush_settings import (
    CONSTANT,
    DEFAULT_MAPS,
    DEFAULTS,
    INPUTS,
    MAPPED,
    WITHOUT_EFFECT,
)

_BRUSH_FOLDER = pathlib.Path(__file__).parent / "brushes"

# Values are written by programs that compute with 24 bits.
_ROUNDING = 1e-6
# As many as the library has room for.
_MOST_POINTS = 64


class BrushFileError(ValueError):
    """A `.myb` file that cannot be read, or that asks for more than is modelled."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A brush setting: `base` plus piecewise linear functions of the inputs.

    `maps` holds `(input name, ((x, y), ...))` pairs; the first and the last
    segment extrapolate, as libmypaint's do.
    """

    base: float
    maps: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = ()

    def depends_on(self, name: str) -> bool:
        """Whether the input `name` takes part in this setting."""
        return any(input_name == name for input_name, _ in self.maps)

    def __call__(
        self, inputs: Mapping[str, np.ndarray], base=None, flat_rounds: bool = False
    ) -> Any:
        """The setting's value `[N]` (a float where nothing is mapped).

        Args:
            inputs: each mapped input's values, `[N]`.
            base: replaces the base value, `[N]` or a float.
            flat_rounds: interpolate flat segments too, as libmypaint 1.3 does: a
                constant 1 may round to 1 - 2^-24.
        """
        value = self.base if base is None else base
        for name, points in self.maps:
            value = value + _piecewise_linear(inputs[name], points, flat_rounds)
        return value


@dataclasses.dataclass(frozen=True)
class Brush:
    """What libmypaint reads of a brush, as far as it is modelled.

    Lengths are in pixels, or in units of the radius where libmypaint says so;
    times are in seconds. `radius_logarithmic.base` is replaced by every stroke's
    own radius.
    """

    name: str
    anti_aliasing: Setting
    hardness: Setting
    offset_by_random: Setting
    opaque: Setting
    opaque_multiply: Setting
    radius_by_random: Setting
    radius_logarithmic: Setting
    slow_tracking_per_dab: Setting
    dabs_per_actual_radius: float
    dabs_per_basic_radius: float
    dabs_per_second: float
    opaque_linearize: float
    slow_tracking: float
    speed1_gamma: float
    speed1_slowness: float
    speed2_gamma: float
    speed2_slowness: float

    def depends_on(self, name: str) -> bool:
        """Whether any setting depends on the input `name`."""
        return any(getattr(self, key).depends_on(name) for key in MAPPED)


def load_brush(name_or_path: str | pathlib.Path) -> Brush:
    """Reads a brush: a shipped name (`"classic/pen"`) or the path of a `.myb` file.

    Raises:
        BrushFileError: (a ValueError) the file is absent, is not a libmypaint brush
            of version 3, or uses a feature that is not modelled; the message names
            the file, what was expected and what to do.
    """
    return parse_brush(read_brush_text(name_or_path), name=str(name_or_path))


def read_brush_text(name_or_path: str | pathlib.Path) -> str:
    """Reads the text of a brush file, given as in `load_brush`.

    Raises:
        BrushFileError: there is no such file, or it holds no UTF-8.
    """
    name = str(name_or_path)
    if name in SHIPPED_BRUSHES:
        path = _BRUSH_FOLDER / f"{name.removeprefix('classic/')}.myb"
    elif name.endswith(".myb"):
        path = pathlib.Path(name_or_path)
    else:
        raise BrushFileError(
            f"no brush is called {name!r}: expected one of {SHIPPED_BRUSHES} or the "
            "path of a .myb file; give a path that ends in .myb for your own brush"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BrushFileError(
            f"cannot read the brush file {path}: {error}; expected UTF-8 JSON as "
            "MyPaint writes it; check the path, or copy the file again"
        ) from error


def read_settings(text: str, name: str) -> dict[str, Setting]:
    """Reads all settings of a `.myb` file, modelled or not; `name` appears in errors.

    Raises:
        BrushFileError: the file is not a libmypaint brush of version 3.
    """
    try:
        document = parse_json(text, name)
    except ValueError as error:
        raise BrushFileError(
            f"{name} is not a complete JSON document ({error}): expected a libmypaint "
            "brush of version 3; copy the file again, and open and save brushes of "
            "the older text format in MyPaint 1.2 or later first"
        ) from error
    settings = document.get("settings") if isinstance(document, dict) else None
    if not isinstance(settings, dict) or "radius_logarithmic" not in settings:
        raise BrushFileError(
            f"{name} is JSON but no libmypaint brush: expected an object with "
            "'settings' that include 'radius_logarithmic'; give a brush's .myb file"
        )
    if document.get("version") != 3:
        raise BrushFileError(
            f"{name} has brush version {document.get('version')!r}: expected 3; save "
            "the brush in MyPaint 1.2 or later"
        )
    return {key: _read_setting(name, key, value) for key, value in settings.items()}


def parse_brush(text: str, name: str) -> Brush:
    """Reads a brush from the text of a `.myb` file; `name` appears in errors.

    Raises:
        BrushFileError: as in `load_brush`.
    """
    fields: dict[str, Any] = {
        key: Setting(DEFAULTS[key], tuple(DEFAULT_MAPS.get(key, {}).items()))
        for key in (*MAPPED, *CONSTANT)
    }
    for key, setting in read_settings(text, name).items():
        if key in fields:
            fields[key] = setting
        elif key not in WITHOUT_EFFECT:
            _refuse_unless_neutral(name, key, setting)
    for key in MAPPED:
        _refuse_foreign_inputs(name, key, fields[key])
    for key in CONSTANT:
        if fields[key].maps:
            raise BrushFileError(
                f"{name} lets {key!r} depend on {fields[key].maps[0][0]!r}, which is "
                "not modelled: expected a constant; empty the setting's 'inputs', or "
                "choose another brush"
            )
        fields[key] = fields[key].base
    return Brush(name=name, **fields)


def _read_setting(name: str, key: str, value: Any) -> Setting:
    """One entry of 'settings'; a map that is 0 everywhere is dropped."""
    try:
        base = float(value["base_value"])
        maps = {
            str(input_name): tuple((float(x), float(y)) for x, y in points)
            for input_name, points in value["inputs"].items()
        }
        numbers = [base, *(c for points in maps.values() for p in points for c in p)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a number is not finite")
        for points in maps.values():
            if len(points) == 1:
                raise ValueError("a map has one point only")
            if len(points) > _MOST_POINTS:
                raise ValueError(f"a map has {len(points)} points")
            # The library ends the process, and there is no such function.
            if any(here[0] > after[0] for here, after in pairwise(points)):
                raise ValueError("a map goes backwards")
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise BrushFileError(
            f"{name}: the setting {key!r} cannot be read ({error!r}): expected "
            "{'base_value': number, 'inputs': {input: [[x, y], [x, y], ...]}}; copy "
            "the file again, or save the brush in MyPaint again"
        ) from error
    used = ((n, points) for n, points in maps.items() if any(y for _, y in points))
    return Setting(base, tuple(used))


def _refuse_unless_neutral(name: str, key: str, setting: Setting) -> None:
    neutral = DEFAULTS.get(key, 0.0)
    if abs(setting.base - neutral) <= _ROUNDING and not setting.maps:
        return
    found = f"varies with {setting.maps[0][0]!r}" if setting.maps else setting.base
    raise BrushFileError(
        f"{name} uses {key!r} ({found}), which is not modelled: expected the constant "
        f"{neutral}; set it so in MyPaint's brush editor, or choose another brush"
    )


def _refuse_foreign_inputs(name: str, key: str, setting: Setting) -> None:
    for input_name, _ in setting.maps:
        if input_name not in INPUTS:
            raise BrushFileError(
                f"{name} lets {key!r} depend on the input {input_name!r}, which is "
                f"not modelled: expected only {INPUTS}; clear that curve in MyPaint's "
                "brush editor, or choose another brush"
            )


def _piecewise_linear(x: np.ndarray, points: tuple, flat_rounds: bool) -> np.ndarray:
    """Libmypaint's map of one input: linear between `points`, and beyond them."""
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        if x0 == x1 or y0 == y1:
            return np.zeros_like(x) + y0
        slope = (y1 - y0) / (x1 - x0)
        return slope * x + (y0 - slope * x0)
    # In single precision and in libmypaint's order, because the last bit counts: a
    # full opacity that is rounded to 1 - 2^-24 loses 1.7 % to `opaque_linearize`.
    table = np.array(points, np.float32)
    x = np.asarray(x).astype(np.float32)
    # "left": at a jump (two points with one x) libmypaint takes the earlier segment.
    segment = np.searchsorted(table[1:-1, 0], x, side="left")
    (x0, y0), (x1, y1) = table[segment].T, table[segment + 1].T
    width = x1 - x0
    value = (y1 * (x - x0) + y0 * (x1 - x)) / np.where(width == 0, 1, width)
    exact = (width == 0) | ((y0 == y1) & (not flat_rounds))
    return np.where(exact, y0, value)
