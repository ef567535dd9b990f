"""What a run reports: metrics.jsonl, TensorBoard and the progress line."""

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tqdm import tqdm

from spiral_jax.paths import explained, make_folder, write_file

FILE = "metrics.jsonl"
BOARD_SECONDS = 30.0


class NotFiniteError(ArithmeticError):
    """A metric became NaN or infinite."""


class Writer(Protocol):
    """Somewhere that metrics go beside `metrics.jsonl`; TensorBoard is one."""

    def scalars(self, num_updates: int, values: Mapping[str, float]) -> None:
        """Takes metrics by name, of that many policy updates."""

    def picture(self, num_updates: int, name: str, picture: np.ndarray) -> None:
        """Takes a picture `[H, W, C]` uint8."""

    def close(self) -> None:
        """Ends what was begun; nothing comes after it."""


class Metrics:
    """Collects the metrics of updates and writes their means.

    `metrics.jsonl` has one object a line, each with `updates`, `frames` and `minutes`.
    A resumed run drops the lines of updates that are about to be done again, so that the
    file reads as one unbroken run.
    """

    def __init__(
        self,
        folder: Path | None,
        num_updates: int,
        frames: int,
        minutes: float,
        writers: Sequence[Writer] = (),
    ):
        """Opens the files of a run that has done that much already.

        Args:
          folder: of the run; None writes nothing.
          num_updates, frames, minutes: of the run so far.
          writers: where metrics go beside its files; closed with them.
        """
        self._file, self._writers = None, []
        if folder is not None:
            self._path = folder / FILE
            self._keep_lines_up_to(num_updates)
            self._file = self._path.open("a", encoding="utf-8")
            self._writers = [_Board(folder / "tensorboard", num_updates + 1), *writers]
        self._pending: list[tuple[int, Mapping]] = []
        self._minutes_before = minutes
        self._start = self._flushed = time.monotonic()
        self._frames = frames

    def _keep_lines_up_to(self, num_updates: int) -> None:
        if not self._path.exists():
            return
        records = read_records(self._path)
        kept = [json.dumps(r) + "\n" for r in records if r["updates"] <= num_updates]
        write_file(self._path, "".join(kept))

    @property
    def minutes(self) -> float:
        """Minutes of training so far, earlier sessions included."""
        return self._minutes_before + (time.monotonic() - self._start) / 60

    def add(self, num_updates: int, metrics: Mapping) -> None:
        """Remembers metrics, which may still be on the device.

        Args:
          num_updates: of which these are the latest.
          metrics: scalars of one update, or `[K]` of the last K.
        """
        self._pending.append((num_updates, metrics))

    def flush(self, frames: int) -> dict[str, float]:
        """Writes the means since the last flush, and returns them.

        Raises:
          NotFiniteError: names the update and the metrics that are NaN or infinite.
        """
        if not self._pending:
            return {}
        pending, self._pending = jax.device_get(self._pending), []
        for num_updates, metrics in pending:
            wrong = {
                key: int(np.argmin(np.isfinite(values)))  # the first one
                for key, values in metrics.items()
                if not np.all(np.isfinite(values))
            }
            if wrong:
                first, count = min(wrong.values()), np.size(metrics[min(wrong)])
                values = ", ".join(
                    f"{key}={np.ravel(metrics[key])[i]}"
                    for key, i in wrong.items()
                    if i == first
                )
                raise NotFiniteError(
                    f"Update {num_updates - count + 1 + first}: {values}."
                )
        means = {
            key: float(np.mean([np.mean(metrics[key]) for _, metrics in pending]))
            for key in pending[0][1]
        }
        now = time.monotonic()
        means["run/frames_per_second"] = (frames - self._frames) / (now - self._flushed)
        self._flushed, self._frames = now, frames
        self.write(pending[-1][0], frames, means)
        return means

    def write(self, num_updates: int, frames: int, values: Mapping[str, float]) -> None:
        """Appends a line of metrics, and gives the same to all writers."""
        if self._file is None:
            return
        record = {"updates": num_updates, "frames": frames}
        record["minutes"] = round(self.minutes, 4)
        record |= {key: _short(value) for key, value in values.items()}
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise explained(error, self._path) from error
        for writer in self._writers:
            writer.scalars(num_updates, values)

    def picture(self, num_updates: int, name: str, picture: np.ndarray) -> None:
        """Gives a picture `[H, W, C]` uint8 to all writers."""
        for writer in self._writers:
            writer.picture(num_updates, name, picture)

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None:
            # What a full disk has not taken has been complained of.
            for opened in (self._file, *self._writers):
                with contextlib.suppress(OSError):
                    opened.close()


class _Board:
    """TensorBoard's file, written by the calling thread.

    tensorboardX's own SummaryWriter has a thread that dies of a full disk with a
    traceback; whoever adds to it then waits for ever.
    """

    def __init__(self, folder: Path, first: int):
        """Opens a new file; updates from `first` on replace those of earlier ones."""
        make_folder(folder)
        self._folder = folder
        self._flushed = time.monotonic()
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}"
        with self._explaining():
            self._events = RecordWriter(str(folder / name))
            self._write(Event(file_version="brain.Event:2"))
            start = SessionLog(status=SessionLog.START)
            self._write(Event(step=first, session_log=start))

    def scalars(self, num_updates: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._add(num_updates, summary.scalar(key, value))

    def picture(self, num_updates: int, name: str, picture: np.ndarray) -> None:
        self._add(num_updates, summary.image(name, picture, dataformats="HWC"))

    def _add(self, num_updates: int, value: Any) -> None:
        with self._explaining():
            self._write(Event(step=num_updates, summary=value))
            if time.monotonic() > self._flushed + BOARD_SECONDS:
                self._flushed = time.monotonic()
                self._events.flush()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._events.write(event.SerializeToString())

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explained(error, self._folder) from error

    def close(self) -> None:
        self._events.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """Reads a metrics.jsonl.

    The last line is left out if it is no record: a kill, or a full disk, cut it off.

    Raises:
      ValueError: another line is none; names it.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    lines = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    records = []
    for number, line in lines:
        record = _as_record(line)
        if record is not None:
            records.append(record)
        elif number != lines[-1][0]:
            raise ValueError(
                f"{path}, line {number}: {line[:40]!r} is no record; expected an object "
                'with numbers for "updates", "frames" and "minutes". Delete that line.'
            )
    return records


def _as_record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    numbers = [record.get(key) for key in ("updates", "frames", "minutes")]
    told = all(type(x) in (int, float) and math.isfinite(x) for x in numbers)
    return record if told else None


def _short(value: float) -> float:
    """Keeps six significant digits: more are noise and make the file hard to read."""
    return float(f"{value:.6g}") if math.isfinite(value) else value


class ProgressLine:
    """One line that says how far the run is and how it goes."""

    def __init__(self, max_updates: int, max_minutes: float, silent: bool = False):
        self._max_updates = max_updates
        self._max_minutes = max_minutes
        self._bar = tqdm(total=0, bar_format="{desc}", leave=True, disable=silent)

    def show(
        self, num_updates: int, frames: int, minutes: float, metrics: Mapping
    ) -> None:
        """Rewrites the line."""
        rate = metrics["run/frames_per_second"]
        # The l2 reward has no critic, hence no gap; its score is the distance itself.
        key = "critic/gap" if "critic/gap" in metrics else "policy/score"
        self._bar.set_description_str(
            f"{num_updates:,} updates, {frames:,} frames, {rate:,.0f} frames/s, "
            f"{key.replace('/', ' ')} {metrics[key]:.2f}, "
            f"entropy {metrics['policy/entropy']:.2f}, "
            f"policy lag {metrics['actor/policy_lag']:.1f}, "
            f"{minutes:.1f} min, ETA {self._eta(num_updates, frames, minutes, rate)}"
        )

    def note(self, text: str) -> None:
        """Puts something else into the line for a while."""
        self._bar.set_description_str(text)

    def _eta(self, num_updates: int, frames: int, minutes: float, rate: float) -> str:
        frames_left = (self._max_updates - num_updates) * frames / num_updates
        left = frames_left / rate / 60
        if self._max_minutes:
            left = min(left, max(self._max_minutes - minutes, 0.0))
        return f"{left:.1f} min" if left < 120 else f"{left / 60:.1f} h"

    def say(self, text: str) -> None:
        """Prints a line above the progress line."""
        if not self._bar.disable:
            self._bar.write(text)

    def close(self) -> None:
        """Leaves the line as it is."""
        self._bar.close()
