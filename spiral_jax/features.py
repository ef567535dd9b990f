"""What drawings and real pictures are compared in: features of 32x32 px of ink.

Every canvas is brought to 32 px and to ink on nothing first, so that one ruler serves all
widths and backgrounds, and distances compare between them.

Digits are looked at by three classifiers, which come with the package: 0.6 MB, made once
by `python -m experiments.train_classifiers`. Training them at the start of every run
would take minutes, and each run would have a ruler of its own. They learnt from the first
8,000 training digits of MNIST, the embedded ones; the 2,000 after these are what is
called real, whether a run learns from 10,000 digits or from all 60,000.

Other pictures have no such classifiers: they are looked at by a linear autoencoder of the
run's own training pictures, whose optimum is known: their principal components.
"""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import haiku as hk
import jax
import numpy as np

from spiral_jax.data import to_float
from spiral_jax.networks.layers import Downsample
from spiral_jax.parameters import load_params, save_params

WIDTH = 32
NUM_FEATURES = 64
NUM_LEARNT, NUM_REAL = 8_000, 2_000
NUM_CLASSES = 10
CHANNELS = (16, 32, 64)
CHUNK = 500
CLASSIFIERS = Path(str(resources.files("spiral_jax") / "classifiers" / "digits.npz"))


class Looks(NamedTuple):
    """What R networks make of N pictures.

    Attributes:
      features: `[R, N, F]` float64.
      probabilities: of classes, `[R, N, 10]` float32; None: the networks know none.
    """

    features: np.ndarray
    probabilities: np.ndarray | None


def split(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits training pictures into what networks learn from, and what is called real.

    Args:
      images: `[N, H, W, C]`, N >= 3, of which the first ones are a fair sample.

    Returns:
      Of the first 10,000 pictures the first four fifths, and the rest, at least two: of
      MNIST 8,000 and 2,000 digits. No picture is in both.
    """
    num = min(len(images), NUM_LEARNT + NUM_REAL)
    num_learnt = min(num * NUM_LEARNT // (NUM_LEARNT + NUM_REAL), num - 2)
    return images[:num_learnt], images[num_learnt:num]


def as_ink(images: np.ndarray, background: str) -> np.ndarray:
    """Brings pictures to 32 px and to 0 where there is nothing.

    Wider ones by means of their blocks of px, narrower ones by repeating px.

    Args:
      images: `[N, H, H, C]`, H a power of two; float32 in 0..1, or uint8, which may be
        more than memory holds as float32.
      background: "white" or "black", what a blank canvas shows.

    Returns:
      `[N, 32, 32, C]` float32 in 0..1.
    """
    parts = [_as_ink(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
    ink = np.concatenate(parts)
    return 1.0 - ink if background == "white" else ink


def _as_ink(images: np.ndarray) -> np.ndarray:
    images = to_float(images) if images.dtype == np.uint8 else images
    num, width, _, channels = images.shape
    if width < WIDTH:
        return images.repeat(WIDTH // width, axis=1).repeat(WIDTH // width, axis=2)
    size = width // WIDTH
    return images.reshape(num, WIDTH, size, WIDTH, size, channels).mean(axis=(2, 4))


# Classifiers of digits.


def _network(ink: jax.Array, dropout_key: jax.Array | None = None):
    """Maps `[N, 32, 32, 1]` to logits `[N, 10]` and penultimate features `[N, 64]`."""
    x = ink
    for channels in CHANNELS:
        x = jax.nn.relu(Downsample(channels)(x))
    x = hk.Flatten()(x)
    if dropout_key is not None:
        x = hk.dropout(dropout_key, 0.5, x)
    features = jax.nn.relu(hk.Linear(NUM_FEATURES)(x))
    return hk.Linear(NUM_CLASSES)(features), features


CLASSIFIER = hk.without_apply_rng(hk.transform(_network))


@jax.jit
def _classify(params: hk.Params, ink: jax.Array) -> tuple[jax.Array, jax.Array]:
    with jax.default_matmul_precision("float32"):  # on accelerators as on CPUs
        return CLASSIFIER.apply(params, ink)


def classify(classifiers: list[hk.Params], ink: np.ndarray) -> Looks:
    """Lets classifiers look at ink `[N, 32, 32, 1]`, see `as_ink`."""
    looks = []
    for params in classifiers:
        parts = [_classify(params, ink[i : i + CHUNK]) for i in range(0, len(ink), CHUNK)]
        logits, features = (np.concatenate(x) for x in zip(*parts))
        looks.append((features.astype(np.float64), np.asarray(jax.nn.softmax(logits))))
    return Looks(*(np.stack(x) for x in zip(*looks)))


def save_classifiers(path: Path, classifiers: list[hk.Params]) -> None:
    """Writes classifiers' parameters as float16: all that use them round alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {
        f"{index}/{module}": {k: np.asarray(v, np.float16) for k, v in parts.items()}
        for index, params in enumerate(classifiers)
        for module, parts in params.items()
    }
    save_params(path, named)


def load_classifiers(path: Path = CLASSIFIERS) -> list[hk.Params]:
    """Reads what `save_classifiers` wrote; those of the package if no path is given."""
    named, _ = load_params(path)
    classifiers: dict[int, hk.Params] = {}
    for name, parts in named.items():
        index, _, module = name.partition("/")
        full = {k: v.astype(np.float32) for k, v in parts.items()}
        classifiers.setdefault(int(index), {})[module] = full
    return [classifiers[index] for index in sorted(classifiers)]


def accuracy(looks: Looks, labels: np.ndarray) -> float:
    """Returns the share of digits that classifiers take for what they are, on average."""
    return float(np.mean(looks.probabilities.argmax(axis=-1) == labels))


# Other pictures.


class Autoencoder(NamedTuple):
    """A linear autoencoder with the least squared error that one of its width can have.

    Its code is the first principal components of the pictures it was fitted to (Baldi &
    Hornik 1989), of 16x16 px: strokes that lie a px beside each other are near.

    Attributes:
      mean: of the pictures, `[D]` float64.
      components: `[D, F]` float64, orthonormal.
    """

    mean: np.ndarray
    components: np.ndarray


def fit_autoencoder(ink: np.ndarray) -> Autoencoder:
    """Fits an autoencoder to ink `[N, 32, 32, C]`; it depends on nothing else."""
    pixels = _halved(ink)
    mean = pixels.mean(axis=0)
    _, vectors = np.linalg.eigh((pixels - mean).T @ (pixels - mean))
    return Autoencoder(mean, vectors[:, : -NUM_FEATURES - 1 : -1])


def encode(autoencoder: Autoencoder, ink: np.ndarray) -> Looks:
    """Lets an autoencoder look at ink `[N, 32, 32, C]`."""
    codes = (_halved(ink) - autoencoder.mean) @ autoencoder.components
    return Looks(codes[None], None)


def _halved(ink: np.ndarray) -> np.ndarray:
    half, channels = WIDTH // 2, ink.shape[-1]
    blocks = ink.reshape(len(ink), half, 2, half, 2, channels)
    return blocks.mean(axis=(2, 4), dtype=np.float64).reshape(len(ink), -1)
