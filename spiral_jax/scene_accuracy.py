"""Scenes as parses: do the objects that were built agree with the true ones?

Pictures say how near a reconstruction looks; this says whether it is the same scene.
"""

from typing import NamedTuple

import numpy as np

from spiral_jax.data.scenes import SceneImages
from spiral_jax.environments.objects import PARTS, build
from spiral_jax.types import Actions

COLORS = [PARTS.index(name) for name in ("red", "green", "blue")]
SHAPE, LOCATION, SIZE = (PARTS.index(name) for name in ("shape", "location", "size"))


class SceneAccuracy(NamedTuple):
    """How far built scenes agree with the true ones, as shares in 0..1.

    Attributes:
      count: scenes that have the right number of objects.
      shape, cell, size, color: true objects whose match (see `match_objects`) has the
        same shape, stands in the same cell, is as large, has the same red, green and
        blue. A true object without a match counts as wrong in all of them; a surplus
        object shows in `count` alone.
    """

    count: float
    shape: float
    cell: float
    size: float
    color: float

    def __str__(self) -> str:
        shares = (f"{part} {share:.1%}" for part, share in self._asdict().items())
        return ", ".join(shares)


def match_objects(built: np.ndarray, true: np.ndarray, grid_width: int) -> np.ndarray:
    """Pairs the objects of two scenes greedily by location.

    The pair whose cells are nearest to each other (Euclidean distance in cells) comes
    first, then the nearest pair of the objects that are left, until one scene has none.
    Of equally near pairs the one whose true object comes first is taken, then the one
    whose built object was added first. Nothing but the location counts.

    Args:
      built: `[P, 6]` int32: of each object the values of `PARTS`, in the order of adding.
      true: `[Q, 6]` int32, likewise.
      grid_width: of the location component.

    Returns:
      `[min(P, Q), 2]`: indices into `built` and `true`, in the order of matching.
    """
    cells = [
        np.stack(np.divmod(objects[:, LOCATION], grid_width), axis=-1)
        for objects in (true, built)
    ]
    distances = ((cells[0][:, None] - cells[1]) ** 2).sum(axis=-1)
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distances, axis=None, kind="stable"):
        q, p = divmod(int(flat), len(built))
        if all(p != other_p and q != other_q for other_p, other_q in pairs):
            pairs.append((p, q))
    return np.array(pairs, np.int64).reshape(-1, 2)


def compare_scenes(
    counts: np.ndarray,
    parts: np.ndarray,
    true_counts: np.ndarray,
    true_parts: np.ndarray,
    grid_width: int,
) -> SceneAccuracy:
    """Compares built scenes with the true ones.

    Args:
      counts, parts: `[N]` and `[N, M, 6]` int32, what was built; see `Builders`.
      true_counts, true_parts: `[N]` and `[N, M', 6]`, what there is; see `SceneImages`.
      grid_width: of the location component.
    """
    right = np.zeros(len(SceneAccuracy._fields) - 1)
    for count, part, true_count, true_part in zip(counts, parts, true_counts, true_parts):
        built, true = part[:count], true_part[:true_count]
        pairs = match_objects(built, true, grid_width)
        same = built[pairs[:, 0]] == true[pairs[:, 1]]
        right += [
            same[:, SHAPE].sum(),
            same[:, LOCATION].sum(),
            same[:, SIZE].sum(),
            same[:, COLORS].all(axis=1).sum(),
        ]
    shares = right / true_counts.sum()
    return SceneAccuracy(float(np.mean(counts == true_counts)), *map(float, shares))


def compare_programs(
    actions: Actions, scenes: SceneImages, grid_width: int
) -> SceneAccuracy:
    """Compares what programs build with the scenes that they were written for.

    Args:
      actions: valid commands, `[T, N]` int32 each.
      scenes: N of them.
      grid_width: of the location component.
    """
    built = build(actions)
    return compare_scenes(
        built.counts, built.parts, scenes.counts, scenes.parts, grid_width
    )
