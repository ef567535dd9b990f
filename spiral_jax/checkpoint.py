"""Checkpoints: the whole run as a tree of arrays, written atomically by orbax."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

KEEP = 3


class Checkpointer:
    """Saves and restores runs; the last three checkpoints are kept.

    A checkpoint appears under its final name only once complete: a kill at any moment
    leaves the one before. Only arrays are stored, so nothing in it can run code.
    """

    def __init__(self, folder: str | Path):
        """Opens, or creates, the folder of a run's checkpoints."""
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEEP, enable_async_checkpointing=False, create=True
        )
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            options=options,
            item_handlers=ocp.StandardCheckpointHandler(),
        )

    def latest(self) -> int | None:
        """Returns the number of updates behind the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, num_updates: int, state: Any) -> None:
        """Writes `state`, unless that update has been saved already."""
        if num_updates in self._manager.all_steps():
            return
        self._manager.save(num_updates, args=ocp.args.StandardSave(state))

    def restore(self, like: Any = None) -> Any:
        """Returns the newest checkpoint's state.

        Args:
          like: a tree of arrays with the structure, shapes and dtypes to be restored;
            None returns plain dictionaries and lists of numpy arrays.

        Raises:
          FileNotFoundError: there is no checkpoint.
          ValueError: the checkpoint does not fit `like`, as after a change of settings.
        """
        step = self.latest()
        if step is None:
            raise FileNotFoundError(
                f"No checkpoint in {self._manager.directory}; train first."
            )
        metadata = self._manager.item_metadata(step)
        if like is None:
            # Numpy's arrays, wherever they lay: on the devices of several hosts, perhaps.
            like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), metadata)
        else:
            # Asked before orbax tries: a restore that fails half-way leaves its reads
            # running on an event loop that is closed already.
            saved, wanted = _shapes(metadata), _shapes(like)
            if differing := sorted(
                name
                for name in saved.keys() | wanted.keys()
                if saved.get(name) != wanted.get(name)
            ):
                name = differing[0]
                raise ValueError(
                    f"Checkpoint {step} in {self._manager.directory} does not fit this "
                    f"run's settings (were they changed?): {name} has the shape "
                    f"{saved.get(name)}, expected {wanted.get(name)}, the first of "
                    f"{len(differing)} differences. Use another run folder."
                )
        return self._manager.restore(step, args=ocp.args.StandardRestore(like))

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns every array's shape by its path; named tuples count as dictionaries."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if hasattr(leaf, "shape")
    }
