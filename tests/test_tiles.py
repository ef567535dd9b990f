"""Tiles: cut, painted, joined, and written as one picture."""

from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spiral_jax.data import to_uint8
from spiral_jax.environments import Painting, language_of
from spiral_jax.programs import Program, programs_from_json
from spiral_jax.tiles import Mosaic, Tiling, join_programs
from tests.test_images import SVG, rasterised

pytestmark = pytest.mark.thorough

SOFT = {"canvas_width": 32, "grid_width": 8, "brush_sizes": (4, 12)}


def mosaic_of(num_tiles, use_color=True, num_commands=3):
    environment = Painting(**SOFT, use_color=use_color)
    rng = np.random.default_rng(num_tiles)
    programs = [
        Program(environment.language.random([num_commands], rng), environment.settings)
        for _ in range(num_tiles**2)
    ]
    (mosaic,) = join_programs(programs, num_tiles)
    return mosaic


def test_tiles_by_hand():
    """Three tiles of 16 px share 2 px with each neighbour: 16 + 14 + 14 px."""
    tiling = Tiling(3, 16)
    assert tiling.side == 44
    picture = np.arange(44 * 44, dtype=np.float32).reshape(1, 44, 44, 1)
    tiles = tiling.split(picture)
    assert tiles.shape == (9, 16, 16, 1)
    np.testing.assert_array_equal(tiles[5, 0, 0], picture[0, 14, 28])
    # Of two that differ, the shared px are 3/4 and 1/4 of the one.
    first, second = np.zeros([1, 16, 16, 1]), np.ones([1, 16, 16, 1])
    tiles = np.concatenate([first, second, first, second]).astype(np.float32)
    row = Tiling(2, 16).join(tiles)[0, 5, :, 0]
    np.testing.assert_allclose(row[13:17], [0, 0.25, 0.75, 1])


@pytest.mark.parametrize("num_tiles", [1, 2, 5])
def test_what_is_cut_is_joined(num_tiles, rng):
    tiling = Tiling(num_tiles, 24)
    pictures = rng.random([2, tiling.side, tiling.side, 3]).astype(np.float32)
    joined = tiling.join(tiling.split(pictures))
    np.testing.assert_allclose(joined, pictures, atol=1e-6)


@pytest.mark.parametrize(
    ("num_tiles", "width", "words"),
    [(0, 16, "tiles=0: expected at least 1"), (2, 20, "tiles=2 on canvases of 20 px")],
)
def test_what_cannot_be_tiled(num_tiles, width, words):
    with pytest.raises(ValueError, match=words):
        Tiling(num_tiles, width)


def test_no_seam_shows():
    """Black beside white tiles: no step is larger than the ramp's, 1 / shared px."""
    tiling = Tiling(2, 64)
    tiles = np.zeros([4, 64, 64, 1], np.float32)
    tiles[[0, 3]] = 1
    joined = tiling.join(tiles)[0, ..., 0]
    for axis in (0, 1):
        assert np.abs(np.diff(joined, axis=axis)).max() < 1 / tiling.shared + 1e-6


def test_a_mosaic_is_drawn_tile_by_tile_and_joined():
    mosaic = mosaic_of(2)
    tiles = np.stack([program.render() for program in mosaic.programs])
    (whole,) = Tiling(2, 32).join(tiles)
    np.testing.assert_allclose(mosaic.render(), whole, atol=1e-6)
    stages = mosaic.stages()
    assert stages.shape == (4, 60, 60, 3)
    assert (stages[0] == 1).all()
    # Crisper, and of a width that no tiles of whole px make: the same picture.
    large = mosaic.render(150)
    assert large.shape == (150, 150, 3)
    small = np.asarray(Image.fromarray(to_uint8(large)).resize((60, 60))) / 255
    assert np.abs(small - whole).mean() < 0.02
    with pytest.raises(ValueError, match="width=0"):
        mosaic.render(0)


@pytest.mark.parametrize("use_color", [False, True])
def test_the_svg_of_a_mosaic_is_flat_and_shows_the_same(use_color):
    mosaic = mosaic_of(3, use_color)
    text = mosaic.to_svg(width=mosaic.tiling.side)
    document = ElementTree.fromstring(text)
    assert [e.tag for e in document.iter() if e.tag == f"{SVG}svg"] == [document.tag]
    assert "<use" not in text
    rows = document.findall(f"{SVG}g")
    assert [row.attrib["transform"] for row in rows] == [
        f"translate(0 {y})" for y in (0, 28, 56)
    ]
    tiles = [tile for row in rows for tile in row.findall(f"{SVG}g")]
    assert len(tiles) == 9
    assert all(tile.attrib["clip-path"] == "url(#tile)" for tile in tiles)
    alone = [rasterised(program.to_svg(width=32)) for program in mosaic.programs]
    (joined,) = mosaic.tiling.join(np.stack(alone))
    assert np.abs(rasterised(text) - joined).mean() < 0.004


def test_mosaics_are_saved_as_programs_are(tmp_path):
    mosaic = mosaic_of(2)
    for ending in ("png", "gif", "svg", "json"):
        mosaic.save(tmp_path / f"a.{ending}", width=100)
    with Image.open(tmp_path / "a.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found, to_uint8(mosaic.render(100)))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (100, 100)
        assert image.n_frames > 1
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    again = Mosaic.from_json(text)
    assert again.num_tiles == 2
    assert again.to_json() == text
    np.testing.assert_allclose(again.render(), mosaic.render(), atol=1e-6)
    _, programs = programs_from_json(text, language_of)  # each tile by itself
    assert len(programs) == 4
    with pytest.raises(ValueError, match="'tiles' is 3 and there are 4 programs"):
        Mosaic.from_json(text.replace('"tiles": 2', '"tiles": 3'))
    with pytest.raises(ValueError, match="'tiles' is None"):
        Mosaic.from_json(mosaic.programs[0].to_json())
