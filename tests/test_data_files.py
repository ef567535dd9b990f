"""Data sets of picture files: read, cached, and honest about what is broken."""

import dataclasses
import io
import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.cli import explain
from spiral_jax import evaluation
from spiral_jax.config import preset
from spiral_jax.data import (
    cache,
    files,
    load_celeba,
    load_faces,
    load_folder,
    load_omniglot,
    load_strokes,
    to_float,
)
from spiral_jax.data.cache import CACHE
from spiral_jax.data.decoding import decode
from spiral_jax.data.faces import find_heads
from spiral_jax.data.files import Picture, PictureFiles, in_fair_order
from spiral_jax.data.registry import load_dataset
from spiral_jax.environments import make_environment
from spiral_jax.train import train
from tests.conftest import SHARED_DATA, write_faces

needs_omniglot = pytest.mark.skipif(
    not (SHARED_DATA / "omniglot").is_dir(), reason="../shared/data/omniglot is absent"
)
needs_strokes = pytest.mark.skipif(
    not (SHARED_DATA / "strokes").is_dir(), reason="../shared/data/strokes is absent"
)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Nothing is cached in the home of who runs the tests."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return folder


def encoded(array, kind="PNG", mode=None):
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(array))
    image = image.convert(mode) if mode else image
    image.save(file, kind)
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zip_of(path: Path, contents: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def grey(value, side=16):
    return np.full([side, side], value, np.uint8)


def values(images):
    """The one value that each picture has."""
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


@pytest.fixture
def folder(tmp_path):
    """40 pictures, each of a grey of its own."""
    for i in range(40):
        write(tmp_path / "in" / f"{i % 3}" / f"{i}.png", encoded(grey(6 * i)))
    return tmp_path / "in"


def load(data_dir, **settings):
    settings = {"use_color": False, "progress": False, **settings}
    return load_folder(data_dir, 8, **settings)


def all_values(data):
    return sorted(values(data.train.images) + values(data.test.images))


# Any pictures.


def test_a_folder_and_a_zip_of_it_give_the_same(folder, tmp_path):
    data = load(folder)
    assert data.train.images.shape == (36, 8, 8, 1)
    assert data.test.images.shape == (4, 8, 8, 1)
    assert all_values(data) == list(range(0, 240, 6))
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("*/*")}
    zipped = load(zip_of(tmp_path / "a.zip", files))
    np.testing.assert_array_equal(zipped.train.images, data.train.images)
    np.testing.assert_array_equal(zipped.test.images, data.test.images)
    inverted = load(folder, invert=True)
    np.testing.assert_array_equal(inverted.train.images, 255 - data.train.images)
    color = load(folder, use_color=True)
    assert color.test.images.shape == (4, 8, 8, 3)


def test_a_new_picture_moves_hardly_any_other_between_train_and_test(folder):
    before = set(values(load(folder).test.images))
    write(folder / "new.png", encoded(grey(255)))
    assert len(before & set(values(load(folder).test.images))) >= 3


def test_pictures_are_shown_as_the_canvas_would():
    wide = np.zeros([20, 60], np.uint8)
    wide[:, 20:40] = 200
    show = lambda data, **how: decode(data, 8, **{"channels": 1, **how})
    # The square in the middle.
    assert values(show(encoded(wide))[None]) == [200]
    red = np.zeros([16, 16, 3], np.uint8) + np.array([200, 0, 0], np.uint8)
    assert show(encoded(red), channels=3)[4, 4].tolist() == [200, 0, 0]
    # Four colours of ink, 16 bits, one bit, a palette, a transparent picture.
    ink = show(encoded(red, "JPEG", "CMYK"), channels=3)[4, 4].astype(int)
    assert abs(ink - [200, 0, 0]).max() < 30
    assert values(show(encoded(np.full([16, 16], 0x80FF, np.uint16)))[None]) == [0x80]
    assert values(show(encoded(grey(255), mode="1"))[None]) == [255]
    assert values(show(encoded(grey(51), mode="P"))[None]) == [51]
    clear = np.zeros([16, 16, 4], np.uint8)
    assert values(show(encoded(clear))[None]) == [255]
    assert values(show(encoded(clear), background="black")[None]) == [0]
    # A camera held upright says so in the EXIF.
    turned = Image.fromarray(
        np.repeat([[0], [255]], 8, axis=0).repeat(16, 1).astype("u1")
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    upright = show(file.getvalue())[..., 0]
    assert (upright[:, 0] == 255).all()
    assert (upright[:, -1] == 0).all()


def png(values, bits, color, transparent=None):
    """Writes PNG by hand, of what no library here writes: `[16, W]` as stored."""
    chunk = lambda name, data: (
        len(data).to_bytes(4, "big")
        + name
        + data
        + zlib.crc32(name + data).to_bytes(4, "big")
    )
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 16, 16, bits, color, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows))]
    if transparent is not None:
        parts.insert(1, chunk(b"tRNS", np.array(transparent, ">u2").tobytes()))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def tiff(value, dtype):
    pixels = np.full([16, 16], value, dtype)
    pixels[0, 0] = 0
    return encoded(pixels, "TIFF")


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        # The least white of 1 (of fractions), 255 and 65535 that no value exceeds.
        (0.5, "f4", 128),
        (1.0, "f4", 255),
        (200.0, "f4", 200),
        (32768.0, "f4", 128),
        (200, "i4", 200),
        (32768, "i4", 128),
        (200, "u2", 200),
        (0x80FF, "u2", 128),
        (65535, "u2", 255),
    ],
)
def test_pictures_of_more_than_8_bits(value, dtype, shown):
    found = decode(tiff(value, dtype), 16, channels=1)
    assert found[8, 8, 0] == shown
    assert found[0, 0, 0] < shown


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        (np.nan, "f4", "not all of its values are finite"),
        (np.inf, "f4", "not all of its values are finite"),
        (-0.5, "f4", r"values in -0.5..0; expected 0..65535"),
        (70000.0, "f4", r"values in 0..70000"),
        (-5, "i4", r"values in -5..0"),
        (2**20, "i4", r"expected 0..65535"),
    ],
)
def test_values_that_mean_no_grey_are_refused(value, dtype, words):
    with pytest.raises(ValueError, match=words):
        decode(tiff(value, dtype), 16, channels=1)


def test_what_is_transparent_shows_paper_whatever_its_bits():
    show = lambda data, **how: values(decode(data, 8, channels=1, **how)[None])
    half = np.full([16, 16], 300, ">u2")
    assert show(png(half, 16, 0, transparent=300)) == [255]
    assert show(png(half, 16, 0, transparent=300), background="black") == [0]
    assert show(png(half, 16, 0, transparent=301)) == [1]
    half[:, 8:] = 0x8000
    found = decode(png(half, 16, 0, transparent=300), 16, channels=1)
    assert (found[:, :8] == 255).all()
    assert (found[:, 8:] == 128).all()
    for bits, stored in ((2, 0b01010101), (4, 0b00010001)):
        packed = np.full([16, 2 * bits], stored, np.uint8)
        level = 255 // (2**bits - 1)
        assert show(png(packed, bits, 0)) == [level]
        assert show(png(packed, bits, 0, transparent=1)) == [255]
    colour = np.full([16, 48], 0x1234, ">u2")
    assert show(png(colour, 16, 2)) == [0x12]
    assert show(png(colour, 16, 2, transparent=[0x1234] * 3)) == [255]


def test_colours_of_16_bits_that_would_all_be_black_are_refused():
    with pytest.raises(ValueError, match="no value exceeds 255, which would all be bl"):
        decode(png(np.full([16, 48], 200, ">u2"), 16, 2), 8, channels=3)


# The cache.


def test_where_the_cache_is(home, monkeypatch, tmp_path):
    assert cache.cache_folder() == home / CACHE
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.cache_folder() == home / CACHE
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "xdg" / "spiral_jax"
    monkeypatch.setattr(cache, "_chosen", [])
    cache.keep_in(tmp_path / "here")
    assert cache.cache_folder() == tmp_path / "here"


def test_without_a_home_the_remedy_is_named(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ValueError, match=r"no place to cache.*--cache_dir, XDG_CACHE_"):
        cache.cache_folder()


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "file"])
    with pytest.raises(OSError, match=r"file/folder-train-.*\.npy") as caught:
        load(folder)
    assert "--cache_dir" in explain(caught.value)


def test_the_cache_is_used_and_rebuilt_when_stale(folder, home, monkeypatch):
    decoded = []
    real = files.decode
    spy = lambda data, *args, **how: decoded.append(1) or real(data, *args, **how)
    monkeypatch.setattr(files, "decode", spy)

    def number_decoded():
        decoded.clear()
        data = load(folder)
        assert isinstance(data.train.images, np.memmap)
        assert len(list((home / CACHE).iterdir())) == 4  # array and note of each split
        return len(decoded), all_values(data)

    known = list(range(0, 240, 6))
    assert number_decoded() == (40, known)
    probes = 16 + 4
    assert number_decoded() == (probes, known)
    # A file changes; all of its split are decoded again.
    path = folder / "0" / "0.png"
    write(path, encoded(grey(1)))
    number, now = number_decoded()
    assert number >= 40
    assert now == [1, *known[1:]]
    # It changes behind our back, size and time the same: a probe may show it.
    arrays = sorted((home / CACHE).glob("*.npy"))
    for array in arrays:
        images = np.load(array, mmap_mode="r+")
        images[0] ^= 255
        images.flush()
    assert number_decoded()[1] == now
    # It is cut off.
    for array in arrays:
        os.truncate(array, array.stat().st_size - 1)
    assert number_decoded()[1] == now
    for note in (home / CACHE).glob("*.json"):
        note.write_text("{", encoding="utf-8")
    assert number_decoded()[1] == now
    assert number_decoded() == (probes, now)


def test_an_interrupted_reading_leaves_nothing(folder, home, monkeypatch):
    def interrupt(*args, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(folder)
    assert list((home / CACHE).iterdir()) == []


def test_a_full_disk_is_not_a_broken_picture(folder, monkeypatch):
    def full(file, count, how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write_header", full)
    with pytest.raises(OSError, match="No space left"):
        load(folder)


# Ten kinds of broken data.


def truncated(path):
    content = encoded(np.random.default_rng(0).integers(0, 256, [64, 64], np.uint8))
    return write(path, content[: len(content) // 2])


def link_loop(path):
    path.symlink_to(path.with_name("other.png"))
    path.with_name("other.png").symlink_to(path)
    return path


BROKEN = {
    "truncated": (truncated, "truncated"),
    "wrong magic": (lambda p: write(p, b"\x89PMG" + encoded(grey(0))[4:]), "not a pic"),
    "one pixel": (lambda p: write(p, encoded(grey(0, side=1))), "1x1 px; expected at"),
    "text": (lambda p: write(p, b"<html>404</html>"), "not a picture"),
    "empty": (lambda p: write(p, b""), "not a picture"),
    "folder": (lambda p: p.mkdir(), "Is a directory"),
    "dangling link": (lambda p: p.symlink_to("nowhere.png"), "No such file"),
    "link loop": (link_loop, "Too many levels"),
    # What nobody can read, root included.
    "unreadable": (lambda p: p.symlink_to("/proc/self/mem"), "Input/output error"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_pictures_are_named_counted_and_left_out(kind, folder, caplog):
    make, why = BROKEN[kind]
    make(folder / "broken.png")
    for _ in range(2):  # the second time, from the cache
        caplog.clear()
        assert all_values(load(folder)) == list(range(0, 240, 6))
        (record,) = [r for r in caplog.records if "cannot be read" in r.message]
        assert str(folder / "broken.png") in record.message
        assert why in record.message
        assert ("2 of " if kind == "link loop" else "1 of ") in record.message
    with pytest.raises(ValueError, match=f"cannot be read: .*{why}.*strict=True"):
        load(folder, strict=True)


def test_mixed_sizes_and_colours_are_made_the_same(folder):
    write(folder / "a.jpg", encoded(grey(3, side=100), "JPEG", "CMYK"))
    write(folder / "b.gif", encoded(np.full([9, 33], 9, np.uint8), "GIF"))
    assert len(all_values(load(folder))) == 42


def test_a_loop_of_folders_is_not_entered(folder):
    (folder / "0" / "up").symlink_to(folder)
    (folder / "elsewhere").symlink_to(folder / "0")
    names = PictureFiles(folder).names
    assert len(names) == len(set(names)) == 40 + 14
    loop = folder / "loop"
    loop.symlink_to(loop)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
        load(loop)


def test_names_that_are_not_utf8_are_read(folder):
    before = all_values(load(folder))
    name = os.fsdecode(b"\xe9.png")
    write(folder / name, encoded(grey(1)))
    assert all_values(load(folder)) == sorted([1, *before])
    assert all_values(load(folder)) == sorted([1, *before])  # from the cache
    write(folder / os.fsdecode(b"\xff.png"), b"")
    with pytest.raises(ValueError, match=r"udcff\.png|\udcff\.png"):
        load(folder, strict=True)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.heic"], "1 files in .* are not looked at, 40 beside them are .*heic 1.*a.h"),
        (["b/a.HEIC", "a.jxl"], "2 files .*jxl 1, .heic 1"),
        (
            [f"x{i}" for i in range(50)],
            r"50 files .*none 50\): x0, x1, x10, x11, x12, \.{3}",
        ),
    ],
)
def test_what_might_be_pictures_is_counted_and_named_once(names, words, folder, caplog):
    for name in names:
        write(folder / name, b"?")
    assert len(all_values(load(folder))) == 40
    (record,) = caplog.records
    assert re.search(words, record.getMessage())


def test_jpegs_by_any_name_are_read(folder):
    for i, ending in enumerate(("jfif", "JPE", "jpeg")):
        write(folder / f"{i}.{ending}", encoded(grey(i), "JPEG"))
    assert len(all_values(load(folder))) == 43


def test_a_zip_with_the_separators_of_windows(folder, tmp_path):
    data = load(folder)
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("*/*")}
    files = {name.replace("/", "\\"): content for name, content in files.items()}
    zipped = load(zip_of(tmp_path / "a.zip", {"0\\": b"", **files}))
    np.testing.assert_array_equal(zipped.train.images, data.train.images)


def test_folders_that_cannot_be_listed_are_named(folder, monkeypatch, caplog):
    real = os.scandir

    def scandir(path, closed="/1"):
        if str(path).endswith(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(PictureFiles(folder).names) == 27
    load(folder)
    assert "cannot be listed: 1 (Permission denied)" in caplog.text
    monkeypatch.setattr(os, "scandir", lambda path: scandir(path, closed=""))
    with pytest.raises(PermissionError):
        load(folder)


def test_what_is_no_picture_is_not_looked_at(folder, caplog):
    for name in ("read.me", ".hidden.png", "__MACOSX/0.png", ".git/0.png"):
        write(folder / name, b"no picture")
    assert len(all_values(load(folder))) == 40
    assert not caplog.records


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: p.mkdir(), ValueError, "holds 0 pictures; expected at least 20"),
        (lambda p: None, FileNotFoundError, "neither a folder nor a file"),
        (lambda p: write(p, b"PK\3\4 and then nothing"), ValueError, "complete zip"),
        (lambda p: zip_of(p, {"a.txt": b""}), ValueError, "holds 0 pictures"),
        (
            lambda p: zip_of(p, {f"{i}.png": b"?" for i in range(30)}),
            ValueError,
            r"27 of 27 pictures cannot be read: .*, \.\.\.\. At least 2 are needed",
        ),
    ],
)
def test_unusable_folders_are_refused(make, error, words, tmp_path):
    make(tmp_path / "in")
    with pytest.raises(error, match=words):
        load(tmp_path / "in")


def test_a_truncated_zip_and_one_with_a_damaged_entry(tmp_path, caplog):
    files = {f"{i}.png": encoded(grey(6 * i)) for i in range(40)}
    path = zip_of(tmp_path / "a.zip", files)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a complete zip file"):
        load(path)
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        start = whole.getinfo("7.png").header_offset + 60
    path.write_bytes(content[:start] + b"????" + content[start + 4 :])
    assert all_values(load(path)) == [6 * i for i in range(40) if i != 7]
    assert "7.png (Bad CRC-32" in caplog.text
    with pytest.raises(FileNotFoundError, match="needs data_dir"):
        load("")


# CelebA.


@pytest.fixture
def faces(tmp_path):
    return write_faces(tmp_path)


def test_celeba_by_its_partition(faces, tmp_path_factory):
    load_faces = lambda folder, **how: load_celeba(folder, 8, progress=False, **how)
    data = load_faces(faces)
    assert data.train.images.shape == (20, 8, 8, 3)
    # The crop: nothing of the white frame.
    assert values(data.train.images[..., :1]) == list(range(0, 120, 6))
    assert values(data.test.images[..., :1]) == list(range(150, 180, 6))
    assert values(data.test.images[..., 2:]) == [100] * 5
    assert load_faces(faces, use_color=False).train.images.shape == (20, 8, 8, 1)
    official = tmp_path_factory.mktemp("official")
    (official / "Eval").mkdir()
    (faces / "list_eval_partition.txt").rename(official / "Eval/list_eval_partition.txt")
    source = faces / "img_align_celeba"
    files = {f"img_align_celeba/{p.name}": p.read_bytes() for p in source.iterdir()}
    zip_of(official / "Img" / "img_align_celeba.zip", files)
    np.testing.assert_array_equal(load_faces(official).train.images, data.train.images)


def test_broken_celeba(faces, caplog):
    load_faces = lambda folder, **how: load_celeba(folder, 8, progress=False, **how)
    pictures_dir = faces / "img_align_celeba"
    (pictures_dir / "000003.jpg").unlink()
    write(pictures_dir / "000005.jpg", encoded(grey(0, side=150)))
    assert len(load_faces(faces).train.images) == 18
    assert "2 of 20 pictures cannot be read" in caplog.text
    assert "000003.jpg (No such file" in caplog.text
    assert "000005.jpg (150x150 px; expected at least 160" in caplog.text
    with pytest.raises(ValueError, match=r"000003\.jpg"):
        load_faces(faces, strict=True)
    partition = faces / "list_eval_partition.txt"
    whole = partition.read_text(encoding="utf-8")
    partition.write_text(whole.replace("000007.jpg 0", "000007.jpg"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 7: '000007.jpg'; expected .* https://"):
        load_faces(faces)
    partition.write_text(whole.replace(" 2", " 1"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"no picture to 2 \(test\)"):
        load_faces(faces)
    partition.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"list_eval_partition.txt nor .*https://"
    ):
        load_faces(faces)
    partition.write_text(whole, encoding="utf-8")
    for path in pictures_dir.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds no pictures"):
        load_faces(faces)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_faces("")


@pytest.mark.parametrize(
    "write_as",
    [
        lambda lines: "\n".join(lines).replace(" ", "\t"),
        lambda lines: "\r\n".join(lines) + "\r\n\r\n",
        lambda lines: "\ufeff" + "\n".join(lines) + "\n  \n",
        lambda lines: "image_id,partition\n" + "\n".join(lines).replace(" ", ","),
    ],
)
@pytest.mark.parametrize("name", ["list_eval_partition.txt", "list_eval_partition.csv"])
def test_celebas_partition_in_other_forms(faces, name, write_as):
    partition = faces / "list_eval_partition.txt"
    lines = partition.read_text(encoding="utf-8").splitlines()
    partition.unlink()
    (faces / name).write_bytes(write_as(lines).encode())
    data = load_celeba(faces, 8, progress=False)
    assert [len(x.images) for x in data] == [20, 5]


def test_celeba_where_torchvision_has_it(tmp_path):
    write_faces(tmp_path / "root" / "celeba")
    data = load_celeba(tmp_path / "root", 8, progress=False)
    assert len(data.train.images) == 20
    (tmp_path / "root" / "celeba").rename(tmp_path / "root" / "faces")
    with pytest.raises(
        FileNotFoundError, match=r"has no img_align_celeba.*, but faces\."
    ):
        load_celeba(tmp_path / "root", 8, progress=False)


def write_sample(folder, width=89, height=109, count=30):
    """A flat folder of small CelebA pictures: a frame around what is seen."""
    left, top = (width - 80) // 2, (height - 80) // 2
    for i in range(count):
        picture = np.full([height, width, 3], 255, np.uint8)
        picture[top : top + 80, left : left + 80] = [6 * i, 0, 100]
        write(folder / f"{i:05d}.jpg", encoded(picture))
    return folder


def test_a_flat_sample_of_celeba(tmp_path, caplog):
    sample = write_sample(tmp_path / "sample")
    data = load_celeba(sample, 8, progress=False)
    assert [len(x.images) for x in data] == [27, 3]
    # The crop: nothing of the white frame.
    assert all_values_of_red(data) == list(range(0, 180, 6))
    assert "has no list_eval_partition; 3 of its 30 pictures" in caplog.text
    write(sample / "notes.txt", b"x")
    write(sample / "00003.jpg", b"x")
    assert len(load_celeba(sample, 8, progress=False).train.images) in (26, 27)
    assert "00003.jpg (not a picture" in caplog.text
    # A partition that was forgotten is not a sample.
    write(sample / "img_align_celeba" / "000001.jpg", b"x")
    with pytest.raises(FileNotFoundError, match="has no list_eval_partition"):
        load_celeba(sample, 8, progress=False)


def all_values_of_red(data):
    images = np.concatenate([part.images for part in data])
    return sorted(values(images[..., :1]))


def test_a_sample_of_another_shape_is_refused(tmp_path):
    sample = write_sample(tmp_path, width=96, height=96)
    with pytest.raises(ValueError, match=r"is 96x96 px; expected 178x218, .* 89x109"):
        load_celeba(sample, 8, progress=False)


# Faces made of parts.


def cartoon(head, colour):
    """A face under a hat of a shape of its own, in a colour of its own, and clothes."""
    picture = np.full([96, 96, 3], 255, np.uint8)
    picture[8:40, 20 + head : 70 - head] = colour
    picture[40:80, 30:60] = 200 + head
    picture[80:] = colour[::-1]
    return encoded(picture)


@pytest.fixture
def cartoons(tmp_path):
    """60 faces with 24 heads, of which the first has many."""
    heads = [*range(24)] * 2 + [0] * 12
    faces = {
        f"{i:06d}.png": cartoon(head, (4 * i, 100, 240 - 4 * i))
        for i, head in enumerate(heads)
    }
    return zip_of(tmp_path / "faces.zip", faces)


def test_faces_are_split_by_head(cartoons, caplog):
    data = load_faces(cartoons, 32, progress=False)
    assert data.train.images.shape[1:] == (32, 32, 3)
    assert [len(x.images) for x in data] == [54, 6]
    whole = load_faces(cartoons, 96, use_color=False, progress=False)
    train, test = (set(find_heads(part.images)) for part in whole)
    assert not train & test
    assert len(train | test) == 24
    with zipfile.ZipFile(cartoons, "a") as file:
        file.writestr("000099.png", b"x")
    assert len(load_faces(cartoons, 32, progress=False).test.images) == 6
    assert "000099.png (not a picture" in caplog.text


def test_unusable_faces_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_dir='' is neither .* zip"):
        load_faces("", 8)
    same = {f"{i}.png": cartoon(3, (i, i, i)) for i in range(30)}
    with pytest.raises(ValueError, match="30 faces with 1 heads, too few"):
        load_faces(zip_of(tmp_path / "same.zip", same), 8, progress=False)
    with pytest.raises(ValueError, match="holds no pictures"):
        load_faces(zip_of(tmp_path / "none.zip", {"a.txt": b"x"}), 8)


# Omniglot.


def alphabet(first, number=2):
    """Two characters, a drawing each by `number` people, all of greys of their own."""
    return {
        f"character{c:02d}/{c:04d}_{n:02d}.png": encoded(grey(first + 10 * c + n))
        for c in (1, 2)
        for n in range(number)
    }


def omniglot_zip(path, **alphabets):
    contents = {
        f"{path.stem}/{name}/{file}": content
        for name, files in alphabets.items()
        for file, content in files.items()
    }
    return zip_of(path, contents)


def load_characters(folder, background="white", **how):
    return load_omniglot(folder, 16, background, progress=False, **how)


def test_omniglot_background_and_evaluation(tmp_path):
    omniglot_zip(tmp_path / "images_background.zip", A=alphabet(0), B=alphabet(50))
    omniglot_zip(tmp_path / "images_evaluation.zip", C=alphabet(100))
    # Not used beside the full set.
    omniglot_zip(tmp_path / "images_background_small1.zip", D=alphabet(150))
    data = load_characters(tmp_path)
    assert sorted(values(data.test.images)) == [110, 111, 120, 121]
    assert sorted(values(data.train.images)) == [10, 11, 20, 21, 60, 61, 70, 71]
    inverted = load_characters(tmp_path, background="black")
    np.testing.assert_array_equal(inverted.test.images, 255 - data.test.images)
    # Unpacked, and the zips gone.
    for path in list(tmp_path.glob("*.zip")):
        with zipfile.ZipFile(path) as file:
            file.extractall(tmp_path)
        path.unlink()
    again = load_characters(tmp_path)
    assert all_values(again) == all_values(data)


@pytest.mark.parametrize("where", ["{copy}/{name}", "{folder}/{copy}/{file}"])
def test_copies_on_a_further_level_are_pictures_of_their_own(where, tmp_path):
    """Four alphabets, each turned twice: all copies of the last one are held out."""
    for number, name in enumerate("ABCD"):
        for copy in (0, 1):
            for file, content in alphabet(60 * number + 30 * copy).items():
                folder, _, last = f"{name}/{file}".rpartition("/")
                path = where.format(
                    copy=f"rot{90 * copy}",
                    name=f"{name}/{file}",
                    folder=folder,
                    file=last,
                )
                write(tmp_path / "images_background_small1" / path, content)
    data = load_characters(tmp_path)
    assert len(data.train.images) == 3 * 2 * 4
    expected = [
        180 + 30 * copy + 10 * c + n for copy in (0, 1) for c in (1, 2) for n in (0, 1)
    ]
    assert sorted(values(data.test.images)) == sorted(expected)


def test_the_parent_of_omniglots_python_folder_will_do(tmp_path):
    omniglot_zip(tmp_path / "python" / "images_background.zip", A=alphabet(0))
    omniglot_zip(tmp_path / "python" / "images_evaluation.zip", C=alphabet(100))
    assert len(load_characters(tmp_path).test.images) == 4
    (tmp_path / "python").rename(tmp_path / "matlab")
    with pytest.raises(FileNotFoundError, match=r"no training pictures, but matlab\."):
        load_characters(tmp_path)


def test_small_omniglot_holds_alphabets_out(tmp_path):
    small = tmp_path / "images_background_small1.zip"
    omniglot_zip(small, A=alphabet(0), B=alphabet(30), C=alphabet(60), D=alphabet(90))
    data = load_characters(tmp_path)
    assert sorted(values(data.test.images)) == [100, 101, 110, 111]
    assert len(data.train.images) == 12
    # The second set repeats an alphabet.
    both = {"D": alphabet(90), "E": alphabet(120)}
    omniglot_zip(tmp_path / "images_background_small2.zip", **both)
    data = load_characters(tmp_path)
    assert sorted(values(data.test.images)) == [130, 131, 140, 141]
    assert len(data.train.images) == 4 * 4


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: None, FileNotFoundError, "holds no training pictures"),
        (
            lambda p: omniglot_zip(p / "images_background.zip", A=alphabet(0)),
            ValueError,
            "only, none to hold out",
        ),
        (
            lambda p: zip_of(p / "images_background.zip", {"a.png": b""}),
            ValueError,
            r"holds a\.png; expected ALPHABET/CHARACTER/NUMBER\.png",
        ),
        (
            lambda p: write(p / "images_background.zip", b"<html>404</html>"),
            ValueError,
            "not a complete zip",
        ),
        (
            lambda p: write(p / "omniglot_stroke3.npz", b"<html>404</html>"),
            ValueError,
            r"not a complete \.npz",
        ),
    ],
)
def test_unusable_omniglot_is_refused(make, error, words, tmp_path):
    make(tmp_path)
    with pytest.raises(error, match=words):
        load_characters(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"is not a folder.*https://"):
        load_characters("")


@needs_omniglot
def test_real_omniglot():
    folder = SHARED_DATA / "omniglot"
    data = load_omniglot(folder, 64, "white", progress=False)
    # 242 characters of 8 alphabets by 20 people; Sanskrit's 42 and Tagalog's 17 held out.
    assert data.train.images.shape == (183 * 20, 64, 64, 1)
    assert data.test.images.shape == (59 * 20, 64, 64, 1)
    for images in (data.train.images, data.test.images):
        assert (images[:, 0, 0] > 250).mean() > 0.99  # paper
        assert 0.03 < np.mean(255.0 - images) / 255 < 0.15  # some ink
        # The first ones are a fair sample of all.
        few, every = to_float(images[:300]).mean(), to_float(images).mean()
        assert few == pytest.approx(every, abs=0.01)


# Strokes.


def stroke_file(path, **changes):
    """A cross of two strokes; and a dot."""
    cross = [[0, 0, 0], [10, 0, 1], [-5, -5, 0], [0, 10, 1]]
    arrays = {
        f"{split}_{what}": np.array(value)
        for split in ("train", "test")
        for what, value in {"points": [*cross, [0, 0, 1]], "lengths": [4, 1]}.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**arrays, **changes})
    return path


def test_strokes_are_drawn(tmp_path):
    path = stroke_file(tmp_path / "a.npz")
    images = load_strokes(path, 64, "white", progress=False).train.images
    assert images.shape == (2, 64, 64, 1)
    cross, dot = 255 - images[..., 0].astype(float)
    # Both lines go through the middle, from edge to edge, and nothing else is drawn.
    assert cross[32, 1:-1].min() > 200
    assert cross[1:-1, 32].min() > 200
    assert cross[:28, :28].max() == cross[36:, :28].max() == 0
    np.testing.assert_allclose(cross, cross.T, atol=64)
    width = 64 * 5 / 105
    assert cross.sum() / 255 == pytest.approx(2 * 64 * width, rel=0.15)
    assert dot.sum() / 255 == pytest.approx(np.pi * (width / 2) ** 2, rel=0.25)
    assert np.argwhere(dot).mean() == pytest.approx(31.5, abs=0.6)
    inverted = load_strokes(path, 64, "black", progress=False)
    np.testing.assert_array_equal(inverted.train.images, 255 - images)
    # The pen is down from the start, where the first offset is measured from.
    points = np.array([[10, 0, 1], [0, 0, 1]])
    stroke_file(path, test_points=points, test_lengths=np.array([1, 1]))
    line = load_strokes(path, 64, "white", progress=False).test.images[0]
    assert (line[32, 2:-2] < 55).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_lengths": np.array([4, 2])}, "have the sum 6, test_points are 5"),
        ({"test_lengths": np.array([5, 0])}, "have the sum 5"),
        ({"test_lengths": np.zeros([0], int)}, "have the sum 0"),
        ({"train_points": np.zeros([5, 2])}, r"the shape \(5, 2\)"),
        ({"train_points": np.array([None])}, r"not a complete \.npz"),
    ],
)
def test_broken_strokes_are_refused(changes, words, tmp_path):
    path = stroke_file(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=rf"a\.npz.*{words}.*Expected a \.npz with"):
        load_strokes(path, 8, "white", progress=False)


def test_missing_strokes_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_strokes(tmp_path / "a.npz", 8, "white")
    np.savez(tmp_path / "a.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="no drawings of train"):
        load_strokes(tmp_path / "a.npz", 8, "white")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(ValueError, match="no drawings of train"):
        load_strokes(tmp_path / "b.npy", 8, "white")


def test_the_documented_repacking_of_sketch_rnns_files(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    drawings = np.empty(2, object)
    drawings[:] = [np.array([[0, 0, 0], [9, 0, 1]]), np.array([[0, 0, 1]])]
    splits = dict.fromkeys(("train", "valid", "test"), drawings)
    np.savez(tmp_path / "omniglot.npz", **splits)
    (tmp_path / "data" / "omniglot").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert load_characters(Path("data/omniglot")).train.images.shape == (2, 16, 16, 1)


@needs_strokes
def test_real_strokes_look_like_the_official_pictures(tmp_path):
    ink = {}
    for name, count in (("omniglot", 1_000), ("short_kanji", 500)):
        with np.load(SHARED_DATA / "strokes" / f"{name}_stroke3.npz") as arrays:
            few = {f"test_{key}": arrays[f"test_{key}"] for key in ("points", "lengths")}
        few |= {key.replace("test", "train"): value for key, value in few.items()}
        np.savez(tmp_path / "few.npz", **few)
        images = load_strokes(
            tmp_path / "few.npz", 64, "white", progress=False
        ).test.images
        assert images.shape == (count, 64, 64, 1)
        ink[name] = 1 - to_float(images).mean()
    assert 0.05 < ink["omniglot"] < 0.1
    assert ink["short_kanji"] > 2 * ink["omniglot"]


# Whole runs.


def tiny(name, **changes):
    return dataclasses.replace(
        preset(name),
        canvas_width=16,
        grid_width=8,
        episode_length=4,
        batch_size=4,
        policy="small",
        critic_width=8,
        evaluate_minutes=0.0,
        max_updates=2,
        synchronous=True,
        **changes,
    )


@pytest.fixture(params=["omniglot", "strokes", "celeba", "folder"])
def data_set(request, tmp_path):
    """Name and folder of each data set of files."""
    name, folder = request.param, tmp_path / "data"
    if name == "omniglot":
        omniglot_zip(folder / "images_background.zip", A=alphabet(0), B=alphabet(9))
    elif name == "strokes":
        name, folder = "omniglot", stroke_file(folder / "omniglot_stroke3.npz").parent
    else:
        folder = request.getfixturevalue("faces" if name == "celeba" else "folder")
    return name, folder


@pytest.mark.parametrize("form", ["", "_conditional"])
def test_every_data_set_has_the_canvas_of_its_preset(data_set, form):
    name, folder = data_set
    if name == "folder" and form:
        return
    config = preset(name + form)
    config = dataclasses.replace(config, data_dir=str(folder), canvas_width=16)
    data = load_dataset(config)
    environment = make_environment(config.environment(), batch_size=1)
    canvas = environment.reset().observation["canvas"]
    environment.close()
    for split in data:
        assert split.images.dtype == np.uint8
        assert split.images.shape[1:] == canvas.shape[1:]


slow = lambda *values: pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("data_set", "form"),
    [
        ("folder", ""),
        slow("omniglot", ""),
        slow("strokes", "_conditional"),
        slow("celeba", "_conditional"),
    ],
    indirect=["data_set"],
)
def test_every_data_set_trains(data_set, form, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_SAMPLES", 20)
    name, folder = data_set
    config = tiny(name + form, data_dir=str(folder))
    table = train(config, tmp_path / "run")
    record = json.loads(
        (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    )
    assert record["updates"] == 2
    if form:
        measures = {"reconstruction/l2": table.now}
    else:
        measures = table.agent
        assert set(measures) == {
            "pictures/precision",
            "pictures/recall",
            "frechet/distance",
        }
    for name, value in measures.items():
        assert record[name] == pytest.approx(value, rel=1e-5)
    with Image.open(tmp_path / "run" / "samples.png") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("omniglot", {"use_color": True}, "use_color=True with dataset='omniglot'"),
        ("omniglot", {"invert": True}, "invert=True with dataset='omniglot'"),
        ("mnist", {"strict": True}, "strict=True with dataset='mnist': it is for omni"),
    ],
)
def test_impossible_settings_are_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(preset(name), **changes)


def test_the_fair_order_is_the_same_everywhere(folder):
    files = PictureFiles(folder)
    names = [p.name for p in in_fair_order([Picture(files, n) for n in files.names])]
    assert names != sorted(names)
    assert names[:3] == ["0/15.png", "1/13.png", "2/11.png"]
