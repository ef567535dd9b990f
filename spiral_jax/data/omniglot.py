"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015): characters of 50 alphabets."""

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from spiral_jax.data.cache import load_pictures
from spiral_jax.data.files import (
    Picture,
    PictureFiles,
    data_folder,
    in_fair_order,
    listing,
    warn_of_others,
)
from spiral_jax.data.images import Dataset, Images
from spiral_jax.data.strokes import load_strokes

BACKGROUND, EVALUATION = "images_background", "images_evaluation"
SMALL = ("images_background_small1", "images_background_small2")
STROKES = "omniglot_stroke3.npz"
HELP = (
    "data_dir should hold images_background and images_evaluation, or one or both of "
    "images_background_small1 and images_background_small2, as zips or folders "
    "(https://github.com/brendenlake/omniglot, folder python); or omniglot_stroke3.npz, "
    "which docs/data.md makes of sketch-rnn's file."
)


def load_omniglot(
    data_dir: str | Path,
    canvas_width: int,
    background: str,
    *,
    strict: bool = False,
    progress: bool = True,
) -> Dataset:
    """Loads Omniglot as the agent's canvas would show it.

    Training and test pictures are of different alphabets: those of the background and of
    the evaluation set. Where there is no evaluation set, the last quarter of the
    alphabets by name is held out: of the two small sets Sanskrit and Tagalog, of the
    first alone Latin, of the second alone Tagalog. The stroke file does not say which
    alphabet a drawing is of: its test drawings are not its training drawings, but may be
    of the same characters.

    Args:
      data_dir: folder with the official zips, or with what they hold, or with
        omniglot_stroke3.npz; pictures are preferred. Of the small sets all that are there
        are used, and only without the full background set.
      canvas_width: the 105 px of the pictures are resized to it.
      background: "white" leaves the ink black, "black" inverts it.
      strict: refuse the data if one picture cannot be read; else it is left out.
      progress: whether to show a bar.

    Returns:
      Training and test `Images`, `[N, canvas_width, canvas_width, 1]`.

    Raises:
      FileNotFoundError, ValueError: what is missing or wrong.
    """
    folder = data_folder(data_dir, HELP)
    if not any(name.startswith(BACKGROUND) for name in os.listdir(folder)):
        python = folder / "python"  # in a copy of the repository
        folder = python if python.is_dir() else folder
    train = _pictures(folder, (BACKGROUND,)) or _pictures(folder, SMALL)
    test = _pictures(folder, (EVALUATION,))
    if not train:
        if (folder / STROKES).exists():
            return load_strokes(folder / STROKES, canvas_width, background, progress)
        raise FileNotFoundError(
            f"{folder} holds no training pictures, but {listing(folder)}. {HELP}"
        )
    if not test:
        alphabets = sorted({alphabet_of(picture) for picture in train})
        held_out = alphabets[-max(len(alphabets) // 4, 1) :]
        if len(alphabets) < 2:
            raise ValueError(
                f"{folder} has the alphabets {alphabets} only, none to hold out. {HELP}"
            )
        test = [picture for picture in train if alphabet_of(picture) in held_out]
        train = [picture for picture in train if alphabet_of(picture) not in held_out]
    images = (
        load_pictures(
            f"omniglot-{split}",
            in_fair_order(pictures),
            canvas_width,
            channels=1,
            invert=background == "black",
            strict=strict,
            progress=progress,
        )
        for split, pictures in (("train", train), ("test", test))
    )
    return Dataset(*map(Images, images))


def alphabet_of(picture: Picture) -> str:
    """Returns the alphabet: pictures are ALPHABET/CHARACTER/NUMBER.png.

    Copies, such as rotated ones, may be in folders above or below, if characters are
    called as they are in the official data: character01, ...
    """
    parts = picture.name.split("/")
    for above, part in pairwise(parts[:-1]):
        if re.fullmatch(r"character\d+", part):
            return above
    return parts[-3]


def _pictures(folder: Path, sets: Iterable[str]) -> list[Picture]:
    """Lists the pictures of these sets, each once: the small sets overlap."""
    found: dict[tuple[str, ...], Picture] = {}
    for name in sets:
        path = next(
            (p for p in (folder / name, folder / f"{name}.zip") if p.exists()), None
        )
        if path is None:
            continue
        files = PictureFiles(path)
        warn_of_others(f"omniglot, {name}", files)
        for picture in files.names:
            parts = tuple(picture.split("/"))
            if name in parts:  # zips hold the folder itself
                parts = parts[parts.index(name) + 1 :]
            if len(parts) < 3:
                raise ValueError(
                    f"{path} holds {picture}; expected ALPHABET/CHARACTER/NUMBER.png. "
                    f"{HELP}"
                )
            found.setdefault(parts, Picture(files, picture))
    return list(found.values())
