"""Documents from outside: whatever is wrong with them is a ValueError that says where."""

import copy
import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spiral_jax.config import Config, preset
from spiral_jax.documents import parse_json, read_arrays
from spiral_jax.environments import language_of, register_environment, rerender
from spiral_jax.environments.rerender import ENVIRONMENTS
from spiral_jax.parameters import load_params, save_params
from spiral_jax.programs import Program, programs_from_json
from tests.test_experiments import run

GOOD = {
    "format": "spiral_jax.program.v1",
    "settings": {
        "canvas_width": 32,
        "grid_width": 8,
        "brush": "soft",
        "brush_sizes": [2.0],
        "use_color": False,
        "use_pressure": False,
        "background": "white",
    },
    "programs": [[{"flag": 1, "end": 5, "control": 6, "size": 0}]],
}
SCENES = {"environment": "scenes", "canvas_width": 32, "grid_width": 4, "shadows": True}


def changed(*where, **to):
    """A good document with something elsewhere changed; `to` is `value=` or nothing."""
    document = copy.deepcopy(GOOD)
    place = document
    for key in where[:-1]:
        place = place[key]
    if to:
        place[where[-1]] = to["value"]
    else:
        del place[where[-1]]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed("settings"), r"'settings' is None; expected an object"),
        (changed("settings", value=[]), r"'settings' is \[\]"),
        (changed("programs"), r"'programs' is None; expected a list"),
        (changed("programs", value=None), r"'programs' is None"),
        (changed("programs", value=GOOD["programs"][0]), "Program 0 is .*list of comm"),
        (changed("programs", 0, 0, value=None), "Program 0: Command 0 is None"),
        (changed("programs", 0, 0, "end"), r"Command 0 has .*expected \['end'\] as w"),
        (
            changed("programs", 0, 0, "end", value="5"),
            "'end' is '5'; expected an integer",
        ),
        (changed("programs", 0, 0, "end", value=True), "'end' is True; expected an int"),
        (changed("programs", 0, 0, "end", value=5.0), r"'end' is 5\.0; expected an int"),
        (changed("programs", 0, 0, "end", value=64), r"'end' is 64; expected .*0\.\.63"),
        (changed("programs", 0, 0, "end", value=10**40), r"'end' is 10+; expected"),
        (changed("programs", 0, 0, "hue", value=1), r"has 'hue'; expected any of"),
        (changed("settings", "grid_width"), "settings: 'grid_width' is missing"),
        (changed("settings", "grid_width", value="8"), "grid_width='8': expected an int"),
        (changed("settings", "grid_width", value=10**9), "grid_width=1000000000: expec"),
        (changed("settings", "brush_sizes", value=None), "brush_sizes=None: expected"),
        (changed("settings", "brush_sizes", value=[0]), r"brush_sizes=\[0\]: expected"),
        (changed("settings", "brush_sizes", value=["2"]), r"brush_sizes=\['2'\]"),
        (changed("settings", "use_color", value="no"), "use_color='no': expected True"),
        (changed("settings", "background", value="transparent"), "background='transp"),
        (changed("settings", "background", value=["white"]), r"background=\['white'\]"),
        (changed("settings", "compat", value="other"), "compat='other': expected one"),
        (changed("settings", "brush", value=7), "brush=7: expected"),
        (changed("settings", "batch_size", value=7), "'batch_size' is not known"),
        (changed("settings", "environment", value=[]), r"environment=\[\]: expected one"),
        (changed("settings", value=SCENES), "Command 0 has 'flag'; expected any of"),
        (changed("settings", value={**SCENES, "shadows": 1}), "shadows=1: expected True"),
        ("[" * 100_000, "nested too deeply"),
        ('{"format": ' + "9" * 5000 + "}", "Not a JSON document"),
        ("7", "the format is None"),
    ],
)
def test_wrong_programs_are_refused_by_place(text, words):
    with pytest.raises(ValueError, match=f"^my file: .*{words}"):
        programs_from_json(text, language_of, "my file")


def test_good_programs_are_read_from_bytes_with_a_mark():
    program = Program.from_json(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert {k: v.tolist() for k, v in program.actions.items()} == {
        "flag": [1],
        "end": [5],
        "control": [6],
        "size": [0],
    }
    assert rerender(program).shape == (2, 32, 32, 1)
    with pytest.raises(ValueError, match=r"my file: Not a JSON .*'utf-8' codec"):
        Program.from_json(b"\xff", "my file")


def test_a_language_of_ones_own_may_take_settings_for_granted():
    register_environment("own", None, lambda settings: settings["size"] + 1)
    try:
        with pytest.raises(ValueError, match=r"settings: .*describe.*KeyError: 'size'"):
            programs_from_json(
                changed("settings", value={"environment": "own"}), language_of
            )
    finally:
        del ENVIRONMENTS["own"]


def test_svg_of_settings_that_are_no_paintings():
    good = Program.from_json(json.dumps(GOOD))
    settings = {**good.settings, "background": "transparent"}
    with pytest.raises(ValueError, match="background='transparent': expected one of"):
        dataclasses.replace(good, settings=settings).to_svg()


# Settings.


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("batch_size", "8", "batch_size='8': expected an integer"),
        ("batch_size", 8.0, r"batch_size=8\.0: expected an integer"),
        ("batch_size", True, "batch_size=True: expected an integer"),
        ("batch_size", 10**400, "batch_size=10+: expected an integer"),
        ("batch_size", None, "batch_size=None: expected an integer"),
        ("discount", "1", "discount='1': expected a finite number"),
        ("max_minutes", float("nan"), "max_minutes=nan: expected a finite number"),
        ("conditional", 1, "conditional=1: expected True or False"),
        ("brush", None, "brush=None: expected text"),
        ("brush", "a\0.myb", r"brush='a\\x00.myb'"),
        ("brush_sizes", 2.0, r"brush_sizes=2\.0: expected numbers"),
        ("brush_sizes", ["2"], r"brush_sizes=\('2',\): expected numbers"),
        ("brush_sizes", [-2], r"brush_sizes=\(-2,\): expected positive"),
        ("episode_length", 1, "episode_length=1: expected at least 2"),
        ("dataset", {}, "dataset={}: expected text"),
        ("speed", 1, "Unknown settings .'speed'"),
    ],
)
def test_settings_edited_by_hand_are_named(setting, value, words, tmp_path):
    path = tmp_path / "config.json"
    settings = {**dataclasses.asdict(preset("mnist_small")), setting: value}
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ValueError, match=f"config.json: {words}"):
        Config.load(path)


def test_whole_numbers_will_do_for_others(tmp_path):
    path = tmp_path / "config.json"
    settings = {**dataclasses.asdict(preset("mnist_small")), "max_minutes": 5}
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert Config.load(path).max_minutes == 5.0
    for text in ("[1]", "null", "3", '"x"'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"config.json: expected an object"):
            Config.load(path)


# Arrays.


@pytest.fixture
def params(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    values = {
        "torso": {"w": rng.normal(size=[40, 30]).astype("f"), "b": np.zeros(3, "f")}
    }
    save_params(tmp_path / "params.npz", values, num_updates=7)
    return tmp_path / "params.npz"


def test_what_was_saved_is_loaded(params):
    values, numbers = load_params(params, ("num_updates",))
    assert values["torso"]["w"].shape == (40, 30)
    assert numbers == {"num_updates": 7}
    with pytest.raises(ValueError, match=r"params.npz holds no .*there is no 'speed'"):
        load_params(params, ("speed",))


def test_every_flipped_byte_is_noticed_or_without_effect(params):
    """Among 300 places are names, headers, compressed data and the directory."""
    whole = params.read_bytes()
    values, _ = load_params(params)
    refused = []
    for place in np.linspace(0, len(whole) - 1, 300).astype(int):
        flipped = bytearray(whole)
        flipped[place] ^= 255
        params.write_bytes(flipped)
        try:
            found, _ = load_params(params)
        except ValueError as error:
            refused.append(str(error))
        else:
            np.testing.assert_array_equal(found["torso"]["w"], values["torso"]["w"])
    assert len(refused) > 250
    assert all(words.startswith(f"{params} holds no parameters") for words in refused)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"torso::w": np.zeros(3, int)}, "'torso::w' is int64; expected floats"),
        ({"torso::w": np.array(["a"])}, "'torso::w' is <U1; expected floats"),
        ({"torso::w": np.array([1, np.nan])}, "values that are not finite"),
        ({"num_updates": np.zeros(3)}, r"has the shape \(3,\); expected one number"),
        ({"num_updates": np.array("7")}, "'num_updates' is <U1"),
        ({"num_updates": np.array([None])}, "allow_pickle=False"),
    ],
)
def test_foreign_arrays_are_refused_by_name(arrays, words, tmp_path):
    path = tmp_path / "params.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"params.npz holds no .*{words}"):
        load_params(path)


def test_zips_of_other_things(tmp_path):
    path = tmp_path / "a.npz"
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("a.txt", "no array")
        with pytest.raises(ValueError, match=r"a.npz is not .*'a.txt' in it is no array"):
            read_arrays(path)
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    path.write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="it is no zip"):
        read_arrays(path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")


def test_json_says_where():
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}
    with pytest.raises(ValueError, match=r"x: Not a JSON document: .*line 2 column 1"):
        parse_json("{\n", "x")


def test_thousands_of_damaged_documents(tmp_path):
    result = run("fuzz", "--num=400", f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == [
        "programs",
        "config",
        "params",
        "metrics",
        "brush",
    ]
    for _, damaged, read, refused, wrong in rows:
        assert (damaged, wrong) == ("400", "0")
        assert min(int(read), int(refused)) > 10
