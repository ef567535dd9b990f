"""Pictures in memory or memory-mapped, in an order that a seed decides."""

from typing import Any, NamedTuple

import numpy as np


class Images(NamedTuple):
    """Pictures `[N, H, W, C]` uint8, without labels."""

    images: np.ndarray


class Dataset(NamedTuple):
    """Training and test pictures, with what else is known of them.

    Attributes:
      train, test: `Images`, or another tuple with `images` `[N, H, W, C]` uint8 in it, in
        memory or memory-mapped. The first ones of each are a fair sample of it.
    """

    train: Any
    test: Any


class EpochOrder:
    """Which of `size` things come next, in an order shuffled anew in every epoch.

    Batch number `draw` depends on (seed, draw) alone, so a resumed run sees what an
    uninterrupted one would have seen.
    """

    def __init__(self, size: int, seed: int):
        self._size = size
        self._seed = seed
        self._epoch = None

    def batch(self, batch_size: int, draw: int) -> np.ndarray:
        """Returns the indices `[batch_size]` of batch number `draw`."""
        positions = np.arange(draw * batch_size, (draw + 1) * batch_size)
        epochs, places = positions // self._size, positions % self._size
        index = np.empty(batch_size, np.int64)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            index[now] = self._order(epoch)[places[now]]
        return index

    def _order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            generator = np.random.default_rng([self._seed, epoch])
            self._permutation = generator.permutation(self._size)
            self._epoch = epoch
        return self._permutation


class ImageData:
    """Real pictures, batch by batch."""

    def __init__(self, images: np.ndarray, seed: int, shard: tuple[int, int] = (0, 1)):
        """Takes pictures and their order.

        Args:
          images: `[N, H, W, C]` uint8, the same on all hosts.
          seed: of their order, the same on all hosts.
          shard: (number of this host, number of hosts).
        """
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(
                f"Pictures are {images.dtype} {images.shape}; expected uint8 "
                "[N, H, W, C]."
            )
        self._images = images
        host, num_hosts = shard
        if not 0 <= host < num_hosts:
            raise ValueError(
                f"shard={shard}: expected (number of this host, number of hosts), such "
                "as (0, 1)."
            )
        self._host, self._num_hosts = shard
        self._order = EpochOrder(len(images), seed)

    def batch(self, batch_size: int, draw: int) -> np.ndarray:
        """Returns this host's part of a batch.

        The hosts' parts, one after the other, are what a single host would get.

        Args:
          batch_size: of all hosts together.
          draw: number of the batch.

        Returns:
          `[batch_size / number of hosts, H, W, C]` uint8.

        Raises:
          ValueError: the batch cannot be split among the hosts.
        """
        if batch_size % self._num_hosts:
            raise ValueError(
                f"batch_size={batch_size} cannot be split among {self._num_hosts} hosts; "
                "expected a multiple of that."
            )
        index = self._order.batch(batch_size, draw)
        return self._images[np.split(index, self._num_hosts)[self._host]]


def to_float(images: np.ndarray) -> np.ndarray:
    """Maps uint8 pictures to float32 in 0..1."""
    return images.astype(np.float32) / 255.0


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Maps float pictures in 0..1 to the nearest uint8."""
    return np.round(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
