"""The policy sees canvas and last command, and says the next one (spec, section 5)."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.devices import ONE_DEVICE, DeviceGroup
from spiral_jax.language import CommandLanguage
from spiral_jax.networks.core import LSTM, centre_gradients, varying_share
from spiral_jax.networks.decoder import EMBEDDING_SIZE, Decoder, View, encode_component
from spiral_jax.networks.layers import (
    HE_GAIN,
    Convolution,
    Downsample,
    ResidualStack,
    computing_in,
    initial_gain,
)
from spiral_jax.networks.presets import PRESETS, PolicyPreset
from spiral_jax.types import Actions, AgentState, PolicyOutput, Trajectory

NOISE_SIZE = 10


class Policy(NamedTuple):
    """Pure functions of the policy network.

    Attributes:
      init: `(key) -> params`.
      initial_state: `(key, batch_size) -> AgentState` at the start of an episode: draws
        the episode's noise.
      step: `(params, observation, state) -> (PolicyOutput, AgentState)`: samples one
        command per canvas; the observation is the environment's, and "target"
        `[B, H, W, C]` if it is conditional.
      unroll: `(params, trajectory, bootstrap=False, devices=ONE_DEVICE) ->
        (PolicyOutput, [B], signals)`: scores the commands of a trajectory, `[T, B]`; the
        value of what follows the last one, 0 without `bootstrap`; and how well the
        network sees, scalars by name: "torso_variation", the share in 0..1 of the power
        of the torso's output that differs between the canvases of a time step; and
        "gate_rms", of what the LSTM's gates see.
    """

    init: Any
    initial_state: Any
    step: Any
    unroll: Any


class _Network(hk.Module):
    """Torso, core, value and decoder; the torso and the decoder know no time."""

    def __init__(
        self,
        language: CommandLanguage,
        preset: PolicyPreset,
        blank: chex.Numeric,
        blind: bool,
        compute_dtype: str,
    ):
        super().__init__(name="policy")
        self._blank = blank if preset.from_blank else 0.0
        self._blind = blind
        self._compute_dtype = compute_dtype
        self.language = language
        self._preset = preset
        self.centred_gradients = preset.centred_gradients
        self.core = LSTM(preset.core)
        self._decoder = Decoder(language, preset.core, preset.convolutional_heads, blank)
        self._value = hk.Linear(1, name="value")

    def torso(
        self,
        canvas: chex.Array,
        previous: Actions,
        mask: Actions,
        noise: chex.Array,
        target: chex.Array | None,
    ) -> tuple[chex.Array, View | None]:
        """Maps what the policy sees to `[N, core]`, and to a view if heads point at it.

        Canvas and target (None if unconditional) are `[N, H, W, C]`, previous command and
        mask `[N]` each, noise `[N, Z]`.
        """
        preset = self._preset
        _, h, w, _ = canvas.shape
        y, x = jnp.meshgrid(
            jnp.linspace(-1.0, 1.0, h), jnp.linspace(-1.0, 1.0, w), indexing="ij"
        )
        grids = jnp.stack([x, y], axis=-1)[None].astype(self._compute_dtype)
        seen = [] if self._blind else [canvas - self._blank]
        if target is not None:
            seen.append(target - self._blank)
        x = jnp.concatenate(seen, axis=-1).astype(self._compute_dtype)
        gain = HE_GAIN if preset.he_weights else 1.0
        with computing_in(self._compute_dtype), initial_gain(gain):
            if preset.first_stride == 1:
                x = Convolution(preset.torso[0], 5)(x, grids)
            else:
                x = Downsample(preset.torso[0])(x, grids)
        condition = self._condition(previous, mask, noise).astype(x.dtype)
        layers = []
        x = jax.nn.relu(x + condition[:, None, None, :])
        with computing_in(self._compute_dtype), initial_gain(gain):
            for channels in preset.torso[1:]:
                layers.append(x)
                x = jax.nn.relu(Downsample(channels)(x))
            if preset.residual_blocks:
                x = Convolution(preset.torso[-1], 3)(x)
                x = ResidualStack(preset.residual_blocks, preset.torso[-1])(x)
        with initial_gain(gain):
            x = hk.Linear(preset.core)(hk.Flatten()(x).astype(jnp.float32))
        if preset.core_activation:
            x = jax.nn.relu(x)
        if preset.core_norm:
            affine = preset.core_norm_affine
            norm = hk.LayerNorm(-1, create_scale=affine, create_offset=affine)
            with hk.custom_getter(self._without_noise):
                x = norm(x)
        if not preset.pointing_heads:
            return x, None
        told = target if preset.told_by_target else None
        return x, self._decoder.view(self._map(layers), previous, canvas, told)

    def _without_noise(self, next_getter, value, context) -> chex.Array:
        """Gets a parameter of the layer in front of centred gradients.

        Its offset's gradient is 0 then, but for rounding, and Adam makes full steps of
        whatever is not 0.
        """
        found = next_getter(value)
        if context.name == "offset" and self._preset.centred_gradients:
            return jax.lax.stop_gradient(found)
        return found

    def _map(self, layers: list[chex.Array]) -> chex.Array:
        widths = {c.grid_width for c in self.language.components if c.is_location}
        for layer in layers:
            if widths == {layer.shape[1]}:
                return layer.astype(jnp.float32)
        raise ValueError(
            f"grid_width={sorted(widths)}: the `pointer` network needs a layer of that "
            f"width; on this canvas it has {[x.shape[1] for x in layers]}."
        )

    def _condition(
        self, previous: Actions, mask: Actions, noise: chex.Array
    ) -> chex.Array:
        sizes = (*self._preset.condition, self._preset.torso[0])
        embeddings = [
            hk.Linear(EMBEDDING_SIZE, name=f"previous_{c.name}")(
                encode_component(c, previous[c.name])
            )
            * mask[c.name][:, None]
            for c in self.language.components
        ]
        command = hk.nets.MLP(sizes, name="command_mlp")(
            jnp.concatenate(embeddings, axis=-1)
        )
        return command + hk.nets.MLP(sizes, name="noise_mlp")(noise)

    def value(self, z: chex.Array) -> chex.Array:
        """Maps the core's output `[N, core]` to an estimate of the return, `[N]`."""
        return self._value(z)[:, 0]

    def decode(self, z: chex.Array, view: View | None, **how) -> PolicyOutput:
        """Maps the core's output `[N, core]` to a sampled or scored command."""
        return self._decoder(z, self.value(z), view, **how)


def _step(network: _Network, observation: Mapping[str, Any], state: AgentState):
    """Samples one command per canvas, see `Policy.step`."""
    key, sample_key = jax.random.split(state.key)
    seen, view = network.torso(
        observation["canvas"],
        state.previous_actions,
        observation["action_mask"],
        state.noise,
        observation.get("target"),
    )
    z, _, lstm = network.core(seen[None], state.lstm)
    output = network.decode(z[0], view, key=sample_key)
    return output, AgentState(lstm, state.noise, output.actions, key)


def _unroll(
    network: _Network,
    trajectory: Trajectory,
    bootstrap: bool = False,
    devices: DeviceGroup = ONE_DEVICE,
):
    """Scores the commands of a trajectory, see `Policy.unroll`."""
    t, b = trajectory.behaviour_log_prob.shape
    num_seen, start = t + bootstrap, trajectory.start
    # A torso inside a scan over time is 10 times slower on CPUs: torso and
    # decoder see all time steps as one batch, only the LSTM goes through time.
    merge = lambda x: x.reshape(-1, *x.shape[2:])
    masks = trajectory.action_masks
    if bootstrap:
        last = network.language.mask(jax.tree.map(lambda a: a[-1:], trajectory.actions))
        masks = {k: jnp.concatenate([masks[k], last[k]]) for k in masks}
    previous = {
        k: jnp.concatenate([start.previous_actions[k][None], a])[:num_seen]
        for k, a in trajectory.actions.items()
    }
    seen, view = network.torso(
        merge(trajectory.canvases[:num_seen]),
        jax.tree.map(merge, previous),
        jax.tree.map(merge, masks),
        jnp.tile(start.noise, (num_seen, 1)),
        jax.tree.map(lambda x: jnp.tile(x, (num_seen, 1, 1, 1)), trajectory.targets),
    )
    seen = seen.reshape(num_seen, b, -1)
    signals = {"torso_variation": varying_share(seen, devices.mean)}
    if network.centred_gradients:
        seen = centre_gradients(seen, devices.mean)
    z, gates, _ = network.core(seen, start.lstm)
    signals["gate_rms"] = jnp.sqrt(devices.mean(jnp.mean(gates**2)))
    if network.centred_gradients:
        z = centre_gradients(z, devices.mean)
    output = network.decode(
        merge(z[:t]),
        jax.tree.map(lambda x: x[: t * b], view),
        actions=jax.tree.map(merge, trajectory.actions),
    )
    following = network.value(z[t]) if bootstrap else jnp.zeros([b])
    output = jax.tree.map(lambda x: x.reshape(t, b), output)
    return output, following, jax.lax.stop_gradient(signals)


def make_policy(
    language: CommandLanguage,
    canvas_shape: tuple[int, int, int],
    preset: str,
    blank: chex.Numeric,
    *,
    conditional: bool = False,
    blind: bool = False,
    compute_dtype: str = "float32",
) -> Policy:
    """Builds the policy's pure functions.

    Args:
      language: the commands it writes.
      canvas_shape: (H, W, C) of the canvas it sees.
      preset: "paper", "small", "pointer" or "painter".
      blank: a blank canvas `[H, W, C]`, or the one value of it.
      conditional: whether it also sees a target, `observation["target"]` (paper, section
        3.2), as further channels.
      blind: whether it does not see the canvas, only the target.
      compute_dtype: of the torso's convolutions, "float32" or "bfloat16". The core, the
        decoder and what it says of probabilities are float32 always.

    Raises:
      ValueError: unknown preset; or a blind policy without a target.
    """
    if blind and not conditional:
        raise ValueError("blind=True: expected conditional=True, else it sees nothing.")
    if preset not in PRESETS:
        raise ValueError(f"policy={preset!r}: expected one of {tuple(PRESETS)}.")

    def build():
        network = _Network(language, PRESETS[preset], blank, blind, compute_dtype)
        step = functools.partial(_step, network)
        return step, (step, functools.partial(_unroll, network))

    transformed = hk.without_apply_rng(hk.multi_transform(build))
    step, unroll = transformed.apply

    def initial_state(key: chex.PRNGKey, batch_size: int) -> AgentState:
        noise_key, key = jax.random.split(key)
        zeros = jnp.zeros([batch_size, PRESETS[preset].core])
        return AgentState(
            lstm=hk.LSTMState(hidden=zeros, cell=zeros),
            noise=jax.random.normal(noise_key, [batch_size, NOISE_SIZE]),
            previous_actions={
                name: jnp.zeros([batch_size], jnp.int32) for name in language.names
            },
            key=key,
        )

    def init(key: chex.PRNGKey) -> hk.Params:
        observation = {
            "canvas": jnp.zeros([1, *canvas_shape]),
            "action_mask": {name: jnp.zeros([1]) for name in language.names},
        }
        if conditional:
            observation["target"] = jnp.zeros([1, *canvas_shape])
        return transformed.init(key, observation, initial_state(key, 1))

    return Policy(init, initial_state, step, unroll)
