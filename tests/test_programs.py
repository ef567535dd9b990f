import json

import numpy as np
import pytest

from spiral_jax import programs
from spiral_jax.environments import rerender
from spiral_jax.environments.painting import Painting, language_of
from spiral_jax.language import canvas_to_grid, grid_to_canvas, painting_language


def test_names_and_sizes_are_deepminds():
    language = painting_language(32, 6, use_pressure=True, use_color=True)
    sizes = {c.name: c.num_values for c in language.components}
    assert list(sizes.items()) == [
        ("flag", 2),
        ("end", 1024),
        ("control", 1024),
        ("size", 6),
        ("pressure", 10),
        ("red", 20),
        ("green", 20),
        ("blue", 20),
    ]


def test_mask_of_moves_and_strokes():
    language = painting_language(4, 2, use_pressure=True, use_color=False)
    actions = {name: np.array([0, 1]) for name in language.names}
    mask = language.mask(actions)
    assert {name: m.tolist() for name, m in mask.items()} == {
        "flag": [1, 1],
        "end": [1, 1],
        "control": [0, 1],
        "size": [0, 1],
        "pressure": [0, 1],
    }


def test_grid_and_canvas_round_trip():
    location = np.arange(32 * 32)
    point = grid_to_canvas(location, 32, 64)
    # index = y * 32 + x; pixel = 64 c / 32 (spec, section 3)
    np.testing.assert_array_equal(point[33 * 1 + 2], [2.0, 6.0])
    np.testing.assert_array_equal(canvas_to_grid(point, 32, 64), location)
    assert canvas_to_grid(np.array([-9.0, 999.0]), 32, 64) == 31


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"end": np.array([16, 0])}, ValueError, "'end' is 16 at index"),
        ({"end": np.array([-1, 0])}, ValueError, "expected 0..15"),
        ({"end": np.array([0.0, np.nan])}, TypeError, "'end' is float64"),
        ({"end": np.array([0])}, ValueError, "shape"),
        ({"ende": np.array([0, 0])}, ValueError, r"unknown: .'ende'"),
    ],
)
def test_validate_names_what_is_wrong(change, error, words, rng):
    language = painting_language(4, 2, use_pressure=False, use_color=False)
    actions = language.random([2], rng)
    with pytest.raises(error, match=words):
        language.validate({**actions, **change}, (2,))
    missing = {k: v for k, v in actions.items() if k != "size"}
    with pytest.raises(ValueError, match=r"missing: .'size'"):
        language.validate(missing, (2,))


def test_json_round_trip_leaves_out_what_is_unused(rng):
    environment = Painting(canvas_width=32, grid_width=8, use_color=False)
    language = environment.language
    before = [
        programs.Program(language.random([5], rng), environment.settings)
        for _ in range(3)
    ]
    text = programs.programs_to_json(language, before)
    _, after = programs.programs_from_json(text, language_of)
    assert len(after) == 3
    for a, b in zip(before, after):
        assert b.settings == environment.settings
        mask = language.mask(a.actions)
        for name in language.names:
            np.testing.assert_array_equal(a.actions[name] * mask[name], b.actions[name])
    moves = [c for p in json.loads(text)["programs"] for c in p if c["flag"] == 0]
    assert moves
    assert all(set(c) == {"flag", "end"} for c in moves)


def test_a_program_by_itself(rng):
    environment = Painting(canvas_width=32, grid_width=8, use_color=False)
    program = programs.Program(
        environment.language.random([5], rng), environment.settings
    )
    again = programs.Program.from_json(program.to_json())
    assert again.to_json() == program.to_json()
    np.testing.assert_array_equal(again.render(), rerender(program)[-1])
    large = program.render(width=100, brush="classic/pen")
    np.testing.assert_array_equal(large, rerender(program, 100, "classic/pen")[-1])
    np.testing.assert_array_equal(again.stages(16), rerender(program, 16))
    two = programs.programs_to_json(environment.language, [program, again])
    with pytest.raises(ValueError, match="2 programs; expected one"):
        programs.Program.from_json(two)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: text[:-20], "Not a JSON document"),
        (lambda text: text.replace("program.v1", "program.v9"), "program.v9"),
        (lambda text: text.replace('"end"', '"finish"'), "Program 0: Command 0"),
        (lambda text: text.replace('"flag": 1', '"flag": 7'), "'flag' is 7"),
    ],
)
def test_broken_json_is_refused(edit, words):
    environment = Painting(canvas_width=32, grid_width=8, use_color=False)
    actions = {name: np.array([1]) for name in environment.language.names}
    program = programs.Program(actions, environment.settings)
    text = programs.programs_to_json(environment.language, [program])
    with pytest.raises(ValueError, match=words):
        programs.programs_from_json(edit(text), language_of)
