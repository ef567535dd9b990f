"""A network's parameters as one npz file.

It is written atomically and holds arrays only, so nothing in it can run code.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import numpy as np

from spiral_jax.documents import read_arrays
from spiral_jax.paths import write_file

# Between a module's name and its parameter's, in the names of arrays.
_SEPARATOR = "::"


def check_fits(
    name: str, found: Any, wanted: Any, remedy: str = "Use another run folder."
) -> None:
    """Refuses trees of arrays whose structure or shapes are not the wanted ones.

    Args:
      name: what the tree is called in the error.
      found, wanted: trees of arrays, or of anything that has a shape.
      remedy: what to do about it, the error's last sentence.

    Raises:
      ValueError: names the first difference.
    """
    found, wanted = _shapes(found), _shapes(wanted)
    if differing := sorted(
        key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
    ):
        key = differing[0]
        raise ValueError(
            f"{name} does not fit this run's settings (were they changed?): {key} has "
            f"the shape {found.get(key)}, expected {wanted.get(key)}, the first of "
            f"{len(differing)} differences. {remedy}"
        )


def save_params(path: Path, params: hk.Params, **numbers: float) -> None:
    """Writes a network's parameters, and numbers by their names, as npz."""
    arrays = {
        f"{module}{_SEPARATOR}{name}": np.asarray(value)
        for module, parts in params.items()
        for name, value in parts.items()
    }
    file = io.BytesIO()
    np.savez_compressed(file, **numbers, **arrays)
    write_file(path, file.getvalue())


def load_params(
    path: Path, names: Sequence[str] = ()
) -> tuple[hk.Params, dict[str, float]]:
    """Reads what `save_params` wrote: the parameters, and the numbers.

    Args:
      path: of the file.
      names: numbers that have to be there.

    Raises:
      OSError: the file cannot be opened; FileNotFoundError: there is none.
      ValueError: the file is damaged, or holds something else; names the array.
    """
    params: dict = {}
    numbers = {}
    try:
        for key, value in read_arrays(path).items():
            module, found, name = key.partition(_SEPARATOR)
            if value.dtype.kind not in ("f" if found else "fiu"):
                raise ValueError(f"{key!r} is {value.dtype}; expected floats")
            if not np.isfinite(value).all():
                raise ValueError(f"{key!r} has values that are not finite")
            if found:
                params.setdefault(module, {})[name] = value
            elif value.shape:
                raise ValueError(
                    f"{key!r} has the shape {value.shape}; expected one number"
                )
            else:
                numbers[key] = float(value)
        if missing := [name for name in names if name not in numbers]:
            raise ValueError(f"there is no {missing[0]!r}")
    except ValueError as error:
        raise ValueError(
            f"{path} holds no parameters that can be read: {error}."
        ) from error
    return params, numbers


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns every array's shape by its path; named tuples count as dictionaries."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if hasattr(leaf, "shape")
    }
