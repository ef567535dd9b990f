"""Which devices a run uses."""

import jax

from spiral_jax.devices import DeviceGroup


def choose_devices(
    num_devices: int,
    mode: str,
    batch_size: int,
    num_actor_devices: int = 0,
    actor_platform: str = "",
) -> DeviceGroup:
    """Makes the group that a run asks for.

    Args:
      num_devices: how many a run uses, the first ones of each process; 0: all.
      mode: "jit" or "pmap".
      batch_size: must be a multiple of the number of those that learn.
      num_actor_devices: how many of them, the last ones of each process, act and do not
        learn; 0: actors share the first one that learns.
      actor_platform: "cpu": actors use the host's CPU, beside all of them.

    Raises:
      ValueError: there are not so many, or none is left to learn, or the batch cannot be
        split among those; or JAX was told not to use the CPU.
    """
    num_processes = jax.process_count()
    if mode == "pmap" and num_processes > 1:
        raise ValueError(
            f"parallel='pmap' with {num_processes} processes: it is for the devices of "
            "one; set parallel='jit'."
        )
    found = [jax.local_devices(process_index=i) for i in range(num_processes)]
    platform, used = found[0][0].platform, num_devices or _num_of_each(found)
    if used > min(map(len, found)):
        raise ValueError(
            f"devices={used}: JAX sees {min(map(len, found))} ({platform}); set "
            "devices=0 for all of them."
        )
    num_learning = used - num_actor_devices
    if num_learning < 1:
        raise ValueError(
            f"actor_devices={num_actor_devices} of {used} devices in use ({platform}): "
            f"none is left to learn; expected at most {used - 1}."
        )
    # In the order of the processes: each holds a part of the batch in one piece.
    devices = [device for some in found for device in some[:num_learning]]
    if batch_size % len(devices):
        raise ValueError(
            f"batch_size={batch_size} cannot be split among {len(devices)} devices; "
            "expected a multiple of that."
        )
    acting = found[jax.process_index()][num_learning:used]
    if actor_platform:
        acting = _first_of(actor_platform, beside=platform)
    return DeviceGroup(devices, mode, acting)


def _num_of_each(found: list[list[jax.Device]]) -> int:
    """Returns how many devices each process has."""
    counts = sorted({len(of_process) for of_process in found})
    if len(counts) > 1:
        raise ValueError(
            f"devices=0: the processes have different numbers of them, {counts}; set "
            f"devices={counts[0]}."
        )
    return counts[0]


def _first_of(platform: str, beside: str) -> list[jax.Device]:
    try:
        return jax.local_devices(backend=platform)[:1]
    except RuntimeError as error:
        raise ValueError(
            f"actor_platform={platform!r}: JAX has no such device here; name it in "
            f"JAX_PLATFORMS as well, such as {beside},cpu."
        ) from error
