import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.networks.core import LSTM, centre_gradients, varying_share

SAME = lambda x: x


def test_the_lstm_is_haikus(rng):
    """The same names, shapes and function, in one step and in an unroll."""
    inputs = rng.normal(size=[5, 3, 7]).astype(np.float32)
    hidden, cell = rng.normal(size=[2, 3, 4]).astype(np.float32)
    state = hk.LSTMState(hidden, cell)
    theirs = hk.without_apply_rng(
        hk.transform(lambda x, state: hk.dynamic_unroll(hk.LSTM(4), x, state))
    )
    ours = hk.without_apply_rng(hk.transform(lambda x, state: LSTM(4)(x, state)))
    params = theirs.init(jax.random.key(0), inputs, state)
    shapes = lambda params: jax.tree.map(jnp.shape, params)
    assert shapes(ours.init(jax.random.key(0), inputs, state)) == shapes(params)
    for unroll in (inputs, inputs[:1]):
        outputs, gates, last = ours.apply(params, unroll, state)
        expected, expected_last = theirs.apply(params, unroll, state)
        np.testing.assert_allclose(outputs, expected, atol=1e-6)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), last, expected_last
        )
        assert gates.shape == (len(unroll), 3, 16)
    w, b = params["lstm/linear"]["w"], params["lstm/linear"]["b"]
    first = np.concatenate([inputs[0], hidden], axis=-1) @ w + b
    np.testing.assert_allclose(gates[0], first, atol=1e-5)


def test_centred_gradients_leave_values_and_drop_what_all_push_alike(rng):
    x, direction, differing = rng.normal(size=[3, 2, 4, 5]).astype(np.float32)
    differing -= differing.mean(axis=(0, 1))
    pushed = lambda x: jnp.sum(centre_gradients(x, SAME) * (direction[0, 0] + differing))
    np.testing.assert_array_equal(centre_gradients(x, SAME), x)
    np.testing.assert_allclose(jax.grad(pushed)(x), differing, atol=1e-6)


def test_the_varying_share_of_a_signal():
    constant = np.ones([2, 4, 3], np.float32) * np.arange(1, 4)
    assert varying_share(constant, SAME) < 1e-6
    signs = np.array([1, -1, 1, -1], np.float32)[None, :, None]
    assert varying_share(constant * signs, SAME) > 1 - 1e-6
    # Half of the canvases dark: a mean of 1/2, a variance of 1/4, a power of 1/2.
    np.testing.assert_allclose(
        varying_share(constant * (signs > 0), SAME), 0.5, rtol=1e-5
    )
