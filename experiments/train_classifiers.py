r"""Trains the classifiers of digits that drawings are measured by.

  python -m experiments.train_classifiers

Three, of the seeds 0, 1 and 2, of the first 8,000 of the embedded training digits; prints
what share of digits each takes for what it is. The result comes with the package: nobody
needs to run this again, and whoever does has another ruler.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from tqdm import tqdm

from experiments.cli import define_path, run
from spiral_jax.data import EpochOrder, load_mnist
from spiral_jax.features import (
    CLASSIFIER,
    CLASSIFIERS,
    WIDTH,
    accuracy,
    as_ink,
    classify,
    load_classifiers,
    save_classifiers,
    split,
)

_OUT = define_path("classifiers", str(CLASSIFIERS), "Where to write the parameters.")
_EPOCHS = flags.DEFINE_integer("epochs", 24, "How often each digit is seen.")

SEEDS = (0, 1, 2)
BATCH_SIZE = 100
LEARNING_RATE = 2e-3
MOST_SHIFT = 2


def train_classifier(
    ink: np.ndarray, labels: np.ndarray, seed: int, epochs: int
) -> hk.Params:
    """Trains a classifier: Adam with a cosine schedule, random shifts, dropout.

    Args:
      ink: digits `[N, 32, 32, 1]` float32, see `features.as_ink`.
      labels: `[N]` integers.
      seed: of the initial weights, order, shifts and dropout.
      epochs: how often each digit is seen.
    """
    steps = epochs * len(ink) // BATCH_SIZE
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
    params = CLASSIFIER.init(jax.random.key(seed), ink[:1])

    def loss(params, x, labels, key):
        logits, _ = CLASSIFIER.apply(params, x, key)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    @jax.jit
    def update(params, opt_state, step, x, labels):
        key = jax.random.fold_in(jax.random.key(seed), step)
        shift_key, dropout_key = jax.random.split(key)
        # Digits drawn by an agent are not centred as the data are.
        most = MOST_SHIFT
        shifts = jax.random.randint(shift_key, [len(x), 2], -most, most + 1)
        x = jax.vmap(lambda image, shift: jnp.roll(image, shift, axis=(0, 1)))(x, shifts)
        gradients = jax.grad(loss)(params, x, labels, dropout_key)
        updates, opt_state = optimiser.update(gradients, opt_state)
        return optax.apply_updates(params, updates), opt_state

    opt_state = optimiser.init(params)
    order = EpochOrder(len(ink), seed)
    for step in tqdm(range(steps), desc=f"classifier {seed}", leave=False):
        index = order.batch(BATCH_SIZE, step)
        params, opt_state = update(params, opt_state, step, ink[index], labels[index])
    return params


def main(argv: list[str]) -> None:
    data = load_mnist("", WIDTH, "black")
    ink, _ = split(as_ink(data.train.images, "black"))
    labels, _ = split(data.train.labels)
    out = _OUT.value
    trained = [train_classifier(ink, labels, seed, _EPOCHS.value) for seed in SEEDS]
    save_classifiers(out, trained)
    digits = {
        "learnt from": (split(data.train.images)[0], labels),
        "real": (split(data.train.images)[1], split(data.train.labels)[1]),
        "test": (data.test.images, data.test.labels),
    }
    for seed, params in zip(SEEDS, load_classifiers(out)):
        shares = [
            f"{accuracy(classify([params], as_ink(images, 'black')), labels):.2%} {name}"
            for name, (images, labels) in digits.items()
        ]
        print(f"classifier {seed} is right about {', '.join(shares)}")
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main, "train_classifiers")
