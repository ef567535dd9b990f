"""Frames per second of the scenes environment, for `experiments.benchmark scenes`."""

import cProfile
import pstats
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from spiral_jax.environments import Scenes
from spiral_jax.renderers.scene import SceneRenderer

BATCH_SIZE = 64
THREADS = 2
# Functions whose time is told apart: (end of the file's name, function).
PARTS = {
    "objects into MuJoCo's arrays": ("spiral_jax/renderers/scene.py", "_arrange"),
    "MuJoCo lists what to draw": ("mujoco/rendering/classic/renderer.py", "update_scene"),
    "GL draws, px are read": ("mujoco/rendering/classic/renderer.py", "render"),
}


def play(environment: Scenes, episodes: int = 1) -> None:
    """Plays episodes of random commands that all add an object."""
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        environment.reset()
        for _ in range(environment.episode_length - 1):
            actions = environment.language.random((environment.batch_size,), rng)
            environment.step({**actions, "operation": np.zeros_like(actions["size"])})


def frames_per_second(settings: dict, threads: int, seconds: float) -> float:
    """Returns the frames that `threads` environments draw together in a second."""

    def work(_) -> tuple[int, float]:
        environment = Scenes(batch_size=BATCH_SIZE, **settings)
        play(environment)
        start, frames = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            play(environment)
            frames += BATCH_SIZE * (environment.episode_length - 1)
        taken = time.monotonic() - start
        environment.close()
        return frames, taken

    with ThreadPoolExecutor(threads) as pool:
        return sum(frames / taken for frames, taken in pool.map(work, range(threads)))


def profile(settings: dict) -> dict[str, float]:
    """Returns seconds per frame of each of `PARTS`, and of the rest."""
    environment = Scenes(batch_size=BATCH_SIZE, **settings)
    play(environment)
    profiler = cProfile.Profile()
    profiler.runcall(play, environment)
    statistics = pstats.Stats(profiler)
    frames = BATCH_SIZE * (environment.episode_length - 1)
    shares = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in statistics.stats.items():
        for part, (end, name) in PARTS.items():
            if name == function and file.endswith(end):
                shares[part] += cumulative / frames
    shares["everything else"] = statistics.total_tt / frames - sum(shares.values())
    environment.close()
    return shares


def benchmark_scenes(seconds: float) -> None:
    """Prints frames/s per size, shadows and threads, and where the time goes."""
    renderer = SceneRenderer(canvas_width=32, shadows=False)
    print(f"renderer: {renderer.gl}; batch {BATCH_SIZE}, all commands add")
    renderer.close()
    for width in (32, 64, 128):
        for shadows in (False, True):
            settings = {"canvas_width": width, "shadows": shadows}
            speeds = [
                frames_per_second(settings, threads, seconds) for threads in (1, THREADS)
            ]
            print(
                f"{width:4d} px, shadows {'on' if shadows else 'off':3s} "
                f"{speeds[0]:8,.0f} frames/s in one thread, {speeds[1]:8,.0f} in "
                f"{THREADS} together"
            )
    for shadows in (False, True):
        parts = profile({"canvas_width": 64, "shadows": shadows})
        total = sum(parts.values())
        print(f"64 px, shadows {'on' if shadows else 'off'}, ms of a frame, profiled:")
        for name, taken in parts.items():
            print(f"  {name:32s} {1e3 * taken:6.3f} {taken / total:5.0%}")
