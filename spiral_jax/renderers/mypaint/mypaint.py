"""A batch of canvases painted as libmypaint paints, in numpy."""

import importlib.util

import numpy as np

from spiral_jax import types
from spiral_jax.renderers.mypaint import brush as brush_lib
from spiral_jax.renderers.mypaint import calls as calls_lib
from spiral_jax.renderers.mypaint import dabs as dabs_lib
from spiral_jax.renderers.mypaint import noise as noise_lib
from spiral_jax.renderers.mypaint.transmittance import transmittance

VERSIONS = ("1.3", "1.6")
NOISES = ("own", "libmypaint")
BACKENDS = ("numpy", "numba")


def available_backends() -> tuple[str, ...]:
    """The backends that can run here: "numba" only where it is installed."""
    found = importlib.util.find_spec("numba") is not None
    return BACKENDS if found else BACKENDS[:1]


class MyPaintRenderer:
    """Paints strokes onto `B` square canvases with a libmypaint 1.3.0 brush.

    The semantics are libmypaint 1.3.0's, driven as DeepMind's SPIRAL environment
    drives it: a stroke is 50 calls of 0.1 s. Pixels differ from the library's by
    about 1/255, because it rounds every dab to 15 bits.

    A picture does not scale with its canvas. Radii and positions are in pixels, and a
    stroke takes 5 s whatever its length, so at 256 px with everything four times as
    large: version "1.3" measures speed in radii per second and keeps the spacing, the
    width and the opacity of dabs; version "1.6" measures it in px per second, so a
    brush that thins with speed thins more. In both, anti-aliasing stays at about 1 px
    and the softened mask at radii below 3 px, so edges are crisper, and dab radii stay
    at or above 0.2 px.

    Args:
        brush: a `Brush`, a shipped name or the path of a `.myb` file.
        batch_size: `B`, number of canvases.
        canvas_width: height and width of each canvas, in px.
        use_color: three colour channels, else one.
        background: the blank canvas' value, 0..1; a float or one per channel.
        version: "1.3", or "1.6" for that version's rule for the speed inputs.
        noise: "own" draws every environment's noise from `seed`; "libmypaint" replays
            the library's random stream in each, to compare pixel by pixel.
        seed: for "own" any int >= 0; for "libmypaint" the library's seed, by default
            the one that it starts with (1000).
        backend: "numpy", "numba" (the loop over pixels compiled, without the global
            interpreter lock), or "auto" for the fastest that is installed.

    Raises:
        ValueError: an argument is out of range, the brush file is not usable, or numba
            is asked for and not installed.
    """

    def __init__(
        self,
        brush: brush_lib.Brush | str = "classic/dry_brush",
        *,
        batch_size: int,
        canvas_width: int = 64,
        use_color: bool = True,
        background: float | tuple[float, ...] = 1.0,
        version: str = "1.3",
        noise: str = "own",
        seed: int | None = None,
        backend: str = "auto",
    ):
        if not isinstance(brush, brush_lib.Brush):
            brush = brush_lib.load_brush(brush)
        _check_size("batch_size", batch_size, 1 << 16)
        _check_size("canvas_width", canvas_width, 4096)
        _check_choice("version", version, VERSIONS)
        _check_choice("noise", noise, NOISES)
        self._backend = _check_backend(backend)
        channels = 3 if use_color else 1
        self._background = _check_background(background, channels)
        self._width, self._count = canvas_width, batch_size
        if noise == "own":
            self._noise = noise_lib.OwnNoise(batch_size, 0 if seed is None else seed)
        else:
            seed = noise_lib.LIBMYPAINT_SEED if seed is None else seed
            self._noise = noise_lib.LibmypaintStream(batch_size, version, seed)
        self._engine = dabs_lib.StrokeEngine(brush, version, self._noise, self._backend)
        self._planar = np.empty(
            (batch_size, channels, canvas_width, canvas_width), np.float32
        )
        self._change = np.empty_like(self._planar)
        self._blank()

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Blanks all canvases and moves all pens to (0, 0), lifted.

        Args:
            seed: starts the noise anew, as the constructor's does; None lets it go on
                where it is, as libmypaint's does.

        Returns: fresh canvases, `[B, H, W, C]` float32, 0..1.
        """
        if seed is not None:
            self._noise.start(seed)
        # An environment is reset by a move to (0, 0).
        self._noise.reset(np.arange(self._count))
        self._blank()
        return self._canvas()

    def _blank(self) -> None:
        self._planar[:] = self._background[:, None, None]
        self._pens = calls_lib.PenState.at_origin(self._count)
        self._pen_up = np.ones(self._count, bool)

    def step(self, stroke: types.Stroke) -> np.ndarray:
        """Executes one command per environment.

        Args:
            stroke: `[B]` commands; see `types.Stroke`.

        Returns: fresh canvases, `[B, H, W, C]` float32, 0..1.

        Raises:
            ValueError: a field has another shape, or a value that is not finite or out
                of range where the stroke paints.
        """
        stroke = _check_stroke(stroke, self._count, self._planar.shape[1])
        moves = np.flatnonzero(~stroke.paint & ~stroke.idle)
        if moves.size:
            pens = self._engine.move(self._pens.rows(moves), stroke.end[moves])
            self._pens.assign(moves, pens)
            self._noise.reset(moves)
        paints = np.flatnonzero(stroke.paint)
        if paints.size:
            rows = types.Stroke(*(field[paints] for field in stroke))
            dabs, pens = self._engine.paint(
                self._pens.rows(paints), self._pen_up[paints], rows, paints
            )
            self._pens.assign(paints, pens)
            shows = transmittance(dabs, self._count, self._width, self._backend)
            # The fields of a row that does not paint may hold anything.
            color = np.where(stroke.paint[:, None], stroke.color, np.float32(0))
            canvas = self._composite(shows, color)
        else:
            canvas = self._canvas()
        self._pen_up = np.where(stroke.idle, self._pen_up, ~stroke.paint)
        return canvas

    def _composite(self, shows: np.ndarray, color: np.ndarray) -> np.ndarray:
        """Lays strokes over the canvases; returns fresh ones. Exact where unpainted."""
        if self._backend == "numba":
            from spiral_jax.renderers.mypaint import compiled

            canvas = self._empty_canvas()
            compiled.composite(self._planar, shows, color, canvas)
            return canvas
        np.subtract(color[:, :, None, None], self._planar, out=self._change)
        self._change *= (1 - shows)[:, None]
        self._planar += self._change
        return self._canvas()

    def _empty_canvas(self) -> np.ndarray:
        count, channels, height, width = self._planar.shape
        return np.empty((count, height, width, channels), np.float32)

    def _canvas(self) -> np.ndarray:
        # Channel by channel: three times faster than one transposed copy.
        canvas = self._empty_canvas()
        for channel in range(canvas.shape[-1]):
            canvas[..., channel] = self._planar[:, channel]
        return canvas


def _check_size(name: str, value: int, largest: int) -> None:
    if not 1 <= value <= largest:
        raise ValueError(f"{name} is {value}: expected 1..{largest}; pass one of these")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: expected one of {choices}; pick one")


def _check_backend(backend: str) -> str:
    _check_choice("backend", backend, (*BACKENDS, "auto"))
    if backend == "auto":
        return available_backends()[-1]
    if backend not in available_backends():
        raise ValueError(
            f"backend is {backend!r}, which is not installed: expected one of "
            f"{available_backends()}; pip install numba, or use backend='numpy'"
        )
    return backend


def _check_background(background, channels: int) -> np.ndarray:
    value = np.broadcast_to(np.asarray(background, np.float32), (channels,))
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(
            f"background is {background}: expected values in 0..1; divide 8-bit "
            "colours by 255"
        )
    return value


def _check_stroke(stroke: types.Stroke, count: int, channels: int) -> types.Stroke:
    """The stroke as arrays of the right shape; refuses what cannot be painted."""
    shapes = {"start": (2,), "control": (2,), "end": (2,), "color": (channels,)}
    fields = {}
    for name, value in stroke._asdict().items():
        array = np.asarray(value)
        wanted = (count, *shapes.get(name, ()))
        if array.shape != wanted:
            raise ValueError(
                f"stroke.{name} has shape {list(array.shape)}: expected {list(wanted)} "
                "(batch size first); pass one row per environment"
            )
        fields[name] = array
    for name in ("paint", "idle"):
        if fields[name].dtype != bool:
            raise ValueError(
                f"stroke.{name} has dtype {fields[name].dtype}: expected bool; compare "
                "the flag with 1"
            )
    numbers = [name for name in fields if name not in ("paint", "idle")]
    for name in numbers:
        if fields[name].dtype.kind not in "fiu":
            raise ValueError(
                f"stroke.{name} cannot be read as numbers (dtype {fields[name].dtype}):"
                " expected float32; convert it before the call"
            )
        fields[name] = fields[name].astype(np.float32, copy=False)
    paint = fields["paint"]
    low_high = {
        "radius": (0.0, np.inf), "pressure_start": (0.0, 1.0),
        "pressure_end": (0.0, 1.0), "color": (0.0, 1.0),
    }  # fmt: skip
    for name in numbers:
        low, high = low_high.get(name, (-np.inf, np.inf))
        used = fields[name] if name == "end" else fields[name][paint]
        good = np.isfinite(used) & (used >= low) & (used <= high)
        if name in ("radius", "pressure_end"):
            good &= used > 0
        if not good.all():
            raise ValueError(
                f"stroke.{name} holds {used[~good].flat[0]}: expected finite numbers "
                f"in {low}..{high}{' above 0' if low == 0 else ''}; check the action "
                "that was decoded"
            )
    return types.Stroke(**fields)
