"""What is kept of a run: checkpoints of the whole, by orbax.

They are written atomically and hold arrays only, so nothing in them can run code.
"""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from spiral_jax.checksums import find_damage, write_checksums
from spiral_jax.distributed.processes import from_first
from spiral_jax.parameters import check_fits
from spiral_jax.paths import explained, make_folder

KEEP = 3


class Checkpointer:
    """Saves and restores runs; the last three checkpoints are kept.

    A checkpoint appears under its final name only once complete: a kill at any moment
    leaves the one before. What was written is read back at once, and compared; then
    `checksums.json` is added, by which damage of any later time is found.
    """

    def __init__(self, folder: str | Path):
        """Opens the folder of a run's checkpoints; all processes of the run call it.

        It is made if absent, and what a kill left half-written is removed. The newest
        checkpoints, if damaged, are renamed `damaged-N`: the run goes on from the one
        before them.

        Raises:
          ValueError: there are checkpoints, and all are damaged.
          OSError: the folder cannot be made.
        """
        self._folder = Path(folder).absolute()
        from_first(self._tidy, f"cannot use the checkpoints in {self._folder}")
        self._manager = _open(self._folder, max_to_keep=KEEP)

    def _tidy(self) -> int:
        make_folder(self._folder)
        for path in self._folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)
        damaged = []
        for step in _steps(self._folder):
            found = find_damage(self._folder / str(step))
            if not found:
                for older, why in damaged:
                    kept = self._set_aside(older)
                    logging.warning(
                        "Checkpoint %d in %s is damaged (%s). It is kept as %s; the "
                        "run goes on from checkpoint %d.",
                        *(older, self._folder, why, kept, step),
                    )
                return 0
            damaged.append((step, found))
        if damaged:
            raise ValueError(
                f"All checkpoints in {self._folder} are damaged: "
                f"{'; '.join(f'{step}: {why}' for step, why in damaged)}. Copy one of "
                "them there again, or name another run folder."
            )
        return 0

    def _set_aside(self, step: int) -> str:
        """Renames a checkpoint so that it counts no longer; returns its name."""
        names = itertools.chain(
            [f"damaged-{step}"], (f"damaged-{step}-{i}" for i in itertools.count(2))
        )
        name = next(name for name in names if not (self._folder / name).exists())
        with contextlib.suppress(FileNotFoundError):  # another process has done it
            (self._folder / str(step)).rename(self._folder / name)
        return name

    def latest(self) -> int | None:
        """Returns the number of updates behind the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, num_updates: int, state: Any) -> None:
        """Writes `state` and verifies it, unless that update has been saved already.

        Raises:
          OSError: it cannot be written, or what was written is not what is read.
        """
        if num_updates in self._manager.all_steps():
            return
        path = self._folder / str(num_updates)
        try:
            with _errors_said_once():
                self._manager.save(num_updates, args=ocp.args.StandardSave(state))
            self._read_back(num_updates, state)
        except ValueError as error:
            # What the operating system refused, as tensorstore puts it.
            number = re.search(r"os_error_code='(\d+)'", str(error))
            if not number:
                raise
            self._remove_half_written()
            refused = OSError(int(number[1]), os.strerror(int(number[1])))
            raise explained(refused, path) from error
        except OSError as error:
            self._remove_half_written()
            raise explained(error, path) from error
        from_first(lambda: write_checksums(path), f"cannot write the checksums of {path}")

    def _remove_half_written(self) -> None:
        if jax.process_index() == 0:
            for path in self._folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)

    def _read_back(self, step: int, state: Any) -> None:
        """Compares what a checkpoint holds with what it should; each process its part."""
        found = self._manager.restore(step, args=ocp.args.StandardRestore(state))
        differing = [
            jax.tree_util.keystr(path, simple=True, separator=".")
            for (path, read), written in zip(
                jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(state)
            )
            if _writes(written)
            and not all(map(np.array_equal, _parts(read), _parts(written)))
        ]
        if differing:
            kept = self._set_aside(step)
            self._manager.reload()
            raise OSError(
                f"{self._folder / str(step)}: what is read is not what was written, in "
                f"{differing[0]}, the first of {len(differing)} arrays. Disk or memory "
                f"fail: find out which. It is kept as {kept}."
            )

    def restore(self, like: Any) -> Any:
        """Returns the newest checkpoint's state.

        Args:
          like: a tree of arrays with the structure, shapes and dtypes to be restored.

        Raises:
          ValueError: the checkpoint does not fit `like`, as after a change of settings.
        """
        step = self.latest()
        # Asked before orbax tries: a restore that fails half-way leaves its reads
        # running on an event loop that is closed already.
        name = f"Checkpoint {step} in {self._folder}"
        check_fits(name, self._manager.item_metadata(step), like)
        return self._manager.restore(step, args=ocp.args.StandardRestore(like))

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()


def read_newest(folder: Path) -> Any:
    """Returns what a run's newest checkpoint holds, and leaves the folder as it is.

    Args:
      folder: of its checkpoints.

    Returns:
      Dictionaries and lists of numpy arrays.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is damaged; says which one to take instead.
    """
    steps = _steps(folder)
    if not steps:
        raise FileNotFoundError(f"No checkpoint in {folder}; train first.")
    if damage := find_damage(folder / str(steps[0])):
        path = folder / f"damaged-{steps[0]}"
        remedy = "No other is good: copy the run folder again, or train again"
        for step in steps[1:]:
            if not find_damage(folder / str(step)):
                remedy = f"Rename it, to {path} say, and checkpoint {step} is taken"
                remedy += ", which is good"
                break
        raise ValueError(
            f"Checkpoint {steps[0]} in {folder} is damaged: {damage}. {remedy}."
        )
    with contextlib.closing(_open(folder)) as manager:
        metadata = manager.item_metadata(steps[0])
        # Numpy's arrays, wherever they lay: on the devices of several hosts, perhaps.
        like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), metadata)
        return manager.restore(steps[0], args=ocp.args.StandardRestore(like))


def newest_step(folder: Path) -> int | None:
    """Returns the number of updates behind the newest checkpoint in a folder, or None."""
    return next(iter(_steps(folder)), None)


def _open(folder: Path, **options) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(
            create=False, enable_async_checkpointing=False, **options
        ),
        item_handlers=ocp.StandardCheckpointHandler(),
    )


def _steps(folder: Path) -> list[int]:
    """Returns which checkpoints there are, newest first."""
    paths = folder.iterdir() if folder.exists() else []
    steps = [int(p.name) for p in paths if p.name.isdecimal() and p.is_dir()]
    return sorted(steps, reverse=True)


def _writes(leaf: Any) -> bool:
    """Whether this process writes (a part of) a leaf; of a host's own, process 0 does."""
    return isinstance(leaf, jax.Array) or jax.process_index() == 0


def _parts(array: Any) -> list[np.ndarray]:
    """Returns the bytes of what this process holds of an array."""
    pieces = [array]
    if isinstance(array, jax.Array):
        pieces = [shard.data for shard in array.addressable_shards]
    flat = [np.ascontiguousarray(piece).reshape(-1) for piece in pieces]
    return [piece.view(np.uint8) for piece in flat]  # in which NaN equals itself


@contextlib.contextmanager
def _errors_said_once() -> Iterator[None]:
    """Silences orbax's threads, which print tracebacks of what `save` raises anyway."""
    quiet = lambda record: record.levelname != "ERROR"
    logger = logging.get_absl_logger()
    logger.addFilter(quiet)
    try:
        yield
    finally:
        logger.removeFilter(quiet)
