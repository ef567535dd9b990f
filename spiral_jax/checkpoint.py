"""What is kept of a run: checkpoints of the whole by orbax, parameters alone as npz.

Both are written atomically and hold arrays only, so nothing in them can run code.
"""

import zipfile
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import numpy as np
import orbax.checkpoint as ocp

KEEP = 3
# Between a module's name and its parameter's, in the names of arrays.
_SEPARATOR = "::"


class Checkpointer:
    """Saves and restores runs; the last three checkpoints are kept.

    A checkpoint appears under its final name only once complete: a kill at any moment
    leaves the one before.
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
            name = f"Checkpoint {step} in {self._manager.directory}"
            check_fits(name, metadata, like)
        return self._manager.restore(step, args=ocp.args.StandardRestore(like))

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()


def check_fits(name: str, found: Any, wanted: Any) -> None:
    """Refuses trees of arrays whose structure or shapes are not the wanted ones.

    Args:
      name: what the tree is called in the error.
      found, wanted: trees of arrays, or of anything that has a shape.

    Raises:
      ValueError: names the first difference.
    """
    found, wanted = _shapes(found), _shapes(wanted)
    if differing := sorted(
        key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
    ):
        key = differing[0]
        raise ValueError(
            f"{name} does not fit this run's settings (were they changed?): {key} has "
            f"the shape {found.get(key)}, expected {wanted.get(key)}, the first of "
            f"{len(differing)} differences. Use another run folder."
        )


def save_params(path: Path, params: hk.Params, **numbers: float) -> None:
    """Writes a network's parameters, and numbers by their names, as npz."""
    arrays = {
        f"{module}{_SEPARATOR}{name}": np.asarray(value)
        for module, parts in params.items()
        for name, value in parts.items()
    }
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **numbers, **arrays)
    temporary.replace(path)


def load_params(path: Path) -> tuple[hk.Params, dict[str, float]]:
    """Reads what `save_params` wrote: the parameters, and the numbers.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged.
    """
    params: dict = {}
    numbers = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                module, found, name = key.partition(_SEPARATOR)
                if found:
                    params.setdefault(module, {})[name] = arrays[key]
                else:
                    numbers[key] = float(arrays[key])
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no parameters that can be read: {error}."
        ) from error
    return params, numbers


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns every array's shape by its path; named tuples count as dictionaries."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if hasattr(leaf, "shape")
    }
