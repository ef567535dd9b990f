import gzip
import hashlib
import shutil
from importlib import resources

import numpy as np
import pytest

from spiral_jax.data import ImageData, load_mnist, mnist
from tests.conftest import MNIST_DIR

SUBSET = resources.files("spiral_jax.data") / "mnist_subset"


def test_embedded_subset():
    data = load_mnist("", 32, "white")
    assert data.train.images.shape == (10_000, 32, 32, 1)
    assert data.test.images.shape == (2_000, 32, 32, 1)
    # The label counts of the first 10,000 training digits of MNIST.
    counts = np.bincount(data.train.labels).tolist()
    assert counts == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert data.train.images[0, 0, 0, 0] == 255
    black = load_mnist("", 32, "black")
    np.testing.assert_array_equal(black.test.images, 255 - data.test.images)
    assert load_mnist("", 64, "white").test.images.shape == (2_000, 64, 64, 1)


@pytest.mark.skipif(not MNIST_DIR.is_dir(), reason="../shared/data/mnist is absent")
def test_full_set_and_that_the_subset_begins_it():
    full = load_mnist(str(MNIST_DIR), 32, "white")
    assert len(full.train.images) == 60_000
    assert len(full.test.images) == 10_000
    subset = load_mnist("", 32, "white")
    for ours, theirs in zip(subset, full):
        n = len(ours.images)
        np.testing.assert_array_equal(ours.images, theirs.images[:n])
        np.testing.assert_array_equal(ours.labels, theirs.labels[:n])


@pytest.mark.skipif(not MNIST_DIR.is_dir(), reason="../shared/data/mnist is absent")
@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda p: p.unlink(), FileNotFoundError, "neither t10k-labels-idx1-ubyte nor"),
        (lambda p: p.write_bytes(p.read_bytes()[:-99]), ValueError, "complete gzip"),
        (lambda p: p.write_bytes(b"<html>404"), ValueError, "complete gzip"),
        (lambda p: p.write_bytes(gzip.compress(b"\0" * 99)), ValueError, "magic 2049"),
    ],
)
def test_damaged_files_are_named(damage, error, words, tmp_path):
    for path in MNIST_DIR.glob("*.gz"):
        shutil.copy(path, tmp_path)
    damage(tmp_path / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(error, match=words) as caught:
        load_mnist(str(tmp_path), 32, "white")
    assert "t10k-labels-idx1-ubyte" in str(caught.value)
    assert "https://" in str(caught.value)


def test_short_file_and_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_mnist(str(tmp_path / "nowhere"), 32, "white")
    # The embedded files are idx files of another count than the original.
    for path in SUBSET.iterdir():
        if path.name.endswith(".gz"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"shape \(60000, 28, 28\)"):
        load_mnist(str(tmp_path), 32, "white")


@pytest.mark.skipif(not MNIST_DIR.is_dir(), reason="../shared/data/mnist is absent")
def test_uncompressed_files_are_read(tmp_path):
    digests = set()
    for path in MNIST_DIR.glob("*.gz"):
        raw = gzip.decompress(path.read_bytes())
        (tmp_path / path.stem).write_bytes(raw)
        digests.add(hashlib.md5(raw).hexdigest())
    assert len(digests) == 4
    assert len(load_mnist(str(tmp_path), 32, "white").train.images) == 60_000


@pytest.fixture
def subset(monkeypatch):
    """The embedded files, as if they were all of MNIST, unpacked."""
    monkeypatch.setattr(mnist, "COUNTS", mnist.EMBEDDED_COUNTS)
    return {
        path.name.removesuffix(".gz"): gzip.decompress(path.read_bytes())
        for path in SUBSET.iterdir()
        if path.name.endswith(".gz")
    }


@pytest.mark.parametrize(
    "called",
    [
        "{name}",
        "{dotted}",
        "{dotted}.gz",
        "MNIST/raw/{name}",
        "raw/{name}.gz",
        "{name}/{dotted}",
        "{upper}",
    ],
)
def test_files_are_found_where_and_however_they_are_called(called, subset, tmp_path):
    for name, content in subset.items():
        dotted = name.replace("-idx", ".idx")
        path = tmp_path / called.format(name=name, dotted=dotted, upper=dotted.upper())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    data, whole = load_mnist(str(tmp_path), 32, "white"), load_mnist("", 32, "white")
    np.testing.assert_array_equal(data.test.images, whole.test.images)
    np.testing.assert_array_equal(data.train.labels, whole.train.labels)


def test_what_is_there_instead_is_named(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    (tmp_path / "emnist.zip").touch()
    with pytest.raises(
        FileNotFoundError, match=r"nor train-images-idx3-ubyte.gz, but emnist.zip, train-"
    ):
        load_mnist(str(tmp_path), 32, "white")


def test_every_epoch_shows_every_picture_once():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    data = ImageData(images, seed=0)
    epochs = [
        np.concatenate([data.batch(5, 2 * e + i) for i in range(2)]) for e in range(2)
    ]
    for epoch in epochs:
        assert sorted(epoch.ravel()) == list(range(10))
    assert not np.array_equal(*epochs)
    again = ImageData(images, seed=0).batch(5, 3)
    np.testing.assert_array_equal(again, data.batch(5, 3))


@pytest.mark.parametrize("num_hosts", [1, 2, 3])
def test_hosts_share_every_batch(num_hosts):
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    whole = ImageData(images, seed=0)
    hosts = [ImageData(images, seed=0, shard=(i, num_hosts)) for i in range(num_hosts)]
    for draw in range(5):  # over the end of an epoch
        parts = [host.batch(6, draw) for host in hosts]
        assert {len(part) for part in parts} == {6 // num_hosts}
        np.testing.assert_array_equal(np.concatenate(parts), whole.batch(6, draw))


def test_impossible_shards_are_refused():
    images = np.zeros([4, 1, 1, 1], np.uint8)
    with pytest.raises(ValueError, match=r"shard=\(2, 2\): expected"):
        ImageData(images, seed=0, shard=(2, 2))
    with pytest.raises(ValueError, match="batch_size=3 cannot be split among 2 hosts"):
        ImageData(images, seed=0, shard=(0, 2)).batch(3, 0)
