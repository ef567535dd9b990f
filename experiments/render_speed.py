"""Strokes per second of every renderer, for `experiments.benchmark render`."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from spiral_jax.environments import Painting
from spiral_jax.environments.pens import Pens
from spiral_jax.renderers import SoftRenderer
from spiral_jax.renderers.libmypaint import LibmypaintRenderer, ink_values, load_library
from spiral_jax.renderers.mypaint import (
    SHIPPED_BRUSHES,
    MyPaintRenderer,
    available_backends,
)
from spiral_jax.types import Stroke

BATCH_SIZE = 64
# Renderers take turns, so that what else the machine does meets all of them.
ROUNDS, STEPS = 7, 8
THREADS = 2


class CompiledLoop(LibmypaintRenderer):
    """The library, with the loop over strokes and calls in C; paints RGB only."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        source = Path(__file__).with_name("stroke_loop.c")
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "stroke_loop.so"
            command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o"]
            subprocess.run([*command, binary, source], check=True)
            self._loop = ctypes.CDLL(str(binary)).paint_strokes

    def step(self, stroke: Stroke) -> np.ndarray:
        """As the renderer's, for strokes that all paint."""
        count = len(self._brushes)
        inks = [ink_values(*one) for one in zip(stroke.radius, stroke.color)]
        parts = [self._pen_up[:, None], stroke.start, stroke.control, stroke.end]
        parts += [stroke.pressure_start[:, None], stroke.pressure_end[:, None], inks]
        strokes = np.concatenate(parts, axis=1).astype(np.float32)
        canvas = np.empty((count, self._width, self._width, 3), np.float32)
        self._loop(
            count,
            self._width,
            (ctypes.c_void_p * count)(*self._brushes),
            (ctypes.c_void_p * count)(*self._surfaces),
            (ctypes.c_int * 4)(*self._settings),
            strokes.ctypes.data_as(ctypes.c_void_p),
            canvas.ctypes.data_as(ctypes.c_void_p),
        )
        self._pen_up[:] = False
        return canvas


def random_strokes(width: int, size: int | None, num: int) -> list[Stroke]:
    """Random commands `[64]` that all paint; `size` is an index, None takes any."""
    environment = Painting(batch_size=BATCH_SIZE, canvas_width=width)
    pens, rng = Pens(environment.settings), np.random.default_rng(0)
    state = pens.begin(BATCH_SIZE)
    strokes = []
    for _ in range(num):
        actions = environment.language.random((BATCH_SIZE,), rng)
        actions["flag"][:] = 1
        if size is not None:
            actions["size"][:] = size
        painted, state = pens.strokes(state, actions)
        strokes.append(painted.at(0))
    return strokes


def makers(brush: str, width: int, smallest_radius: float) -> dict[str, Callable]:
    """What makes each renderer that can run here; the first is the measure."""
    settings = {"batch_size": BATCH_SIZE, "canvas_width": width}
    ours = lambda backend: (
        lambda: MyPaintRenderer(brush, version="1.6", backend=backend, **settings)
    )
    found = {"ctypes": lambda: LibmypaintRenderer(brush, **settings)}
    if shutil.which("cc"):
        found = {"C loop": lambda: CompiledLoop(brush, **settings), **found}
    found |= {backend: ours(backend) for backend in available_backends()}
    found["soft"] = lambda: SoftRenderer(BATCH_SIZE, width, 3, 1.0, smallest_radius)
    return found


def rates(
    brush: str, width: int, size: int | None, threads: int = 1
) -> dict[str, list[float]]:
    """Strokes/s of each renderer, a value a round: of CPU time, or of all threads."""
    strokes = random_strokes(width, size, STEPS)
    radius = min(stroke.radius.min() for stroke in strokes)
    renderers = {
        name: [make() for _ in range(threads)]
        for name, make in makers(brush, width, radius).items()
    }
    clock = time.process_time if threads == 1 else time.perf_counter

    def paint(renderer):
        for stroke in strokes:
            renderer.step(stroke)

    found = {name: [] for name in renderers}
    with ThreadPoolExecutor(threads) as pool:
        for round_number in range(ROUNDS + 1):
            for name, group in renderers.items():
                for renderer in group:
                    renderer.reset()
                start = clock()
                if threads == 1:
                    paint(group[0])
                else:
                    list(pool.map(paint, group))
                rate = threads * STEPS * BATCH_SIZE / (clock() - start)
                if round_number:  # the first one compiles
                    found[name].append(rate)
    return found


def benchmark_render() -> None:
    """Prints strokes/s per brush, canvas and size, and their ratios to libmypaint's."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        # numpy's matrix products (soft) and libmypaint count their threads once.
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "OMP_NUM_THREADS": "1"})
    load_library()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    print(
        f"Batch {BATCH_SIZE}, random commands that all paint, canvases fetched; medians "
        f"of {ROUNDS} rounds in turn.\nC loop, ctypes: the system's libmypaint (without "
        "a C compiler, ctypes only); numpy, numba: ours, 1.6 rule.\nIn brackets: times "
        "as fast as the first.\n\nOne core, strokes per second of CPU time:"
    )
    for brush in SHIPPED_BRUSHES:
        for width, size in [(64, None), *((64, i) for i in range(6)), (256, None)]:
            _print_row(brush, width, size, rates(brush, width, size))
    os.sched_setaffinity(0, cores)
    print(f"\n{THREADS} threads, a renderer each, strokes per second together:")
    for brush in SHIPPED_BRUSHES:
        _print_row(brush, 64, None, rates(brush, 64, None, THREADS))


def _print_row(brush: str, width: int, size: int | None, found: dict) -> None:
    sizes = Painting().settings["brush_sizes"]
    radius = "any size" if size is None else f"{sizes[size]:g} px"
    first = np.array(next(iter(found.values())))
    cells = [
        f"{name} {np.median(rate):6,.0f} ({np.median(rate / first):.2f})"
        for name, rate in found.items()
    ]
    print(f"{brush:18s} {width:4d} px {radius:>9s}: {'  '.join(cells)}", flush=True)
