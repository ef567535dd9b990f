"""MuJoCo scenes: generated pictures of worlds with a few objects, and what is in them.

Not imported by `spiral_jax.data`, which environments import: the generator draws with the
renderer that the `Scenes` environment draws with.
"""

import contextlib
import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from spiral_jax.data.cache import cache_folder, caching
from spiral_jax.data.images import Dataset
from spiral_jax.documents import read_arrays
from spiral_jax.environments.objects import PARTS, place
from spiral_jax.language import scenes_language
from spiral_jax.programs import Program
from spiral_jax.renderers.scene import SceneRenderer

# To be raised when the same settings come to mean other scenes.
VERSION = 1
CHUNK = 250
NUM_PROBES = 16


class SceneImages(NamedTuple):
    """Pictures of scenes and their parameters.

    Attributes:
      images: `[N, W, W, 3]` uint8.
      counts: `[N]` int32 in 1..M, objects of each scene.
      parts: `[N, M, 6]` int32: of each object the values of the components `PARTS`
        (shape, location, size, red, green, blue); 0 beyond `counts`.
    """

    images: np.ndarray
    counts: np.ndarray
    parts: np.ndarray


def load_scenes(
    data_dir: str | Path,
    canvas_width: int = 64,
    *,
    grid_width: int = 16,
    shadows: bool = True,
    max_objects: int = 5,
    num_train: int = 50_000,
    num_test: int = 1_000,
    progress: bool = True,
) -> Dataset:
    """Loads scenes of 1 to `max_objects` objects, or generates and caches them.

    Numbers of objects and all parts are uniform; no two objects of a scene stand in one
    cell; no held-out scene is among the training ones. The cached file is read if its
    settings are these, it is whole, and the renderer draws its first held-out scenes as
    they are in it; otherwise it is made again.

    Args:
      data_dir: folder of the cache; "" takes `cache.cache_folder()`.
      canvas_width, grid_width, shadows: as in `Scenes`.
      max_objects: M.
      num_train, num_test: how many scenes to generate.
      progress: whether to show a bar.

    Returns:
      `SceneImages` for training and held-out ones, the same for the same arguments.

    Raises:
      NoGLError: MuJoCo cannot draw on this machine.
      OSError: they cannot be cached.
    """
    settings = {
        "version": VERSION,
        "canvas_width": canvas_width,
        "grid_width": grid_width,
        "shadows": shadows,
        "max_objects": max_objects,
        "num_train": num_train,
        "num_test": num_test,
    }
    header = json.dumps(settings)
    digest = hashlib.sha256(header.encode()).hexdigest()[:12]
    folder = Path(data_dir) if data_dir else cache_folder()
    path = folder / f"scenes-{digest}.npz"
    renderer = SceneRenderer(canvas_width, shadows)
    try:
        found = _read(path, header)
        if found is not None and _is_current(found.test, renderer, grid_width):
            return found
        made = _generate(settings, renderer, progress)
    finally:
        renderer.close()
    temporary = path.with_suffix(f".{platform.node()}-{os.getpid()}.tmp.npz")
    arrays = {
        f"{split}_{field}": value
        for split, scenes in made._asdict().items()
        for field, value in scenes._asdict().items()
    }
    with caching(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            np.savez_compressed(temporary, header=header, **arrays)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return made


def sample_scenes(
    rng: np.random.Generator,
    num_scenes: int,
    *,
    max_objects: int,
    grid_width: int,
    excluded: frozenset = frozenset(),
) -> tuple[np.ndarray, np.ndarray]:
    """Draws parameters of scenes.

    Args:
      rng: where from.
      num_scenes: N.
      max_objects: M.
      grid_width: of the location component.
      excluded: keys (see `scene_key`) of scenes not to draw.

    Returns:
      counts `[N]` and parts `[N, M, 6]` int32, see `SceneImages`.
    """
    highs = num_part_values(grid_width)
    counts = np.zeros(num_scenes, np.int32)
    parts = np.zeros((num_scenes, max_objects, len(PARTS)), np.int32)
    index = 0
    while index < num_scenes:
        count = rng.integers(1, max_objects + 1)
        objects = rng.integers(highs, size=(count, len(PARTS)))
        cells = rng.choice(grid_width**2, count, replace=False)
        objects[:, PARTS.index("location")] = cells
        if scene_key(objects) in excluded:
            continue
        counts[index], parts[index, :count] = count, objects
        index += 1
    return counts, parts


def num_part_values(grid_width: int) -> list[int]:
    """Returns how many values each of `PARTS` has."""
    components = scenes_language(grid_width).components
    sizes = {component.name: component.num_values for component in components}
    return [sizes[name] for name in PARTS]


def scene_key(objects: np.ndarray) -> frozenset:
    """Returns what tells scenes apart: the set of their objects `[count, 6]`."""
    return frozenset(map(tuple, objects.tolist()))


def scene_program(scenes: SceneImages, index: int, settings: dict[str, Any]) -> Program:
    """Returns the program that rebuilds a scene, one object a command.

    Args:
      scenes: from `load_scenes`.
      index: which of its scenes.
      settings: of the `Scenes` environment that the program is for.
    """
    objects = scenes.parts[index, : scenes.counts[index]]
    actions = {"operation": np.zeros(len(objects), np.int32)}
    return Program({**actions, **dict(zip(PARTS, objects.T))}, settings)


def _draw(
    renderer: SceneRenderer, counts: np.ndarray, parts: np.ndarray, grid_width: int
) -> np.ndarray:
    return renderer.render(place(counts, parts, grid_width))


def _generate(
    settings: dict[str, Any], renderer: SceneRenderer, progress: bool
) -> Dataset:
    # Held-out scenes first: they are the same whatever the number of training scenes.
    made: dict[str, SceneImages] = {}
    total = settings["num_test"] + settings["num_train"]
    excluded: frozenset = frozenset()
    with tqdm(total=total, desc="drawing scenes", disable=not progress) as bar:
        for index, split in enumerate(("test", "train")):
            counts, parts = sample_scenes(
                np.random.default_rng([VERSION, index]),
                settings[f"num_{split}"],
                max_objects=settings["max_objects"],
                grid_width=settings["grid_width"],
                excluded=excluded,
            )
            excluded = frozenset(scene_key(p[:n]) for n, p in zip(counts, parts))
            images = []
            for i in range(0, len(counts), CHUNK):
                chunk = slice(i, i + CHUNK)
                grid_width = settings["grid_width"]
                images.append(_draw(renderer, counts[chunk], parts[chunk], grid_width))
                bar.update(len(images[-1]))
            made[split] = SceneImages(np.concatenate(images), counts, parts)
    return Dataset(**made)


def _read(path: Path, header: str) -> Dataset | None:
    """Reads a cached file; None if there is none, or it is damaged or of other scenes."""
    try:
        arrays = read_arrays(path)
        if str(arrays["header"]) != header:
            return None
        return Dataset(
            **{
                split: SceneImages(
                    *(arrays[f"{split}_{field}"] for field in SceneImages._fields)
                )
                for split in Dataset._fields
            }
        )
    except (OSError, ValueError, KeyError):
        return None


def _is_current(scenes: SceneImages, renderer: SceneRenderer, grid_width: int) -> bool:
    """Whether the renderer of today draws the first scenes as they were drawn."""
    images, counts, parts = (field[:NUM_PROBES] for field in scenes)
    return np.array_equal(images, _draw(renderer, counts, parts, grid_width))
