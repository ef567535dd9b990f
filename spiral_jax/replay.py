"""Replay: a ring of the latest finished pictures, for the critic (paper, section 3.3).

The ring lies on the learner's devices. Draws are made on the host, from (seed, draw
number) alone, so that a resumed run draws what an uninterrupted one would have.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

# One picture for each place of the batch goes into a batch of the ring of its own. Said
# in this way, XLA writes it where it belongs, wherever that place lies: `jnp.where` would
# rewrite the ring, and `at[].set` gather it from all devices.
_INTO_PLACES = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2, 3),
    inserted_window_dims=(0,),
    scatter_dims_to_operand_dims=(0,),
    operand_batching_dims=(1,),
    scatter_indices_batching_dims=(0,),
)


class Replay(NamedTuple):
    """The ring.

    Attributes:
      pictures: `[R, B, H, W, C]` float32, the last R batches.
      num_added: `[B]` int32, how many pictures each place of the batch has added so far.
    """

    pictures: chex.Array
    num_added: chex.Array


def empty_replay(num_batches: int, picture_shape: tuple[int, ...]) -> Replay:
    """Makes a ring for `num_batches` batches of pictures of shape (B, H, W, C)."""
    pictures = np.zeros((num_batches, *picture_shape), np.float32)
    return Replay(pictures, np.zeros(picture_shape[:1], np.int32))


def add(replay: Replay, pictures: chex.Array, finished: chex.Array) -> Replay:
    """Adds pictures, in the places of the oldest ones once full.

    Args:
      replay: the ring.
      pictures: `[B, H, W, C]`, what was drawn.
      finished: `[B]` bool, whether their episodes are over. Others are not added; but
        while its place has nothing else, the latest of them stands in.

    Returns:
      The ring; in the memory of the given one, where a program may take that.
    """
    size = replay.pictures.shape[0]
    takes = finished | (replay.num_added == 0)
    batch = jnp.where(takes, replay.num_added % size, size)  # there is no such batch
    ring = jax.lax.scatter(
        replay.pictures,
        batch[:, None],
        pictures.astype(replay.pictures.dtype),
        _INTO_PLACES,
        unique_indices=True,
        mode=jax.lax.GatherScatterMode.FILL_OR_DROP,
    )
    return Replay(ring, replay.num_added + finished)


def take(replay: Replay, shares: chex.Array) -> chex.Array:
    """Takes pictures out, one for each place of a batch.

    Every picture of the ring is equally likely. Each place of the batch draws among its
    own pictures: these are episodes like any others, and no picture has to move from one
    device to another.

    Args:
      replay: the ring; something has been added.
      shares: `[B]` in 0..1, from `draw`: how far into what is there.

    Returns:
      `[B, H, W, C]` float32.
    """
    there = jnp.clip(replay.num_added, 1, replay.pictures.shape[0])
    batches = jnp.minimum((shares * there).astype(jnp.int32), there - 1)
    index = batches[None, :, None, None, None]
    return jnp.take_along_axis(replay.pictures, index, axis=0)[0]


def draw(batch_size: int, seed: list[int]) -> np.ndarray:
    """Draws, uniformly, what `take` takes: `[B]` float32 in 0..1.

    Args:
      batch_size: B.
      seed: integers that decide the draw.
    """
    return np.random.default_rng(seed).random(batch_size, dtype=np.float32)
