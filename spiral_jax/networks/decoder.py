"""The autoregressive decoder: samples a command component by component, or scores one."""

import math
from typing import NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.language import CommandLanguage, Component
from spiral_jax.networks.hints import location_hints
from spiral_jax.networks.layers import (
    HE_GAIN,
    Convolution,
    ResidualStack,
    Upsample,
    initial_gain,
)
from spiral_jax.types import Actions, PolicyOutput

EMBEDDING_SIZE = 16
COLOURS = ("red", "green", "blue")
# An untrained painter's colours: normally distributed around what the target has at these
# points of the stroke's curve, on average, with this standard deviation in levels; and
# all others as likely as they are at so many nats below the first.
CURVE_POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
COPY_SPREAD = 1.5
COPY_DEPTH = 9.0
# An untrained painter's locations: so many nats for an error of 1 of a cell and of its
# neighbourhood, and for near, less near and alike to where the stroke has been.
ERROR_WEIGHTS = (8.0, 8.0)
PLACE_WEIGHTS = (1.0, 2.0, 2.0)


class View(NamedTuple):
    """What a decoder sees past the core, W wide as locations have it.

    Attributes:
      features: `[N, W, W, F]` float32, the torso's map.
      colours: `[N, W, W, C]` float32 in 0..1, the target's; None if neither colours nor
        locations are told from it.
      errors: `[N, W, W, 1]` float32 in 0..1, how far the canvas is from the target; None
        where colours are.
      pen: `[N]` integers, the location where the last command left the pen.
    """

    features: chex.Array
    colours: chex.Array | None = None
    errors: chex.Array | None = None
    pen: chex.Array | None = None


def encode_component(component: Component, values: chex.Array) -> chex.Array:
    """Returns what a network sees of a component, before its linear embedding.

    Locations `[...]` become (y, x) in -1..1, `[..., 2]`; the others are one-hot,
    `[..., num_values]`. Both float32.
    """
    if component.is_location:
        width = component.grid_width
        cell = jnp.stack([values // width, values % width], axis=-1)
        return cell * (2.0 / (width - 1)) - 1.0
    return jax.nn.one_hot(values, component.num_values)


class ConvolutionalLocationHead(hk.Module):
    """Logits of a grid by upsampling (released agent; spec section 5).

    With Haiku's initial weights each transposed convolution divides the signal by 3, and
    there is nothing left of it to learn from; here they keep its power. The last layer
    begins close to 0, for all locations to be as likely.
    """

    def __init__(self, grid_width: int, name: str | None = None):
        super().__init__(name=name)
        if grid_width < 4 or grid_width & (grid_width - 1):
            raise ValueError(
                f"grid_width={grid_width}: the convolutional location head needs a "
                "power of two >= 4; the `small` network takes any grid."
            )
        self._num_doublings = int(math.log2(grid_width // 4))

    def __call__(self, z: chex.Array) -> chex.Array:
        """Maps `[N, 256]` to logits `[N, grid_width**2]`."""
        with initial_gain(HE_GAIN):
            x = Convolution(32, 3)(z.reshape(-1, 4, 4, 16))
            x = ResidualStack(8, 32)(x)
        # The initial weights are made for 16 px a window, of which 4 reach each px.
        with initial_gain(2.0 * HE_GAIN):
            for _ in range(self._num_doublings):
                x = jax.nn.relu(Upsample(32)(x))
        last = hk.initializers.RandomNormal(0.01)
        return Convolution(1, 3, w_init=last)(x).reshape(z.shape[0], -1)


class PointingLocationHead(hk.Module):
    """Logits of a grid from a map of features with one cell for each location.

    What a cell shows decides how likely it is, by the same weights everywhere: a policy
    that is shown a target learns once, and not for every location, what to point at.
    """

    def __call__(
        self, z: chex.Array, features: chex.Array, hints: chex.Array | None = None
    ) -> chex.Array:
        """Returns logits `[N, W * W]`.

        Args:
          z: `[N, Z]`, what the core says; it also decides how much each hint counts.
          features: `[N, W, W, F]`.
          hints: `[N, G, W, W]`, see `location_hints`.
        """
        num_features = features.shape[-1]
        asked = hk.Linear(num_features)(z)[:, None, None, :]
        x = Convolution(num_features, 3, name="conv2_d")(features)
        x = jax.nn.relu(x + asked)
        logits = hk.Linear(1)(x).reshape(z.shape[0], -1)
        if hints is not None:
            num_hints = hints.shape[1]
            weights = hk.Linear(
                num_hints,
                w_init=hk.initializers.RandomNormal(0.01),
                b_init=_first_weights,
                name="hints",
            )(z)
            hints = hints.reshape(z.shape[0], num_hints, -1)
            logits += jnp.einsum("ngl,ng->nl", hints, weights)
        return logits


def _first_weights(shape: list[int], dtype: jnp.dtype) -> chex.Array:
    """Nats that hints are worth at first: where it is wrong, near, and alike."""
    num_places = (shape[0] - 2) // 3
    of_place = jnp.array(PLACE_WEIGHTS, dtype) / num_places
    return jnp.concatenate([jnp.array(ERROR_WEIGHTS, dtype), *[of_place] * num_places])


class Decoder(hk.Module):
    """Maps the core's output `z` to a command.

    Each component gets a head on `z`; then `z <- relu(z + MLP([z, embedding]))` tells the
    later ones what was chosen, and, given a view, what there is at a chosen location.
    Sampling and scoring are this one code path, so that the log-probability of a sampled
    command and of the same command replayed are equal.
    """

    def __init__(
        self,
        language: CommandLanguage,
        z_size: int,
        convolutional_heads: bool,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._language = language
        self._z_size = z_size
        self._convolutional_heads = convolutional_heads

    def __call__(
        self,
        z: chex.Array,
        value: chex.Array,
        view: View | None = None,
        *,
        key: chex.PRNGKey | None = None,
        actions: Actions | None = None,
    ) -> PolicyOutput:
        """Samples with `key`, or scores the given `actions` `[N]`.

        Args:
          z: `[N, z_size]` float32.
          value: `[N]`, passed through to the output.
          view: what heads see past the core.
          key: random key; needed when there are no actions.
          actions: commands to score instead of sampling.
        """
        if (key is None) == (actions is None):
            raise ValueError("The decoder takes either a key or actions.")
        keys = [None] * len(self._language.components)
        if actions is None:
            keys = list(jax.random.split(key, len(keys)))
        taken, log_probs, entropies = {}, {}, {}
        for component, component_key in zip(self._language.components, keys):
            name = component.name
            points = component.is_location and view is not None
            if points:
                head = PointingLocationHead(name=f"head_{name}")
                logits = head(z, view.features, self._hints(view, taken))
            else:
                logits = self._head(component)(z)
            if name in COLOURS and view is not None and view.colours is not None:
                logits += self._told_from_colours(component, view, taken)
            if actions is None:
                taken[name] = jax.random.categorical(component_key, logits)
            else:
                taken[name] = actions[name]
            log_p = jax.nn.log_softmax(logits)
            log_probs[name] = jnp.take_along_axis(log_p, taken[name][:, None], axis=-1)[
                :, 0
            ]
            entropies[name] = -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)
            if component is not self._language.components[-1]:
                embedding = hk.Linear(EMBEDDING_SIZE, name=f"embed_{name}")(
                    encode_component(component, taken[name])
                )
                update = hk.nets.MLP([16, 32, self._z_size], name=f"update_{name}")
                change = update(jnp.concatenate([z, embedding], axis=-1))
                if points:
                    # Not through the narrow MLP: colours and shapes are told from this.
                    seen = _at(view.features, taken[name])
                    change += hk.Linear(self._z_size, name=f"seen_{name}")(seen)
                z = jax.nn.relu(z + change)
        return PolicyOutput(taken, log_probs, entropies, value)

    def _hints(self, view: View, taken: Actions) -> chex.Array | None:
        """Returns what tells the next location of a stroke, if there is a target."""
        if view.colours is None or view.errors is None:
            return None
        pen = [] if view.pen is None else [view.pen]
        return location_hints(view.colours, view.errors, pen + self._places(taken))

    def _places(self, taken: Actions) -> list[chex.Array]:
        """Returns the locations that are chosen so far, `[N]` each."""
        components = self._language.components
        return [taken[c.name] for c in components if c.is_location and c.name in taken]

    def _told_from_colours(
        self, component: Component, view: View, taken: Actions
    ) -> chex.Array:
        """Returns logits of a colour: what the target has of it along the stroke.

        That is on average, and at points of the curve or else at the chosen locations.
        """
        cells = self._places(taken)
        if {"end", "control"} <= set(taken):
            width = view.colours.shape[1]
            curve = (view.pen, taken["control"], taken["end"])
            cells = [curve_cell(*curve, t, width) for t in CURVE_POINTS]
        channel = view.colours[..., COLOURS.index(component.name), None]
        along = [_at(channel, cell) for cell in cells]
        levels = jnp.linspace(0.0, 1.0, component.num_values)
        spacing = levels[1] - levels[0]
        seen = [
            jax.nn.relu(1 - jnp.abs(colour - levels) / spacing)
            for colour in (sum(along) / len(along), *along)
        ]
        linear = hk.Linear(
            component.num_values, False, _copying, name=f"colours_{component.name}"
        )
        return linear(jnp.concatenate(seen, axis=-1))

    def _head(self, component: Component) -> hk.Module:
        name = f"head_{component.name}"
        if component.is_location and self._convolutional_heads:
            return ConvolutionalLocationHead(component.grid_width, name=name)
        return hk.Linear(component.num_values, name=name)


def _copying(shape: list[int], dtype: jnp.dtype) -> chex.Array:
    """Initial weights `[colours * levels, levels]`: a level as the first colour has it.

    To learn that from nothing takes each of the 20 x 20 pairs of levels its own
    exploration; meanwhile colours freeze at what is safe for all pictures. And what is
    explored of a colour had better be near it, in three channels at once: copied from
    several places each, they would be one's red with another's blue.
    """
    num_levels = shape[1]
    levels = jnp.arange(num_levels, dtype=dtype)
    squares = (levels[:, None] - levels) ** 2
    depth = jnp.minimum(squares / (2 * COPY_SPREAD**2), COPY_DEPTH)
    return jnp.concatenate([-depth, jnp.zeros([shape[0] - num_levels, num_levels])])


def curve_cell(
    start: chex.Array, control: chex.Array, end: chex.Array, t: float, width: int
) -> chex.Array:
    """Returns the cells `[N]` at t, in 0..1, of quadratic Bézier curves between cells."""
    point = 0.0
    weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
    for cell, weight in zip((start, control, end), weights):
        point += weight * jnp.stack([cell // width, cell % width], axis=-1)
    y, x = jnp.moveaxis(jnp.round(point).astype(jnp.int32), -1, 0)
    return y * width + x


def _at(features: chex.Array, locations: chex.Array) -> chex.Array:
    """Takes the features `[N, F]` at locations `[N]` of a map `[N, W, W, F]`."""
    cells = features.reshape(features.shape[0], -1, features.shape[-1])
    return jnp.take_along_axis(cells, locations[:, None, None], axis=1)[:, 0]
