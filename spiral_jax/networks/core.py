"""The policy's recurrent core, and what keeps it and the torso from going blind."""

from collections.abc import Callable

import chex
import haiku as hk
import jax
import jax.numpy as jnp


class LSTM(hk.Module):
    """The function and the parameters of `hk.LSTM`, for unrolls.

    What the gates take from the inputs is one matrix product for all time steps; only
    what they take from the state has to wait for it.
    """

    def __init__(self, hidden_size: int, name: str | None = None):
        super().__init__(name=name)
        self._hidden_size = hidden_size

    def __call__(
        self, inputs: chex.Array, state: hk.LSTMState
    ) -> tuple[chex.Array, chex.Array, hk.LSTMState]:
        """Takes T steps.

        Args:
          inputs: `[T, B, F]`.
          state: before the first step, `[B, hidden_size]` each.

        Returns:
          Outputs `[T, B, hidden_size]`; what the gates saw, before their squashing,
          `[T, B, 4 hidden_size]`; and the state after the last step.
        """
        w_inputs, w_hidden, b = _Gates(self._hidden_size, name="linear")(inputs)
        t, batch_size, num_features = inputs.shape
        # As one matrix: XLA multiplies those faster than arrays of more axes.
        seen = inputs.reshape(-1, num_features) @ w_inputs + b

        def step(state: hk.LSTMState, seen: chex.Array):
            gates = seen + state.hidden @ w_hidden
            state = _next_state(gates, state)
            return state, (state.hidden, gates)

        if t == 1:  # a loop of one step is one still
            state, (outputs, gates) = step(state, seen)
            return outputs[None], gates[None], state
        seen = seen.reshape(t, batch_size, -1)
        state, (outputs, gates) = jax.lax.scan(step, state, seen)
        return outputs, gates, state


class _Gates(hk.Module):
    """The gates' weights of the inputs and of the state, and their bias."""

    def __init__(self, hidden_size: int, name: str):
        super().__init__(name=name)
        self._hidden_size = hidden_size

    def __call__(self, inputs: chex.Array) -> tuple[chex.Array, ...]:
        num_features, n = inputs.shape[-1], self._hidden_size
        size = num_features + n
        initial = hk.initializers.TruncatedNormal(size**-0.5)
        w = hk.get_parameter("w", [size, 4 * n], inputs.dtype, init=initial)
        b = hk.get_parameter("b", [4 * n], inputs.dtype, init=jnp.zeros)
        return w[:num_features], w[num_features:], b


def _next_state(gates: chex.Array, state: hk.LSTMState) -> hk.LSTMState:
    i, g, f, o = jnp.split(gates, 4, axis=-1)
    # The forget gate's bias of 1 is Jozefowicz et al.'s (2015), and Haiku's.
    cell = jax.nn.sigmoid(f + 1.0) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return hk.LSTMState(jax.nn.sigmoid(o) * jnp.tanh(cell), cell)


def centre_gradients(x: chex.Array, mean: Callable[[chex.Array], chex.Array]):
    """Returns x; its gradient is less its mean over time and batch.

    While a critic is new, it wants the same of all canvases. What all of them push alike
    would grow until it drowns what differs between them: the policy goes blind, for good.
    Behind this function it moves the later layers only, whose biases are made for it.

    Args:
      x: `[T, B, F]`.
      mean: averages over the devices that hold the batch.
    """

    @jax.custom_vjp
    def identity(x):
        return x

    def backward(_, gradient):
        return (gradient - mean(jnp.mean(gradient, axis=(0, 1))),)

    identity.defvjp(lambda x: (x, None), backward)
    return identity(x)


def varying_share(x: chex.Array, mean: Callable[[chex.Array], chex.Array]) -> chex.Array:
    """Returns the share of the power of `[T, B, F]` that varies over the batch, in 0..1.

    Args:
      x: of one episode each along B.
      mean: averages over the devices that hold the batch.
    """
    power = mean(jnp.mean(x**2, axis=1))
    varying = power - mean(jnp.mean(x, axis=1)) ** 2
    return jnp.sum(varying) / (jnp.sum(power) + 1e-12)
