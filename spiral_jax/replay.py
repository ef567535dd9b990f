"""Replay: a ring of the latest finished pictures, for the critic."""

import numpy as np


class Replay:
    """Keeps the last `num_batches` batches of pictures (paper, section 3.3).

    Pictures are copied in and copied out: what a caller does to its arrays later does not
    reach the ring, nor the other way round. Draws depend on (seed, draw number) alone, so
    that a resumed run draws what an uninterrupted one would have.
    """

    def __init__(self, num_batches: int, picture_shape: tuple[int, ...], seed: int):
        """Allocates the ring.

        Args:
          num_batches: capacity.
          picture_shape: (B, H, W, C) of one batch.
          seed: of the draws.
        """
        self._pictures = np.zeros((num_batches, *picture_shape), np.float32)
        self._seed = seed
        self._num_added = 0

    def __len__(self) -> int:
        """Returns the number of batches in the ring."""
        return min(self._num_added, len(self._pictures))

    def add(self, pictures: np.ndarray) -> None:
        """Copies one batch `[B, H, W, C]` in, over the oldest one once full."""
        self._pictures[self._num_added % len(self._pictures)] = pictures
        self._num_added += 1

    def sample(self, num_pictures: int, draw: int) -> np.ndarray:
        """Draws pictures uniformly with replacement: `[num_pictures, H, W, C]`.

        Args:
          num_pictures: N.
          draw: number of this draw; the same number draws the same places.

        Raises:
          ValueError: the ring is empty.
        """
        if not len(self):
            raise ValueError("The replay is empty: add a batch before sampling.")
        generator = np.random.default_rng([self._seed, draw])
        batch_size = self._pictures.shape[1]
        index = generator.integers(len(self) * batch_size, size=num_pictures)
        return self._pictures[index // batch_size, index % batch_size]

    def state(self) -> dict[str, np.ndarray]:
        """Returns everything that a checkpoint must hold, as arrays."""
        return {"pictures": self._pictures, "num_added": np.asarray(self._num_added)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` returned."""
        self._pictures[:] = state["pictures"]
        self._num_added = int(state["num_added"])
