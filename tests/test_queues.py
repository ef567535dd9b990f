import threading

import pytest

from spiral_jax.rollouts.base import Rollout
from spiral_jax.rollouts.queues import Stopped, TrajectoryQueue


def test_queue_is_bounded_and_ends():
    queue = TrajectoryQueue(capacity=1)
    queue.put(Rollout(None, 0, 0, 0))

    def put():
        with pytest.raises(Stopped):
            queue.put(Rollout(None, 0, 0, 0))

    waiting = threading.Thread(target=put)
    waiting.start()
    waiting.join(timeout=0.3)
    assert waiting.is_alive()
    queue.stop()
    waiting.join(timeout=5)
    assert not waiting.is_alive()
    with pytest.raises(Stopped):
        queue.get()
