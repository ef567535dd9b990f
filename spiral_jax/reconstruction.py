"""How well conditional agents redraw what they are shown: l2 on held-out targets."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from spiral_jax.data import Dataset, to_float
from spiral_jax.evaluation import Evaluator, FrechetEvaluator, draw
from spiral_jax.measures import colour_errors
from spiral_jax.programs import Program
from spiral_jax.rewards import negative_distance
from spiral_jax.sampling import programs_of, sample_trajectories
from spiral_jax.system import System
from spiral_jax.types import Trajectory

NUM_TARGETS = 500
_BATCH_SIZE = 100
_PICTURES_AT_ONCE = 2000
_POOR = 0.9  # of what a canvas has on which nothing is drawn


def redraw(
    system: System, params: Any, targets: np.ndarray, seed: int, num_samples: int = 1
) -> tuple[list[Program], np.ndarray]:
    """Draws each target some times, and keeps the drawing that is nearest by l2.

    Args:
      system: of a conditional agent.
      params: the policy's parameters.
      targets: `[N, H, W, C]` float32 in 0..1.
      seed: the same targets and seed draw the same; one sample is the first of more.
      num_samples: drawings of each target.

    Returns:
      N programs, and the finished canvases `[N, H, W, C]` float32.

    Raises:
      ValueError: there is nothing to draw.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples}: expected at least 1.")
    num, batch_size = len(targets), min(len(targets), _BATCH_SIZE)
    best: list[tuple[float, Program, np.ndarray]] = []
    parts = sample_trajectories(
        system, params, num * num_samples, seed, targets, batch_size
    )
    # Episode i is of target i modulo N.
    drawn = (drawing for part in parts for drawing in _drawings(system, part))
    for index, drawing in zip(range(num * num_samples), drawn):
        if index < num:
            best.append(drawing)
        elif drawing[0] < best[index % num][0]:
            best[index % num] = drawing
    _, programs, canvases = zip(*best)
    return list(programs), np.stack(canvases)


def _drawings(
    system: System, trajectory: Trajectory
) -> Iterator[tuple[float, Program, np.ndarray]]:
    """Yields how far from its target each drawing is, its program, and its canvas."""
    canvases = trajectory.canvases[-1].copy()  # or all that led there would stay
    distances = -np.asarray(negative_distance(canvases, trajectory.targets))
    return zip(distances, programs_of(system, trajectory), canvases)


class Likeness(NamedTuple):
    """l2 distances to N pictures, `[N]` float32 each.

    Attributes:
      drawn: of the drawings.
      blank: of blank canvases.
      flat: of canvases of one colour, the picture's mean.
    """

    drawn: np.ndarray
    blank: np.ndarray
    flat: np.ndarray

    @property
    def poor(self) -> np.ndarray:
        """Whether a drawing is hardly nearer than paper or one colour, `[N]` bool."""
        one_color = self.flat < 1e-3  # of which the mean is the picture
        nothing = np.where(one_color, self.blank, np.minimum(self.blank, self.flat))
        return (nothing > 1e-3) & (self.drawn >= _POOR * nothing)


def compare(drawings: np.ndarray, pictures: np.ndarray, blank: np.ndarray) -> Likeness:
    """Measures drawings beside canvases on which nothing is drawn.

    Args:
      drawings, pictures: `[N, H, W, C]` float32 in 0..1.
      blank: a blank canvas of theirs, `[H, W, C]`, or its pixel `[C]`.
    """
    flat = pictures.mean(axis=(1, 2), keepdims=True)
    return Likeness(
        *(
            -np.asarray(negative_distance(canvases, pictures))
            for canvases in (drawings, blank, flat)
        )
    )


def opposite_ink(pictures: np.ndarray, blank: np.ndarray) -> np.ndarray:
    """Says which pictures have light ink on dark where the agent's is dark on light.

    Or the other way round. Such a picture is unlike the agent's paper along its edge, and
    in its mean. Of colours nothing is said: any may be drawn.

    Args:
      pictures: `[N, H, W, C]` float32 in 0..1.
      blank: a blank canvas `[H', W', C]`.

    Returns:
      `[N]` bool.
    """
    if blank.shape[-1] > 1:
        return np.zeros(len(pictures), bool)
    away = np.abs(pictures - blank.mean())[..., 0]
    edge = [away[:, 0], away[:, -1], away[:, :, 0], away[:, :, -1]]
    edge = np.median(np.concatenate(edge, axis=1), axis=1)
    return (edge > 0.5) & (away.mean(axis=(1, 2)) > 0.5)


def nearest_distances(targets: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Finds how far each target is from the nearest picture, by l2.

    That is what remembering pictures would come to, without being able to draw.

    Args:
      targets: `[N, H, W, C]` uint8.
      pictures: `[M, H, W, C]` uint8.

    Returns:
      `[N]` float32; pixels are in 0..1.
    """
    rows = to_float(targets).reshape(len(targets), -1)
    nearest = np.full(len(targets), np.inf, np.float32)
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        part = to_float(pictures[start : start + _PICTURES_AT_ONCE])
        part = part.reshape(len(part), -1)
        squares = (part**2).sum(axis=1) - 2 * rows @ part.T
        nearest = np.minimum(nearest, squares.min(axis=1))
    # Rounding may leave an equal picture's square a little below 0.
    return np.sqrt(np.maximum(nearest + (rows**2).sum(axis=1), 0.0))


class ReconstructionReport(NamedTuple):
    """Mean l2 distances of finished canvases to held-out targets.

    Attributes:
      now: of this agent.
      blank: of blank canvases, what an agent gets that draws nothing.
      colour_error: median error of the colours of each picture's five largest regions,
        in 0..1, see `colour_errors`; None for grey canvases.
    """

    now: float
    blank: float
    colour_error: float | None = None

    @property
    def floor(self) -> tuple[str, float]:
        """What curves are to come below: its name, and the distance."""
        return "blank canvas", self.blank

    def __str__(self) -> str:
        colours = ""
        if self.colour_error is not None:
            colours = f"\n  {'colour error':24s} {self.colour_error:#8.3g}"
        return (
            "l2 distance to held-out targets\n"
            f"  {'this agent':24s} {self.now:#8.4g}   "
            f"({self.now / self.blank:.3f} of blank)\n"
            f"  {'blank canvas':24s} {self.blank:#8.4g}{colours}"
        )


class ReconstructionEvaluator:
    """Measures agents on the first 500 held-out targets of a run's data.

    Attributes:
      metric, label: what the measure is called in metrics.jsonl, and for readers.
      colour_metric: what that of colours is called.
    """

    metric = "reconstruction/l2"
    colour_metric = "reconstruction/colour_error"
    label = "held-out l2"

    def __init__(self, system: System, data: Dataset):
        """Takes the test pictures."""
        self._system = system
        self._targets = to_float(data.test.images[:NUM_TARGETS])
        self.num_drawings = len(self._targets)

    def measure(
        self, params: Any, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, float], np.ndarray]:
        """Measures one drawing of each target, always of the same random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          The mean of `|canvas - target|_2`, and of colour canvases the median error of
          colours, by their names in metrics.jsonl; and targets and finished canvases in
          turns, `[2N, H, W, C]`.

        Raises:
          Stopped: `stopped` said so.
        """
        num, targets = len(self._targets), self._targets
        drawings = draw(self._system, params, num, stopped, targets)
        pairs = np.stack([targets, drawings], axis=1)
        measures = {self.metric: self._mean(drawings)}
        if drawings.shape[-1] > 1:
            errors = colour_errors(drawings, targets, self._system.blank[0, 0])
            if len(errors):
                measures[self.colour_metric] = float(np.median(errors))
        return measures, pairs.reshape(-1, *drawings.shape[1:])

    def table(self, agent: dict[str, float]) -> ReconstructionReport:
        """Puts what `measure` returned beside blank canvases."""
        blank = np.broadcast_to(self._system.blank, self._targets.shape)
        colour_error = agent.get(self.colour_metric)
        return ReconstructionReport(agent[self.metric], self._mean(blank), colour_error)

    def in_short(self, measures: dict[str, float]) -> str:
        """Writes what `measure` returned in a line."""
        return f"{self.label} {measures[self.metric]:.4g}"

    def _mean(self, drawings: np.ndarray) -> float:
        return -float(np.mean(negative_distance(drawings, self._targets)))


def make_evaluator(system: System, data: Dataset) -> Evaluator:
    """Makes what measures this run's agent: conditional ones by what they were shown."""
    if system.config.conditional:
        return ReconstructionEvaluator(system, data)
    return FrechetEvaluator(system, data)
