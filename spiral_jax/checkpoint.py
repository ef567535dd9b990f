"""Checkpoints: the whole run as a tree of arrays, written atomically by orbax."""

from pathlib import Path
from typing import Any

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
        self._manager = ocp.CheckpointManager(Path(folder).absolute(), options=options)

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
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(like))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Checkpoint {step} in {self._manager.directory} does not fit this "
                "run's settings (were they changed?); use another run folder, or "
                f"--noresume to begin anew. {error}"
            ) from error

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()
