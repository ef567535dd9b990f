"""Trained agents in use, the shipped one among them."""

import contextlib
import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import spiral_jax
from spiral_jax.agents import (
    TrainedAgent,
    agent_folder,
    as_targets,
    export_agent,
    is_shipped,
    load_agent,
    shipped_agent,
    starting_from,
)
from spiral_jax.checkpoint import Checkpointer
from spiral_jax.config import PRESETS, Config, launch_command, preset
from spiral_jax.data import (
    load_emoji,
    load_mnist,
    load_omniglot,
    to_float,
    to_uint8,
)
from spiral_jax.measures import frechet_distance
from spiral_jax.parameters import load_params, save_params
from spiral_jax.renderers.mypaint import load_brush, read_brush_text
from spiral_jax.system import make_system
from spiral_jax.tiles import Tiling, join_programs
from spiral_jax.train import train
from tests.conftest import SHARED_DATA, assert_trees_equal

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shipped():
    return spiral_jax.load_agent("mnist")


def with_random_params(config):
    """An agent without training and without the seconds that its initialisers take."""
    system, rng = make_system(config), np.random.default_rng(0)
    shapes = jax.eval_shape(system.policy.init, jax.random.key(0))
    draw = lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32)
    return TrainedAgent(system, jax.tree.map(draw, shapes), 7)


@pytest.fixture(scope="module")
def agent(tiny_config):
    return with_random_params(tiny_config)


@pytest.fixture(scope="module")
def conditional(tiny_config):
    return with_random_params(dataclasses.replace(tiny_config, conditional=True))


def means(images):
    """Means of 8x8 blocks: what a drawing shares with a digit without any network."""
    blocks = images.reshape(-1, 8, 4, 8, 4).mean((2, 4), dtype=np.float64)
    return blocks.reshape(len(images), 64)


def test_the_shipped_agent_draws_digits(shipped, rng):
    """Blank canvases, and one digit for ever, are as far away as random commands."""
    digits = load_mnist("", 32, "white")
    test = means(to_float(digits.test.images))
    distance = lambda images: frechet_distance(means(images), test)
    programs, canvases = shipped.sample(200, seed=0)
    environment = shipped.system.environment(batch_size=200)
    time_step = environment.reset()
    for _ in range(environment.episode_length - 1):
        time_step = environment.step(environment.language.random([200], rng))
    far = distance(time_step.observation["canvas"])
    assert distance(np.ones_like(canvases)) > 0.5 * far
    assert distance(np.repeat(canvases[:1], 200, axis=0)) > 0.5 * far
    # Of 200 pictures this measure cannot tell which are real.
    for near in (canvases, to_float(digits.train.images[:200])):
        assert distance(near) < 0.1 * far
    # The programs are what was drawn.
    for program, canvas in zip(programs[:3], canvases):
        np.testing.assert_allclose(program.render(), canvas, atol=1e-6)


def characters() -> np.ndarray:
    path = SHARED_DATA / "omniglot_full"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return load_omniglot(path, 32, "white").test.images


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("mnist_conditional", lambda: load_mnist("", 32, "white").test.images),
        ("characters", characters),
        ("emoji", lambda: load_emoji(64).test.images),
    ],
)
def test_shipped_conditional_agents_redraw_what_they_never_saw(name, pictures):
    """Drawings are nearer than blank canvases, and to their own picture among others."""
    images = pictures()
    images = images[:: len(images) // 100][:100]
    _, canvases = load_agent(name).reconstruct(images)
    flat = lambda x: x.reshape(100, 1, -1)
    difference = flat(canvases) - flat(to_float(images)).swapaxes(0, 1)
    distances = np.linalg.norm(difference, axis=2)
    blank = np.linalg.norm(flat(1 - to_float(images)), axis=2)
    assert np.diag(distances).mean() < 0.7 * blank.mean()
    assert (distances.argmin(axis=1) == np.arange(100)).mean() > 0.5


def test_the_same_seed_draws_the_same(shipped):
    first, again, other = (shipped.sample(100, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[1], again[1])
    assert [p.to_json() for p in first[0]] == [p.to_json() for p in again[0]]
    assert not np.array_equal(first[1], other[1])
    with pytest.raises(ValueError, match="num_drawings=0: expected at least 1"):
        shipped.sample(0)


def test_agents_do_what_they_were_trained_for(shipped, conditional):
    with pytest.raises(ValueError, match=r"never learnt to look.*mnist_conditional"):
        shipped.reconstruct(np.zeros([1, 32, 32, 1]))
    with pytest.raises(ValueError, match=r"call reconstruct\(images\)"):
        conditional.sample(1)


def test_reconstruction_looks_at_the_pictures(conditional, rng):
    images = rng.random([3, 16, 16, 1]).astype(np.float32)
    images = to_float(to_uint8(images))
    programs, canvases = conditional.reconstruct(images, seed=3)
    assert canvases.shape == images.shape
    np.testing.assert_allclose(programs[2].render(), canvases[2], atol=1e-6)
    # The same picture in another form is the same to the agent; another one is not.
    rgb = np.repeat(to_uint8(images), 3, axis=3)
    np.testing.assert_array_equal(as_targets(rgb, 16, 1), images)
    np.testing.assert_array_equal(conditional.reconstruct(rgb, seed=3)[1], canvases)
    assert not np.array_equal(conditional.reconstruct(1 - images, seed=3)[1], canvases)


def test_targets_by_hand():
    image = np.zeros([1, 4, 4, 3], np.uint8)
    image[:, :, 2:] = (255, 0, 0)
    (rgb,) = as_targets(image, 4, 3)
    np.testing.assert_array_equal(rgb, image[0] / np.float32(255))
    # Rec. 601: red has 0.299 of the luma.
    (grey,) = as_targets(image, 4, 1)
    np.testing.assert_allclose(grey[0, :, 0], [0, 0, 0.299, 0.299], atol=1 / 255)
    wide = np.zeros([1, 8, 12, 1])
    wide[:, :, 2:10] = 1
    (white,) = as_targets(wide, 2, 3)  # the square in its middle
    np.testing.assert_array_equal(white, np.ones([2, 2, 3]))
    np.testing.assert_array_equal(as_targets(wide[..., 0], 2, 3), [white])
    # Red ink, a quarter of it opaque, a quarter half, on either paper.
    rgba = np.zeros([1, 4, 4, 4])
    rgba[..., 0], rgba[:, :2, :2, 3], rgba[:, 2:, 2:, 3] = 1, 1, 0.5
    for background, paper in (("white", 1), ("black", 0)):
        (found,) = as_targets(rgba, 4, 3, background)
        np.testing.assert_array_equal(found[0, 0], [1, 0, 0])
        np.testing.assert_array_equal(found[0, 3], [paper] * 3)
        half = [(1 + paper) / 2, paper / 2, paper / 2]
        np.testing.assert_allclose(found[3, 3], half, atol=1 / 255)


def test_transparent_pictures_show_the_agents_paper(tiny_config):
    config = dataclasses.replace(tiny_config, conditional=True, background="black")
    agent = with_random_params(config)
    clear = np.ones([2, 16, 16, 4])
    clear[..., 3] = 0
    white, black = np.ones([2, 16, 16, 1]), np.zeros([2, 16, 16, 1])
    drawn, of_white, of_black = (agent.reconstruct(x)[1] for x in (clear, white, black))
    np.testing.assert_array_equal(drawn, of_black)
    assert not np.array_equal(drawn, of_white)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros([32, 32]), r"has the shape \(32, 32\); expected \[N, H, W, C\]"),
        (np.zeros([0, 32, 32, 1]), r"has the shape \(0, 32, 32, 1\)"),
        (np.zeros([1, 32, 32, 2]), r"C = 1, 3 or 4"),
        # One picture of 480x640 px, not 480 of 640x3.
        (
            np.zeros([480, 640, 3]),
            r"\(480, 640, 3\).*a single picture, that is picture\[",
        ),
        (np.full([1, 4, 4, 1], 255.0), r"values in 255..255.*Divide by 255"),
        (np.full([1, 4, 4, 1], np.nan), "values in nan..nan"),
        (np.zeros([1, 4, 4, 1], np.int64), "images is int64"),
    ],
)
def test_other_pictures_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        as_targets(images, 32, 1)


def test_an_exported_agent_is_the_runs(agent, tiny_config, tmp_path):
    run = tmp_path / "run"
    with contextlib.closing(Checkpointer(run / "checkpoints")) as checkpointer:
        state = {"average": agent.params, "num_updates": np.asarray(7)}
        checkpointer.save(7, {"learner": state})
    tiny_config.save(run / "config.json")
    export_agent(load_agent(run), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "params.npz",
    ]
    exported = load_agent(str(tmp_path / "out"))
    assert_trees_equal(agent.params, exported.params)
    assert exported.num_updates == 7
    assert exported.system.config == tiny_config
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert launch_command(tiny_config) in readme
    assert "7 updates (84 frames)" in readme
    # Where the data were on one machine is not for others to see.
    config = dataclasses.replace(agent.system.config, data_dir=str(tmp_path))
    system = agent.system._replace(config=config)
    export_agent(agent._replace(system=system), tmp_path / "moved")
    for file in ("config.json", "README.md"):
        assert str(tmp_path) not in (tmp_path / "moved" / file).read_text(
            encoding="utf-8"
        )


def test_agents_are_found_where_people_say(agent, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(tmp_path))
    export_agent(agent, tmp_path / "mine")
    assert load_agent("~/mine").num_updates == 7
    with pytest.raises(ValueError, match="agent='gs://bucket/mine': gs:// is not read"):
        load_agent("gs://bucket/mine")
    # A folder without a run, such as one of data, is not in the way of a shipped agent.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    assert agent_folder("mnist") == shipped_agent("mnist")
    assert is_shipped(agent_folder("mnist"))
    assert not is_shipped(agent_folder(Path("mnist")))
    assert agent_folder(Path("mnist")) == tmp_path / "mnist"
    assert not caplog.records
    export_agent(agent, tmp_path / "mnist")
    assert agent_folder("mnist") == tmp_path / "mnist"
    assert f"'mnist' is the run in {tmp_path / 'mnist'}, not" in caplog.text
    assert str(shipped_agent("mnist")) in caplog.text


def test_runs_and_exports_hold_their_brush(agent, tiny_config, tmp_path):
    own = tmp_path / "mine.myb"
    own.write_text(read_brush_text("classic/pen"), encoding="utf-8")
    config = dataclasses.replace(tiny_config, brush=str(own))
    run, moved, out = (tmp_path / name for name in ("run", "moved", "out"))
    run.mkdir()
    config.save(run / "config.json")
    config.save(run / "config.json")  # as resuming does
    export_agent(agent._replace(system=make_system(config)), run)
    own.unlink()
    run.rename(moved)
    loaded = load_agent(moved)
    assert loaded.system.config.brush == str(moved / "brush.myb")
    loaded.system.config.save(moved / "config.json")
    export_agent(loaded, out)
    shutil.rmtree(moved)
    environment = load_agent(out).system.environment(batch_size=1)
    ours = dataclasses.replace(load_brush(out / "brush.myb"), name="")
    assert ours == dataclasses.replace(load_brush("classic/pen"), name="")
    assert environment.settings["brush"] == str(out / "brush.myb")
    assert "--brush=brush.myb" in (out / "README.md").read_text(encoding="utf-8")
    (out / "brush.myb").unlink()
    with pytest.raises(ValueError, match=r"config.json: brush='.*out/brush.myb'"):
        load_agent(out)


def test_data_that_have_moved(agent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_agent(agent, tmp_path / "run")
    config = load_agent("run", "data/here").system.config
    assert config.data_dir == str(tmp_path / "data" / "here")
    assert dataclasses.replace(config, data_dir="") == agent.system.config


def test_training_starts_from_an_agent_whose_networks_fit(agent, tiny_config, tmp_path):
    export_agent(agent, tmp_path / "agent")
    other = make_system(dataclasses.replace(tiny_config, seed=5, reward="final"))
    system = starting_from(other, tmp_path / "agent")
    assert_trees_equal(system.initial_policy(), agent.params)
    assert system.config == other.config
    finer = make_system(dataclasses.replace(tiny_config, grid_width=16))
    words = r"init_from='.*agent' does not fit .*: \S+ has the shape .*expected"
    with pytest.raises(ValueError, match=words) as caught:
        starting_from(finer, tmp_path / "agent")
    assert str(tmp_path / "agent" / "config.json") in str(caught.value)
    with pytest.raises(FileNotFoundError, match="init_from='mnits' holds no run"):
        starting_from(other, "mnits")


def test_a_run_that_goes_on_needs_no_agent_to_start_from(tiny_config, tmp_path):
    """It may be gone by then, and is not even looked for."""
    (tmp_path / "run" / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(ValueError, match="damaged"):
        train(tiny_config, tmp_path / "run", init_from=tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"init_from='.*gone' holds no run"):
        train(tiny_config, tmp_path / "new", init_from=tmp_path / "gone")


def test_more_samples_are_nearer_and_begin_with_the_first(conditional, rng):
    images = rng.random([3, 16, 16, 1]).astype(np.float32)
    images = to_float(to_uint8(images))
    distance = lambda canvases: np.linalg.norm((canvases - images).reshape(3, -1), axis=1)
    programs, one = conditional.reconstruct(images, seed=3)
    better, many = conditional.reconstruct(images, seed=3, num_samples=6)
    assert (distance(many) <= distance(one)).all()
    assert (distance(many) < distance(one)).any()
    for program, canvas in zip(better, many):
        np.testing.assert_allclose(program.render(), canvas, atol=1e-6)
    same = distance(many) == distance(one)
    assert all(
        (a.to_json() == b.to_json()) == s for a, b, s in zip(programs, better, same)
    )
    with pytest.raises(ValueError, match="num_samples=0: expected at least 1"):
        conditional.reconstruct(images, num_samples=0)


def test_a_large_picture_is_painted_in_tiles(conditional, rng):
    """Tiles of 16 px share 2 px: 3 of them make 44 px, each by the agent as alone."""
    images = to_float(to_uint8(rng.random([2, 44, 44, 1])))
    mosaics, canvases = conditional.reconstruct(images, seed=3, tiles=3)
    assert canvases.shape == images.shape
    tiling = Tiling(3, 16)
    programs, tiles = conditional.reconstruct(tiling.split(images), seed=3)
    np.testing.assert_array_equal(canvases, tiling.join(tiles))
    assert [m.to_json() for m in mosaics] == [
        m.to_json() for m in join_programs(programs, 3)
    ]
    np.testing.assert_allclose(mosaics[1].render(), canvases[1], atol=1e-6)


def test_params_of_another_kind_are_refused(agent, tmp_path):
    export_agent(agent, tmp_path)
    params, _ = load_params(tmp_path / "params.npz")
    save_params(tmp_path / "params.npz", params)
    with pytest.raises(ValueError, match=r"params.npz holds no .*no 'num_updates'"):
        load_agent(tmp_path)


def test_commands_are_quoted(tiny_config):
    config = dataclasses.replace(tiny_config, data_dir="/my data/it's")
    assert shlex.split(launch_command(config))[-1] == "--evaluate_minutes=0"
    assert "--data_dir=/my data/it's" in shlex.split(launch_command(config))


def test_the_command_of_a_config_gives_the_config(tiny_config):
    changed = dataclasses.replace(
        preset("mnist_pen"), brush_sizes=(1.5, 3.0), resume=False, discount=0.99
    )
    assert launch_command(preset("mnist_pen")).endswith("launch --preset=mnist_pen")
    configs = [*PRESETS.values(), tiny_config, changed]
    commands = [shlex.split(launch_command(config)) for config in configs]
    assert all(c[:3] == ["python", "-m", "experiments.launch"] for c in commands)
    # In a process of its own: scripts define flags of the same names.
    code = """if True:
        import dataclasses, json, sys
        from absl import flags
        from experiments.launch import config_from_flags
        for command in json.loads(sys.argv[1]):
            flags.FLAGS.unparse_flags()
            for name in flags.FLAGS:
                flags.FLAGS[name].value = flags.FLAGS[name].default
            flags.FLAGS(command)
            print(json.dumps(dataclasses.asdict(config_from_flags())))
        """
    command = [sys.executable, "-c", code, json.dumps([c[2:] for c in commands])]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    found = [Config.from_dict(json.loads(line)) for line in result.stdout.splitlines()]
    assert found == configs


def test_what_cannot_be_loaded_says_why(agent, tiny_config, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"'mnits' holds no run.*'mnist', 'mnist_conditional'"
    ):
        load_agent("mnits")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config.json: .*Expecting property name"):
        load_agent(tmp_path)
    export_agent(agent, tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(
        json.dumps({**settings, "grid_width": 4}), encoding="utf-8"
    )
    with pytest.raises(
        ValueError, match=r"does not fit this run's settings.*head_control"
    ):
        load_agent(tmp_path)
    tiny_config.save(tmp_path / "config.json")
    whole = (tmp_path / "params.npz").read_bytes()
    for damaged in (whole[:-9], whole[: len(whole) // 2], b"", b"junk"):
        (tmp_path / "params.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"params.npz holds no parameters"):
            load_agent(tmp_path)


def test_the_package_alone_is_light():
    code = (
        "import sys, spiral_jax; print(spiral_jax.__version__, dir(spiral_jax)); "
        "assert not {'jax', 'numpy', 'mujoco'} & set(sys.modules); "
        "spiral_jax.load_agent; assert 'mujoco' not in sys.modules; spiral_jax.nothing"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "'load_agent'" in result.stdout
    assert "module 'spiral_jax' has no attribute 'nothing'" in result.stderr
