r"""The Markov chain: which scenes may have made a picture?

A scene `x` is a list of `n` objects, of which no two share a cell. Its prior is the
generator's (`data/scenes.py`): `n` uniform in 1..M, cells uniform without repetition out
of `G`, all else uniform out of `A` possibilities an object:

    p(x) = 1/M * 1/(G (G-1) ... (G-n+1)) * A^-n

The likelihood of a picture `t` is Gaussian around the rendered scene, independent for
each channel of each px, on the scale 0..1, of variance 1/4:

    log p(t|x) = -|render(x) - t|^2 / (2 * 0.25) + constant

Each proposal changes one object, all of it:

    resample (probability 1/2; 1 if M = 1): one of the n objects, each as probably, is
        drawn anew from the prior given the others.
    add or remove, where both are possible each as probably: an object drawn from the
        prior given the others is inserted at one of the n+1 places, each as probably;
        or one of the n objects goes, each as probably.

Proposals are accepted with probability `min(1, a)`, where `a` is

    p(t|x') p(x') q(x|x') / (p(t|x) p(x) q(x'|x))

For resampling, `q` is the prior given the others both ways, so `a` is the ratio of the
likelihoods. For adding, let `c(n)` be 2 where both changes of `n` are possible, else 1:

    p(x') / p(x) = 1 / ((G-n) A)
    q(x'|x) = 1/2 * 1/c(n)   * 1/(n+1) * 1/((G-n) A)
    q(x|x') = 1/2 * 1/c(n+1) * 1/(n+1)

so that `a` is the ratio of the likelihoods times `c(n)/c(n+1)`; of removing likewise,
times `c(n)/c(n-1)`. Objects are inserted anywhere, and not appended, because the order
can matter to the renderer where surfaces coincide. No proposal is impossible: each is one
call of the renderer.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from spiral_jax.environments.objects import PARTS

VARIANCE = 0.25
LOCATION = PARTS.index("location")


class Prior(NamedTuple):
    """What scenes there are, all uniform.

    Attributes:
      num_values: of each of `PARTS`.
      max_objects: M; at most as many as there are cells.
    """

    num_values: tuple[int, ...]
    max_objects: int


class Chains(NamedTuple):
    """Where the chains are, each on a picture of its own.

    Attributes:
      counts: `[N]` int32, objects of each scene.
      parts: `[N, M, 6]` int32, of each object the values of `PARTS`; 0 beyond `counts`.
      distances: `[N]` float64, l2 between the rendered scene and the picture.
      accepted: `[N]` bool, whether the last proposal was accepted.
    """

    counts: np.ndarray
    parts: np.ndarray
    distances: np.ndarray
    accepted: np.ndarray


def metropolis_hastings(
    distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
    num_chains: int,
    prior: Prior,
    seed: int,
) -> Iterator[Chains]:
    """Yields the chains after every renderer call, for ever.

    Args:
      distances: renders scenes, given as `counts` and `parts`, and returns the l2
        distance `[N]` of each to its picture. Called once before each yield.
      num_chains: N.
      prior: also what the chains start from.
      seed: the same seed gives the same chains.
    """
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(prior, rng) for _ in range(num_chains)]
    counts, parts = _batch(scenes, prior)
    reached = np.asarray(distances(counts, parts), np.float64)
    yield Chains(counts, parts, reached, np.ones(num_chains, bool))
    while True:
        proposals, corrections = zip(*(propose(scene, prior, rng) for scene in scenes))
        proposed = np.asarray(distances(*_batch(proposals, prior)), np.float64)
        log_ratios = (reached**2 - proposed**2) / (2 * VARIANCE) + corrections
        accepted = np.log(rng.random(num_chains)) < log_ratios
        scenes = [b if yes else a for a, b, yes in zip(scenes, proposals, accepted)]
        reached = np.where(accepted, proposed, reached)
        yield Chains(*_batch(scenes, prior), reached, accepted)


def draw_scene(prior: Prior, rng: np.random.Generator) -> np.ndarray:
    """Draws a scene, `[n, 6]`, from the prior."""
    scene = np.zeros((0, len(prior.num_values)), np.int32)
    for _ in range(rng.integers(1, prior.max_objects + 1)):
        scene = np.concatenate([scene, [_draw_object(scene, prior, rng)]])
    return scene


def propose(
    scene: np.ndarray, prior: Prior, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Changes one object.

    Args:
      scene: `[n, 6]`.
      prior: of objects and of n.
      rng: of the choices.

    Returns:
      The proposal, and `log(p(x') q(x|x')) - log(p(x) q(x'|x))`.
    """
    count = len(scene)
    changes = _possible_changes(count, prior)
    if not changes or rng.random() < 0.5:
        chosen = rng.integers(count)
        others = np.delete(scene, chosen, axis=0)
        new = _draw_object(others, prior, rng)
        return np.insert(others, chosen, new, axis=0), 0.0
    change = changes[rng.integers(len(changes))]
    if change == 1:
        new = _draw_object(scene, prior, rng)
        proposal = np.insert(scene, rng.integers(count + 1), new, axis=0)
    else:
        proposal = np.delete(scene, rng.integers(count), axis=0)
    back = _possible_changes(count + change, prior)
    return proposal, float(np.log(len(changes)) - np.log(len(back)))


def _possible_changes(count: int, prior: Prior) -> list[int]:
    """Returns by how much the number of objects may change."""
    return [1] * (count < prior.max_objects) + [-1] * (count > 1)


def _draw_object(
    others: np.ndarray, prior: Prior, rng: np.random.Generator
) -> np.ndarray:
    """Draws an object that shares no cell with the others."""
    while True:
        new = rng.integers(prior.num_values)
        if new[LOCATION] not in others[:, LOCATION]:
            return new


def _batch(scenes: list[np.ndarray], prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array([len(scene) for scene in scenes], np.int32)
    parts = np.zeros((len(scenes), prior.max_objects, len(prior.num_values)), np.int32)
    for scene, part in zip(scenes, parts):
        part[: len(scene)] = scene
    return counts, parts
