"""Parts of one's own, as docs/extending.md and the pages of docs/howto build them."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import flags

from experiments.cli import open_agent
from spiral_jax import evaluation
from spiral_jax.config import Config, flag_value, launch_command, preset
from spiral_jax.data import Dataset, Images
from spiral_jax.data.registry import DATASETS, load_dataset, register_dataset
from spiral_jax.environments import make_environment, rerender
from spiral_jax.extensions import import_named
from spiral_jax.metrics import read_records
from spiral_jax.names import ENVIRONMENTS
from spiral_jax.networks.presets import PRESETS as SIZES
from spiral_jax.programs import Program
from spiral_jax.system import make_system

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]


class Page(NamedTuple):
    """What a page has the reader do.

    Attributes:
      text: all of it.
      files: what it has written, by path: the blocks that begin with the path.
      programs: its other blocks of Python.
    """

    text: str
    files: Mapping[str, str]
    programs: list[str]


def read_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    files, programs = {}, []
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        if named := re.match(r"# (\S+[.]py)\n", block):
            files[named[1]] = files.get(named[1], "") + block.partition("\n")[2]
        else:
            programs.append(block)
    return Page(text, files, programs)


INDEX = read_page(ROOT / "docs" / "extending.md")
PAGES = {path.stem: read_page(path) for path in (ROOT / "docs" / "howto").glob("*.md")}
# Files of the package and files of one's own, by page, as the table has them.
TABLE = {
    name: (int(of_package), int(own))
    for name, of_package, own in re.findall(
        r"^\|.*\(howto/(\w+)[.]md\).* \| (\d+) \| (\d+) \|$", INDEX.text, flags=re.M
    )
}


def write_files(page: Page, folder: Path) -> None:
    """Writes a page's files; to one that is there, its lines below the first of them."""
    for name, text in page.files.items():
        path = folder / name
        if path.exists():
            before, first = path.read_text(encoding="utf-8"), text.partition("\n")[0]
            assert before.count(f"{first}\n") == 1
            text = before.replace(f"{first}\n", text)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def registries():
    """Whatever a test registers is forgotten after it."""
    kept = [(registry, dict(registry)) for registry in (DATASETS, ENVIRONMENTS, SIZES)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


@pytest.fixture
def folder(tmp_path, monkeypatch, registries):
    """The working directory, where Python looks for modules; they are forgotten, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == tmp_path:
            del sys.modules[name]


@pytest.fixture
def circles(folder):
    """The data set of a page."""
    write_files(PAGES["dataset"], folder)
    return "circles:circles"


class FakeRun:
    """What a page uses of a run of Weights & Biases."""

    def __init__(self):
        self.logged, self.finished, self.started = [], False, []

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb_run(monkeypatch):
    run, wandb = FakeRun(), types.ModuleType("wandb")
    wandb.init = lambda **settings: run.started.append(settings) or run
    wandb.Image = lambda picture: ("image", picture.shape)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return run


def rehearse(config, run_dir, *, evaluators=(), writers=(), **parts):
    """Uses what `train` is handed, but compiles nothing: that takes half a minute."""
    system = make_system(config, **parts)
    if config.has_own_dataset:
        load_dataset(config)
    drawings = np.stack([system.blank] * 2)

    def learn(images):
        key = jax.random.key(0)
        params = (system.policy.init(key), system.discriminator.init(key, images))
        for optimiser, of in zip(system.optimisers, params):
            optimiser.update(of, optimiser.init(of), of)
        return system.score(params[1], images, None)

    assert jax.eval_shape(learn, drawings).shape == (2,)
    for measure in evaluators:
        assert all(type(value) is float for value in measure(system, drawings).values())
    for writer in writers:
        writer.scalars(1, {"policy/entropy": 1.0})
        writer.picture(1, "samples", np.zeros([8, 8, 1], np.uint8))
        writer.close()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_runs_alone(name, folder, monkeypatch, wandb_run):
    calls, page = [], PAGES[name]

    def train(*args, **kwargs):
        calls.append(args)
        return rehearse(*args, **kwargs)

    monkeypatch.setattr("spiral_jax.train.train", train)
    if not TABLE[name][0]:
        write_files(page, folder)
    names: dict = {}
    for program in page.programs:
        exec(program, names)
    assert len(calls) == 1
    for given in re.findall(r"--(?:dataset|environment_name)=(\w+:\w+)", page.text):
        import_named(given, "given")
        assert given.partition(":")[2] in {**DATASETS, **ENVIRONMENTS}


@pytest.fixture
def package(tmp_path):
    """A copy of the package's modules; what each was copied from."""
    copies = {}
    for source in (ROOT / "spiral_jax").rglob("*.py"):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies[shutil.copyfile(source, copy)] = source
    return copies


@pytest.mark.parametrize("name", sorted({*PAGES, *TABLE}))
def test_a_page_changes_as_many_files_as_the_table_says(name, package, tmp_path):
    write_files(PAGES[name], tmp_path)
    changed = [c for c in package if c.read_bytes() != package[c].read_bytes()]
    own = {*tmp_path.rglob("*.py")} - {*package}
    assert (len(changed), len(own)) == TABLE[name]
    assert len(changed) == (1 if name == "preset" else 0)


def test_a_preset_for_everybody_has_a_name(package, tmp_path):
    write_files(PAGES["preset"], tmp_path)
    code = (
        "from spiral_jax.config import launch_command, preset\n"
        "print(launch_command(preset('mnist_quick')))"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert printed == "python -m experiments.launch --preset=mnist_quick\n"


def test_a_file_of_flags_is_the_preset_of_the_program(folder, monkeypatch):
    page, names = PAGES["preset"], {}
    monkeypatch.setattr("spiral_jax.train.train", lambda config, run_dir: run_dir)
    exec(*page.programs, names)
    text = re.search(r"^```\n(--.*?)^```", page.text, flags=re.M | re.S)[1]
    (folder / "mnist_quick.flags").write_text(text, encoding="utf-8")
    given = flags.FLAGS.read_flags_from_files(["--flagfile=mnist_quick.flags"])
    values = dict(flag.removeprefix("--").split("=") for flag in given)
    assert values.pop("run_dir") == "runs/mnist_quick"
    before = dataclasses.asdict(preset(values.pop("preset")))
    after = dataclasses.asdict(names["config"])
    changed = {name: after[name] for name in after if after[name] != before[name]}
    assert {name: flag_value(value) for name, value in changed.items()} == values


def test_a_brush_of_ones_own_paints(folder):
    write_files(PAGES["brush"], folder)
    import_named("stamps:stamps", "environment_name")
    config = dataclasses.replace(
        preset("mnist_small"), environment_name="stamps:stamps", batch_size=4
    )
    environment = make_environment(config.environment(), batch_size=2)
    environment.reset()
    actions = environment.language.constant(0, (2,), np.int32)
    actions |= {"flag": np.array([1, 0]), "end": np.array([16 * 2 + 3, 0])}
    canvas = environment.step(actions).observation["canvas"]
    assert np.argwhere(canvas[0, ..., 0] == 0).tolist()[0] == [4, 6]
    assert (canvas[1] == 1).all()
    program = Program({k: v[:1] for k, v in actions.items()}, environment.settings)
    np.testing.assert_array_equal(rerender(program)[-1], canvas[0])


def test_settings_of_ones_own_reach_the_environment(folder, rng):
    write_files(PAGES["settings"], folder)
    import_named("poster:poster", "environment_name")
    config = dataclasses.replace(
        preset("mnist_small"), environment_name="poster:poster", own={"greys": 4}
    )
    environment = make_environment(config.environment(), batch_size=2)
    environment.reset()
    actions = environment.language.random([2], rng) | {"flag": np.array([1, 1])}
    canvas = environment.step(actions).observation["canvas"]
    assert canvas.dtype == np.float32
    np.testing.assert_allclose(np.unique(canvas), [0, 1 / 3, 2 / 3, 1])
    program = Program({k: v[:1] for k, v in actions.items()}, environment.settings)
    again = Program.from_json(program.to_json())
    assert again.settings["greys"] == 4
    np.testing.assert_array_equal(rerender(again)[-1], canvas[0])
    config = dataclasses.replace(config, own={"grays": 4})
    with pytest.raises(TypeError, match="'grays'"):
        make_environment(config.environment())


def test_all_parts_of_a_run_together(folder, wandb_run, monkeypatch):
    run = wandb_run
    monkeypatch.setattr(evaluation, "NUM_SAMPLES", 20)
    for name, page in PAGES.items():
        if not TABLE[name][0]:
            write_files(page, folder)
    small = "max_updates=2, log_updates=1, batch_size=4, canvas_width=16, grid_width=8"
    names: dict = {}
    for block in INDEX.programs:
        exec(block.replace("max_minutes=5", small), names)

    assert len(load_dataset(names["config"]).train.images) == 2000
    records = read_records(folder / "runs/circles/metrics.jsonl")
    measured = [r["ink/share"] for r in records if "ink/share" in r]
    assert len(measured) == 1
    assert 0 <= measured[0] <= 1
    assert names["canvases"].shape == (16, 16, 16, 1)
    assert run.started == [{"project": "spiral_jax", "mode": "offline", "dir": "runs"}]
    assert run.finished
    scalars = [step for step, values in run.logged if "policy/entropy" in values]
    assert scalars == [1, 2]
    pictures = [values["samples"] for _, values in run.logged if "samples" in values]
    assert [kind for kind, _ in pictures] == ["image"]


def test_scripts_import_what_settings_name(circles, tmp_path):
    config = dataclasses.replace(preset("mnist_small"), own={})
    with pytest.raises(
        ValueError, match=r"'circles:circles': expected one of .*imported"
    ):
        dataclasses.replace(config, dataset=circles)
    import_named(circles, "dataset")
    config = dataclasses.replace(config, dataset=circles, own={"num_circles": 40})
    assert load_dataset(config).test.images.shape == (20, 32, 32, 1)
    assert "--dataset=circles:circles" in launch_command(config)
    assert "--set=num_circles=40" in launch_command(config)
    assert Config.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config

    config.save(tmp_path / "config.json")
    del DATASETS["circles"], sys.modules["circles"]
    with pytest.raises(FileNotFoundError):  # settings are read: there is no checkpoint
        open_agent(tmp_path)
    assert "circles" in DATASETS


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:x", "dataset='no_such_module:x': No module named"),
        (":x", "dataset=':x': expected module:name"),
        ("json:", "dataset='json:': expected module:name"),
        ("a b.c:x", "No module named 'a b'"),
    ],
)
def test_what_cannot_be_imported_is_named(value, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        import_named(value, "dataset")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros([3, 32, 32, 1], np.float32), r"are float32 \[3, 32, 32, 1\]; expected"),
        (np.zeros([3, 28, 28, 1], np.uint8), r"expected uint8 \[N, 32, 32, 1\]"),
        (np.zeros([0, 32, 32, 1], np.uint8), "N at least 1"),
        (np.zeros([3, 32, 32, 3], np.uint8), "use_color=False"),
    ],
)
def test_pictures_of_another_form_are_refused(images, words, registries):
    register_dataset("mine", lambda config: Dataset(Images(images), Images(images)))
    with pytest.raises(ValueError, match=words):
        load_dataset(dataclasses.replace(preset("mnist_small"), dataset="mine"))


def test_names_and_settings_of_ours_stay_ours(registries):
    with pytest.raises(ValueError, match="name='mnist': expected a name other than"):
        register_dataset("mnist", lambda config: None)
    with pytest.raises(ValueError, match=r"own={'a': 1}: .* leave them out"):
        dataclasses.replace(preset("mnist_small"), own={"a": 1})
    for own in (3, {1: 2}, {"a": float("nan")}, {"a": object()}):
        with pytest.raises(ValueError, match=r"own=.*expected names, each"):
            dataclasses.replace(preset("mnist_small"), own=own)
    with pytest.raises(ValueError, match=r"environment 'painting': .*'radius'"):
        make_environment({"radius": 3})
