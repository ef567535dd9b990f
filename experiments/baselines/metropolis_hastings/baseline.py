"""The chains on held-out scenes: l2 against renderer calls, and parses."""

from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.baselines.metropolis_hastings.sampler import (
    VARIANCE,
    Chains,
    Prior,
    metropolis_hastings,
)
from spiral_jax.config import Config
from spiral_jax.data import to_float
from spiral_jax.data.registry import load_dataset
from spiral_jax.data.scenes import SceneImages, num_part_values
from spiral_jax.environments.objects import place
from spiral_jax.renderers.scene import SceneRenderer
from spiral_jax.rewards import negative_distance
from spiral_jax.scene_accuracy import compare_scenes

MOMENTS_PER_DECADE = 10


def settings_of(config: Config, num_images: int, seed: int) -> dict[str, Any]:
    """Returns what the chains depend on, as JSON can hold it."""
    names = ("canvas_width", "grid_width", "shadows", "max_objects")
    settings = {name: getattr(config, name) for name in names}
    return {**settings, "num_images": num_images, "seed": seed, "variance": VARIANCE}


def run_baseline(
    config: Config, num_images: int, renderer_calls: int, seed: int, progress: bool = True
) -> dict[str, Any]:
    """Runs a chain on each of the first held-out pictures.

    Ctrl-C ends the chains early; what they have reached is returned.

    Args:
      config: of the data.
      num_images: N.
      renderer_calls: of each chain, at least 1.
      seed: of the chains.
      progress: whether to show a bar.

    Returns:
      As JSON can hold it: `"settings"`; `"renderer_calls"`, as many as were made;
      `"curve"`, mean l2 after so many calls, of the current scenes and of the best so
      far; `"parse"` of both at the end, see `SceneAccuracy`; `"accepted"`, share of
      proposals.

    Raises:
      ValueError: MuJoCo cannot draw, or there are not so many pictures.
    """
    scenes = load_dataset(config).test
    if not 1 <= num_images <= len(scenes.images):
        raise ValueError(
            f"num_images={num_images}: expected 1..{len(scenes.images)}, the held-out "
            "pictures."
        )
    scenes = SceneImages(*(field[:num_images] for field in scenes))
    targets = to_float(scenes.images)
    renderer = SceneRenderer(config.canvas_width, config.shadows)

    def distances(counts: np.ndarray, parts: np.ndarray) -> np.ndarray:
        pictures = renderer.render(place(counts, parts, config.grid_width))
        return -np.asarray(negative_distance(to_float(pictures), targets))

    prior = Prior(tuple(num_part_values(config.grid_width)), config.max_objects)
    chains = metropolis_hastings(distances, num_images, prior, seed)
    now = best = next(chains)
    means, accepted = [(now.distances.mean(), best.distances.mean())], 0
    calls = range(1, renderer_calls)
    try:
        for _ in tqdm(calls, desc="Metropolis-Hastings", disable=not progress):
            now = next(chains)
            best = _nearer(now, best)
            means.append((now.distances.mean(), best.distances.mean()))
            accepted += now.accepted.sum()
    except KeyboardInterrupt:
        pass
    finally:
        renderer.close()
    moments = _moments(len(means))
    ends = {"current": now, "best": best}
    return {
        "settings": settings_of(config, num_images, seed),
        "renderer_calls": len(means),
        "accepted": float(accepted / max(1, (len(means) - 1) * num_images)),
        "parse": {
            name: compare_scenes(
                end.counts, end.parts, scenes.counts, scenes.parts, config.grid_width
            )._asdict()
            for name, end in ends.items()
        },
        "curve": {
            "renderer_calls": moments,
            **{
                name: [float(means[moment - 1][i]) for moment in moments]
                for i, name in enumerate(ends)
            },
        },
    }


def _nearer(now: Chains, best: Chains) -> Chains:
    """Takes each chain from `now` where that is nearer to its picture."""
    better = now.distances < best.distances
    return Chains(
        *(
            np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(now, best)
        )
    )


def _moments(num_calls: int) -> list[int]:
    """Returns 1..num_calls thinned out to some per decade."""
    num = 1 + int(MOMENTS_PER_DECADE * np.log10(num_calls))
    return sorted(set(np.geomspace(1, num_calls, num).round().astype(int).tolist()))
