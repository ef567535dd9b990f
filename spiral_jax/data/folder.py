"""Any pictures of the user's own: a folder or a zip of them, or an array."""

from pathlib import Path

from spiral_jax.data.arrays import is_array, open_pictures
from spiral_jax.data.cache import load_pictures
from spiral_jax.data.files import (
    ENDINGS,
    Picture,
    data_path,
    in_fair_order,
    num_held_out,
    warn_of_others,
)
from spiral_jax.data.images import Dataset, Images

LEAST_PICTURES = 20
HELP = (
    "dataset='folder' needs data_dir: a folder of pictures, a zip of them, or an array "
    "of them in a .npy or .npz."
)


def load_folder(
    data_dir: str | Path,
    canvas_width: int,
    background: str = "white",
    *,
    use_color: bool = True,
    invert: bool = False,
    strict: bool = False,
    progress: bool = True,
) -> Dataset:
    """Loads pictures as the agent's canvas would show them.

    The largest square in the middle of each is resized to the canvas. A hash of its name,
    or of its number in an array, decides whether a picture is for training or testing: a
    tenth is for testing, at most 2,000, the same in every run. Decoded pictures are
    cached, see `load_pictures`.

    Args:
      data_dir: a folder, the folders in it included, or a zip; `ENDINGS` says which files
        are pictures. Or a `.npy`, or a `.npz` with one array or one called `images`:
        `[N, H, W, C]`, C = 1, 3 or 4 (transparent where that is 0), or `[N, H, W]`, of
        uint8 or float in 0..1.
      canvas_width: width and height in px.
      background: "white" or "black", what shows through transparent pictures.
      use_color: colour, or grey.
      invert: whether black becomes white: for white ink on black, if the canvas's paper
        is white.
      strict: refuse the data if one picture cannot be read; else it is left out.
      progress: whether to show a bar.

    Returns:
      Training and test `Images`, `[N, canvas_width, canvas_width, 1 or 3]`,
      memory-mapped.

    Raises:
      FileNotFoundError, ValueError: what is missing or wrong.
    """
    files = open_pictures(data_path(data_dir, HELP))
    if len(files.names) < LEAST_PICTURES:
        remedy = "."
        if not is_array(files.path):
            remedy = (
                f", with names that end in {', '.join(ENDINGS)}. There are "
                f"{len(files.others):,} other files."
            )
        raise ValueError(
            f"{data_dir} holds {len(files.names)} pictures; expected at least "
            f"{LEAST_PICTURES}{remedy}"
        )
    warn_of_others("folder", files)
    pictures = in_fair_order([Picture(files, name) for name in files.names])
    num_test = num_held_out(len(pictures))
    images = (
        load_pictures(
            f"folder-{split}",
            part,
            canvas_width,
            channels=3 if use_color else 1,
            invert=invert,
            background=background,
            strict=strict,
            progress=progress,
        )
        for split, part in (("train", pictures[num_test:]), ("test", pictures[:num_test]))
    )
    return Dataset(*map(Images, images))
