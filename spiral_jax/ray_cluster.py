"""Ray, where processes and machines of a run meet; an extra that may be absent."""

import contextlib
import importlib.util
import os
import threading
from collections.abc import Iterator

ATTEMPTS = 3
PATIENCE = 10.0  # s
MISSING = "no Ray: pip install 'spiral_jax[ray]'."


def check_installed() -> None:
    """Makes sure that there is Ray; importing it takes long.

    Raises:
      ValueError: there is none, and what to install.
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError(MISSING)


@contextlib.contextmanager
def joined(address: str = "", num_cpus: int | None = None) -> Iterator[None]:
    """Joins a Ray cluster, or starts one on this machine and ends it again.

    Does nothing where this process has joined one already. Ray forks, so it comes before
    JAX computes anything.

    Args:
      address: of a cluster that runs, `"auto"` for the one of this machine; empty starts
        one.
      num_cpus: how many a cluster started here claims to have; None: those that there
        are.

    Raises:
      ValueError: Ray is not installed, or no cluster answers.
    """
    # Ray reports to its makers, and lets what it starts give way to all else, unless told
    # otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    check_installed()
    import ray  # pyrefly: ignore[missing-import]

    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            ray.init(address, **quiet)
        else:
            _start(num_cpus=num_cpus, include_dashboard=False, **quiet)
    except ConnectionError as error:
        raise ValueError(
            f"ray_address={address!r}: no cluster answers ({error}); start one by "
            "`ray start --head`, or leave the flag out."
        ) from error
    try:
        yield
    finally:
        # A cluster whose head is gone never answers.
        leaving = threading.Thread(target=ray.shutdown, daemon=True)
        leaving.start()
        leaving.join(PATIENCE)


def _start(**options) -> None:
    """Starts a cluster on this machine, at the second or third attempt if need be.

    Ray gives its helpers 15 s to start, which is no setting (2.60, port_persistence.h).
    Where a machine is busy they are late, but in the caches afterwards.

    Raises:
      RuntimeError: it does not start.
    """
    import ray  # pyrefly: ignore[missing-import]

    psutil = importlib.import_module("psutil")  # ray brings its own
    others = set(psutil.Process().children())
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init("local", **options)
            return
        except Exception as error:  # what Ray raises is of no class of its own
            ray.shutdown()
            # It leaves those behind that did start.
            for process in set(psutil.Process().children()) - others:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if attempt == ATTEMPTS:
                raise RuntimeError(
                    f"Ray does not start here, tried {ATTEMPTS} times; see the logs in "
                    "/tmp/ray/session_latest/logs."
                ) from error
