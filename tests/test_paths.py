"""Paths that people give, and files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from spiral_jax.paths import check_utf8, local_path, naming, write_file


def test_what_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert local_path("~/runs/x") == tmp_path / "runs" / "x"
    assert local_path(Path("~/runs/x")) == tmp_path / "runs" / "x"
    assert local_path("~") == tmp_path
    assert local_path("a/../b") == tmp_path / "b"
    assert local_path("/a//b/") == Path("/a/b")
    assert local_path("a~b") == tmp_path / "a~b"
    assert local_path("a:b") == tmp_path / "a:b"
    (tmp_path / "link").symlink_to("/etc")
    assert local_path("link/x") == tmp_path / "link" / "x"
    (tmp_path / "~nobody-9").touch()  # that is what it is called
    assert local_path("~nobody-9") == tmp_path / "~nobody-9"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", r"out='': expected the path"),
        ("gs://bucket/x", r"out='gs://bucket/x': gs:// is not read or written"),
        (Path("s3://bucket/x"), r"s3:// is not read or written"),
        ("hf://datasets/x", r"hf:// is not"),
        ("https://a.b/c", r"https:// is not"),
        ("file:///a", r"file:// is not"),
        ("~nobody-9/x", r"nobody knows that home"),
        ("a\0b", r"zero byte"),
    ],
)
def test_what_cannot_be_meant_is_refused(path, words):
    with pytest.raises(ValueError, match=words):
        local_path(path, "out")


def test_names_that_are_not_utf8(tmp_path):
    odd = local_path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    write_file(odd, "x")
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xe9"]
    check_utf8(tmp_path / "é")
    with pytest.raises(ValueError, match=r"run_dir='.*udce9': not UTF-8.*rename"):
        check_utf8(odd, "run_dir")


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "é\r\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    (tmp_path / "link").symlink_to(path)
    write_file(tmp_path / "link", b"\xff")
    assert path.read_bytes() == b"\xff"
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "link"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            write_file(path, "new")
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text(encoding="utf-8") == "old"


def test_what_is_no_file_is_written_to_and_not_replaced():
    before = os.stat("/dev/null")
    write_file(Path("/dev/null"), "x")
    assert os.stat("/dev/null").st_rdev == before.st_rdev
    with pytest.raises(OSError, match="/dev/full") as caught:
        write_file(Path("/dev/full"), "x")
    assert caught.value.errno == errno.ENOSPC


def test_only_what_the_system_says_is_named():
    with pytest.raises(OSError, match="our own words") as caught, naming(Path("a")):
        raise OSError("our own words")
    assert caught.value.filename is None
