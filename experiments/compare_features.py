r"""Asks of features whether they tell real pictures from others.

  python -m experiments.compare_features
  python -m experiments.compare_features --omniglot=data/omniglot

Prints precision, recall and Fréchet distance to test pictures, in the features of a
network with random weights, of the autoencoder by which pictures without labels are
measured and, for digits, of the classifiers: of real pictures; of those with each right
half exchanged for another picture's; of what an agent drew. Features are of use if the
first are better than the others. The agents are those that come with the package: one
makes up digits, the other redraws characters of Omniglot, which it has never learnt.
"""

from collections.abc import Callable

import jax
import numpy as np

from experiments.cli import define_path, run
from spiral_jax.agents import load_agent
from spiral_jax.data import load_mnist, load_omniglot, to_float
from spiral_jax.evaluation import NUM_SAMPLES, draw
from spiral_jax.features import (
    CLASSIFIER,
    WIDTH,
    Looks,
    as_ink,
    classify,
    encode,
    fit_autoencoder,
    load_classifiers,
    split,
)
from spiral_jax.measures import frechet_distance, precision_and_recall

_OMNIGLOT = define_path(
    "omniglot", None, "Folder of Omniglot, see docs/data.md; digits if not given."
)
BACKGROUND = "white"


def halves_exchanged(ink: np.ndarray) -> np.ndarray:
    """Gives each picture `[N, H, W, C]` the right half of the next one."""
    return np.concatenate(
        [ink[:, :, : WIDTH // 2], np.roll(ink, 1, axis=0)[:, :, WIDTH // 2 :]], axis=2
    )


def random_network(ink: np.ndarray) -> Callable[[np.ndarray], Looks]:
    """Makes the form of the classifiers with random weights."""
    params = CLASSIFIER.init(jax.random.key(0), ink[:1])
    return lambda ink: classify([params], ink)


def main(argv: list[str]) -> None:
    folder, num = _OMNIGLOT.value, NUM_SAMPLES
    if folder:
        data = load_omniglot(folder, WIDTH, BACKGROUND)
        system, params, _ = load_agent("mnist_conditional")
        targets = to_float(data.test.images[num : 2 * num])  # others than below
        drawn = draw(system, params, num, lambda: False, targets)
    else:
        data = load_mnist("", WIDTH, BACKGROUND)
        system, params, _ = load_agent("mnist")
        drawn = draw(system, params, num, lambda: False)
    test = as_ink(data.test.images[:num], BACKGROUND)
    learnt, real = (as_ink(part, BACKGROUND) for part in split(data.train.images))
    sets = {
        "real": real,
        "halves exchanged": halves_exchanged(real),
        "an agent's": as_ink(drawn, BACKGROUND),
    }
    autoencoder, classifiers = fit_autoencoder(learnt), load_classifiers()
    networks = {
        "random weights": random_network(learnt),
        "autoencoder": lambda ink: encode(autoencoder, ink),
    }
    if not folder:
        networks["classifiers"] = lambda ink: classify(classifiers, ink)
    print(f"{'':15s} {'':17s} precision  recall  Fréchet")
    for name, look in networks.items():
        expected = look(test).features
        for kind, ink in sets.items():
            pairs = list(zip(expected, look(ink).features))
            precision, recall = np.mean([precision_and_recall(*p) for p in pairs], 0)
            distance = np.mean([frechet_distance(*p) for p in pairs])
            print(f"{name:15s} {kind:17s} {precision:9.3f} {recall:7.3f} {distance:8.4g}")


if __name__ == "__main__":
    run(main, "compare_features")
