import jax.numpy as jnp
import numpy as np
import pytest

from spiral_jax import replay


def test_the_ring_wraps_and_pictures_are_taken_from_their_places():
    ring = replay.empty_replay(2, (3, 1, 1, 1))
    for value in (1, 2, 3):
        batch = value + 0.1 * jnp.arange(3).reshape(3, 1, 1, 1)
        ring = replay.add(ring, batch)
    assert int(ring.num_added) == 3
    # Batch 3 has taken the place of batch 1.
    taken = replay.take(ring, np.array([0.1, 0.6, 0.4], np.float32))
    np.testing.assert_allclose(np.ravel(taken), [3.0, 2.1, 3.2], rtol=1e-6)


def test_unfinished_pictures_only_stand_in_until_there_is_a_finished_one():
    filled = lambda value: jnp.full([2, 1, 1, 1], value, jnp.float32)
    ring = replay.empty_replay(2, (2, 1, 1, 1))
    taken = lambda: set(np.ravel(replay.take(ring, np.array([0.0, 0.99], np.float32))))
    for value, finished in ((1, False), (2, False)):
        ring = replay.add(ring, filled(value), finished)
    assert taken() == {2}
    ring = replay.add(ring, filled(3), True)
    ring = replay.add(ring, filled(4), False)
    assert (int(ring.num_added), taken()) == (1, {3})
    ring = replay.add(ring, filled(5), True)
    ring = replay.add(ring, filled(6), False)  # the ring is full
    assert (int(ring.num_added), taken()) == (2, {3, 5})


def test_draws_are_uniform_over_what_is_there_and_depend_on_the_seed_alone():
    ring = replay.empty_replay(3, (600, 1, 1, 1))
    drawn = replay.draw(600, [0, 1])
    for value in range(3):
        ring = replay.add(ring, jnp.full([600, 1, 1, 1], value, jnp.float32))
        counts = np.bincount(np.ravel(replay.take(ring, drawn)).astype(int))
        assert counts / 600 == pytest.approx(1 / (value + 1), abs=0.1)
    assert (
        np.ravel(replay.take(ring, np.full(600, np.nextafter(1, 0), np.float32)))[0] == 2
    )
    np.testing.assert_array_equal(drawn, replay.draw(600, [0, 1]))
    assert not np.array_equal(drawn, replay.draw(600, [0, 2]))
