import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax import replay


def test_the_ring_wraps_and_pictures_are_taken_from_their_places():
    ring = replay.empty_replay(2, (3, 1, 1, 1))
    for value in (1, 2, 3):
        batch = value + 0.1 * jnp.arange(3).reshape(3, 1, 1, 1)
        ring = replay.add(ring, batch, np.ones(3, bool))
    assert ring.num_added.tolist() == [3, 3, 3]
    # Batch 3 has taken the place of batch 1.
    taken = replay.take(ring, np.array([0.1, 0.6, 0.4], np.float32))
    np.testing.assert_allclose(np.ravel(taken), [3.0, 2.1, 3.2], rtol=1e-6)


def test_unfinished_pictures_only_stand_in_until_there_is_a_finished_one():
    """Two places of a batch; the second one is never finished."""
    ring = replay.empty_replay(2, (2, 1, 1, 1))

    def add(value, finished):
        pictures = np.array([value, -value], np.float32).reshape(2, 1, 1, 1)
        return replay.add(ring, pictures, np.array([finished, False]))

    def taken():
        found = [replay.take(ring, np.full(2, x, np.float32)) for x in (0.0, 0.99)]
        first, second = np.stack(found).reshape(2, 2).T
        return {*first}, {*second}

    for value in (1, 2):
        ring = add(value, False)
    assert taken() == ({2}, {-2})
    ring = add(3, True)
    ring = add(4, False)
    assert (ring.num_added.tolist(), taken()) == ([1, 0], ({3}, {-4}))
    ring = add(5, True)
    ring = add(6, False)  # the ring is full
    assert (ring.num_added.tolist(), taken()) == ([2, 0], ({3, 5}, {-6}))


def test_draws_are_uniform_over_what_is_there_and_depend_on_the_seed_alone():
    ring = replay.empty_replay(3, (600, 1, 1, 1))
    drawn = replay.draw(600, [0, 1])
    for value in range(3):
        pictures = jnp.full([600, 1, 1, 1], value, jnp.float32)
        ring = replay.add(ring, pictures, np.ones(600, bool))
        counts = np.bincount(np.ravel(replay.take(ring, drawn)).astype(int))
        assert counts / 600 == pytest.approx(1 / (value + 1), abs=0.1)
    assert (
        np.ravel(replay.take(ring, np.full(600, np.nextafter(1, 0), np.float32)))[0] == 2
    )
    np.testing.assert_array_equal(drawn, replay.draw(600, [0, 1]))
    assert not np.array_equal(drawn, replay.draw(600, [0, 2]))


def test_a_full_ring_is_that_of_plain_numpy(rng):
    """Places that finish at different times, as those of long episodes do."""
    size, places = 3, 5
    ring = replay.empty_replay(size, (places, 2, 2, 1))
    add = jax.jit(replay.add, donate_argnums=0)
    expected = np.zeros((size, places, 2, 2, 1), np.float32)
    count = np.zeros(places, int)
    for _ in range(20):
        pictures = rng.random((places, 2, 2, 1), dtype=np.float32)
        finished = rng.random(places) < 0.4
        for i in range(places):
            if finished[i] or not count[i]:
                expected[count[i] % size, i] = pictures[i]
            count[i] += finished[i]
        ring = add(ring, pictures, finished)
        np.testing.assert_array_equal(ring.pictures, expected)
        np.testing.assert_array_equal(ring.num_added, count)


def test_the_ring_is_not_rewritten():
    """An iteration's cost does not grow with the ring, be it 200 times as large."""

    def iterate(ring, pictures, finished, shares):
        ring = replay.add(ring, pictures, finished)
        return ring, replay.take(ring, shares)

    def milliseconds(size):
        ring = jax.device_put(replay.empty_replay(size, (16, 64, 64, 1)))
        program = jax.jit(iterate, donate_argnums=0)
        arguments = (ring.pictures[0].copy(), jnp.ones(16, bool), jnp.zeros(16))
        found = []
        for _ in range(20):
            begin = time.process_time()
            ring, _ = jax.block_until_ready(program(ring, *arguments))
            found.append(1e3 * (time.process_time() - begin))
        return np.median(found)

    assert milliseconds(400) < 5 * milliseconds(2)
