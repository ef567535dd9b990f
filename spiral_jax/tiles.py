"""Large pictures in tiles: an agent paints each one, and they are joined without seams.

Neighbouring tiles share an eighth of their width. There one fades into the other, so that
strokes which end at a tile's edge leave no line across the picture.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from spiral_jax.data import to_float, to_uint8
from spiral_jax.documents import parse_json
from spiral_jax.environments import language_of, rerender_all
from spiral_jax.images import strokes_to_svg
from spiral_jax.programs import Drawing, Program, programs_from_json, programs_to_json

_SHARED = 8  # neighbours share one part of so many of a tile's width


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Where the tiles of a square picture lie; checked when it is made.

    Attributes:
      num_tiles: tiles a side; 1: the picture is a single tile.
      width: px of a tile; of several, a multiple of 8.
    """

    num_tiles: int
    width: int

    def __post_init__(self) -> None:
        if self.num_tiles < 1:
            raise ValueError(f"tiles={self.num_tiles}: expected at least 1.")
        if self.num_tiles > 1 and self.width % _SHARED:
            raise ValueError(
                f"tiles={self.num_tiles} on canvases of {self.width} px: expected a "
                f"canvas_width that is a multiple of {_SHARED}; leave tiles out."
            )

    @property
    def shared(self) -> int:
        """Px that neighbours share."""
        return self.width // _SHARED

    @property
    def step(self) -> int:
        """Px from a tile's edge to its neighbour's."""
        return self.width - self.shared

    @property
    def side(self) -> int:
        """Px of the whole picture."""
        return (self.num_tiles - 1) * self.step + self.width

    def corners(self) -> Iterator[tuple[int, int]]:
        """Yields (y, x) of each tile's top left corner, row by row."""
        places = [index * self.step for index in range(self.num_tiles)]
        return ((y, x) for y in places for x in places)

    def split(self, pictures: np.ndarray) -> np.ndarray:
        """Cuts `[N, side, side, C]` into `[N * num_tiles**2, width, width, C]`.

        The tiles of a picture are next to each other, row by row.
        """
        width = self.width
        tiles = [pictures[:, y : y + width, x : x + width] for y, x in self.corners()]
        return np.stack(tiles, axis=1).reshape(-1, *tiles[0].shape[1:])

    def join(self, tiles: np.ndarray) -> np.ndarray:
        """Puts together what lies as `split` returns it; float32 in 0..1.

        What tiles share becomes a mean, weighted by the distance to their edges.
        """
        if self.num_tiles == 1:
            return tiles
        width = self.width
        tiles = tiles.reshape(-1, self.num_tiles**2, *tiles.shape[1:])
        page = np.zeros([len(tiles), self.side, self.side, tiles.shape[-1]], np.float32)
        weights = [self._weights(index) for index in range(self.num_tiles)]
        for index, (y, x) in enumerate(self.corners()):
            row, column = divmod(index, self.num_tiles)
            weight = weights[row][:, None, None] * weights[column][:, None]
            page[:, y : y + width, x : x + width] += weight * tiles[:, index]
        return page

    def _weights(self, index: int) -> np.ndarray:
        """Returns `[width]`, how much px count along one axis: neighbours add up to 1."""
        weights = np.ones(self.width, np.float32)
        ramp = (np.arange(self.shared, dtype=np.float32) + 0.5) / self.shared
        if index > 0:
            weights[: self.shared] = ramp
        if index < self.num_tiles - 1:
            weights[-self.shared :] = 1 - ramp
        return weights


@dataclasses.dataclass(frozen=True)
class Mosaic(Drawing):
    """A picture as the programs that draw its tiles, with the methods of `Program`.

    Attributes:
      programs: of the tiles, row by row; all of one length and the same settings.
      num_tiles: tiles a side.
    """

    programs: Sequence[Program]
    num_tiles: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """Keyword arguments of the environment that all tiles are drawn in."""
        return self.programs[0].settings

    @property
    def tiling(self) -> Tiling:
        """Where the tiles lie, in px of the canvases that they were drawn on."""
        return Tiling(self.num_tiles, self.settings["canvas_width"])

    def stages(self, width: int | None = None, brush: Any = None) -> np.ndarray:
        """Draws all tiles at once, command by command; `width` is that of the whole.

        In a GIF each tile gets its next stroke in each frame.
        """
        tiling = self.tiling
        if width is not None and width != tiling.side:
            if width < 1:
                raise ValueError(f"width={width}: expected at least 1.")
            # The least that can be divided as the tiles were; then it is made smaller.
            least = -(-width * tiling.width // (tiling.side * _SHARED))
            tiling = Tiling(self.num_tiles, least * _SHARED)
        stages = rerender_all(self.programs, tiling.width, brush)
        pages = tiling.join(stages.reshape(-1, *stages.shape[2:]))
        return pages if width is None else _resized(pages, width)

    def to_svg(self, width: int = 256) -> str:
        """Writes the strokes as vector paths, see `images.program_to_svg`.

        Each tile is a group, moved to its place and cut at its edges. Masks let it fade
        into its neighbours, as `Tiling.join` does.
        """
        tiling = self.tiling
        tile, side, shared = tiling.width, tiling.side, tiling.shared
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{width}" '
            f'viewBox="0 0 {side} {side}">',
            f'<clipPath id="tile"><rect width="{tile}" height="{tile}"/></clipPath>',
            *_fade("from_left", tile, tile, f'x2="{shared}" y2="0"'),
            *_fade("from_above", side, tile, f'x2="0" y2="{shared}"'),
        ]
        for (y, x), program in zip(tiling.corners(), self.programs):
            if x == 0:
                mask = ' mask="url(#from_above)"' if y else ""
                lines.append(f'<g transform="translate(0 {y})"{mask}>')
            mask = ' mask="url(#from_left)"' if x else ""
            move = f'transform="translate({x} 0)"'
            lines.append(f'<g {move} clip-path="url(#tile)"{mask}>')
            lines += [*strokes_to_svg(program), "</g>"]
            if x == side - tile:
                lines.append("</g>")
        return "\n".join([*lines, "</svg>\n"])

    def to_json(self) -> str:
        """Writes the programs as `programs_to_json` does, and the tiles a side."""
        language = language_of(self.settings)
        return programs_to_json(language, list(self.programs), tiles=self.num_tiles)

    @classmethod
    def from_json(cls, text: str | bytes, name: str = "the document") -> "Mosaic":
        """Reads what `to_json` wrote.

        Args:
          text: the JSON document; bytes are UTF-8.
          name: what it is called in errors, such as its file.

        Raises:
          ValueError: the text is not such a document; says where, and what was expected.
        """
        _, programs = programs_from_json(text, language_of, name)
        tiles = parse_json(text, name).get("tiles")
        if type(tiles) is not int or tiles < 1 or len(programs) != tiles**2:
            raise ValueError(
                f"{name}: 'tiles' is {tiles!r} and there are {len(programs)} programs; "
                "expected the tiles a side, and a program for each tile."
            )
        return cls(programs, tiles)


def join_programs(programs: Sequence[Program], num_tiles: int) -> list[Program | Mosaic]:
    """Makes pictures of the programs of tiles, which lie as `split` returns those."""
    if num_tiles == 1:
        return list(programs)
    count = num_tiles**2
    return [
        Mosaic(programs[first : first + count], num_tiles)
        for first in range(0, len(programs), count)
    ]


def _fade(name: str, width: int, height: int, end: str) -> list[str]:
    """Returns the SVG of a mask that begins transparent and is opaque from `end` on."""
    return [
        f'<linearGradient id="{name}_ramp" gradientUnits="userSpaceOnUse" x1="0" y1="0" '
        f'{end}><stop offset="0" stop-color="white" stop-opacity="0"/>'
        '<stop offset="1" stop-color="white"/></linearGradient>',
        f'<mask id="{name}" maskUnits="userSpaceOnUse" x="0" y="0" width="{width}" '
        f'height="{height}"><rect width="{width}" height="{height}" '
        f'fill="url(#{name}_ramp)"/></mask>',
    ]


def _resized(pages: np.ndarray, width: int) -> np.ndarray:
    """Resizes `[T, H, H, C]` to `[T, width, width, C]`, both float32 in 0..1."""
    if pages.shape[1] == width:
        return pages
    channels, found = pages.shape[-1], []
    for page in to_uint8(pages):
        image = Image.fromarray(page[..., 0] if channels == 1 else page)
        image = image.resize((width, width), Image.Resampling.LANCZOS)
        found.append(np.asarray(image).reshape(width, width, channels))
    return to_float(np.stack(found))
