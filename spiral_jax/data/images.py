"""Pictures in memory, in an order that a seed decides."""

import numpy as np


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
    """Real pictures for the critic, batch by batch."""

    def __init__(self, images: np.ndarray, seed: int):
        """Takes pictures `[N, H, W, C]` uint8, and the seed of their order."""
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(
                f"Pictures are {images.dtype} {images.shape}; expected uint8 "
                "[N, H, W, C]."
            )
        self._images = images
        self._order = EpochOrder(len(images), seed)

    def batch(self, batch_size: int, draw: int) -> np.ndarray:
        """Returns batch number `draw`: `[batch_size, H, W, C]` uint8."""
        return self._images[self._order.batch(batch_size, draw)]


def to_float(images: np.ndarray) -> np.ndarray:
    """Maps uint8 pictures to float32 in 0..1."""
    return images.astype(np.float32) / 255.0


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Maps float pictures in 0..1 to the nearest uint8."""
    return np.round(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
