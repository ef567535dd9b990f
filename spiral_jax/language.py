"""The command language: which commands an agent may write, and how they are checked.

A *command* is a tuple of discrete *components* (where to, how thick, which colour). The
agent samples them one after the other in the language's order. Names, order and meaning
of the painting components are those of DeepMind's SPIRAL environment (paper, section
4.1).
"""

import dataclasses
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from spiral_jax.types import Actions


def array_namespace(x: chex.Array):
    """Returns `jax.numpy` for JAX arrays and tracers, `numpy` for everything else."""
    return jnp if isinstance(x, jax.Array) else np


@dataclasses.dataclass(frozen=True)
class Component:
    """One discrete part of a command.

    Attributes:
      name: how actions dictionaries call it.
      num_values: actions are integers in `0..num_values - 1`.
      grid_width: for locations, the width of the square grid that the values index
        row by row (`index = y * grid_width + x`); None for plain categories.
      used_when: `(other component, those of its values)` under which this one has an
        effect; None when it always has.
      radii: for sizes of a brush, the radius of each as a share of the canvas's width;
        None where they are not known.
    """

    name: str
    num_values: int
    grid_width: int | None = None
    used_when: tuple[str, tuple[int, ...]] | None = None
    radii: tuple[float, ...] | None = None

    @property
    def is_location(self) -> bool:
        """Whether the values are places on a grid."""
        return self.grid_width is not None


@dataclasses.dataclass(frozen=True)
class CommandLanguage:
    """The components of a command, in the order in which the agent samples them."""

    components: tuple[Component, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The components' names, in order."""
        return tuple(component.name for component in self.components)

    def mask(self, actions: Actions) -> dict[str, chex.Array]:
        """Says which components of the commands have an effect.

        Args:
          actions: integers of any common shape `[...]`, numpy or JAX.

        Returns:
          `[...]` float32 for each component: 1 where it is used, 0 where it is not.
        """
        masks = {}
        for component in self.components:
            xp = array_namespace(actions[component.name])
            if component.used_when is None:
                masks[component.name] = xp.ones(actions[component.name].shape, np.float32)
            else:
                other, values = component.used_when
                used = xp.isin(actions[other], np.array(values))
                masks[component.name] = used.astype(np.float32)
        return masks

    def random(self, shape: tuple[int, ...], rng: np.random.Generator) -> dict:
        """Draws every component uniformly: integers of `shape` each."""
        return {c.name: rng.integers(c.num_values, size=shape) for c in self.components}

    def constant(self, value: int, shape: tuple[int, ...], dtype) -> dict:
        """Returns a dictionary with an array full of `value` for each component."""
        return {name: np.full(shape, value, dtype) for name in self.names}

    def validate(self, actions: Actions, shape: tuple[int, ...]) -> dict:
        """Checks commands that came from outside.

        Args:
          actions: what should be integers of shape `shape` for every component.
          shape: `[B]` for an environment's step, `[T]` for a program.

        Returns:
          The actions as int32 numpy arrays in the language's order.

        Raises:
          ValueError: a component is missing, unknown, of a wrong shape or out of range.
          TypeError: a component is not an integer array.
        """
        unknown = sorted(set(actions) - set(self.names))
        missing = [name for name in self.names if name not in actions]
        if unknown or missing:
            raise ValueError(
                f"Commands have the components {list(self.names)}; "
                f"missing: {missing}, unknown: {unknown}."
            )
        checked = {}
        for component in self.components:
            values = np.asarray(actions[component.name])
            if not np.issubdtype(values.dtype, np.integer):
                raise TypeError(
                    f"Component '{component.name}' is {values.dtype}; expected "
                    f"integers in 0..{component.num_values - 1}."
                )
            if values.shape != tuple(shape):
                raise ValueError(
                    f"Component '{component.name}' has shape {values.shape}; "
                    f"expected {tuple(shape)}."
                )
            wrong = (values < 0) | (values >= component.num_values)
            if wrong.any():
                index = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ValueError(
                    f"Component '{component.name}' is {values[index]} at index "
                    f"{index}; expected 0..{component.num_values - 1}."
                )
            checked[component.name] = values.astype(np.int32)
        return checked


def painting_language(
    grid_width: int,
    num_sizes: int,
    use_pressure: bool,
    use_color: bool,
    compound: bool = False,
    radii: Sequence[float] | None = None,
) -> CommandLanguage:
    """Returns the language of brush strokes (paper, section 4.1; spec section 3).

    `flag` 0 lifts the pen and moves it to `end`; 1 paints a quadratic Bézier curve from
    the pen over `control` to `end`. All other components matter only when painting.

    Compound strokes have no `end`. There `flag` 0 adds the point `control` to a stroke; 1
    paints the stroke, a cubic spline through its points, and puts the pen down at
    `control`, the first point of the next stroke. Names and meaning are those of
    DeepMind's environment for them (SPIRAL++).
    """
    painting = ("flag", (1,))
    places = [Component("end", grid_width**2, grid_width)] if not compound else []
    components = [
        Component("flag", 2),
        *places,
        Component("control", grid_width**2, grid_width, None if compound else painting),
        Component("size", num_sizes, None, painting, radii and tuple(radii)),
    ]
    if use_pressure:
        components.append(Component("pressure", 10, None, painting))
    if use_color:
        components += [
            Component(name, 20, None, painting) for name in ("red", "green", "blue")
        ]
    return CommandLanguage(tuple(components))


OPERATIONS = ("add", "change", "skip")
SHAPES = ("box", "sphere", "cylinder", "capsule")


def scenes_language(grid_width: int) -> CommandLanguage:
    """Returns the language of MuJoCo scenes (paper, section 4.1; spec section 4).

    `operation` 0 adds an object, 1 changes the one added last, 2 skips; the other
    components, which describe the object, matter only when adding or changing.
    """
    building = ("operation", (0, 1))
    return CommandLanguage(
        (
            Component("operation", len(OPERATIONS)),
            Component("shape", len(SHAPES), None, building),
            Component("location", grid_width**2, grid_width, building),
            Component("size", 3, None, building),
            *(Component(name, 4, None, building) for name in ("red", "green", "blue")),
        )
    )


def grid_to_canvas(
    location: chex.Array, grid_width: int, canvas_width: int
) -> chex.Array:
    """Returns the point `[..., 2]` in float32 px, (y, x), of grid locations `[...]`."""
    xp = array_namespace(location)
    cell = xp.stack([location // grid_width, location % grid_width], axis=-1)
    return cell.astype(np.float32) * np.float32(canvas_width / grid_width)


def canvas_to_grid(point: chex.Array, grid_width: int, canvas_width: int) -> chex.Array:
    """Returns the grid location `[...]` int32 nearest to points `[..., 2]` in px."""
    xp = array_namespace(point)
    cell = xp.clip(xp.round(point * (grid_width / canvas_width)), 0, grid_width - 1)
    return (cell[..., 0] * grid_width + cell[..., 1]).astype(np.int32)
