"""Arrays as data: the pictures of a `.npy` or `.npz`, read as those of a folder are."""

import io

import numpy as np
import pytest
from PIL import Image

from spiral_jax.data import cache, load_folder
from spiral_jax.data.arrays import open_pictures
from spiral_jax.data.decoding import decode


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Nothing is cached in the home of who runs the tests."""
    monkeypatch.setattr(cache, "_chosen", [tmp_path_factory.mktemp("cache")])


def load(path, **settings):
    return load_folder(path, 8, **{"use_color": False, "progress": False, **settings})


def greys(data):
    """The one value that each picture has, of both splits."""
    images = np.concatenate([data.train.images, data.test.images])
    assert images.dtype == np.uint8
    assert (images == images[:, :1, :1, :1]).all()
    return sorted(images[:, 0, 0, 0].tolist())


def squares(values, shape=(16, 16)):
    """Pictures `[N, H, W]`, each of one value."""
    return np.stack([np.full(shape, value) for value in values])


LEVELS = np.arange(0, 240, 6, dtype=np.uint8)
GREY = squares(LEVELS)


@pytest.mark.parametrize(
    "images",
    [
        GREY,
        GREY[..., None],
        np.repeat(GREY[..., None], 3, axis=-1),
        (GREY / 255).astype(np.float16),
        np.asfortranarray(GREY / 255)[..., None],
        GREY.astype(">f4") / 255,
    ],
    ids=["grey", "1", "3", "float16", "fortran", "big-endian"],
)
def test_every_form_gives_the_same_pictures(images, tmp_path):
    np.save(tmp_path / "a.npy", images)
    data = load(tmp_path / "a.npy")
    assert data.train.images.shape == (36, 8, 8, 1)
    assert data.test.images.shape == (4, 8, 8, 1)
    assert greys(data) == LEVELS.tolist()
    color = load(tmp_path / "a.npy", use_color=True, invert=True)
    assert color.test.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(color.test.images[..., :1], 255 - data.test.images)


def test_the_pictures_of_a_zip_of_arrays(tmp_path):
    np.savez(tmp_path / "one.npz", GREY)
    np.savez_compressed(tmp_path / "many.npz", images=GREY, labels=LEVELS)
    one, many = load(tmp_path / "one.npz"), load(tmp_path / "many.npz")
    assert greys(one) == greys(many) == LEVELS.tolist()
    np.testing.assert_array_equal(one.test.images, many.test.images)
    np.savez(tmp_path / "which.npz", x=GREY, y=LEVELS)
    with pytest.raises(
        ValueError, match=r"arrays \['x', 'y'\]; expected .* 'images', as"
    ):
        load(tmp_path / "which.npz")


def test_arrays_are_shown_as_files_of_them_are(tmp_path):
    """Cropped, resized and laid on paper by the very rule of picture files."""
    rng = np.random.default_rng(0)
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        images = rng.integers(0, 256, [20, 24, 17, channels], np.uint8)
        np.save(tmp_path / "a.npy", images)
        source = open_pictures(tmp_path / "a.npy")
        assert source.names == tuple(map(str, range(20)))
        for how in ({}, {"background": "black"}, {"invert": True}, {"crop": 12}):
            how = {"width": 8, "channels": 3, **how}
            file = io.BytesIO()
            Image.fromarray(images[7]).save(file, "PNG")
            with Image.open(io.BytesIO(file.getvalue())) as image:
                assert image.mode == mode
            found = source.decode("7", **how)
            np.testing.assert_array_equal(found, decode(file.getvalue(), **how))


def test_what_is_transparent_shows_paper(tmp_path):
    clear = np.zeros([20, 16, 16, 4], np.float32)
    np.save(tmp_path / "a.npy", clear)
    assert greys(load(tmp_path / "a.npy")) == [255] * 20
    assert greys(load(tmp_path / "a.npy", background="black")) == [0] * 20


def test_pictures_that_are_not_finite_are_left_out(tmp_path, caplog):
    images = GREY.astype(np.float32) / 255
    images[3, 5, 5], images[7, 0, 0] = np.nan, np.inf
    np.save(tmp_path / "a.npy", images)
    kept = [level for i, level in enumerate(LEVELS.tolist()) if i not in (3, 7)]
    assert greys(load(tmp_path / "a.npy")) == kept
    assert "a.npy/3 (not all of its values are finite numbers)" in caplog.text
    assert "a.npy/7 (not all" in caplog.text
    with pytest.raises(ValueError, match=r"cannot be read.*strict=True"):
        load(tmp_path / "a.npy", strict=True)


def test_a_changed_array_is_read_again(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, GREY)
    before = set(load(path).test.images[:, 0, 0, 0].tolist())
    np.save(path, GREY[::-1])
    assert set(load(path).test.images[:, 0, 0, 0].tolist()) == {234 - x for x in before}
    np.save(path, np.concatenate([GREY, [np.full([16, 16], 255, np.uint8)]]))
    after = load(path)
    assert greys(after) == [*LEVELS, 255]
    # One more at the end moves hardly any between training and testing.
    assert len(before & set(after.test.images[:, 0, 0, 0].tolist())) >= 3


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (GREY.astype(np.float32), r"a\.npy has values in 0\.\.234; .*Divide by 255"),
        (GREY / 255 - 0.5, r"values in -0\.5\.\.0\.41"),
        (
            GREY.astype(np.int64),
            r"a\.npy is int64; expected \[N, H, W, C\] with C = 1, 3",
        ),
        (GREY > 9, "is bool"),
        (GREY[0], r"has the shape \(16, 16\); .*picture\[None\]"),
        (np.zeros([480, 640, 3], np.uint8), r"has the shape \(480, 640, 3\)"),
        (np.zeros([30, 16, 16, 2], np.uint8), r"has the shape \(30, 16, 16, 2\)"),
        (np.zeros([30, 4, 16, 3], np.uint8), "of at least 8 px a side"),
        (GREY[:19], r"holds 19 pictures; expected at least 20\.$"),
        (GREY[:0], "not a complete .npy|shape"),
        (np.array([None] * 30), r"not a complete \.npy file"),
    ],
)
def test_what_is_not_of_pictures_is_refused(array, words, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "a.npy")


def test_damaged_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    np.savez(tmp_path / "a.npz", GREY)
    for ending in (".npy", ".npz"):
        path = tmp_path / f"a{ending}"
        whole = path.read_bytes()
        other = (tmp_path / {".npy": "a.npz", ".npz": "a.npy"}[ending]).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"<html>404</html>", other):
            (tmp_path / f"b{ending}").write_bytes(damaged)
            with pytest.raises(
                ValueError, match=rf"b{ending} is not a complete {ending}"
            ):
                load(tmp_path / f"b{ending}")
    with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
        load(tmp_path / "nowhere.npy")
