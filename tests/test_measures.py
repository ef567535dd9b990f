import numpy as np
import pytest
import scipy.linalg

from spiral_jax.measures import (
    class_variation,
    colour_errors,
    frechet_distance,
    precision_and_recall,
)


def test_frechet_distance_of_gaussians(rng):
    a = rng.normal(size=[5000, 6]) @ rng.normal(size=[6, 6])
    b = rng.normal(size=[4000, 6]) @ rng.normal(size=[6, 6]) + 1.0
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    shifted = frechet_distance(a, a + 2.0)
    assert shifted == pytest.approx(6 * 4.0, rel=1e-6)


def test_precision_and_recall_by_hand():
    """On a line. Real pictures at 0, 1, 3, 7: with k = 1, balls of radius 1, 1, 2, 4."""
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    # Covered are [-1, 5] and [3, 11], their ends included. Of these drawings -1, 5 and 11
    # are on a ball's edge, 11.5 is outside. Their own balls: 6 (to 5), 6, 0.5, 0.5.
    drawn = np.array([[-1.0], [5.0], [11.0], [11.5]])
    # They cover [-7, 5], [-1, 11], [10.5, 11.5] and [11, 12]: all real pictures.
    assert precision_and_recall(real, drawn, neighbours=1) == (0.75, 1.0)
    # Equal drawings have balls without extent: whatever is not where they are is missed.
    equal = np.full([5, 1], 0.5)
    assert precision_and_recall(real, equal, neighbours=1) == (1.0, 0.0)
    # With k = 2 real balls have radii 3, 2, 3, 6.
    assert precision_and_recall(real, np.array([[-3.0], [-3.5]]), 2) == (0.5, 0.0)
    # In the plane: corners of a square of side 2, whose nearest neighbours are 2 away.
    # Its centre is sqrt(2) from all; a point 2.2 beside a corner is in no ball.
    square = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    drawn = np.array([[1.0, 1.0], [4.2, 2.0]])
    precision, recall = precision_and_recall(square, drawn, neighbours=1)
    assert precision == 0.5
    assert recall == 1.0  # each drawing's ball reaches to the other, over 3 away
    # Fewer pictures than k + 1: the farthest neighbour counts, here the only one. Balls
    # of 0 and 1 reach to 2; those of 1 and 4.2 reach over 3.
    assert precision_and_recall(real[:2], drawn[:, :1], 3) == (0.5, 1.0)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_as_in_a_loop(rng, neighbours):
    real = rng.normal(size=[60, 4])
    drawn = 0.8 * rng.normal(size=[50, 4]) + 0.5

    def share_within(points, centres):
        inside = 0
        for point in points:
            for i, centre in enumerate(centres):
                others = np.delete(centres, i, axis=0)
                reach = sorted(np.linalg.norm(o - centre) for o in others)[neighbours - 1]
                if np.linalg.norm(point - centre) <= reach:
                    inside += 1
                    break
        return inside / len(points)

    expected = share_within(drawn, real), share_within(real, drawn)
    assert 0.2 < min(expected) < max(expected) < 1
    assert precision_and_recall(real, drawn, neighbours) == pytest.approx(expected)


def test_class_variation_by_hand():
    fair = np.array([0, 1, 2, 3])
    assert class_variation(fair, fair[::-1], 4) == 0.0
    assert class_variation(np.zeros(8, int), fair, 4) == 0.75
    # Half of the first are 1 where all of the second are.
    assert class_variation(np.array([1, 2]), np.array([1, 1, 1]), 5) == 0.5


def test_colour_errors_by_hand():
    """A red field, a blue one on white, specks; drawn on paper, and in wrong colours."""
    picture = np.ones([1, 20, 20, 3])
    picture[0, :10, :10] = 1, 0, 0
    picture[0, 12:16, 12:16] = 0, 0, 1
    picture[0, 0, 19] = 0, 1, 0  # less than 1 %
    white = np.ones(3)
    assert colour_errors(picture, picture, white).tolist() == [0, 0]
    blank = np.ones_like(picture)
    # Two channels of three are 1 off.
    assert colour_errors(blank, picture, white) == pytest.approx([(2 / 3) ** 0.5] * 2)
    drawing = blank.copy()
    drawing[0, :10, :5] = 1, 0, 0  # half of the red: means count
    drawing[0, 12:16, 12:16] = 0.3, 0, 1
    found = colour_errors(drawing, picture, white)
    assert found == pytest.approx([(0.5 / 3) ** 0.5, (0.09 / 3) ** 0.5], rel=1e-6)
    # The paper's colour may be any; all pictures' regions stand one after the other.
    both = np.concatenate([picture, picture[:, ::-1]])
    assert len(colour_errors(both, both, np.array([1.0, 0, 0]))) == 4


def test_only_the_five_largest_regions_count():
    picture = np.ones([1, 40, 40, 3])
    for i in range(7):
        picture[0, 5 * i : 5 * i + 4, : 10 + i] = (i + 1) / 7 * np.array([1, 0, 0])
    drawing = picture.copy()
    drawing[0, :9] = 0.5  # the two smallest
    assert colour_errors(drawing, picture, np.ones(3)).tolist() == [0] * 5
