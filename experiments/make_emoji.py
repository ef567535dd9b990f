r"""Makes the file of emoji that comes with the package.

  python -m experiments.make_emoji --pictures=fluent_emoji_flat_128.zip

The pictures, squares on white, are Microsoft's Fluent flat emoji: the SVG of npm's
@iconify-json/fluent-emoji-flat 1.2.6, without those in several skin tones, each rendered
at 128 px and called NAME.png. They are averaged to 64 and 32 px. Nobody needs to run this
again.
"""

from pathlib import PurePosixPath

import numpy as np

from experiments.cli import define_path, run
from spiral_jax.data.emoji import EMOJI, WIDTHS, find_stems, held_out
from spiral_jax.data.files import PictureFiles

_PICTURES = define_path("pictures", None, "Zip or folder of the pictures.")
_FILE = define_path("file", str(EMOJI), "Where to write it.")


def average(images: np.ndarray, width: int) -> np.ndarray:
    """Makes each pixel the mean of a square of pixels.

    Args:
      images: `[N, W, W, C]` uint8, W a multiple of the width.
      width: of the result in px.
    """
    num, size, _, channels = images.shape
    parts = (num, width, size // width, width, size // width, channels)
    return images.reshape(parts).mean(axis=(2, 4)).round().astype(np.uint8)


def main(argv: list[str]) -> None:
    if _PICTURES.value is None:
        raise ValueError("pictures='': expected the zip or folder of the pictures.")
    files = PictureFiles(_PICTURES.value)
    names = [PurePosixPath(name).stem for name in files.names]
    images = np.stack([files.decode(name, width=128, channels=3) for name in files.names])
    sizes = {f"images_{width}": average(images, width) for width in WIDTHS}
    np.savez_compressed(_FILE.value, names=np.array(names), **sizes)
    stems, test = find_stems(names), held_out(names)
    print(f"{_FILE.value}: {_FILE.value.stat().st_size / 1e6:.2f} MB")
    print(f"{len(names):,} pictures of {len(set(stems.values()))} stems")
    print(f"test: {len(test)} pictures of {len({stems[n] for n in test})} stems")


if __name__ == "__main__":
    run(main, "make_emoji")
