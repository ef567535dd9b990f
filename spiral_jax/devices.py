"""Which devices compute what: the only file that knows that there are several.

The learners are data parallel: every device holds the parameters and works on its part of
the batch. There are two ways to say so. From the same episodes both learn what one device
does, up to rounding; the episodes themselves, where devices play them, are those of one
device under jit only: under pmap each draws random numbers of its own.

  jit   Programs are written for the whole batch. Arrays know how they lie on the devices,
        and XLA splits the work and inserts the communication.
  pmap  Programs are written for one device's part of the batch, and say themselves where
        they average over the devices (`DeviceGroup.mean`).

How an array lies on the devices is an integer: the axis of the batch, along which it is
split; `REPLICATED`, if all devices hold all of it; or `HOST`, for results of all
devices that only the host wants. Axes of a tree are a prefix of it, as in `jax.vmap`'s
`in_axes`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

REPLICATED = -1
HOST = -2
_AXIS = "devices"


class DeviceGroup:
    """A group of devices that compute one program together.

    Attributes:
      mode: "jit" or "pmap".
    """

    def __init__(
        self,
        devices: Sequence[jax.Device] | None = None,
        mode: str = "jit",
        actor_devices: Sequence[jax.Device] = (),
    ):
        """Takes the group.

        Args:
          devices: None: the first one that JAX has.
          mode: "jit" or "pmap".
          actor_devices: others of this process, where its actors run the policy; none:
            on the first of its own that are in the group.
        """
        self._devices = devices
        self._actor_devices = actor_devices
        self.mode = mode

    @functools.cached_property
    def devices(self) -> tuple[jax.Device, ...]:
        """The group; JAX starts when it is first asked for."""
        return tuple(self._devices or jax.local_devices()[:1])

    def actor_device(self, index: int) -> jax.Device:
        """Returns where actor thread `index` of this process runs the policy."""
        own = [d for d in self.devices if d.process_index == jax.process_index()]
        choice = self._actor_devices or own[:1]
        return choice[index % len(choice)]

    @functools.cached_property
    def shard(self) -> tuple[int, int]:
        """Which part of a batch this process holds: (its index, of how many)."""
        processes = sorted({device.process_index for device in self.devices})
        return processes.index(jax.process_index()), len(processes)

    @functools.cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (_AXIS,))

    # Inside programs.

    def mean(self, tree: Any) -> Any:
        """Averages, over the devices, what each found for its part of a batch."""
        return jax.lax.pmean(tree, _AXIS) if self.mode == "pmap" else tree

    def split(self, tree: Any, axis: int = 0) -> Any:
        """Gives each device its part of what all have computed: random numbers, say."""
        if len(self.devices) == 1:
            return tree
        if self.mode == "jit":
            return jax.lax.with_sharding_constraint(tree, self._sharding(axis))

        def part(x: jax.Array) -> jax.Array:
            size = x.shape[axis] // len(self.devices)
            start = jax.lax.axis_index(_AXIS) * size
            return jax.lax.dynamic_slice_in_dim(x, start, size, axis)

        return jax.tree.map(part, tree)

    def own_key(self, key: chex.PRNGKey) -> chex.PRNGKey:
        """Returns a key for what a program draws for its part of the batch."""
        if self.mode == "jit":
            return key
        return jax.random.fold_in(key, jax.lax.axis_index(_AXIS))

    def whole(self, size: int) -> int:
        """Returns the length of the whole batch, of which a program sees `size`."""
        return size * (len(self.devices) if self.mode == "pmap" else 1)

    # Outside.

    def compile(
        self,
        function: Callable,
        in_axes: tuple[Any, ...],
        out_axes: Any,
        donate: tuple[int, ...] = (),
    ) -> Callable:
        """Compiles a program for the group.

        Args:
          function: takes and returns trees of arrays.
          in_axes, out_axes: how its arguments and results lie.
          donate: numbers of the arguments whose memory the results may take. They are
            gone after a call.
        """
        if self.mode == "pmap":
            return jax.pmap(
                function,
                axis_name=_AXIS,
                devices=self.devices,
                out_axes=jax.tree.map(lambda x: None if x == HOST else 0, out_axes),
                donate_argnums=donate,
            )
        return jax.jit(
            function,
            in_shardings=jax.tree.map(self._sharding, in_axes),
            out_shardings=jax.tree.map(self._sharding, out_axes),
            donate_argnums=donate,
        )

    def part(self, tree: Any, axes: Any) -> Any:
        """Cuts this process's part out of arrays of the whole batch.

        Args:
          tree: arrays that are the same in all processes.
          axes: how they will lie.
        """
        return jax.tree.map(self._part, jax.tree.broadcast(axes, tree), tree)

    def place(self, tree: Any, axes: Any) -> Any:
        """Puts arrays where a compiled program expects them.

        Args:
          tree: arrays of the whole batch, numpy's or JAX's. Of several processes each
            passes its part of what is split. What spans them already stays.
          axes: theirs.
        """
        return jax.tree.map(self._place, jax.tree.broadcast(axes, tree), tree)

    def fetch(self, tree: Any, axes: Any = REPLICATED) -> Any:
        """Returns copies in the memory of the host, the inverse of `place`.

        Args:
          tree: results of compiled programs.
          axes: how they lie.
        """
        return jax.tree.map(self._fetch, jax.tree.broadcast(axes, tree), tree)

    def snapshot(self, tree: Any) -> Any:
        """Copies what all devices hold to the first one here, while they go on.

        Args:
          tree: results of compiled programs whose memory the next call may take.

        Returns:
          Arrays that may still be computing.
        """
        first = jax.tree.map(lambda x: x.addressable_shards[0].data, tree)
        return _copy_first(first) if self.mode == "pmap" else _copy(first)

    def save(self, tree: Any, axes: Any) -> Any:
        """Returns what a checkpoint should hold: the same for any group of devices.

        Copies on the host; but of several processes, where no host has everything, the
        arrays as they lie.
        """
        return self.fetch(tree, axes) if self.shard[1] == 1 else tree

    def _sharding(self, axis: int) -> NamedSharding:
        axes = () if axis in (REPLICATED, HOST) else (*[None] * axis, _AXIS)
        return NamedSharding(self._mesh, PartitionSpec(*axes))

    def _part(self, axis: int, x: np.ndarray) -> np.ndarray:
        process, num_processes = self.shard
        if axis == REPLICATED or num_processes == 1:
            return x
        return np.split(x, num_processes, axis=axis)[process]

    def _place(self, axis: int, x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return x
        if self.mode == "jit":
            # On CPUs the array may share numpy's memory: whoever changes that memory
            # later has to pass a copy.
            if self.shard[1] == 1:
                return jax.device_put(x, self._sharding(axis))
            return jax.make_array_from_process_local_data(self._sharding(axis), x)
        x, n = np.asarray(x), len(self.devices)
        if axis == REPLICATED:
            x = np.broadcast_to(x, (n, *x.shape))
        else:
            shape = (*x.shape[:axis], n, x.shape[axis] // n, *x.shape[axis + 1 :])
            x = np.moveaxis(x.reshape(shape), axis, 0)
        return jax.device_put(x, self._sharding(0))

    def _fetch(self, axis: int, x: jax.Array) -> np.ndarray:
        if axis == REPLICATED:
            # All devices have it: asking for the whole would gather it.
            first = np.array(x.addressable_shards[0].data)
            return first[0] if self.mode == "pmap" else first
        if self.mode == "jit":
            return np.array(x)
        parts = np.moveaxis(np.array(x), 0, axis)
        shape = (*parts.shape[:axis], -1, *parts.shape[axis + 2 :])
        return parts.reshape(shape)


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


@jax.jit
def _copy_first(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[0], tree)


ONE_DEVICE = DeviceGroup()
