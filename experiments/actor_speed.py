"""Frames per second of actors in threads and processes, for `benchmark actors`.

In the actors' processes it is imported as well, for the pens that it registers.
"""

import contextlib
import dataclasses
import functools
import time

import numpy as np

from spiral_jax.config import Config, preset
from spiral_jax.devices import DeviceGroup
from spiral_jax.environments import Painting, register_environment
from spiral_jax.environments.painting import language_of
from spiral_jax.ray_cluster import joined
from spiral_jax.renderers.mypaint import available_backends
from spiral_jax.system import make_system
from spiral_jax.training.sources import make_source, make_store

COUNTS = (1, 2)
KINDS = ("threads", "ray")

for backend in available_backends():
    register_environment(
        f"{backend}_pen", functools.partial(Painting, renderer=backend), language_of
    )


def configurations() -> dict[str, Config]:
    """Returns runs that differ in what their actors draw with, by name."""
    pen = preset("mnist_pen")
    own = {name: getattr(pen, name) for name in ("brush", "use_pressure", "compound")}
    own["brush_sizes"] = list(pen.brush_sizes)
    return {
        "soft": preset("mnist_small"),
        **{
            f"pen, {backend}": dataclasses.replace(
                pen, environment_name=f"{__name__}:{backend}_pen", own=own
            )
            for backend in available_backends()
        },
        "scenes": preset("scenes_small"),
    }


def frames_per_second(config: Config, seconds: float) -> float:
    """Returns the frames that a run's actors play in a second, with nobody to learn."""
    system, store = make_system(config), make_store(config)
    store.publish(0, system.initial_policy())
    shape = (config.batch_size, *system.blank.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    source = make_source(system, store, 0, images, DeviceGroup())
    with contextlib.closing(source):
        source.example()
        source.start()
        for _ in range(2 + config.queue_capacity):  # what was played before this began
            source.next()
        start, batches = time.monotonic(), 0
        while time.monotonic() - start < seconds or not batches:
            source.next()
            batches += 1
        return batches * config.frames_per_update / (time.monotonic() - start)


def benchmark_actors(seconds: float) -> None:
    """Prints frames/s, and how many times those of one thread that is.

    Args:
      seconds: how long each is measured.
    """
    head = [f"{kind} x {count}" for kind in KINDS for count in COUNTS]
    print(f"| frames/s | {' | '.join(head)} |\n|{'---|' * (1 + len(head))}")
    with joined(num_cpus=max(COUNTS)):
        for name, config in configurations().items():
            cells, first = [], 0.0
            for kind in KINDS:
                for count in COUNTS:
                    changes = {"actors": kind, "num_actors": count}
                    rate = frames_per_second(
                        dataclasses.replace(config, **changes), seconds
                    )
                    first = first or rate
                    cells.append(f"{rate:,.0f} ({rate / first:.2f})")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
