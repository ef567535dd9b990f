import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from experiments.baselines.metropolis_hastings.baseline import run_baseline
from experiments.baselines.metropolis_hastings.sampler import (
    Prior,
    draw_scene,
    metropolis_hastings,
    propose,
)
from spiral_jax.config import preset
from spiral_jax.data.scenes import num_part_values, sample_scenes
from tests.conftest import needs_gl
from tests.test_experiments import run

pytestmark = pytest.mark.thorough

# Two shapes, three cells, all else fixed; up to three objects: 78 lists of objects.
TOY = Prior((2, 3, 1, 1, 1, 1), max_objects=3)


def toy_scenes() -> dict[tuple, float]:
    """All lists of objects (shape, cell) of the toy, and their prior."""
    scenes = {}
    for count in (1, 2, 3):
        for cells in itertools.permutations(range(3), count):
            for shapes in itertools.product(range(2), repeat=count):
                one_of = [3, 3 * 2, 3 * 2 * 1][count - 1] * 2**count
                scenes[tuple(zip(shapes, cells))] = 1 / 3 / one_of
    return scenes


def key_of(objects: np.ndarray) -> tuple:
    return tuple((int(shape), int(cell)) for shape, cell in objects[:, :2])


def test_the_chains_have_the_posterior_for_their_stationary_distribution():
    prior = toy_scenes()
    assert len(prior) == 78
    assert sum(prior.values()) == pytest.approx(1)
    rng = np.random.default_rng(0)
    # l2 to the picture; the likelihood is exp(-d^2 / (2 * 0.25)), down to 0.13.
    distance = {key: rng.uniform(0, 1) for key in prior}
    weight = {key: p * np.exp(-2 * distance[key] ** 2) for key, p in prior.items()}
    posterior = {key: w / sum(weight.values()) for key, w in weight.items()}

    def distances(counts, parts):
        return [distance[key_of(part[:n])] for n, part in zip(counts, parts)]

    num_chains, burn_in, length = 200, 30, 800
    seen: Counter = Counter()
    chains = metropolis_hastings(distances, num_chains, TOY, seed=0)
    for now in itertools.islice(chains, burn_in, burn_in + length):
        seen.update(key_of(part[:n]) for n, part in zip(now.counts, now.parts))
        np.testing.assert_array_equal(now.distances, distances(now.counts, now.parts))
    shares = {key: seen[key] / (num_chains * length) for key in prior}
    for count in (1, 2, 3):
        expected = sum(p for key, p in posterior.items() if len(key) == count)
        found = sum(p for key, p in shares.items() if len(key) == count)
        assert found == pytest.approx(expected, abs=0.01)
    # Half the sum of the differences: 0 if the same, 1 if disjoint.
    wrong = 0.5 * sum(abs(shares[key] - posterior[key]) for key in prior)
    assert wrong < 0.02
    unlike = 0.5 * sum(abs(prior[key] - posterior[key]) for key in prior)
    assert unlike > 0.1  # the likelihood matters


@pytest.mark.parametrize("max_objects", [1, 2, 5])
def test_proposals_change_one_object_and_share_no_cell(max_objects, rng):
    prior = Prior(tuple(num_part_values(3)), max_objects)
    scene = draw_scene(prior, rng)
    changes = Counter()
    for _ in range(500):
        before, (scene, correction) = scene, propose(scene, prior, rng)
        change = len(scene) - len(before)
        changes[change] += 1
        assert 1 <= len(scene) <= max_objects
        assert len(set(scene[:, 1])) == len(scene)
        common = Counter(map(tuple, scene)) & Counter(map(tuple, before))
        assert common.total() >= max(len(scene), len(before)) - 1
        ends = [count in (1, max_objects) for count in (len(before), len(scene))]
        expected = np.log(2) * (int(ends[1]) - int(ends[0])) if max_objects > 2 else 0
        assert correction == pytest.approx(expected)
    assert set(changes) == ({0} if max_objects == 1 else {-1, 0, 1})
    if max_objects > 1:
        assert changes[0] == pytest.approx(250, abs=50)


def test_chains_start_from_the_generators_prior():
    rng = np.random.default_rng(0)
    prior = Prior(tuple(num_part_values(4)), max_objects=3)
    ours = [draw_scene(prior, rng) for _ in range(3000)]
    counts, parts = sample_scenes(rng, 3000, max_objects=3, grid_width=4)
    theirs = [part[:count] for count, part in zip(counts, parts)]
    means = [
        np.concatenate([[np.mean([len(s) for s in x])], np.concatenate(x).mean(axis=0)])
        for x in (ours, theirs)
    ]
    np.testing.assert_allclose(*means, rtol=0.06)


def test_the_seed_decides():
    def distances(counts, parts):
        return parts.sum(axis=(1, 2)) / 10

    def walk(seed):
        chains = metropolis_hastings(distances, 3, TOY, seed)
        return np.stack([now.parts for now in itertools.islice(chains, 30)])

    np.testing.assert_array_equal(walk(1), walk(1))
    assert (walk(1) != walk(2)).any()


@needs_gl
def test_scenes_come_nearer_on_an_easy_case(tmp_path):
    """One object in 2x2 cells: 300 renderer calls find most of it."""
    config = dataclasses.replace(
        preset("scenes_small"),
        grid_width=2,
        max_objects=1,
        num_scenes=1,
        data_dir=str(tmp_path),
    )
    result = run_baseline(config, 10, 300, seed=0, progress=False)
    curve = result["curve"]
    assert curve["renderer_calls"][0] == 1
    assert curve["renderer_calls"][-1] == result["renderer_calls"] == 300
    assert curve["best"] == sorted(curve["best"], reverse=True)
    assert curve["best"][0] == curve["current"][0]
    assert curve["best"][-1] < 0.4 * curve["best"][0]
    assert curve["current"][-1] < 0.6 * curve["current"][0]
    assert result["parse"]["best"]["count"] == 1
    assert result["parse"]["best"]["cell"] >= 0.8
    again = run_baseline(config, 10, 300, seed=0, progress=False)
    assert again == result
    with pytest.raises(ValueError, match=r"num_images=1001: expected 1\.\.1000"):
        run_baseline(config, 1001, 1, seed=0, progress=False)


@needs_gl
def test_the_command_writes_what_it_prints(tmp_path):
    out = tmp_path / "folder" / "mh.json"
    result = run(
        "baselines.metropolis_hastings",
        *("--canvas_width=16", "--num_scenes=1", f"--data_dir={tmp_path}"),
        *("--num_images=2", "--renderer_calls=5", f"--out={out}"),
    )
    assert result.returncode == 0, result.stderr
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["settings"]["num_images"] == 2
    assert written["curve"]["renderer_calls"] == [1, 2, 3, 4, 5]
    assert f"{written['curve']['best'][-1]:.3f}" in result.stdout
    result = run("baselines.metropolis_hastings", "--preset=mnist_small")
    assert result.returncode != 0
    assert "expected one whose data are scenes" in result.stderr
