import subprocess
import sys
import threading
import weakref

import dm_env
import numpy as np
import pytest

from spiral_jax.data import to_uint8
from spiral_jax.data.scenes import (
    SceneImages,
    load_scenes,
    sample_scenes,
    scene_key,
    scene_program,
)
from spiral_jax.environments import (
    Scenes,
    export_mjcf,
    language_of,
    make_environment,
    rerender,
)
from spiral_jax.environments.objects import Builders
from spiral_jax.language import scenes_language
from spiral_jax.programs import Program, programs_from_json, programs_to_json
from spiral_jax.renderers import scene
from tests.conftest import load_few_scenes, needs_gl, play_by_the_specs

ADD, CHANGE, SKIP = range(3)
BOX, SPHERE, CYLINDER, CAPSULE = range(4)


def make(**changes) -> Scenes:
    return Scenes(**{"batch_size": 3, "episode_length": 5, "shadows": False, **changes})


def commands(
    operation, cell=(8, 8), shape=BOX, size=1, color=(3, 0, 0), batch=3, grid=16
):
    """The same command in every world; `cell` is (y, x)."""
    values = {"operation": operation, "shape": shape, "size": size}
    values |= {"location": cell[0] * grid + cell[1]}
    values |= dict(zip(("red", "green", "blue"), color))
    return {name: np.full(batch, value) for name, value in values.items()}


def canvas_of(time_step) -> np.ndarray:
    return time_step.observation["canvas"]


def test_the_language_is_the_papers():
    sizes = {c.name: c.num_values for c in scenes_language(16).components}
    assert list(sizes.items()) == [
        ("operation", 3),
        ("shape", 4),
        ("location", 256),
        ("size", 3),
        ("red", 4),
        ("green", 4),
        ("blue", 4),
    ]
    assert np.prod(list(sizes.values())) == 589_824  # spec, section 4


def test_skipping_uses_no_other_component():
    language = scenes_language(4)
    mask = language.mask({name: np.array([ADD, CHANGE, SKIP]) for name in language.names})
    assert mask.pop("operation").tolist() == [1, 1, 1]
    assert {name: m.tolist() for name, m in mask.items()} == {
        name: [1, 1, 0] for name in ("shape", "location", "size", "red", "green", "blue")
    }


def test_programs_of_scenes_survive_json(rng):
    language = scenes_language(8)
    settings = {
        "environment": "scenes",
        "canvas_width": 32,
        "grid_width": 8,
        "shadows": True,
    }
    before = Program(language.random([9], rng), settings)
    text = programs_to_json(language, [before])
    assert '{"operation": 2}' in text
    _, (after,) = programs_from_json(text, language_of)
    assert after.settings == settings
    mask = language.mask(before.actions)
    for name in language.names:
        np.testing.assert_array_equal(
            before.actions[name] * mask[name], after.actions[name]
        )
    with pytest.raises(ValueError, match=r"Command \d: 'shape' is 4.; expected"):
        programs_from_json(text.replace('"shape": ', '"shape": 4'), language_of)
    with pytest.raises(ValueError, match="environment='maze': expected one of"):
        programs_from_json(text.replace('"scenes"', '"maze"'), language_of)


def test_mujoco_is_imported_only_for_scenes():
    code = (
        "import sys, spiral_jax.environments, spiral_jax.data.scenes as s, "
        "spiral_jax.system; spiral_jax.environments.Painting(); "
        "sys.exit('mujoco' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_gl_the_packages_are_named():
    code = (
        "import ctypes.util, os; ctypes.util.find_library = lambda name: None\n"
        "os.environ.pop('MUJOCO_GL', None)\n"
        "from spiral_jax.environments import Scenes\n"
        "try: Scenes()\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True).stdout
    assert "MuJoCo cannot draw: neither libEGL nor libOSMesa" in printed
    assert "apt install libegl1 libgl1-mesa-dri libglx-mesa0" in printed


@needs_gl
def test_time_steps_follow_the_specs(rng):
    environment = make()
    time_step = environment.reset(seed=3)
    blank = canvas_of(time_step)
    assert blank.shape == (3, 64, 64, 3)
    before, time_step = play_by_the_specs(environment, time_step, rng)
    assert (before.discount == 0).all()
    assert (time_step.step_type == dm_env.StepType.FIRST).all()
    np.testing.assert_array_equal(canvas_of(time_step), blank)


def box_of(change: np.ndarray) -> tuple[int, int, int, int]:
    """Returns top, bottom, left and right of where a picture `[H, W, 3]` changed."""
    rows, columns = np.nonzero((change != 0).any(axis=-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


def seen_at(x: float, y: float, z: float) -> tuple[float, float]:
    """Where a pinhole camera at (0, -40.8, 42.4) sees a point: (row, column) in px.

    It looks down at 45 degrees, and 64 px are 17.2 degrees.
    """
    forward, down = (y + 40.8) - (z - 42.4), -(y + 40.8) - (z - 42.4)
    focal = 32 / np.tan(np.radians(17.2 / 2))
    depth = forward / np.sqrt(2)
    return 32 + focal * down / np.sqrt(2) / depth, 32 + focal * x / depth


@needs_gl
@pytest.mark.parametrize("cell", [(2, 2), (2, 13), (8, 8), (13, 4), (14, 13)])
def test_objects_stand_where_they_are_told_to(cell):
    environment = make(batch_size=1)
    blank = canvas_of(environment.reset())[0]
    action = commands(ADD, cell, SPHERE, size=1, batch=1)
    box = box_of(canvas_of(environment.step(action))[0] - blank)
    top, bottom, left, right = box
    # Cells are 1 unit wide and 1.25 deep; the sphere of radius 1.3 lies on the ground.
    row, column = seen_at(cell[1] - 7.5, 1.25 * (7.5 - cell[0]), 1.3)
    assert (top + bottom + 1) / 2 == pytest.approx(row, abs=1)
    assert (left + right + 1) / 2 == pytest.approx(column, abs=1)
    assert bottom + 1 - top == pytest.approx(2 * 1.3 * 3.7, abs=1.5)
    assert right + 1 - left == pytest.approx(2 * 1.3 * 3.7, abs=1.5)


@needs_gl
def test_shapes_sizes_and_colours_differ():
    pictures = []
    for change in (
        {},
        {"shape": SPHERE},
        {"shape": CYLINDER},
        {"shape": CAPSULE},
        {"size": 0},
        {"size": 2},
        {"color": (0, 3, 0)},
        {"color": (3, 0, 1)},
    ):
        environment = make(batch_size=1)
        environment.reset()
        action = commands(ADD, batch=1, **change)
        pictures.append(canvas_of(environment.step(action))[0])
    for i, a in enumerate(pictures):
        for b in pictures[:i]:
            assert (np.abs(a - b).max(axis=-1) > 0.1).sum() >= 12
    red, _, _, _, _, _, green, _ = (p[30:36, 32:36].mean(axis=(0, 1)) for p in pictures)
    assert red[0] > 3 * red[1:].max()
    assert green[1] > 3 * green[[0, 2]].max()


@needs_gl
def test_add_change_and_skip():
    environment = make()
    blank = canvas_of(environment.reset())
    first = canvas_of(environment.step(commands(ADD, (4, 4))))
    second = canvas_of(environment.step(commands(ADD, (12, 12))))
    # Changing takes the object added last, and all of it.
    changed = canvas_of(environment.step(commands(CHANGE, (12, 4), SPHERE, 2, (0, 0, 3))))
    np.testing.assert_array_equal(
        canvas_of(environment.step(commands(SKIP, (0, 0), CAPSULE))), changed
    )
    environment.reset()
    environment.step(commands(ADD, (4, 4)))
    direct = canvas_of(environment.step(commands(ADD, (12, 4), SPHERE, 2, (0, 0, 3))))
    np.testing.assert_array_equal(changed, direct)
    # Where there is nothing yet, changing adds.
    environment.reset()
    np.testing.assert_array_equal(
        canvas_of(environment.step(commands(CHANGE, (4, 4)))), first
    )
    assert (first != blank).any()
    assert (second != first).any()


def test_the_twenty_first_object_is_not_added(rng):
    """And may not overwrite the last one."""
    builders = Builders(batch_size=2)
    language = scenes_language(16)
    for _ in range(20):
        actions = language.random([2], rng) | {"operation": np.array([ADD, SKIP])}
        assert builders.build(actions).tolist() == [True, False]
    assert builders.counts.tolist() == [20, 0]
    parts = builders.parts.copy()
    assert builders.build(commands(ADD, batch=2)).tolist() == [False, True]
    np.testing.assert_array_equal(builders.parts[0], parts[0])
    assert builders.build(commands(CHANGE, batch=2)).tolist() == [True, True]
    assert builders.parts[0, 19].tolist() == [BOX, 8 * 16 + 8, 1, 3, 0, 0]
    np.testing.assert_array_equal(builders.parts[0, :19], parts[0, :19])


@needs_gl
def test_canvases_of_a_batch_are_independent_and_fresh(rng):
    environment, one = make(), make(batch_size=1)
    canvas_of(environment.reset())[:] = 0.5
    one.reset()
    for _ in range(4):
        actions = environment.language.random([3], rng)
        canvas = canvas_of(environment.step(actions))
        single = canvas_of(one.step({k: v[1:2] for k, v in actions.items()}))
        np.testing.assert_array_equal(canvas[1], single[0])
        canvas[:] = np.nan


@needs_gl
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"location": np.array([0, 256, 0])}, ValueError, r"'location' is 256 at index"),
        ({"shape": np.array([0.0, 1.0, 2.0])}, TypeError, "'shape' is float64"),
        ({"size": np.array([0, 1])}, ValueError, r"shape \(2,\); expected \(3,\)"),
        ({"flag": np.zeros(3, int)}, ValueError, "unknown: .'flag'"),
    ],
)
def test_impossible_commands_are_refused_and_change_nothing(change, error, words):
    environment, other = make(), make()
    environment.reset(), other.reset()
    with pytest.raises(error, match=words):
        environment.step({**commands(ADD, (3, 3)), **change})
    np.testing.assert_array_equal(
        *(canvas_of(e.step(commands(ADD, (9, 9)))) for e in (environment, other))
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size=0: expected an integer >= 1"),
        ({"canvas_width": 32.5}, "canvas_width=32.5"),
        ({"grid_width": 1}, "grid_width=1"),
        ({"episode_length": 1}, "episode_length=1"),
    ],
)
def test_impossible_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


@needs_gl
def test_rewritten_geoms_draw_what_a_model_compiled_for_them_draws(rng):
    """Every scene's MJCF has its objects only, and is compiled afresh by MuJoCo."""
    import mujoco

    environment = make(episode_length=21, shadows=True, batch_size=4)
    steps = [environment.language.random([4], rng) for _ in range(20)]
    environment.reset()
    for step in steps:
        canvas = canvas_of(environment.step(step))
    for i in range(4):
        actions = {k: np.array([step[k][i] for step in steps]) for k in steps[0]}
        program = Program(actions, environment.settings)
        text = export_mjcf(program)
        model = mujoco.MjModel.from_xml_string(text)
        operations = actions["operation"]
        first = np.flatnonzero(operations != SKIP)[:1]  # adds, whichever it is
        adds = np.union1d(np.flatnonzero(operations == ADD), first)
        assert model.nbody - 1 == len(adds)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        with mujoco.Renderer(model, 64, 64) as renderer:
            renderer.update_scene(data, camera="camera")
            picture = renderer.render()
        np.testing.assert_array_equal(picture, to_uint8(canvas[i]))


@needs_gl
def test_a_thread_has_its_own_context_and_closes_it():
    environment = make()
    environment.reset()
    expected = canvas_of(environment.step(commands(ADD)))
    seen = {}

    def work():
        environment.reset()
        seen["canvas"] = canvas_of(environment.step(commands(ADD)))
        seen["renderer"] = weakref.ref(environment._renderer._renderer)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        np.testing.assert_array_equal(seen["canvas"], expected)
        assert seen["renderer"]() is None  # mujoco closes what is dropped
    environment.reset()
    np.testing.assert_array_equal(canvas_of(environment.step(commands(ADD))), expected)


@needs_gl
def test_programs_render_again_at_any_size(rng):
    program = Program(scenes_language(16).random([6], rng), make().settings)
    canvases = rerender(program)
    environment = make_environment(program.settings, batch_size=1, episode_length=7)
    assert isinstance(environment, Scenes)
    np.testing.assert_array_equal(canvases[0], canvas_of(environment.reset())[0])
    large = rerender(program, width=256)[-1]
    assert large.shape == (256, 256, 3)
    small = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert 0 < np.abs(small - canvases[-1]).mean() < 0.01
    with pytest.raises(ValueError, match="brush='soft': only paintings have one"):
        rerender(program, brush="soft")


# What is in two of the held-out pictures: shape, cell (y, x), size, colour.
HAND_WRITTEN = (
    [
        (CYLINDER, (0, 7), 2, (0, 0, 3)),
        (CAPSULE, (13, 12), 0, (3, 1, 1)),
        (CAPSULE, (12, 0), 1, (2, 2, 0)),
    ],
    [
        (SPHERE, (11, 7), 2, (0, 1, 0)),
        (SPHERE, (5, 2), 0, (1, 1, 3)),
        (BOX, (4, 5), 0, (0, 3, 0)),
        (SPHERE, (15, 8), 1, (0, 3, 2)),
        (CAPSULE, (2, 8), 2, (1, 2, 3)),
    ],
)


@needs_gl
@pytest.mark.parametrize("index", [0, 1])
def test_hand_written_programs_rebuild_held_out_pictures(few_scenes, index):
    environment = Scenes(episode_length=21)
    environment.reset()
    for shape, cell, size, color in HAND_WRITTEN[index]:
        step = commands(ADD, cell, shape, size, color, batch=1)
        canvas = canvas_of(environment.step(step))
    differing = (to_uint8(canvas[0]) != few_scenes.test.images[index]).sum()
    assert differing == 0


@needs_gl
def test_scene_programs_rebuild_all_pictures(few_scenes):
    settings = Scenes().settings
    for split in few_scenes:
        for i in range(len(split.counts)):
            canvases = rerender(scene_program(split, i, settings))
            assert len(canvases) == split.counts[i] + 1
            np.testing.assert_array_equal(to_uint8(canvases[-1]), split.images[i])


def test_scenes_are_drawn_uniformly():
    counts, parts = sample_scenes(
        np.random.default_rng(0), 2000, max_objects=5, grid_width=4
    )
    shares = np.bincount(counts)
    assert shares[0] == 0
    assert np.abs(shares[1:] / 2000 - 0.2).max() < 0.04
    objects = np.concatenate([p[:n] for n, p in zip(counts, parts)])
    for column, values in enumerate((4, 16, 3, 4, 4, 4)):
        shares = np.bincount(objects[:, column], minlength=values) / len(objects)
        assert np.abs(shares - 1 / values).max() < 0.03
    for count, objects in zip(counts, parts):
        assert len(set(objects[:count, 1])) == count
        assert (objects[count:] == 0).all()


def test_excluded_scenes_are_not_drawn():
    """Of one object in 2x2 cells there are 4 * 4 * 3 * 64 scenes; all but 4 excluded."""
    everything = np.array(list(np.ndindex(4, 4, 3, 4, 4, 4)))
    excluded = frozenset(scene_key(one[None]) for one in everything[4:])
    rng = np.random.default_rng(0)
    _, parts = sample_scenes(rng, 5, max_objects=1, grid_width=2, excluded=excluded)
    allowed = [one.tolist() for one in everything[:4]]
    assert all(p[0].tolist() in allowed for p in parts)


@needs_gl
def test_the_cache_is_read_checked_and_rebuilt(few_scenes, scenes_dir, monkeypatch):
    (path,) = scenes_dir.glob("*.npz")
    drawn = []
    render = scene.SceneRenderer.render
    monkeypatch.setattr(
        scene.SceneRenderer,
        "render",
        lambda self, objects: drawn.append(len(objects.count)) or render(self, objects),
    )

    def load() -> int:
        """Loads, compares with what was made first, and counts the scenes drawn."""
        drawn.clear()
        for ours, theirs in zip(load_few_scenes(scenes_dir), few_scenes):
            for a, b in zip(ours, theirs):
                np.testing.assert_array_equal(a, b)
        return sum(drawn)

    probes, everything = 16, 16 + 40
    assert load() == probes
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # cut off
    assert load() == 40
    assert load() == probes
    spot = len(whole) // 2
    path.write_bytes(whole[:spot] + bytes([whole[spot] ^ 255]) + whole[spot + 1 :])
    assert load() == 40
    # A picture that today's renderer draws otherwise.
    with np.load(path) as arrays:
        contents = dict(arrays)
    contents["test_images"][3, 5, 5] ^= 1
    np.savez_compressed(path, **contents)
    assert load() == everything
    np.savez_compressed(path, **{**contents, "header": "{}"})  # of another version
    assert load() == 40
    other = load_scenes(scenes_dir, 32, num_train=1, num_test=2, progress=False)
    assert other.test.images.shape == (2, 32, 32, 3)
    assert isinstance(other.train, SceneImages)
    np.testing.assert_array_equal(other.test.parts, few_scenes.test.parts[:2])
