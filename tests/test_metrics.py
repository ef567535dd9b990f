"""What a run reports, and what may have happened to it since."""

import json
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from spiral_jax.metrics import Metrics, read_records
from tests.test_run_folder import fill, small_disk

__all__ = ["small_disk"]


def line(updates, **values):
    return json.dumps({"updates": updates, "frames": 1, "minutes": 0.5, **values}) + "\n"


@pytest.mark.parametrize(
    "last",
    ["", '{"updates": 4, "fra', "3", "null", "[]\n", '{"updates": "4"}\n', "\0" * 99]
    + [b"\xff\xfe", line("4"), line(4, minutes=float("nan")), "[" * 10**5, line(True)],
)
def test_a_last_line_that_is_no_record_is_dropped_on_resume(tmp_path, last):
    path = tmp_path / "metrics.jsonl"
    last = last if isinstance(last, bytes) else last.encode()
    path.write_bytes(f"{line(1, a=1.5)}{line(2, é=2)}{line(3)}".encode() + last)
    metrics = Metrics(tmp_path, num_updates=2, frames=1, minutes=0.5)
    metrics.write(3, 2, {"b": 0.25})
    metrics.close()
    records = read_records(path)
    assert [record["updates"] for record in records] == [1, 2, 3]
    assert (records[0]["a"], records[1]["é"], records[2]["b"]) == (1.5, 2, 0.25)


@pytest.mark.parametrize("wrong", ["3", "{", '{"updates": 1}', "\0", '"' + "x" * 99])
def test_another_line_that_is_no_record_is_named(tmp_path, wrong):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{line(1)}\n{wrong}\n{line(2)}", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{path}, line 3: .* is no record; expected"):
        Metrics(tmp_path, num_updates=2, frames=1, minutes=0.5)
    assert path.read_text(encoding="utf-8") == f"{line(1)}\n{wrong}\n{line(2)}"


def events(folder):
    """Reads TensorBoard's files: a length and its checksum before each event."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def test_tensorboard_gets_the_same_and_forgets_what_is_done_again(tmp_path):
    metrics = Metrics(tmp_path, num_updates=20, frames=0, minutes=0.0)
    metrics.write(30, 1, {"policy/loss": 0.5})
    metrics.picture(30, "samples", np.zeros([2, 3, 3], np.uint8))
    metrics.close()
    version, start, scalar, picture = events(tmp_path / "tensorboard")
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (21, SessionLog.START)
    (value,) = scalar.summary.value
    assert (scalar.step, value.tag, value.simple_value) == (30, "policy/loss", 0.5)
    (value,) = picture.summary.value
    assert (value.tag, value.image.height, value.image.width) == ("samples", 2, 3)


def test_a_full_disk_is_named_and_ends_nothing_else(small_disk, capfd):
    metrics = Metrics(small_disk, num_updates=0, frames=0, minutes=0.0)
    fill(small_disk)

    def write():
        for update in range(10**4):
            written.append(update)
            metrics.write(update, 0, {"a": 1.0})

    written = []
    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert str(caught.value).startswith(str(small_disk))
    metrics.close()
    assert capfd.readouterr().err == ""
    (small_disk / "filling").unlink()
    Metrics(small_disk, num_updates=5, frames=0, minutes=0.0).close()
    assert [r["updates"] for r in read_records(small_disk / "metrics.jsonl")] == [
        *range(min(6, len(written) - 1))
    ]
