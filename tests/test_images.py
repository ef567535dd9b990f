import dataclasses
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spiral_jax.environments import Painting
from spiral_jax.images import (
    program_to_svg,
    programs_to_svg,
    save_gif,
    save_png,
    sheet,
)
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


def test_pictures_of_one_and_three_channels(tmp_path):
    grey = np.array([[0.0, 0.5], [0.25, 1.0]])[..., None]
    save_png(str(tmp_path / "a.png"), grey, scale=2)  # a name will do
    with Image.open(tmp_path / "a.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found[::2, ::2], [[0, 128], [64, 255]])
    np.testing.assert_array_equal(found, found[::2, ::2].repeat(2, 0).repeat(2, 1))
    color = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    save_png(tmp_path / "b.png", color)
    with Image.open(tmp_path / "b.png") as image:
        np.testing.assert_array_equal(np.asarray(image), color)


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


@pytest.mark.parametrize("use_color", [False, True])
def test_programs_are_saved_as_their_names_say(use_color, tmp_path):
    """A move, a bar on the left, a bar on the right, of black."""
    black = ("red", "green", "blue") if use_color else ()
    actions = {"flag": [0, 1, 1], "end": [1, 57, 62], "control": [0, 25, 30]}
    actions |= {"size": [0, 1, 1]} | {name: [0, 0, 0] for name in black}
    program = program_of(actions, **{**GREY, "use_color": use_color})
    place = tmp_path / "drawing.PNG"
    program.save(place)
    with Image.open(place) as image:
        assert image.size == (512, 512)
    program.save(str(place), width=64)
    with Image.open(place) as image:
        assert image.mode == ("RGB" if use_color else "L")
        drawn = np.asarray(image.convert("L")) / 255
    np.testing.assert_allclose(drawn, program.render(64).mean(axis=-1), atol=1 / 255)
    program.save(tmp_path / "pen.png", width=64, brush="classic/pen")
    assert (tmp_path / "pen.png").read_bytes() != place.read_bytes()
    # Strokes appear one after the other: those that are there stay.
    program.save(tmp_path / "a.gif", width=64, milliseconds=50)
    with Image.open(tmp_path / "a.gif") as image:
        frames, times = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("L")).astype(int))
            times.append(image.info["duration"])
    blank, *_, finished = frames
    assert (blank == 255).all()
    # Of frames that are the same, such as after a move, Pillow writes one, for longer.
    assert sum(times) == 3 * 50 + 4 * 50
    ink = [int((255 - frame).sum()) for frame in frames]
    assert len(frames) == 3
    assert ink == sorted(set(ink))
    assert abs(finished - 255 * drawn).max() <= 8  # colours of a palette
    program.save(tmp_path / "a.svg", width=99)
    written = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert written == program.to_svg(width=99)
    program.save(tmp_path / "a.json")
    again = Program.from_json((tmp_path / "a.json").read_bytes())
    np.testing.assert_array_equal(again.render(64), program.render(64))


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("a.jpg", {}, r"a\.jpg': expected a name that ends in one of \.png, \.gif,"),
        ("a", {}, r"a': expected a name that ends"),
        ("", {}, r"path='': expected the path of a file"),
        ("a.svg", {"brush": "classic/pen"}, r"only \.png and \.gif are painted"),
        ("a.png", {"width": 0}, "canvas_width=0"),
    ],
)
def test_what_a_program_cannot_be_saved_as(name, how, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    actions = {"flag": [1], "end": [63], "control": [0], "size": [0]}
    with pytest.raises(ValueError, match=words):
        program_of(actions, **GREY).save(name, **how)
    assert not list(tmp_path.iterdir())
