import dataclasses
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments import reconstruct
from experiments.drawings import sheet_of_pairs, warnings
from spiral_jax.agents import TrainedAgent, load_agent
from spiral_jax.config import preset
from spiral_jax.data import to_uint8
from spiral_jax.data.registry import load_dataset
from spiral_jax.environments import language_of, rerender
from spiral_jax.programs import Program, programs_from_json
from spiral_jax.reconstruction import (
    ReconstructionEvaluator,
    compare,
    nearest_distances,
    opposite_ink,
)
from spiral_jax.system import make_system
from spiral_jax.tiles import Mosaic
from tests.conftest import needs_gl
from tests.test_experiments import ROOT, run

pytestmark = pytest.mark.thorough

MNIST = dataclasses.replace(preset("mnist_conditional_small"), canvas_width=16)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


def read(*paths, config=MNIST, channels=1, invert=False):
    return reconstruct.read_images(paths, config, channels, invert)


def num_objects(program) -> int:
    """How many objects a program builds: each addition, and a change of nothing."""
    count = 0
    for operation in program.actions["operation"]:
        count += operation == 0 or (operation == 1 and count == 0)
    return count


def test_targets_stand_on_the_left_of_their_drawings():
    """Three targets of 2 px, of 0.0, 0.1, 0.2; drawings of 4 px, of 0.5, 0.6, 0.7."""
    targets = np.full([3, 2, 2, 1], 0.1, np.float32) * np.arange(3).reshape(3, 1, 1, 1)
    targets[0, 0, 1] = 1.0
    drawings = np.full([3, 4, 4, 1], 0.5, np.float32)
    drawings += 0.1 * np.arange(3).reshape(3, 1, 1, 1)
    page = sheet_of_pairs(targets, drawings)
    assert page.shape == (2 * 6 + 2, 4 * 6 + 2, 3)
    shown = [[page[y + 3, x + 3, 0] for x in range(2, 24, 6)] for y in (2, 8)]
    expected = to_uint8(np.array([[0.0, 0.5, 0.1, 0.6], [0.2, 0.7, 0, 0]]))
    np.testing.assert_array_equal(shown[0], expected[0])
    np.testing.assert_array_equal(shown[1][:2], expected[1, :2])
    assert page[2:6, 2:6, 0].tolist() == [[0, 0, 255, 255]] * 2 + [[0, 0, 0, 0]] * 2


def test_ones_own_pictures_by_hand(tmp_path):
    """A grey, a wide coloured and an inverted picture, in folders and by name."""
    grey = np.full([32, 32], 200)
    grey[:, :16] = 100
    one = save(tmp_path / "one.png", grey)
    wide = np.zeros([16, 32, 3])
    wide[:, 8:24] = (255, 0, 0)  # the square in the middle is red
    save(tmp_path / "folder" / "deep" / "wide.png", wide)
    (tmp_path / "folder" / "notes.txt").write_text("no picture", encoding="utf-8")
    names, images = read(one, str(tmp_path / "folder"))
    assert names == [one, str(tmp_path / "folder" / "deep" / "wide.png")]
    assert images.shape == (2, 16, 16, 1)
    assert images.dtype == np.uint8
    assert (images[0, :, :7] == 100).all()
    assert (images[0, :, 9:] == 200).all()
    assert (images[1] == 76).all()  # red's share of luma, 0.299
    _, inverted = read(one, invert=True)
    np.testing.assert_array_equal(inverted[0], 255 - images[0])
    _, colour = read(str(tmp_path / "folder"), channels=3)
    np.testing.assert_array_equal(colour[0], np.broadcast_to([255, 0, 0], (16, 16, 3)))
    # The same pictures as an array, among files.
    np.save(tmp_path / "a.npy", np.stack([wide[:, 8:24] / 255, np.ones([16, 16, 3])]))
    names, arrays = read(one, str(tmp_path / "a.npy"))
    assert names == [one, f"{tmp_path}/a.npy/0", f"{tmp_path}/a.npy/1"]
    np.testing.assert_array_equal(arrays[:2], images)
    assert (arrays[2] == 255).all()


def test_unreadable_pictures_are_named_with_the_reason(tmp_path):
    whole = save(tmp_path / "whole.png", np.zeros([16, 16]))
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    (tmp_path / "empty").mkdir()
    tiny = save(tmp_path / "tiny.png", np.zeros([2, 2]))
    bad = [str(tmp_path / name) for name in ("text.png", "cut.png", "no.png", "empty")]
    with pytest.raises(ValueError, match="5 of your pictures cannot be read") as caught:
        read(whole, *bad, tiny)
    words = str(caught.value)
    assert "text.png (not a picture)" in words
    assert "cut.png (" in words
    assert "no.png (No such file or directory)" in words
    assert "empty (a folder without pictures)" in words
    assert "tiny.png (2x2 px; expected at least" in words
    assert "whole.png" not in words
    scenes = dataclasses.replace(preset("scenes_small"), canvas_width=16)
    with pytest.raises(ValueError, match="only drawings have ink"):
        read(whole, config=scenes, channels=3, invert=True)


@needs_gl
def test_held_out_scenes(scenes_run, tmp_path):
    flags = [f"--run_dir={scenes_run}", f"--out={tmp_path}", "--num=500"]
    result = run("reconstruct", *flags)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    # The evaluator's figure, since these are its targets and its random keys.
    agent = load_agent(scenes_run)
    system = agent.system
    data = load_dataset(system.config)
    evaluator = ReconstructionEvaluator(system, data)
    measures, pairs = evaluator.measure(agent.params)
    assert metrics["l2"] == pytest.approx(measures["reconstruction/l2"], rel=1e-5)
    assert f"mean l2 {metrics['l2']:.4g}" in result.stdout
    # The programs draw what was measured.
    text = (tmp_path / "programs.json").read_text(encoding="utf-8")
    _, programs = programs_from_json(text, language_of)
    assert len(programs) == 500
    for i in (0, 7):
        picture = rerender(programs[i])[-1]
        np.testing.assert_array_equal(picture, pairs[2 * i + 1])
        reached = np.linalg.norm(picture - pairs[2 * i])
        assert metrics["targets"][i]["l2"] == pytest.approx(reached, rel=1e-5)
        world = ElementTree.parse(tmp_path / "mjcf" / f"{i}.xml")
        assert len(world.findall(".//body")) == num_objects(programs[i])
    counts = [num_objects(program) for program in programs]
    right = np.mean(np.array(counts) == data.test.counts[:500])
    assert metrics["parse"]["count"] == pytest.approx(right)


@needs_gl
def test_ones_own_pictures_from_the_command_line(scenes_run, tmp_path):
    picture = save(tmp_path / "red.png", np.full([40, 40, 3], (255, 0, 0)))
    out = tmp_path / "out"
    flags = [f"--run_dir={scenes_run}", f"--out={out}", "--width=64", picture]
    result = run("reconstruct", *flags, f"--images={picture}")
    assert result.returncode == 0, result.stderr
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [target["name"] for target in metrics["targets"]] == [picture] * 2
    assert "parse" not in metrics
    with Image.open(out / "reconstructions.png") as image:
        # Two pairs of 64 px, below each other, each px twice as wide.
        assert image.size == (2 * (2 * 66 + 2), 2 * (2 * 66 + 2))
        assert image.getpixel((20, 20)) == (255, 0, 0)


def test_the_shipped_agent_redraws_without_a_run(tmp_path):
    picture = save(tmp_path / "grey.png", np.full([40, 40], 200))
    command = [sys.executable, "-m", "experiments.reconstruct", picture]
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    result = subprocess.run(command, capture_output=True, text=True, **where)
    assert result.returncode == 0, result.stderr
    written = {path.name for path in (tmp_path / "reconstructions").iterdir()}
    assert {"reconstructions.png", "programs.json", "svg"} <= written
    painting = {f"painting.{ending}" for ending in ("gif", "png", "svg")}
    assert painting | {"program.json"} <= written


def test_each_of_several_pictures_is_painted_into_a_folder_of_its_own(tmp_path):
    black, white = np.zeros([20, 20]), np.full([20, 20], 255)
    paths = [save(tmp_path / f"in/{name}", black) for name in ("a.png", "b/a.jpg")]
    np.save(tmp_path / "pile.npy", np.stack([black, white]).astype(np.uint8))
    out, size = tmp_path / "out", ["--width=64", "--brush=classic/pen"]
    paths.append(str(tmp_path / "pile.npy"))
    result = run(
        "reconstruct", "--agent=mnist_conditional", f"--out={out}", *size, *paths
    )
    assert result.returncode == 0, result.stderr
    text = (out / "programs.json").read_text(encoding="utf-8")
    _, programs = programs_from_json(text, language_of)
    for name, program in zip(("a", "a-2", "pile-0", "pile-1"), programs):
        assert f"{out / name}/painting.png, painting.gif, painting.svg" in result.stdout
        own = Program.from_json((out / name / "program.json").read_bytes())
        assert own.to_json() == program.to_json()
        with Image.open(out / name / "painting.png") as image:
            shown = np.asarray(image)[..., None]
        np.testing.assert_array_equal(shown, to_uint8(program.render(64, "classic/pen")))
        with Image.open(out / name / "painting.gif") as image:
            assert image.size == (64, 64)
        svg = (out / name / "painting.svg").read_text(encoding="utf-8")
        assert svg == program.to_svg(64)
        assert svg.count("<svg") == 1


def test_a_photograph_is_painted_in_tiles_and_remarked_upon(tmp_path, rng):
    """A digits agent, shown dark noise with a light spot, in two tiles a side."""
    photograph = rng.integers(60, 120, [80, 90, 3])
    photograph[30:40, 30:40] = 250
    picture = save(tmp_path / "photo.png", photograph)
    flags = ["--tiles=2", "--samples=2", f"--out={tmp_path}", "--width=96", picture]
    result = run("reconstruct", "--agent=mnist_conditional", *flags)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    words = f"l2 {metrics['l2']:.4g}, a blank canvas has {metrics['blank']:.4g}"
    assert words in result.stdout
    assert f"{picture}: light ink on dark where this agent draws dark on light. " in (
        result.stderr
    )
    mosaic = Mosaic.from_json((tmp_path / "program.json").read_bytes())
    assert mosaic.num_tiles == 2
    with Image.open(tmp_path / "painting.png") as image:
        assert image.size == (96, 96)


def test_pictures_of_the_opposite_ink_are_noticed():
    """Lines on paper, either way round; a filled shape; a dark frame; noise."""
    line, shape, frame = (np.ones([8, 8, 1]) for _ in range(3))
    line[4], shape[1:7, 1:7] = 0, 0
    frame[[0, -1]], frame[:, [0, -1]] = 0, 0
    pictures = np.stack([line, 1 - line, shape, 1 - shape, frame])
    white, black = np.ones([8, 8, 1]), np.zeros([8, 8, 1])
    found = opposite_ink(pictures, white)
    assert found.tolist() == [False, True, False, False, False]
    assert opposite_ink(1 - pictures, black).tolist() == found.tolist()
    rgb = np.repeat(pictures, 3, axis=3)
    assert not opposite_ink(rgb, np.ones([8, 8, 3])).any()


def test_drawings_no_nearer_than_nothing_are_named():
    """A line drawn, half drawn, not drawn; a drawing no nearer than one grey; paper."""
    line = np.ones([8, 8, 1], np.float32)
    line[4] = 0
    half, noise = line.copy(), np.full([8, 8, 1], 0.2, np.float32)
    half[4, :4], noise[::2] = 1, 0
    paper = np.ones([8, 8, 1], np.float32)
    pictures = np.stack([line, line, line, noise, paper])
    drawings = np.stack([line, half, paper, 0 * paper, line])
    likeness = compare(drawings, pictures, paper)
    assert likeness.drawn[1] == pytest.approx(2)
    assert likeness.blank[:3].tolist() == pytest.approx([8**0.5] * 3)
    assert likeness.flat[3] == pytest.approx(0.8)
    assert likeness.poor.tolist() == [False, False, True, True, False]
    names = [f"{i}.png" for i in range(5)]
    (said,) = warnings(names, likeness, np.zeros(5, bool), "white")
    assert said.startswith("2.png, 3.png: l2 ")
    assert "has not learnt to draw such pictures" in said
    said, _ = warnings(names, likeness, np.arange(5) == 3, "black")
    assert said.startswith("3.png: dark ink on light where this agent draws light on")
    assert "--invert" in said


def test_an_agent_is_named_once():
    result = run("reconstruct", "--agent=mnist", "--run_dir=runs/x")
    assert result.returncode != 0
    assert "reconstruct: agent='mnist' with run_dir='runs/x': expected one" in (
        result.stderr
    )


@needs_gl
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--num=1001"], "num=1001: expected at most 1000"),
        (["--invert"], "invert=True is for your own pictures"),
    ],
)
def test_what_cannot_be_is_refused(flags, words, scenes_run):
    result = run("reconstruct", f"--run_dir={scenes_run}", *flags)
    assert result.returncode != 0
    assert f"reconstruct: {words}" in result.stderr
    assert "Traceback" not in result.stderr


def test_agents_that_see_no_target_are_refused(tiny_config, tmp_path, monkeypatch):
    agent = TrainedAgent(make_system(tiny_config), None, 0)
    monkeypatch.setattr(reconstruct, "open_agent", lambda run_dir, data_dir: agent)
    flagged = dict.fromkeys(("_RUN_DIR", "_DATA_DIR", "_OUT", "_BRUSH"))
    for name, value in {"_AGENT": tmp_path, **flagged}.items():
        monkeypatch.setattr(reconstruct, name, SimpleNamespace(value=value))
    with pytest.raises(ValueError, match="is of an unconditional agent"):
        reconstruct.reconstruct([])


def test_nearest_pictures(monkeypatch):
    """As pair by pair, and 0 for one of them, however many are compared at once."""
    monkeypatch.setattr("spiral_jax.reconstruction._PICTURES_AT_ONCE", 3)
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=[7, 4, 4, 3], dtype=np.uint8)
    targets = np.concatenate([rng.integers(256, size=[2, 4, 4, 3]), pictures[4:5]])
    found = nearest_distances(targets.astype(np.uint8), pictures)
    pairs = (targets[:, None] - pictures[None].astype(float)) / 255
    expected = np.sqrt((pairs**2).sum(axis=(2, 3, 4))).min(axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found[2] < 2e-3 < found[:2].min()


def test_evaluate_shows_an_agent_other_pictures(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(40):
        save(tmp_path / f"{index}.png", rng.integers(256, size=[20, 20]))
    shown = (f"--data_dir={tmp_path}", "--dataset=folder")
    result = run("evaluate", "--run_dir=mnist_conditional", *shown)
    assert result.returncode == 0, result.stderr
    own = run("evaluate", "--run_dir=mnist_conditional")
    figures = [
        dict(re.findall(r"^  (\D+?) +([\d.]+)", text, re.MULTILINE))
        for text in (result.stdout, own.stdout)
    ]
    assert figures[0].keys() == figures[1].keys()
    # Noise is nothing that it could draw; digits are.
    assert float(figures[0]["this agent"]) > 0.8 * float(figures[0]["blank canvas"])
    assert float(figures[1]["this agent"]) < 0.8 * float(figures[1]["blank canvas"])
    assert 3.0 < float(figures[1]["nearest training picture"]) < 6.0
    refused = run("evaluate", "--run_dir=mnist", *shown)
    assert refused.returncode != 0
    assert "expected a conditional agent" in refused.stderr
