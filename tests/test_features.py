import numpy as np
import pytest

from experiments.compare_features import halves_exchanged, random_network
from experiments.train_classifiers import train_classifier
from spiral_jax.agents import load_agent
from spiral_jax.data import load_mnist
from spiral_jax.features import (
    accuracy,
    as_ink,
    classify,
    encode,
    fit_autoencoder,
    load_classifiers,
    save_classifiers,
    split,
)
from spiral_jax.measures import precision_and_recall


@pytest.fixture(scope="module")
def digits():
    return load_mnist("", 32, "black")


def test_what_networks_learn_from_is_never_called_real():
    for num, sizes in (
        (60_000, (8000, 2000)),
        (10_000, (8000, 2000)),
        (50, (40, 10)),
        (3, (1, 2)),
    ):
        numbers = np.arange(num)
        learnt, real = split(numbers)
        assert (len(learnt), len(real)) == sizes
        np.testing.assert_array_equal(
            np.concatenate([learnt, real]), numbers[: sum(sizes)]
        )


def test_ink_by_hand(rng):
    picture = np.zeros([1, 64, 64, 3], np.uint8)
    picture[0, 2, 5, 1] = 255  # one of the four px of the block (1, 2)
    ink = as_ink(picture, "black")
    assert ink.shape == (1, 32, 32, 3)
    assert ink.dtype == np.float32
    assert ink[0, 1, 2, 1] == 0.25
    assert ink.sum() == 0.25
    np.testing.assert_allclose(as_ink(255 - picture, "white"), ink, atol=1e-6)
    small = rng.random([600, 16, 16, 1]).astype(np.float32)
    large = as_ink(small, "black")
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(large[:, i::2, j::2], small)


def test_the_shipped_classifiers_know_digits_that_they_have_not_seen(digits):
    classifiers = load_classifiers()
    assert len(classifiers) == 3
    for params in classifiers:
        looks = classify([params], as_ink(digits.test.images, "black"))
        assert looks.features.shape == (1, 2000, 64)
        assert accuracy(looks, digits.test.labels) >= 0.975
    # What they learnt from they know better than what is called real, and that as well as
    # test digits: they have not learnt from it.
    surprise = []
    labels = [*split(digits.train.labels), digits.test.labels]
    for images, label in zip([*split(digits.train.images), digits.test.images], labels):
        looks = classify(classifiers, as_ink(images, "black"))
        right = looks.probabilities[:, np.arange(len(label)), label]
        surprise.append(-np.log(right + 1e-9).mean())
    assert surprise[0] < 0.6 * surprise[1]
    assert surprise[1] == pytest.approx(surprise[2], rel=0.4)


def test_classifiers_are_written_and_read(tmp_path):
    classifiers = load_classifiers()
    save_classifiers(tmp_path / "some" / "again.npz", classifiers)
    again = load_classifiers(tmp_path / "some" / "again.npz")
    ink = np.random.default_rng(0).random([3, 32, 32, 1], np.float32)
    one, other = classify(classifiers, ink), classify(again, ink)
    np.testing.assert_array_equal(one.features, other.features)
    assert not np.allclose(one.features[0], one.features[1], atol=0.1)


@pytest.mark.slow
def test_a_few_epochs_make_a_classifier(digits):
    ink, _ = split(as_ink(digits.train.images, "black"))
    labels, _ = split(digits.train.labels)
    params = train_classifier(ink, labels, seed=0, epochs=3)
    looks = classify([params], as_ink(digits.test.images, "black"))
    assert accuracy(looks, digits.test.labels) > 0.93


def test_no_linear_code_of_its_width_keeps_more(rng):
    """Of pictures of few shapes nothing is lost; else as much as an SVD says."""
    shapes = rng.random([5, 16, 16, 3]).repeat(2, axis=1).repeat(2, axis=2)
    mixed = np.tensordot(rng.random([40, 5]), shapes, 1).astype(np.float32) / 5
    autoencoder = fit_autoencoder(mixed)
    codes = encode(autoencoder, mixed).features[0]
    pixels = mixed[:, ::2, ::2].reshape(40, -1)
    np.testing.assert_allclose(
        codes @ autoencoder.components.T + autoencoder.mean, pixels, atol=1e-5
    )
    noise = rng.random([300, 32, 32, 1]).astype(np.float32)
    autoencoder = fit_autoencoder(noise)
    codes = encode(autoencoder, noise).features[0]
    assert codes.shape == (300, 64)
    pixels = noise.reshape(300, 16, 2, 16, 2).mean((2, 4), dtype=float).reshape(300, -1)
    values = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False)
    lost = pixels - codes @ autoencoder.components.T - autoencoder.mean
    assert np.sum(lost**2) == pytest.approx(np.sum(values[64:] ** 2), rel=1e-6)


def test_an_autoencoder_tells_real_from_drawn_where_random_weights_do_not(digits):
    """Digits without labels: the shipped agent's drawings, and halves that do not fit."""
    learnt, real = (as_ink(part, "black") for part in split(digits.train.images))
    real, test = real[:1000], as_ink(digits.test.images[:1000], "black")
    _, canvases = load_agent("mnist").sample(1000, seed=0)
    autoencoder = fit_autoencoder(learnt)
    random = random_network(learnt)
    precisions = []
    for look in (lambda ink: encode(autoencoder, ink), random):
        expected = look(test).features[0]
        for ink in (real, as_ink(canvases, "white"), halves_exchanged(real)):
            found = look(ink).features[0]
            precisions.append(precision_and_recall(expected, found)[0])
    trained, untrained = precisions[:3], precisions[3:]
    assert trained[0] > trained[1] + 0.04 > trained[2] + 0.3
    assert untrained[1] > untrained[0] - 0.02  # an agent's are as good as real ones
    assert untrained[0] - untrained[2] < 0.6 * (trained[0] - trained[2])
