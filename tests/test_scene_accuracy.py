"""Parses of scenes, on grids of 4x4 cells; objects are (shape, cell, size, r, g, b)."""

import numpy as np
import pytest

from spiral_jax.environments.objects import build
from spiral_jax.language import scenes_language
from spiral_jax.scene_accuracy import SceneAccuracy, compare_scenes, match_objects

ADD, CHANGE, SKIP = range(3)


def scenes(*objects):
    """Counts and parts of scenes that are lists of objects."""
    most = max(map(len, objects))
    parts = np.zeros([len(objects), most, 6], np.int32)
    for scene, part in zip(objects, parts):
        part[: len(scene)] = np.reshape(scene, (-1, 6))
    return np.array([len(scene) for scene in objects], np.int32), parts


def at(*cells):
    return np.array([(0, y * 4 + x, 0, 0, 0, 0) for y, x in cells], np.int32)


@pytest.mark.parametrize(
    ("built", "true", "expected"),
    [
        # The nearest pair goes first, though distances of 1 and 1 were possible and the
        # others are left 2 apart.
        (at((0, 1), (0, 2)), at((0, 0), (0, 1)), [[0, 1], [1, 0]]),
        # (1, 1) is nearer to (0, 0) than (0, 2) is: the root of 2 against 2.
        (at((0, 2), (1, 1)), at((0, 0)), [[1, 0]]),
        # Ties: the first true object, then the first that was built.
        (at((0, 1)), at((0, 0), (0, 2)), [[0, 0]]),
        (at((0, 2), (0, 0)), at((0, 1)), [[0, 0]]),
        (at((2, 2), (2, 2)), at((2, 2)), [[0, 0]]),
        (at((0, 3)), at((1, 3), (0, 3)), [[0, 1]]),
        # The end of a row is not beside the beginning of the next.
        (at((1, 0)), at((0, 3), (3, 0)), [[0, 1]]),
        (at(), at((0, 0)), []),
    ],
)
def test_matching_by_hand(built, true, expected):
    np.testing.assert_array_equal(
        match_objects(built.reshape(-1, 6), true, 4), np.reshape(expected, (-1, 2))
    )


def test_shares_by_hand():
    true = scenes(
        [(0, 0, 0, 1, 2, 3), (1, 5, 1, 0, 0, 0)],
        [(2, 10, 2, 3, 3, 3)],
        [(3, 15, 0, 0, 1, 0), (0, 3, 1, 1, 1, 1)],
    )
    built = scenes(
        # In another order; one has another blue, the other is one cell off and a box.
        [(0, 6, 1, 0, 0, 0), (0, 0, 0, 1, 2, 0)],
        # Of another red, and one too many.
        [(2, 10, 2, 0, 3, 3), (0, 0, 0, 0, 0, 0)],
        # One is missing, the other of another shape and green.
        [(1, 3, 1, 1, 2, 1)],
    )
    found = compare_scenes(*built, *true, grid_width=4)
    assert found == SceneAccuracy(
        count=1 / 3, shape=2 / 5, cell=3 / 5, size=4 / 5, color=1 / 5
    )
    assert compare_scenes(*true, *true, grid_width=4) == SceneAccuracy(1, 1, 1, 1, 1)
    none = np.zeros(3, np.int32), np.zeros([3, 0, 6], np.int32)
    assert compare_scenes(*none, *true, grid_width=4) == SceneAccuracy(0, 0, 0, 0, 0)


def test_what_programs_build():
    """Three commands in two worlds: add, change, skip; and change, add, add."""
    operations = np.array([[ADD, CHANGE], [CHANGE, ADD], [SKIP, ADD]])
    names = scenes_language(4).names
    actions = {name: np.arange(6).reshape(3, 2) % 3 for name in names}
    builders = build({**actions, "operation": operations})
    assert builders.counts.tolist() == [1, 3]
    assert builders.parts[0, :2].tolist() == [[2] * 6, [0] * 6]
    assert builders.parts[1, :4].tolist() == [[1] * 6, [0] * 6, [2] * 6, [0] * 6]
