"""The autoregressive decoder: samples a command component by component, or scores one."""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from spiral_jax.language import (
    CommandLanguage,
    Component,
    canvas_to_grid,
    grid_to_canvas,
)
from spiral_jax.networks.gains import (
    PLACE_LEVELS,
    curve_gains,
    curve_place,
    gain_maps,
    level_of,
    place_gains,
)
from spiral_jax.networks.heads import (
    ConvolutionalLocationHead,
    Hints,
    PointingLocationHead,
)
from spiral_jax.networks.hints import location_hints
from spiral_jax.networks.layers import pooled
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
# neighbourhood; for near, less near and alike to where the stroke has been; and for the
# best of all strokes, as wide as the cells of grids so wide.
ERROR_WEIGHTS = (8.0, 8.0)
PLACE_WEIGHTS = (1.0, 1.0, 1.0)
GAIN_WEIGHTS = {16: 8.0, 8: 8.0}
# And its sizes: so many nats for the best one.
SIZE_WEIGHT = 3.0


class View(NamedTuple):
    """What a decoder sees past the core, W wide as locations have it.

    Attributes:
      features: `[N, W, W, F]` float32, the torso's map.
      colours: `[N, W, W, C]` float32 in 0..1, the target's; None if neither colours nor
        locations are told from it.
      errors: `[N, W, W, 1]` float32 in 0..1, how far the canvas is from the target; None
        where colours are.
      inked: `[N, W, W, 1]` float32, what ink all over a cell would take off the squared
        error of its px, on average, or where strokes have colours, what black would;
        likewise.
      pen: `[N]` integers, the location where the last command left the pen.
    """

    features: chex.Array
    colours: chex.Array | None = None
    errors: chex.Array | None = None
    inked: chex.Array | None = None
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
        blank: chex.Numeric,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._coloured = bool(set(COLOURS) & set(language.names))
        self._ink = 0.0 if self._coloured else 1.0 - blank
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
        maps: Sequence[chex.Array] = ()
        if view is not None and view.colours is not None:
            maps = gain_maps(view.inked, view.colours if self._coloured else None)
        for component, component_key in zip(self._language.components, keys):
            name = component.name
            points = component.is_location and view is not None
            if points:
                head = PointingLocationHead(name=f"head_{name}")
                logits = head(z, view.features, self._hints(view, maps, taken))
            else:
                logits = self._head(component)(z)
            if maps and name in COLOURS:
                logits += self._told_from_colours(component, view, taken)
            if maps and component.radii and {"control", "end"} <= set(taken):
                logits += self._told_from_gains(component, maps, view, taken)
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

    def view(
        self,
        features: chex.Array,
        previous: Actions,
        canvas: chex.Array,
        target: chex.Array | None,
    ) -> View:
        """Returns what the decoder is to see past the core.

        Args:
          features: `[N, W, W, F]`, the torso's map.
          previous: the last command, `[N]` each.
          canvas: `[N, H, H, C]` in 0..1.
          target: what is to be drawn, likewise; None: heads are told nothing of it.
        """
        pen = previous.get("end", previous.get("control"))
        if target is None:
            return View(features, pen=pen)
        error = jnp.mean(jnp.abs(target - canvas), axis=-1, keepdims=True)
        change = (target - canvas) ** 2 - (target - self._ink) ** 2
        inked = jnp.sum(change, axis=-1, keepdims=True)
        told = [pooled(image, features.shape[1]) for image in (target, error, inked)]
        return View(features, *told, pen=pen)

    def _hints(
        self, view: View, maps: Sequence[chex.Array], taken: Actions
    ) -> Hints | None:
        """Returns what tells the next location of a stroke, if there is a target."""
        if not maps:
            return None
        places = [p for p in (view.pen, *self._places(taken)) if p is not None]
        found = [location_hints(view.colours, view.errors, places)]
        num_places = (found[0].shape[1] - len(ERROR_WEIGHTS)) // len(PLACE_WEIGHTS)
        weights = [*ERROR_WEIGHTS]
        weights += [w / num_places for w in PLACE_WEIGHTS] * num_places
        if view.pen is not None:
            found.append(place_gains(maps, view.pen, taken.get("end")))
            widths = [level.shape[-1] for level in maps[:PLACE_LEVELS]]
            weights += [GAIN_WEIGHTS.get(width, 0.0) for width in widths]
        return Hints(jnp.concatenate(found, axis=1), tuple(weights))

    def _told_from_gains(
        self, component: Component, maps: Sequence[chex.Array], view: View, taken: Actions
    ) -> chex.Array:
        """Returns logits of a brush's size: what the stroke would bring with each."""
        gains = curve_gains(maps, view.pen, taken["control"], taken["end"])

        def first(shape, dtype):
            levels, width = jnp.arange(shape[0]), maps[0].shape[-1]
            of = [level_of(radius, width) for radius in component.radii]
            return SIZE_WEIGHT * jax.nn.relu(1 - jnp.abs(levels[:, None] - jnp.array(of)))

        return hk.Linear(component.num_values, False, first, name="gains_size")(gains)

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
    points = [grid_to_canvas(cell, width, width) for cell in (start, control, end)]
    return canvas_to_grid(curve_place(*points, t), width, width)


def _at(features: chex.Array, locations: chex.Array) -> chex.Array:
    """Takes the features `[N, F]` at locations `[N]` of a map `[N, W, W, F]`."""
    cells = features.reshape(features.shape[0], -1, features.shape[-1])
    return jnp.take_along_axis(cells, locations[:, None, None], axis=1)[:, 0]
