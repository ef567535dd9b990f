"""CelebA (Liu et al. 2015): faces of the user's own copy; it may not be redistributed."""

import io
import os
import re
from pathlib import Path

from absl import logging
from PIL import Image

from spiral_jax.data.cache import load_pictures
from spiral_jax.data.files import (
    Picture,
    PictureFiles,
    data_folder,
    in_fair_order,
    listing,
    num_held_out,
)
from spiral_jax.data.images import Dataset, Images

SIZE = (178, 218)
CROP = 160
PARTITION = "list_eval_partition"
PICTURES = "img_align_celeba"
SPLITS = {"train": 0, "test": 2}  # 1 is validation
HELP = (
    f"data_dir should hold {PICTURES}.zip or the folder {PICTURES}, and {PARTITION}.txt, "
    "from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Align&Cropped Images, and "
    "Train/Val/Test Partitions); the folders Img and Eval there may remain. Or it is a "
    "flat folder with a sample of these pictures."
)


def load_celeba(
    data_dir: str | Path,
    canvas_width: int,
    *,
    use_color: bool = True,
    strict: bool = False,
    progress: bool = True,
) -> Dataset:
    """Loads CelebA's aligned faces, its official training and test partitions.

    Of the 178x218 px, the 160x160 in the middle are resized to the canvas. This is our
    choice: the paper says 64x64 and names no crop. Decoded pictures are cached, see
    `load_pictures`.

    A sample without the partition, pictures in a flat folder, will do: a tenth, by a hash
    of the names, is for testing. They may be smaller, of the same shape, such as 89x109;
    so is what is cropped.

    Args:
      data_dir: folder with img_align_celeba (folder or zip) and list_eval_partition.txt,
        or with the pictures of a sample.
      canvas_width: width and height in px.
      use_color: colour, or grey.
      strict: refuse the data if one picture cannot be read; else it is left out.
      progress: whether to show a bar.

    Returns:
      Training and test `Images`, `[N, canvas_width, canvas_width, 1 or 3]`,
      memory-mapped.

    Raises:
      FileNotFoundError, ValueError: what is missing or wrong.
    """
    folder = data_folder(data_dir, HELP)
    how = {"channels": 3 if use_color else 1, "strict": strict, "progress": progress}
    sample = _find_sample(folder)
    crop = CROP if sample is None else _crop(sample)
    parts = _official_parts(folder) if sample is None else _sample_parts(sample)
    images = (
        # What is not found is left to be counted as what cannot be read.
        load_pictures(f"celeba-{split}", pictures, canvas_width, crop=crop, **how)
        for split, pictures in parts.items()
    )
    return Dataset(*map(Images, images))


def _official_parts(folder: Path) -> dict[str, list[Picture]]:
    """Lists the pictures of each split as the official partition has them."""
    files = PictureFiles(
        _find(
            folder,
            [PICTURES, f"Img/{PICTURES}", f"{PICTURES}.zip", f"Img/{PICTURES}.zip"],
        )
    )
    partition = _read_partition(
        _find(
            folder,
            [
                f"{sub}{PARTITION}.{end}"
                for end in ("txt", "csv")
                for sub in ("", "Eval/")
            ],
        )
    )
    # Zips hold the pictures in a folder.
    found = {name.rsplit("/", 1)[-1]: name for name in files.names}
    if not found:
        raise ValueError(f"{files.path} holds no pictures. {HELP}")
    parts = {}
    for split, number in SPLITS.items():
        names = [name for name, part in partition.items() if part == number]
        if not names:
            raise ValueError(
                f"{PARTITION} assigns no picture to {number} ({split}). {HELP}"
            )
        parts[split] = [Picture(files, found.get(name, name)) for name in names]
    return parts


def _find_sample(folder: Path) -> PictureFiles | None:
    """Returns the pictures of a flat folder, which has nothing of the official layout."""
    if any(part in name for name in os.listdir(folder) for part in (PICTURES, PARTITION)):
        return None
    files = PictureFiles(folder)
    return files if any("/" not in name for name in files.names) else None


def _sample_parts(files: PictureFiles) -> dict[str, list[Picture]]:
    """Splits a sample's pictures by a hash of their names."""
    names = [name for name in files.names if "/" not in name]
    pictures = in_fair_order([Picture(files, name) for name in names])
    num_test = num_held_out(len(pictures))
    logging.warning(
        "celeba: %s has no %s; %s of its %s pictures, by a hash of their names, are for "
        "testing, so others of the same people may be for training.",
        *(files.path, PARTITION, f"{num_test:,}", f"{len(pictures):,}"),
    )
    return {"train": pictures[num_test:], "test": pictures[:num_test]}


def _crop(files: PictureFiles) -> int:
    """Returns the crop for a sample's pictures, by the size of the first readable one.

    Raises:
      ValueError: they are not of the shape of aligned faces.
    """
    for name in files.names:
        try:
            with Image.open(io.BytesIO(files.read(name))) as image:
                width, height = image.size
        except Exception:  # it is counted and named later
            continue
        if abs(width * SIZE[1] / SIZE[0] - height) > 1:
            raise ValueError(
                f"{files.path}/{name} is {width}x{height} px; expected "
                f"{SIZE[0]}x{SIZE[1]}, or the same smaller, such as 89x109. "
                f"--dataset=folder takes pictures of any shape. {HELP}"
            )
        return round(CROP * width / SIZE[0])
    return CROP


def _find(folder: Path, names: list[str]) -> Path:
    for place in (folder, folder / "celeba"):  # where torchvision puts it
        for name in names:
            if (place / name).exists():
                return place / name
    raise FileNotFoundError(
        f"{folder} has no {' nor '.join(names)}, but {listing(folder)}. {HELP}"
    )


def _read_partition(path: Path) -> dict[str, int]:
    """Reads which picture is of which partition: lines such as "000001.jpg 0".

    Copies of the file separate the two by commas or tabs, and begin with a heading.
    """
    partition = {}
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        found = re.fullmatch(r"\s*(\S.*?)[\s,;]+([012])[\s,;]*", line)
        if found:
            partition[found[1].strip("\"'")] = int(found[2])
        elif line.strip() and not (number == 1 and "." not in line):
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r}; expected a file's name and 0, 1 "
                f"or 2, such as '000001.jpg 0'. {HELP}"
            )
    return partition
