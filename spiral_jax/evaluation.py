"""How good the drawings are: the Fréchet distance in the features of a small network.

For MNIST a digit classifier, which this code trains on the run's own training digits, so
that nothing needs downloading. Distances of two runs compare only if they share the
classifier's seed, data and canvas width, as runs of one preset do.

Other data have no digits, or no labels at all. Their features are those of the
same network with random weights, as Naeem et al. 2020 propose where no classifier of the
domain is at hand; always the same weights, so that distances compare between all runs of
one data set, canvas width and number of channels. They see ink, colours and shapes, not
what a picture is of.

Either way the ratio to the untrained agent's distance is the figure to quote.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from spiral_jax.checkpoint import load_params, save_params
from spiral_jax.data import Dataset, EpochOrder, LabelledImages, to_float
from spiral_jax.networks.layers import Downsample
from spiral_jax.queues import Stopped
from spiral_jax.system import System, sample_trajectories

NUM_FEATURES = 64
NUM_SAMPLES = 2000
EPOCHS = 12
BATCH_SIZE = 100
LEAST_ACCURACY = 0.975
CHUNK = 500
RANDOM_SEED = 0


class Classifier(NamedTuple):
    """A digit classifier, or a network of its form with random weights.

    Attributes:
      params: parameters.
      test_accuracy: share of test digits classified right, in 0..1; None: random weights.
    """

    params: hk.Params
    test_accuracy: float | None

    def __str__(self) -> str:
        if self.test_accuracy is None:
            return "a network with random weights"
        return f"a classifier that knows {self.test_accuracy:.2%} of the test digits"


def _network(images: jax.Array, dropout_key: jax.Array | None = None):
    """Returns logits `[N, 10]` and penultimate features `[N, 64]`."""
    x = 2.0 * images - 1.0
    for channels in (32, 64):
        x = jax.nn.relu(Downsample(channels)(x))
    while x.shape[1] > 8:
        x = jax.nn.relu(Downsample(64)(x))
    x = hk.Flatten()(x)
    if dropout_key is not None:
        x = hk.dropout(dropout_key, 0.5, x)
    features = jax.nn.relu(hk.Linear(NUM_FEATURES)(x))
    return hk.Linear(10)(features), features


_NETWORK = hk.without_apply_rng(hk.transform(_network))
_APPLY = jax.jit(_NETWORK.apply)


def train_classifier(data: Dataset, seed: int, progress: bool = True) -> Classifier:
    """Trains the classifier: Adam with a cosine schedule, random shifts, dropout.

    Args:
      data: digits with labels.
      seed: of the initial weights, order, shifts and dropout.
      progress: whether to show a bar.
    """
    images = data.train.images
    steps = EPOCHS * len(images) // BATCH_SIZE
    optimiser = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    params = _NETWORK.init(jax.random.key(seed), to_float(images[:1]))

    def loss(params, x, labels, key):
        logits, _ = _NETWORK.apply(params, x, key)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    @jax.jit
    def update(params, opt_state, step, x, labels):
        key = jax.random.fold_in(jax.random.key(seed), step)
        shift_key, dropout_key = jax.random.split(key)
        # Digits drawn by the agent are not centred as the data are.
        shifts = jax.random.randint(shift_key, [len(x), 2], -2, 3)
        x = jax.vmap(lambda image, shift: jnp.roll(image, shift, axis=(0, 1)))(x, shifts)
        gradients = jax.grad(loss)(params, x, labels, dropout_key)
        updates, opt_state = optimiser.update(gradients, opt_state)
        return optax.apply_updates(params, updates), opt_state

    opt_state = optimiser.init(params)
    order = EpochOrder(len(images), seed)
    for step in tqdm(
        range(steps), desc="digit classifier", disable=not progress, leave=False
    ):
        index = order.batch(BATCH_SIZE, step)
        params, opt_state = update(
            params, opt_state, step, to_float(images[index]), data.train.labels[index]
        )
    classifier = Classifier(params, None)
    return classifier._replace(test_accuracy=accuracy(classifier, data.test))


def random_classifier(shape: tuple[int, int, int]) -> Classifier:
    """Makes the network with random weights for pictures of a shape (H, W, C)."""
    example = np.zeros([1, *shape], np.float32)
    return Classifier(_NETWORK.init(jax.random.key(RANDOM_SEED), example), None)


def accuracy(classifier: Classifier, data: LabelledImages) -> float:
    """Returns the share of digits that are classified right."""
    return float(np.mean(classify(classifier, data.images) == data.labels))


def classify(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Takes pictures `[N, H, W, C]`, see `features`, for digits: `[N]` integers."""
    return np.argmax(_outputs(classifier, images)[0], axis=-1)


def features(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Maps pictures `[N, H, W, C]` to features `[N, 64]` float64.

    Args:
      classifier: trained or random.
      images: float32 in 0..1, or uint8, which may be more than memory holds.
    """
    return _outputs(classifier, images)[1].astype(np.float64)


def _outputs(classifier: Classifier, images: np.ndarray) -> tuple[np.ndarray, ...]:
    found = []
    for i in range(0, len(images), CHUNK):
        chunk = images[i : i + CHUNK]
        chunk = to_float(chunk) if chunk.dtype == np.uint8 else chunk
        found.append(_APPLY(classifier.params, chunk))
    return tuple(np.concatenate(parts) for parts in zip(*found))


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the Fréchet distance of two sets of features, fitted by Gaussians.

    `|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))` (Heusel et al. 2017, equation 6).

    Args:
      a, b: `[N, F]` and `[M, F]` float64.
    """
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The root of S_a S_b has the trace of the root of the symmetric
    # S_a^(1/2) S_b S_a^(1/2), which needs no complex arithmetic.
    eigenvalues, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
    cross = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    trace = np.trace(cov_a) + np.trace(cov_b)
    trace -= 2.0 * np.sum(np.sqrt(np.maximum(cross, 0.0)))
    return float(np.sum((mean_a - mean_b) ** 2) + trace)


class Table(NamedTuple):
    """Fréchet distances to the test pictures.

    Attributes:
      untrained: of the agent that training starts from.
      now: of this agent.
      real: of as many real training pictures; no agent should be expected below it.
    """

    untrained: float
    now: float
    real: float

    def __str__(self) -> str:
        others = {"this agent": self.now, "real training pictures": self.real}
        title = "Fréchet distance to the test pictures"
        return beside_untrained(title, self.untrained, others)


def beside_untrained(title: str, untrained: float, others: dict[str, float]) -> str:
    """Writes distances below each other, and all as shares of the untrained agent's."""
    lines = [title, f"  {'untrained agent':24s} {untrained:#8.4g}"]
    lines += [
        f"  {name:24s} {value:#8.4g}   ({value / untrained:.3f} of untrained)"
        for name, value in others.items()
    ]
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


class Evaluator:
    """Measures drawings of agents against a run's test pictures.

    Attributes:
      metric, label: what the measure is called in metrics.jsonl, and for readers.
      classifier: whose features are compared.
    """

    metric = "frechet/distance"
    label = "Fréchet distance"

    def __init__(self, system: System, data: Dataset, run_dir: Path):
        """Takes the pictures; a digit classifier is cached in `run_dir`."""
        self._system = system
        if system.config.dataset == "mnist":
            path, seed = run_dir / "classifier.npz", system.seed("evaluation")
            self.classifier = cached_classifier(path, data, seed)
        else:
            self.classifier = random_classifier(data.test.images.shape[1:])
        self._test = features(self.classifier, data.test.images)
        real = features(self.classifier, data.train.images[:NUM_SAMPLES])
        self._real = frechet_distance(real, self._test)

    def distance(
        self, params: Any, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[float, np.ndarray]:
        """Measures 2,000 drawings, always of the same noise and random keys.

        Args:
          params: the policy's parameters.
          stopped: asked between batches whether to give up.

        Returns:
          The Fréchet distance, and the drawings `[2000, H, W, C]`.

        Raises:
          Stopped: `stopped` said so.
        """
        drawings = draw(self._system, params, NUM_SAMPLES, stopped)
        found = features(self.classifier, drawings)
        return frechet_distance(found, self._test), drawings

    def table(self, now: float) -> Table:
        """Puts an agent's distance beside the untrained one's and real pictures'."""
        untrained, _ = self.distance(self._system.initial_policy())
        return Table(untrained, now, self._real)


def cached_classifier(path: Path, data: Dataset, seed: int) -> Classifier:
    """Loads the classifier from `path` (arrays only), or trains it and writes it."""
    if path.exists():
        params, numbers = load_params(path, ("test_accuracy",))
        return Classifier(params, numbers["test_accuracy"])
    classifier = train_classifier(data, seed)
    if classifier.test_accuracy < LEAST_ACCURACY:
        raise RuntimeError(
            f"The digit classifier reached {classifier.test_accuracy:.2%} on the test "
            f"digits; {LEAST_ACCURACY:.1%} is needed for its features to mean "
            "something. Train on more digits (--data_dir), or with another --seed."
        )
    save_params(path, classifier.params, test_accuracy=classifier.test_accuracy)
    return classifier
