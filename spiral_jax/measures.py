"""How near drawings are to real pictures, by what networks make of both.

Pure functions of features `[N, F]` or classes `[N]`; docs/measures.md says what each
tells and what it does not.
"""

import numpy as np
from scipy import ndimage

NEIGHBOURS = 3
# Regions of one colour, see `colour_errors`.
LEVELS = 8
NUM_REGIONS = 5
LEAST_SHARE = 0.01


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the Fréchet distance of two sets of features, fitted by Gaussians.

    `|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))` (Heusel et al. 2017, equation 6).

    Args:
      a, b: `[N, F]` and `[M, F]` float64.
    """
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The root of S_a S_b has the trace of the root of the symmetric
    # S_a^(1/2) S_b S_a^(1/2), which needs no complex arithmetic.
    eigenvalues, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
    cross = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    trace = np.trace(cov_a) + np.trace(cov_b)
    trace -= 2.0 * np.sum(np.sqrt(np.maximum(cross, 0.0)))
    return float(np.sum((mean_a - mean_b) ** 2) + trace)


def precision_and_recall(
    real: np.ndarray, drawn: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Returns the share of drawings among real pictures, and of these among drawings.

    Each picture is given a ball that reaches to its k-th nearest neighbour within its own
    set. Precision is the share of drawings that lie in the ball of a real picture, recall
    the share of real pictures that lie in the ball of a drawing (Kynkäänniemi et al.
    2019, equations 1 and 2). Balls are closed.

    Args:
      real, drawn: `[N, F]` and `[M, F]` float64, at least two each. Both shares depend on
        N and M: only those of as many pictures compare.
      neighbours: k; of fewer pictures than k + 1, the farthest counts.

    Returns:
      Precision and recall, in 0..1.
    """
    distances = _squared_distances(real, drawn)
    precise = distances <= _squared_radii(real, neighbours)[:, None]
    recalled = distances <= _squared_radii(drawn, neighbours)[None]
    return float(precise.any(axis=0).mean()), float(recalled.any(axis=1).mean())


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)
    return np.maximum(squares - 2.0 * a @ b.T, 0.0)


def _squared_radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    distances = _squared_distances(points, points)
    np.fill_diagonal(distances, np.inf)
    place = min(neighbours, len(points) - 1) - 1
    return np.partition(distances, place, axis=1)[:, place]


def class_variation(a: np.ndarray, b: np.ndarray, num_classes: int) -> float:
    """Returns the total variation distance of two histograms of classes.

    `1/2 sum_c |p_c - q_c|`, in 0..1: the share that would have to change its class.

    Args:
      a, b: classes, `[N]` and `[M]` integers below `num_classes`.
      num_classes: how many there are.
    """
    shares = [np.bincount(x, minlength=num_classes) / len(x) for x in (a, b)]
    return float(0.5 * np.sum(np.abs(shares[0] - shares[1])))


def colour_errors(
    drawings: np.ndarray, pictures: np.ndarray, paper: np.ndarray
) -> np.ndarray:
    """Returns how far the colours of each picture's largest regions are from its own.

    A region is what hangs together, side by side, and has one colour, after channels are
    rounded to 8 levels. Regions of the paper's colour do not count, nor do those of less
    than 1 % of the picture: they need no paint, or are edges. The error is the root mean
    square over the channels, in 0..1, of the difference of the mean colours there.

    Args:
      drawings, pictures: `[N, H, W, C]` float32 in 0..1.
      paper: `[C]`, the colour of a blank canvas.

    Returns:
      Errors of at most five regions of each picture, one after the other, `[M]` float64.
    """
    errors = []
    for drawing, picture in zip(drawings, pictures):
        for region in _largest_regions(picture, paper):
            difference = drawing[region].mean(axis=0) - picture[region].mean(axis=0)
            errors.append(np.sqrt(np.mean(difference**2)))
    return np.array(errors)


def _largest_regions(picture: np.ndarray, paper: np.ndarray) -> list[np.ndarray]:
    coded = lambda x: np.round(x * (LEVELS - 1)).astype(int)
    code, least = coded(picture), LEAST_SHARE * picture[..., 0].size
    colours, counts = np.unique(
        code.reshape(-1, code.shape[-1]), axis=0, return_counts=True
    )
    regions = []
    for colour in colours[counts >= least]:
        if (colour == coded(paper)).all():
            continue
        labels, _ = ndimage.label((code == colour).all(axis=-1))
        large = np.bincount(labels.ravel()) >= least
        regions += [labels == i for i in np.flatnonzero(large[1:]) + 1]
    return sorted(regions, key=np.sum, reverse=True)[:NUM_REGIONS]
