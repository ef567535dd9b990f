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
    taken = replay.take(ring, np.array([0, 1, 0]))
    np.testing.assert_allclose(np.ravel(taken), [3.0, 2.1, 3.2], rtol=1e-6)


def test_draws_are_uniform_over_what_is_there_and_depend_on_the_seed_alone():
    with pytest.raises(ValueError, match="empty"):
        replay.draw(0, 2, 1, [0])
    assert set(replay.draw(1, 3, 100, [0])) == {0}
    drawn = replay.draw(7, 3, 600, [0, 1])
    assert np.bincount(drawn, minlength=3) / 600 == pytest.approx(1 / 3, abs=0.1)
    np.testing.assert_array_equal(drawn, replay.draw(7, 3, 600, [0, 1]))
    assert not np.array_equal(drawn, replay.draw(7, 3, 600, [0, 2]))
