"""Replay: a ring of the latest finished pictures, for the critic (paper, section 3.3).

The ring lies on the learner's devices. Draws are made on the host, from (seed, draw
number) alone, so that a resumed run draws what an uninterrupted one would have.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np


class Replay(NamedTuple):
    """The ring.

    Attributes:
      pictures: `[R, B, H, W, C]` float32, the last R batches.
      num_added: int32 scalar, batches added so far.
    """

    pictures: chex.Array
    num_added: chex.Array


def empty_replay(num_batches: int, picture_shape: tuple[int, ...]) -> Replay:
    """Makes a ring for `num_batches` batches of pictures of shape (B, H, W, C)."""
    pictures = np.zeros((num_batches, *picture_shape), np.float32)
    return Replay(pictures, np.zeros([], np.int32))


def add(replay: Replay, pictures: chex.Array) -> Replay:
    """Adds one batch `[B, H, W, C]`, in the place of the oldest one once full."""
    place = replay.num_added % replay.pictures.shape[0]
    ring = jax.lax.dynamic_update_index_in_dim(replay.pictures, pictures, place, axis=0)
    return Replay(ring, replay.num_added + 1)


def take(replay: Replay, batches: chex.Array) -> chex.Array:
    """Takes pictures out: number i from place i of batch `batches[i]`; `[B, H, W, C]`."""
    index = batches[None, :, None, None, None]
    return jnp.take_along_axis(replay.pictures, index, axis=0)[0]


def draw(num_added: int, num_batches: int, batch_size: int, seed: list[int]):
    """Draws one batch to learn from, the one added last included.

    Every picture of the ring is equally likely. Each place of the batch draws among its
    own pictures: these are episodes like any others, and no picture has to move from one
    device to another.

    Args:
      num_added: batches added so far.
      num_batches: R.
      batch_size: B.
      seed: integers that decide the draw.

    Returns:
      For `take`: `[B]` int32, which batch each picture comes from.

    Raises:
      ValueError: the ring is empty.
    """
    if not num_added:
        raise ValueError("The replay is empty: add a batch before drawing from it.")
    generator = np.random.default_rng(seed)
    return generator.integers(
        min(num_added, num_batches), size=batch_size, dtype=np.int32
    )
