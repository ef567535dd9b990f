"""Splits that keep what belongs together on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np


def hold_out(groups: Sequence[str], num_test: int, largest: int) -> np.ndarray:
    """Chooses whole groups for testing: none is for training as well.

    Groups are taken in the order of their hashes, which is the same everywhere, until
    they have at least `num_test` members.

    Args:
      groups: which one each of N things is of.
      num_test: how many things to hold out.
      largest: groups with more things are for training.

    Returns:
      `[N]` bool, whether a thing is for testing.
    """
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: digest(str(names[i])))
    found, chosen = 0, np.zeros(len(names), bool)
    for i in order:
        if found >= num_test:
            break
        if counts[i] <= largest:
            chosen[i] = True
            found += counts[i]
    return chosen[index]


def digest(text: str) -> bytes:
    """Returns a hash to order by, the same everywhere."""
    return hashlib.sha256(text.encode()).digest()
