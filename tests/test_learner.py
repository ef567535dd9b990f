import dataclasses

import jax
import numpy as np

from spiral_jax.queues import ParameterStore
from spiral_jax.system import load_dataset, make_actor, make_learner, make_system


def test_average_is_the_mean_at_first_and_exponential_later(tiny_config):
    config = dataclasses.replace(tiny_config, average_updates=2)
    system, store = make_system(config), ParameterStore()
    learner = make_learner(system, load_dataset(config).train.images, store)
    actor = make_actor(system, store, actor_id=0)
    published = []
    for _ in range(3):
        learner.step(actor.play())
        published.append(store.latest()[1])
    expected = jax.tree.map(lambda a, b, c: (a + b) / 4 + c / 2, *published)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        learner.average,
        expected,
    )
