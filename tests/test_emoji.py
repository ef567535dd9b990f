import re
from pathlib import Path

import numpy as np
import pytest

from experiments.make_emoji import average
from spiral_jax.data import load_emoji
from spiral_jax.data.emoji import EMOJI, LARGEST_TEST_STEM, find_stems, held_out
from spiral_jax.data.files import PictureFiles
from spiral_jax.documents import read_arrays
from tests.conftest import MNIST_DIR

SOURCE = MNIST_DIR.parent / "emoji" / "fluent_emoji_flat_128.zip"


@pytest.fixture(scope="module")
def names():
    return read_arrays(EMOJI)["names"].tolist()


@pytest.fixture(scope="module")
def data():
    return load_emoji(32)


def test_the_embedded_emoji(data):
    assert EMOJI.stat().st_size <= 3e6
    assert "Microsoft" in (EMOJI.parent / "LICENSE").read_text(encoding="utf-8")
    assert data.train.images.shape == (1411, 32, 32, 3)
    assert data.test.images.shape == (181, 32, 32, 3)
    assert [len(part.names) for part in data] == [1411, 181]
    heart = data.train.images[data.train.names.index("red-heart")]
    assert heart[0, 0].tolist() == [255, 255, 255]
    red, green, blue = heart[16, 16].astype(int)
    assert red > 2 * max(green, blue)


@pytest.mark.parametrize(("width", "use_color"), [(16, True), (64, False), (128, True)])
def test_emoji_of_any_canvas(width, use_color, data):
    test = load_emoji(width, use_color=use_color).test
    assert test.images.shape == (181, width, width, 3 if use_color else 1)
    assert test.images.dtype == np.uint8
    assert test.names == data.test.names


def test_both_sizes_are_of_the_same_pictures(data):
    halved = average(load_emoji(64).test.images, 32).astype(int)
    assert np.abs(halved - data.test.images).max() <= 1


def test_no_stem_is_both_for_training_and_testing(names, data):
    stems = find_stems(names)
    train = {stems[name] for name in data.train.names}
    test = {stems[name] for name in data.test.names}
    assert not train & test
    assert train | test == set(stems.values())
    counts = np.unique([stems[name] for name in data.test.names], return_counts=True)[1]
    assert counts.max() <= LARGEST_TEST_STEM
    assert 0.1 <= len(data.test.names) / len(names) <= 0.12


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [
        ("man-|woman-|person-", "person"),
        (".*-(oclock|thirty)", "clock"),
        (r"\w+-heart$", "heart"),
        (r"\w+-arrow$", "sign"),
        (".*-button", "sign"),
        ("keycap-", "sign"),
        ("(grinning|smiling|winking|frowning)-face", "face"),
        ("face-", "face"),
        (".*-moon(-face)?$", "moon"),
        (r"\w+-hand$|thumbs-", "hand"),
        (r"\w+-flag$", "flag"),
        (".*cat-", "cat"),
        (".*-monkey", "monkey"),
    ],
)
def test_variants_have_the_same_stem(names, pattern, stem):
    stems = find_stems(names)
    variants = [name for name in names if re.match(pattern, name)]
    assert len(variants) > 2
    assert {stems[name] for name in variants} == {stem}


def test_words_connect_names_and_qualities_do_not():
    names = ["red-apple", "green-apple", "red-hat", "top-hat", "apple-pie", "pie", "dog"]
    stems = find_stems([*names, "dog-face", "fork-with-pie", "forks"])
    assert stems["red-apple"] == stems["green-apple"] == stems["pie"] == "apple"
    assert stems["red-hat"] == stems["top-hat"] == "hat"
    assert stems["dog-face"] == "dog"
    assert stems["fork-with-pie"] == stems["forks"] == "fork"


def test_the_choice_does_not_depend_on_the_order(names, data):
    assert held_out(names[::-1]) == held_out(names) == list(data.test.names)


@pytest.mark.skipif(not SOURCE.exists(), reason="../shared/data/emoji is absent")
def test_the_file_is_what_is_made_of_the_source(names):
    files = PictureFiles(SOURCE)
    assert [Path(name).stem for name in files.names] == names
    some = range(0, len(names), 100)
    images = np.stack([files.decode(files.names[i], width=128, channels=3) for i in some])
    for width in (32, 64):
        stored = read_arrays(EMOJI)[f"images_{width}"][list(some)]
        np.testing.assert_array_equal(average(images, width), stored)
