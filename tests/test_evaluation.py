import numpy as np
import pytest
import scipy.linalg

from spiral_jax import evaluation
from spiral_jax.data import Dataset, LabelledImages, load_mnist, to_float


def test_frechet_distance_of_gaussians(rng):
    a = rng.normal(size=[5000, 6]) @ rng.normal(size=[6, 6])
    b = rng.normal(size=[4000, 6]) @ rng.normal(size=[6, 6]) + 1.0
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert evaluation.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert evaluation.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    shifted = evaluation.frechet_distance(a, a + 2.0)
    assert shifted == pytest.approx(6 * 4.0, rel=1e-6)


def test_classifier_is_cached_as_arrays_and_refused_when_bad(tmp_path, monkeypatch):
    data = load_mnist("", 16, "white")
    few = Dataset(*(LabelledImages(x.images[:500], x.labels[:500]) for x in data))
    path = tmp_path / "classifier.npz"
    with pytest.raises(RuntimeError, match=r"97.5% is needed"):
        evaluation.cached_classifier(path, few, seed=0)
    monkeypatch.setattr(evaluation, "LEAST_ACCURACY", 0.3)
    trained = evaluation.cached_classifier(path, few, seed=0)
    cached = evaluation.cached_classifier(path, few, seed=0)
    images = to_float(few.test.images)
    np.testing.assert_array_equal(
        evaluation.features(trained, images), evaluation.features(cached, images)
    )
    assert cached.test_accuracy == trained.test_accuracy > 0.3


@pytest.mark.slow
def test_classifier_knows_digits():
    data = load_mnist("", 32, "white")
    classifier = evaluation.train_classifier(data, seed=0)
    assert classifier.test_accuracy >= 0.975
    found = evaluation.classify(classifier, to_float(data.test.images[:700]))
    right = np.mean(found == data.test.labels[:700])
    assert right == pytest.approx(classifier.test_accuracy, abs=0.02)
