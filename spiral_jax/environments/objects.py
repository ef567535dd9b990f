"""Objects: what the commands of a scene have built, and where it stands in the world."""

import numpy as np

from spiral_jax.renderers.scene import GROUND_DEPTH, GROUND_WIDTH, MAX_OBJECTS
from spiral_jax.types import Actions, Objects

# The components that describe an object, in the order of the language.
PARTS = ("shape", "location", "size", "red", "green", "blue")
RADII = np.array([0.9, 1.3, 1.8], np.float32)  # world units
# Black has no shading that tells a sphere from a box, so the levels begin above it.
LEVELS = np.linspace(0.1, 1.0, 4, dtype=np.float32)


def place(counts: np.ndarray, parts: np.ndarray, grid_width: int) -> Objects:
    """Puts described objects into the world.

    Args:
      counts: `[B]` int32, objects of each scene.
      parts: `[B, M, 6]` int32: of each object the values of `PARTS`.
      grid_width: of the location component. Row 0 is at the back, column 0 on the left;
        objects stand in the middle of their cell.
    """
    shape, location, size, *color = np.moveaxis(parts, -1, 0)
    row, column = location // grid_width, location % grid_width
    y = GROUND_DEPTH * (0.5 - (row + 0.5) / grid_width)
    x = GROUND_WIDTH * ((column + 0.5) / grid_width - 0.5)
    return Objects(
        count=counts,
        shape=shape,
        position=np.stack([y, x], axis=-1).astype(np.float32),
        radius=RADII[size],
        color=LEVELS[np.stack(color, axis=-1)],
    )


class Builders:
    """`B` scenes in the making, which begin empty.

    Attributes:
      counts: `[B]` int32, objects of each scene.
      parts: `[B, MAX_OBJECTS, 6]` int32: of each object the values of `PARTS`.
    """

    def __init__(self, batch_size: int):
        self.counts = np.zeros(batch_size, np.int32)
        self.parts = np.zeros((batch_size, MAX_OBJECTS, len(PARTS)), np.int32)

    def build(self, actions: Actions) -> np.ndarray:
        """Executes one command in each scene.

        Adding to a scene of `MAX_OBJECTS` objects has no effect. Changing where there is
        no object yet adds one: a command with all its components but without any effect
        would earn the bonus of their entropy for doing nothing.

        Args:
          actions: valid commands, `[B]` int32 each.

        Returns:
          `[B]` bool: the scenes that were built on.
        """
        operation = actions["operation"]
        change = (operation == 1) & (self.counts > 0)
        add = (operation != 2) & ~change & (self.counts < MAX_OBJECTS)
        self.counts = self.counts + add
        touched = np.flatnonzero(add | change)
        described = np.stack([actions[name] for name in PARTS], axis=-1)
        self.parts[touched, self.counts[touched] - 1] = described[touched]
        return add | change


def build(actions: Actions) -> Builders:
    """Executes programs side by side.

    Args:
      actions: valid commands, `[T, B]` int32 each.

    Returns:
      The scenes that they build.
    """
    num_commands, batch_size = actions["operation"].shape
    builders = Builders(batch_size)
    for t in range(num_commands):
        builders.build({name: values[t] for name, values in actions.items()})
    return builders
