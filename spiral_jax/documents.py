"""Documents from outside, which may be damaged or foreign: JSON, `.npz` and `.npy`."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def parse_json(text: str | bytes, name: str) -> Any:
    """Parses JSON.

    Args:
      text: the document; bytes are UTF-8.
      name: what it is called in errors.

    Raises:
      ValueError: it is no JSON, not UTF-8, or nested deeper than any of ours.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except RecursionError as error:
        raise ValueError(
            f"{name}: Not a JSON document of ours: it is nested too deeply."
        ) from error
    except ValueError as error:
        raise ValueError(f"{name}: Not a JSON document: {error}.") from error


def read_array(path: Path) -> np.ndarray:
    """Opens the array of a `.npy`, memory-mapped; nothing in it can run code.

    Raises:
      OSError: the file cannot be opened.
      ValueError: it is damaged, or no such file.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array
        array.close()
        raise ValueError("it is a zip, as .npz files are")
    except OSError:
        raise
    except Exception as error:  # as of .npz, below
        why = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a complete .npy file: {why}.") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a `.npz`; nothing in it can run code.

    Raises:
      OSError: the file cannot be opened.
      ValueError: it is damaged, or no such file.
    """
    with path.open("rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no zip, or ends too early")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = {key: arrays[key] for key in arrays.files}
            if foreign := [k for k, v in found.items() if not isinstance(v, np.ndarray)]:
                raise ValueError(f"{foreign[0]!r} in it is no array")
            return found
        # Of damaged files numpy and zipfile raise whatever their code runs into: beside
        # what they document there were KeyError, zlib.error, tokenize.TokenError,
        # NotImplementedError, struct.error, MemoryError.
        except Exception as error:
            why = str(error) or type(error).__name__
            raise ValueError(f"{path} is not a complete .npz file: {why}.") from error
