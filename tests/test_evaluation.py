import dataclasses

import numpy as np
import pytest
from absl import logging

from spiral_jax import evaluation
from spiral_jax.agents import load_agent
from spiral_jax.config import preset
from spiral_jax.data import Dataset, Images, LabelledImages, load_mnist
from spiral_jax.data.registry import load_dataset
from spiral_jax.evaluation import FrechetEvaluator, compare
from spiral_jax.features import Looks
from spiral_jax.measures import frechet_distance, precision_and_recall
from spiral_jax.system import make_system

pytestmark = pytest.mark.thorough


def test_means_and_ranges_over_networks(rng):
    """Two networks; to the second one drawings are ten apart from real pictures."""
    real, drawn = rng.normal(size=[2, 50, 3]), rng.normal(size=[2, 40, 3])
    drawn[1] += 10.0
    sure, unsure = [0.995, 0.005], [0.01, 0.99]
    drawn_classes = np.array([[sure] * 10 + [unsure] * 30, [unsure] * 40])
    real_classes = np.array([[sure] * 50, [sure] * 25 + [unsure] * 25])
    found = compare(Looks(drawn, drawn_classes), Looks(real, real_classes))
    distances = [frechet_distance(*pair) for pair in zip(real, drawn)]
    assert found["frechet/lowest"] == distances[0] < 10
    assert found["frechet/highest"] == distances[1] > 250
    assert found["frechet/distance"] == pytest.approx(np.mean(distances))
    first = precision_and_recall(real[0], drawn[0])
    assert precision_and_recall(real[1], drawn[1]) == (0.0, 0.0)
    assert found["digits/precision"] == pytest.approx(first[0] / 2)
    assert found["digits/recall"] == pytest.approx(first[1] / 2)
    assert found["digits/confident"] == pytest.approx((0.25 + 0.0) / 2)
    assert found["digits/class_variation"] == pytest.approx((0.75 + 0.5) / 2)
    # One network that knows no classes: no range, no digits.
    found = compare(Looks(drawn[:1], None), Looks(real[:1], None))
    assert found == {
        "pictures/precision": pytest.approx(first[0]),
        "pictures/recall": pytest.approx(first[1]),
        "frechet/distance": pytest.approx(distances[0]),
    }


@pytest.fixture(scope="module")
def shipped():
    return load_agent("mnist")


def test_the_shipped_agent_is_between_blank_canvases_and_real_digits(shipped):
    system = shipped.system
    evaluator = FrechetEvaluator(system, load_dataset(system.config))
    measures, drawings = evaluator.measure(shipped.params)
    assert drawings.shape == (2000, 32, 32, 1)
    table = evaluator.table(measures)
    agent, real, blank = table.agent, table.real, table.blank
    assert agent == measures
    for name in ("digits/recall", "digits/confident"):
        assert blank[name] < 0.05 < 0.5 < agent[name] < real[name]
    # To one of the classifiers a blank canvas is in the ball of a thin 7, just so:
    # docs/measures.md.
    assert blank["digits/precision"] < 0.4 < 0.5 < agent["digits/precision"]
    assert agent["digits/precision"] < real["digits/precision"]
    assert agent["digits/class_variation"] > real["digits/class_variation"]
    assert blank["digits/class_variation"] > 0.8  # one class for all
    assert blank["frechet/lowest"] > 10 * agent["frechet/highest"]
    for row in (agent, real, blank):
        lowest, mean, highest = (
            row[f"frechet/{name}"] for name in ("lowest", "distance", "highest")
        )
        assert lowest < mean < highest
    assert table.test_confident == pytest.approx(real["digits/confident"], abs=0.03)
    text = str(table)
    assert f"{agent['digits/precision']:.3f}" in text
    assert f"(test digits: {table.test_confident:.3f})" in text
    assert f"precision {agent['digits/precision']:.3f}" in evaluator.in_short(measures)


def test_the_ruler_is_the_same_for_every_seed_width_and_background(tiny_config):
    """What is real is measured alike, whatever the run: nothing of it is random."""
    rows = []
    for changes in ({}, {"seed": 1}, {"background": "black"}, {"canvas_width": 64}):
        config = dataclasses.replace(preset("mnist_small"), **changes)
        system = make_system(config)
        evaluator = FrechetEvaluator(system, load_dataset(config))
        rows.append(evaluator.table({}).real)
    assert rows[1] == rows[0]
    for name, value in rows[0].items():
        assert rows[2][name] == pytest.approx(value, rel=1e-3)
        # 64 px are the digits of 32 px, blurred a little.
        assert rows[3][name] == pytest.approx(value, rel=0.15)


def test_things_that_are_no_digits_are_measured_as_pictures(
    tiny_system, tmp_path, monkeypatch
):
    """Fashion, say, in MNIST's files: said once, and the run goes on."""
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: said.append(text % args))
    monkeypatch.setattr(evaluation, "NUM_SAMPLES", 40)
    digits = load_mnist("", 16, "white")
    upside_down = Dataset(
        *(LabelledImages(x.images[:200, ::-1, ::-1], x.labels[:200]) for x in digits)
    )
    config = dataclasses.replace(tiny_system.config, data_dir=str(tmp_path))
    evaluator = FrechetEvaluator(tiny_system._replace(config=config), upside_down)
    assert len(said) == 1
    assert "measured as pictures without labels" in said[0]
    measures, _ = evaluator.measure(tiny_system.initial_policy())
    assert set(measures) == {
        "pictures/precision",
        "pictures/recall",
        "frechet/distance",
    }
    table = evaluator.table(measures)
    assert table.real["pictures/precision"] > measures["pictures/precision"]
    assert "autoencoder" in str(table)
    assert table.test_confident is None
    # Real pictures are not those that it was fitted to.
    swapped = Dataset(Images(upside_down.train.images[::-1]), upside_down.test)
    other = FrechetEvaluator(tiny_system._replace(config=config), swapped).table(measures)
    assert other.real != table.real
