import numpy as np
import pytest

from spiral_jax.replay import Replay


def test_replay_copies_wraps_and_repeats():
    replay = Replay(2, (3, 1, 1, 1), seed=0)
    with pytest.raises(ValueError, match="empty"):
        replay.sample(1, draw=0)
    batch = np.zeros([3, 1, 1, 1], np.float32)
    for value in (1, 2, 3):
        batch[:] = value
        replay.add(batch)
    batch[:] = 9
    drawn = replay.sample(600, draw=0)
    assert set(drawn.ravel()) == {2, 3}
    assert np.mean(drawn == 2) == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(drawn, replay.sample(600, draw=0))
    assert not np.array_equal(drawn, replay.sample(600, draw=1))
    drawn[:] = 9
    assert set(replay.sample(600, draw=0).ravel()) == {2, 3}
