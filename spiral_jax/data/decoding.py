"""Picture files decoded: as the canvas would show them."""

import io
import re

import numpy as np
from PIL import Image, ImageOps

LEAST_SIDE = 8


# White of pictures of 8 and of 16 bits, and of those that are fractions.
_WHITES = (1, 255, 65535)


# What Pillow multiplies grey of 2 and 4 bits with, but not the level that is transparent.
_SCALES = {"L;2": 85, "L;4": 17}


def decode(
    data: bytes,
    width: int,
    *,
    channels: int,
    crop: int | None = None,
    invert: bool = False,
    background: str = "white",
) -> np.ndarray:
    """Decodes a picture file as the canvas would show it.

    The square in its middle is resized (bilinear, antialiased). Turned as its EXIF says;
    what is transparent shows the background; of an animation, the first frame.

    What has more than 8 bits, or fractions, becomes levels of 0..255. White is the least
    of 255 and 65535 that no value exceeds, or, of fractions, of 1, 255 and 65535. Values
    beyond, below 0 or not finite are refused. Of 16-bit colours, which Pillow cuts, the
    upper 8 bits count; if none has any, the picture is refused.

    Args:
      data: the file's content.
      width: of the canvas in px.
      channels: 1 (grey) or 3 (colour).
      crop: side of the square in px of the file; None: the largest.
      invert: whether black becomes white.
      background: "white" or "black".

    Returns:
      `[width, width, channels]` uint8.

    Raises:
      ValueError: it is smaller than 8 px or the crop, or of values that mean no grey.
      Exception: it is damaged, or no picture; `why_unreadable` says why.
    """
    with Image.open(io.BytesIO(data)) as opened:
        # How the file has what Pillow makes a mode of; known until it is decoded.
        modes = [tile[3] for tile in opened.tile]
        modes = [mode[0] if isinstance(mode, tuple) and mode else mode for mode in modes]
        image = ImageOps.exif_transpose(opened)
        least = crop or LEAST_SIDE
        if min(image.size) < least:
            raise ValueError(
                f"{image.width}x{image.height} px; expected at least {least} a side"
            )
        if image.mode == "F" or image.mode.startswith("I"):
            image = _of_8_bits(image)
        elif any(re.match("RGB.*;16", str(mode)) for mode in modes):
            image = _of_upper_bits(image)
        elif modes and "transparency" in image.info and modes[0] in _SCALES:
            image.info["transparency"] *= _SCALES[modes[0]]
    return as_shown(
        image, width, channels=channels, crop=crop, invert=invert, background=background
    )


def as_shown(
    image: Image.Image,
    width: int,
    *,
    channels: int,
    crop: int | None = None,
    invert: bool = False,
    background: str = "white",
) -> np.ndarray:
    """Makes a picture of 8 bits what the canvas would show.

    Arguments and result are those of `decode`.
    """
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    image = image.convert("L" if channels == 1 else "RGB")
    side = crop or min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != width:
        image = image.resize((width, width), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(width, width, channels)
    return 255 - pixels if invert else pixels


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Makes grey of integers or fractions levels of 0..255, see `decode`."""
    values, transparent = np.asarray(image), image.info.get("transparency")
    opaque = np.ones(values.shape, bool)
    if isinstance(transparent, int):
        opaque = values != transparent
    shown = values[opaque] if opaque.any() else np.zeros(1)
    if not np.isfinite(shown).all():
        raise ValueError("not all of its values are finite numbers")
    low, high = shown.min(), shown.max()
    whites = _WHITES[values.dtype.kind != "f" :]
    if low < 0 or high > whites[-1]:
        raise ValueError(f"values in {low:g}..{high:g}; expected 0..{whites[-1]}")
    white = next(white for white in whites if high <= white)
    levels = np.round(np.clip(values.astype(np.float64), 0, white) * (255 / white))
    grey = Image.fromarray(levels.astype(np.uint8))
    if opaque.all():
        return grey
    return Image.merge("LA", (grey, Image.fromarray(opaque.astype(np.uint8) * 255)))


def _of_upper_bits(image: Image.Image) -> Image.Image:
    """Checks colours of which Pillow kept the upper 8 of 16 bits, see `decode`."""
    if not image.getbbox(alpha_only=False):
        raise ValueError("of 16 bits, but no value exceeds 255, which would all be black")
    if "transparency" in image.info:  # was left as it is
        image.info["transparency"] = tuple(x >> 8 for x in image.info["transparency"])
    return image


def why_unreadable(error: Exception) -> str:
    """Says in a few words why a file cannot be read."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
