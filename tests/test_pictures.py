import dataclasses
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spiral_jax.environments import Painting
from spiral_jax.pictures import program_to_svg, programs_to_svg, save_gif, sheet
from spiral_jax.programs import Program

SVG = "{http://www.w3.org/2000/svg}"


def test_sheets_and_animations(tmp_path):
    images = np.zeros([3, 4, 4, 1], np.float32)
    page = sheet(images, columns=2, gap=1)
    assert page.shape == (11, 11, 3)
    assert (page[1:5, 6:10] == 0).all()
    canvases = np.stack([np.full_like(images, 1 - t / 3) for t in range(4)])
    save_gif(tmp_path / "a.gif", canvases)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 4


def program_of(actions, **settings):
    environment = Painting(**settings)
    actions = {k: np.asarray(v) for k, v in actions.items()}
    return Program(actions, environment.settings)


GREY = {"canvas_width": 64, "grid_width": 8, "use_color": False, "use_pressure": False}


def test_a_stroke_by_hand():
    """A move to (8, 8), then a curve over (y, x) = (0, 56) to (56, 56) of radius 4."""
    actions = {"flag": [0, 1], "end": [9, 63], "control": [0, 7], "size": [0, 2]}
    program = program_of(actions, **GREY)
    document = ElementTree.fromstring(program_to_svg(program, width=300))
    assert document.attrib["viewBox"] == "0 0 64 64"
    assert document.attrib["width"] == document.attrib["height"] == "300"
    (path,) = document.iter(f"{SVG}path")
    assert path.attrib == {
        "d": "M 8 8 Q 56 0 56 56",
        "fill": "none",
        "stroke": "rgb(0,0,0)",
        "stroke-width": "8",
        "stroke-opacity": "1",
        "stroke-linecap": "round",
        "stroke-linejoin": "round",
    }
    assert document.find(f"{SVG}rect").attrib["fill"] == "white"
    # DeepMind's quirk: a move to (1, 0) goes on from (1, 1).
    actions["end"] = [8, 63]
    quirk = program_of(actions, **GREY, compat="deepmind", brush="classic/pen")
    assert 'd="M 8 8 Q 56 0 56 56"' in program_to_svg(quirk)


def rasterised(svg: str) -> np.ndarray:
    """Draws SVG with a library that is not ours: `[H, W, 3]` in 0..1."""
    resvg_py = pytest.importorskip("resvg_py")
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), np.float32) / 255


@pytest.mark.parametrize("seed", range(4))
def test_svg_shows_what_the_soft_brush_draws(seed):
    environment = Painting(canvas_width=64, brush_sizes=(2, 4), use_pressure=False)
    language, rng = environment.language, np.random.default_rng(seed)
    program = Program(language.random([6], rng), environment.settings)
    drawn, svg = program.render(), rasterised(program.to_svg(width=64))
    assert np.ptp(drawn) > 0.5
    # The edges are hard and the strokes as dark in their middle as at their sides.
    assert np.corrcoef(drawn.ravel(), svg.ravel())[0, 1] > 0.95
    assert np.mean(1 - svg) == pytest.approx(np.mean(1 - drawn), rel=0.15)
    mirrored = svg.swapaxes(0, 1)
    assert np.corrcoef(drawn.ravel(), mirrored.ravel())[0, 1] < 0.8


def test_a_stroke_of_length_zero_is_a_dot():
    actions = {"flag": [0, 1], "end": [27, 27], "control": [0, 27], "size": [0, 4]}
    ink = 1 - rasterised(program_of(actions, **GREY).to_svg(width=64)).mean(axis=-1)
    assert ink.sum() == pytest.approx(np.pi * 12**2, rel=0.02)  # radius 12
    assert ink[24, 24] == 1  # cell 27 is (3, 3) of 8


def test_pressure_is_opacity():
    settings = {**GREY, "use_pressure": True}
    strokes = {"flag": [1, 1], "end": [7, 63], "control": [3, 31], "size": [0, 0]}
    program = program_of({**strokes, "pressure": [0, 9]}, **settings)
    opacities = re.findall('stroke-opacity="(.*?)"', program.to_svg())
    assert [float(x) for x in opacities] == pytest.approx([0.1, 0.55])


def test_sheets_of_svg(rng):
    environment = Painting(**GREY)
    programs = [
        Program(environment.language.random([4], rng), environment.settings)
        for _ in range(3)
    ]
    page = rasterised(programs_to_svg(programs, width=64))
    assert page.shape == (128, 128, 3)
    for i, program in enumerate(programs):
        y, x = 64 * (i // 2), 64 * (i % 2)
        # Strokes do not leave their own square of the page; its edges are antialiased.
        found = page[y : y + 64, x : x + 64]
        assert np.abs(found - rasterised(program.to_svg(width=64))).mean() < 1e-3


def test_sheets_are_groups_that_any_viewer_places(rng):
    """No document within the document: by hand, the second drawing's place and scale."""
    environments = [Painting(**{**GREY, "canvas_width": width}) for width in (64, 32)]
    programs = [
        Program(environment.language.random([4], rng), environment.settings)
        for environment in environments
    ]
    document = ElementTree.fromstring(programs_to_svg(programs, width=96))
    assert document.attrib["viewBox"] == "0 0 192 96"
    assert [e.tag for e in document.iter() if e.tag == f"{SVG}svg"] == [document.tag]
    first, second = document.findall(f"{SVG}g")
    assert first.attrib["transform"] == "translate(0 0) scale(1.5)"
    assert second.attrib["transform"] == "translate(96 0) scale(3)"
    alone = ElementTree.fromstring(programs[1].to_svg())
    assert [p.attrib for p in second] == [p.attrib for p in alone]
    # Strokes end at the edge of their canvas.
    clips = {e.attrib["id"]: e[0].attrib for e in document.iter(f"{SVG}clipPath")}
    assert second.attrib["clip-path"] == "url(#canvas32)"
    assert clips["canvas32"] == {"width": "32", "height": "32"}


def test_what_has_no_strokes_is_refused():
    program = Program({}, {"environment": "scenes"})
    with pytest.raises(ValueError, match="export_mjcf"):
        program.to_svg()
    actions = {"flag": [1], "end": [64], "control": [0], "size": [0]}
    good = program_of({**actions, "end": [63]}, **GREY)
    bad = dataclasses.replace(good, actions={k: np.array(v) for k, v in actions.items()})
    with pytest.raises(ValueError, match=r"'end' is 64 at index"):
        bad.to_svg()
