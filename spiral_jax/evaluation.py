"""How good drawings of unconditional agents are, beside real pictures and blank ones.

What is measured is in `measures`, what networks make of pictures in `features`;
docs/measures.md explains both, and what the figures are worth.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from absl import logging

from spiral_jax.config import Config
from spiral_jax.data import Dataset
from spiral_jax.features import (
    NUM_CLASSES,
    Looks,
    accuracy,
    as_ink,
    classify,
    encode,
    fit_autoencoder,
    load_classifiers,
    split,
)
from spiral_jax.measures import class_variation, frechet_distance, precision_and_recall
from spiral_jax.rollouts.queues import Stopped
from spiral_jax.sampling import sample_trajectories
from spiral_jax.system import System

NUM_SAMPLES = 2000
LEAST_ACCURACY = 0.975
CONFIDENT = 0.99

# What the measures in metrics.jsonl are called for readers, and how they are written.
_NAMES = {
    "digits/precision": ("precision", ".3f"),
    "digits/recall": ("recall", ".3f"),
    "digits/confident": (f"sure (p > {CONFIDENT})", ".3f"),
    "digits/class_variation": ("class variation", ".3f"),
    "pictures/precision": ("precision", ".3f"),
    "pictures/recall": ("recall", ".3f"),
    "frechet/distance": ("Fréchet distance", ".4g"),
    "frechet/lowest": ("  lowest", ".4g"),
    "frechet/highest": ("  highest", ".4g"),
}
_IN_SHORT = (
    *("digits/precision", "pictures/precision"),
    *("digits/confident", "frechet/distance"),
)


class MeasureFn(Protocol):
    """Measures drawings in a way of your own.

    Takes the run's parts and the drawings of an evaluation `[N, H, W, C]` float32, of
    conditional agents targets and drawings in turns; returns values by their names in
    metrics.jsonl, such as "ink/mean".
    """

    def __call__(self, system: System, drawings: np.ndarray) -> dict[str, float]: ...


class Report(Protocol):
    """How good an agent is, beside what it can be compared with; `str` writes a table."""

    @property
    def floor(self) -> tuple[str, float]:
        """What curves are to come down to: its name, and the measure."""
        ...


class Evaluator(Protocol):
    """Measures the agents of a run.

    Attributes:
      metric, label: what the measure that is drawn as a curve is called in metrics.jsonl,
        and for readers; less is better.
      num_drawings: how many drawings `measure` asks an agent for.
    """

    metric: str
    label: str
    num_drawings: int

    def measure(
        self, params: Any, stopped: Callable[[], bool] = ...
    ) -> tuple[dict[str, float], np.ndarray]:
        """Measures an agent, always with the same noise and random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          Measures by their names in metrics.jsonl, and pictures to look at.

        Raises:
          Stopped: `stopped` said so.
        """
        ...

    def table(self, agent: dict[str, float]) -> Report:
        """Puts what `measure` returned beside what it can be compared with."""
        ...

    def in_short(self, measures: dict[str, float]) -> str:
        """Writes what `measure` returned in a line."""
        ...


def compare(drawn: Looks, real: Looks) -> dict[str, float]:
    """Compares drawings with real pictures, by what the same networks make of them.

    Returns:
      Means over the networks, by their names in metrics.jsonl: precision and recall;
      where networks know classes, the share of drawings that they are sure about, and the
      variation of classes; the Fréchet distance, and of several networks the lowest and
      the highest one.
    """
    pairs = list(zip(real.features, drawn.features))
    distances = [frechet_distance(*pair) for pair in pairs]
    precision, recall = np.mean([precision_and_recall(*pair) for pair in pairs], axis=0)
    kind = "pictures" if drawn.probabilities is None else "digits"
    found = {f"{kind}/precision": float(precision), f"{kind}/recall": float(recall)}
    if drawn.probabilities is not None:
        classes = zip(*(x.probabilities.argmax(axis=-1) for x in (drawn, real)))
        variations = [class_variation(*pair, NUM_CLASSES) for pair in classes]
        found["digits/confident"] = confident_share(drawn)
        found["digits/class_variation"] = float(np.mean(variations))
    found["frechet/distance"] = float(np.mean(distances))
    if len(distances) > 1:
        found |= {"frechet/lowest": min(distances), "frechet/highest": max(distances)}
    return found


def confident_share(looks: Looks) -> float:
    """Returns the share of pictures of whose class networks are sure, p > 0.99."""
    return float(np.mean(looks.probabilities.max(axis=-1) > CONFIDENT))


class FrechetReport(NamedTuple):
    """Measures of an agent's drawings, and what to hold them against.

    Attributes:
      title: what is measured, and by what.
      agent: of its drawings, as `compare` returns them.
      real: of training pictures that the networks have not learnt from: no agent should
        be expected to do better.
      blank: of blank canvases.
      test_confident: the share of the test digits themselves of whose class networks are
        sure; None: networks know no classes.
    """

    title: str
    agent: dict[str, float]
    real: dict[str, float]
    blank: dict[str, float]
    test_confident: float | None

    @property
    def floor(self) -> tuple[str, float]:
        """What curves are to come down to: its name, and the Fréchet distance."""
        return "real pictures", self.real[FrechetEvaluator.metric]

    def __str__(self) -> str:
        lines = [self.title, f"{'':24s}  this agent       real      blank"]
        for key, value in self.agent.items():
            name, form = _NAMES[key]
            values = (value, self.real[key], self.blank[key])
            line = f"  {name:22s}" + "".join(f"{x:>12{form}}" for x in values)
            if key == "digits/confident":
                line += f"   (test digits: {self.test_confident:{form}})"
            lines.append(line)
        return "\n".join(lines)


def draw(
    system: System,
    params: Any,
    num_drawings: int,
    stopped: Callable[[], bool],
    targets: np.ndarray | None = None,
) -> np.ndarray:
    """Draws for an evaluation, always with the same noise and random keys.

    Args:
      system: from `make_system`.
      params: the policy's parameters.
      num_drawings: N.
      stopped: asked between batches whether to give up.
      targets: what a conditional agent is shown, `[N, H, W, C]` float32.

    Returns:
      Finished canvases `[N, H, W, C]` float32.

    Raises:
      Stopped: `stopped` said so.
    """
    drawings = []
    seed = system.seed("evaluation")
    for part in sample_trajectories(system, params, num_drawings, seed, targets):
        if stopped():
            raise Stopped
        drawings.append(part.canvases[-1].copy())  # or all that led there would stay
    return np.concatenate(drawings)[:num_drawings]


class FrechetEvaluator:
    """Measures drawings of agents against a run's test pictures, the first 2,000.

    Attributes:
      metric, label: what the measure that is drawn as a curve is called in metrics.jsonl,
        and for readers.
      ruler: what looks at pictures, in words.
    """

    metric = "frechet/distance"
    label = "Fréchet distance"
    num_drawings = NUM_SAMPLES

    def __init__(self, system: System, data: Dataset):
        """Takes the pictures. No seed of the run has a part in what is looked at."""
        self._system = system
        self._background = system.config.background
        self._real = split(data.train.images)[1]
        self.ruler, self._look = _ruler(system.config, data)
        self._test = self._look(self._ink(data.test.images[:NUM_SAMPLES]))

    def measure(
        self, params: Any, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, float], np.ndarray]:
        """Measures 2,000 drawings, always of the same noise and random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          What `compare` returns, and the drawings `[2000, H, W, C]`.

        Raises:
          Stopped: `stopped` said so.
        """
        drawings = draw(self._system, params, NUM_SAMPLES, stopped)
        return self._compare(drawings), drawings

    def table(self, agent: dict[str, float]) -> FrechetReport:
        """Puts what `measure` returned beside real pictures and blank canvases."""
        blank = np.stack([self._system.blank] * 2)  # thousands would say the same
        num_test = self._test.features.shape[1]
        knows = self._test.probabilities is not None
        return FrechetReport(
            title=f"{NUM_SAMPLES:,} drawings beside {num_test:,} test pictures, as seen "
            f"by {self.ruler}",
            agent=agent,
            real=self._compare(self._real),
            blank=self._compare(blank),
            test_confident=confident_share(self._test) if knows else None,
        )

    def in_short(self, measures: dict[str, float]) -> str:
        """Writes the most telling ones of an agent's measures in a line."""
        told = {k: v for k, v in measures.items() if k in _IN_SHORT}
        names = ((*_NAMES[key], value) for key, value in told.items())
        return ", ".join(f"{name} {value:{form}}" for name, form, value in names)

    def _ink(self, images: np.ndarray) -> np.ndarray:
        return as_ink(images, self._background)

    def _compare(self, images: np.ndarray) -> dict[str, float]:
        return compare(self._look(self._ink(images)), self._test)


def _ruler(config: Config, data: Dataset) -> tuple[str, Callable[[np.ndarray], Looks]]:
    """Returns what looks at the pictures of a run, in words and as a function of ink."""
    if config.dataset == "mnist":
        classifiers = load_classifiers()
        # The embedded digits are what classifiers were made for; other files may hold
        # other things.
        test = [x[:NUM_SAMPLES] for x in data.test]
        looks = classify(classifiers, as_ink(test[0], config.background))
        share = accuracy(looks, test[1])
        if not config.data_dir or share >= LEAST_ACCURACY:
            name = f"{len(classifiers)} classifiers of digits"
            return name, lambda ink: classify(classifiers, ink)
        logging.warning(
            "The classifiers of digits are right about %.1f%% of the test pictures in "
            "data_dir=%r, where MNIST has over %.1f%%: these seem to be other things. "
            "They are measured as pictures without labels.",
            *(100 * share, config.data_dir, 100 * LEAST_ACCURACY),
        )
    learnt, _ = split(data.train.images)
    autoencoder = fit_autoencoder(as_ink(learnt, config.background))
    name = "a linear autoencoder of the training pictures"
    return name, lambda ink: encode(autoencoder, ink)
