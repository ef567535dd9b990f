import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.network_speed import flop_of_products
from experiments.scale_speed import initial, products_of, visit
from spiral_jax.data.registry import load_dataset
from spiral_jax.devices import DeviceGroup
from spiral_jax.optimisers import make_optimisers
from spiral_jax.rollouts.queues import ParameterStore
from spiral_jax.system import make_system
from spiral_jax.training.build import make_learner
from spiral_jax.training.sources import make_actor
from spiral_jax.training.step import make_policy_update

pytestmark = pytest.mark.thorough


def test_average_is_the_mean_at_first_and_exponential_later(tiny_config):
    config = dataclasses.replace(tiny_config, average_updates=2)
    system, store = make_system(config), ParameterStore()
    learner = make_learner(system, load_dataset(config).train.images, store)
    actor = make_actor(system, store, actor_id=0)
    published = []
    for _ in range(3):
        learner.step(actor.next())
        published.append(store.latest()[1])
    expected = jax.tree.map(lambda a, b, c: (a + b) / 4 + c / 2, *published)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        learner.average,
        expected,
    )


def test_long_gradients_are_scaled_down():
    """By Adam's first moment, a tenth of the first gradient."""
    gradients = {"w": jnp.array([3.0, 4.0])}
    loss = lambda params, trajectory, reward: (jnp.vdot(params["w"], gradients["w"]), {})
    rewards = lambda trajectory, score: (None, {})

    def first_moment(max_norm):
        optimiser = make_optimisers(1e-3, 1e-3, max_norm).policy
        update = make_policy_update(loss, rewards, None, optimiser, DeviceGroup())
        state, metrics = update.apply(update.init(gradients), None, None)
        assert metrics["policy/grad_norm"] == 5.0
        return optax.tree.get(state.opt_state, "mu")["w"]

    np.testing.assert_allclose(first_moment(0.0), [0.3, 0.4], rtol=1e-5)
    np.testing.assert_allclose(first_moment(1.0), [0.06, 0.08], rtol=1e-5)
    np.testing.assert_allclose(first_moment(6.0), [0.3, 0.4], rtol=1e-5)


def test_products_are_counted_by_hand():
    def program(x, w):
        y = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME")
        row = jax.jit(lambda y: jnp.sum(y, axis=(0, 1)))(y)
        step = lambda row, _: (row @ row, None)
        return jax.lax.scan(step, row, length=5)[0] @ row

    x, w = jnp.ones([1, 2, 4, 4]), jnp.ones([2, 2, 3, 3])
    kinds = sorted(products_of(program, x, w), key=lambda kind: kind[1])
    assert [number for _, number in kinds] == [1, 6]  # the last product is of the loop's
    assert kinds[0][0]().shape == (1, 2, 4, 4)
    assert kinds[1][0]().shape == (4, 4)
    # 32 outputs of 18 summands; six products of 16 outputs of 4.
    assert flop_of_products(lambda: program(x, w)) == 2 * (32 * 18 + 6 * 16 * 4)
    # Of images with zeros between the pixels, only a quarter of the summands are not 0.
    sparse = lambda: jax.lax.conv_transpose(
        x, w, (2, 2), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")
    )
    assert flop_of_products(sparse) == 2 * (2 * 64) * 18 / 4


def test_only_the_lstm_goes_through_time(tiny_config):
    """Convolutions inside loops take ten times as long on CPUs."""
    config = dataclasses.replace(tiny_config, conditional=True, policy="pointer")
    system, store = make_system(config), ParameterStore()
    store.publish(0, system.initial_policy())
    images = load_dataset(config).train.images
    trajectory = make_actor(system, store, 0, images=images).next().trajectory
    (policy_update, _), state = initial(system, trajectory)
    program = jax.make_jaxpr(policy_update.apply)(
        state.policy, state.critic.params, trajectory
    )
    inside, outside = [], []
    for equation, times in visit(program.jaxpr):
        (inside if times > 1 else outside).append(equation)
    assert {str(equation.primitive) for equation in inside} == {"dot_general"}
    assert any(str(equation.primitive) == "conv_general_dilated" for equation in outside)
    # Forwards one product a step; backwards two, of the weights and of what came in.
    assert len(inside) == 3
