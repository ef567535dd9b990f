"""Several processes, one for each host: how they find each other."""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

# How long a process that ends waits for the others to end as well.
SHUTDOWN_SECONDS = 20


def start(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of a run; before anything is computed.

    Args:
      coordinator: host:port of process 0, which all can reach. None: where TPU pods,
        SLURM and Open MPI say who takes part, they are asked.
      num_processes: how many take part.
      process_id: this one's number, from 0.

    Raises:
      ValueError: only some are given, they do not fit each other, or nothing on this
        machine says who takes part.
    """
    given = (coordinator, num_processes, process_id)
    text = f"coordinator={coordinator}, num_processes={num_processes}, "
    text += f"process_id={process_id}"
    if given != (None, None, None):
        if None in given:
            raise ValueError(
                f"{text}: expected all three, such as --coordinator=10.0.0.1:8476 "
                "--num_processes=2 --process_id=0; on a TPU pod, or under SLURM or Open "
                "MPI, --distributed alone."
            )
        if not 0 <= process_id < num_processes:
            raise ValueError(f"{text}: expected process_id in 0..{num_processes - 1}.")
        if not coordinator.rpartition(":")[0]:
            raise ValueError(f"{text}: expected coordinator as host:port.")
    # It would take SIGTERM for itself; here a signal leads to `ProcessGroup.stop`.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(*given, shutdown_timeout_seconds=SHUTDOWN_SECONDS)
    except ValueError as error:
        raise ValueError(
            f"distributed=True, but JAX finds no TPU pod, SLURM or Open MPI here "
            f"({error}). Say who takes part by --coordinator, --num_processes and "
            "--process_id."
        ) from error


def from_first(action: Callable[[], int], failure: str) -> int:
    """Process 0 does something for all, and tells them an integer.

    Args:
      action: what is done in process 0.
      failure: what it could not do, should it fail, for the others' error.

    Returns:
      What it returned, in all processes.

    Raises:
      BaseException: in process 0, whatever it raised.
      OSError: in the others, if it raised.
    """
    if jax.process_count() == 1:
        return action()
    error, found = None, 0
    if jax.process_index() == 0:
        try:
            found = action()
        except BaseException as raised:
            error = raised
    told = np.array([found, error is not None], np.int32)
    found, failed = multihost_utils.broadcast_one_to_all(told)
    if error is not None:
        raise error
    if failed:
        raise OSError(f"Process 0 {failure}: its own message says why.")
    return int(found)
