"""Parts of one's own, as docs/extending.md builds them."""

import dataclasses
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import open_agent
from spiral_jax import evaluation
from spiral_jax.config import Config, launch_command, preset
from spiral_jax.data import Dataset, Images
from spiral_jax.data.registry import DATASETS, load_dataset, register_dataset
from spiral_jax.environments import make_environment, rerender
from spiral_jax.extensions import import_named
from spiral_jax.metrics import read_records
from spiral_jax.names import ENVIRONMENTS
from spiral_jax.networks.presets import PRESETS as SIZES
from spiral_jax.programs import Program

pytestmark = pytest.mark.thorough

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S
)


@pytest.fixture
def registries():
    """Whatever a test registers is forgotten after it."""
    datasets, sizes = dict(DATASETS), dict(SIZES)
    yield
    for registry, before in ((DATASETS, datasets), (SIZES, sizes)):
        registry.clear()
        registry.update(before)
    sys.modules.pop("circles", None)


@pytest.fixture
def circles(tmp_path, monkeypatch, registries):
    """The page's data set, in a folder where Python looks for modules."""
    (tmp_path / "circles.py").write_text(BLOCKS[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "circles:circles"


def test_a_brush_of_ones_own_paints(monkeypatch, registries):
    monkeypatch.setitem(sys.modules, "stamps", types.ModuleType("stamps"))
    exec(BLOCKS[0], sys.modules["stamps"].__dict__)
    config = dataclasses.replace(
        preset("mnist_small"), environment_name="stamps:stamps", batch_size=4
    )
    environment = make_environment(config.environment(), batch_size=2)
    try:
        environment.reset()
        actions = environment.language.constant(0, (2,), np.int32)
        actions |= {"flag": np.array([1, 0]), "end": np.array([16 * 2 + 3, 0])}
        canvas = environment.step(actions).observation["canvas"]
        assert np.argwhere(canvas[0, ..., 0] == 0).tolist()[0] == [4, 6]
        assert (canvas[1] == 1).all()
        program = Program({k: v[:1] for k, v in actions.items()}, environment.settings)
        np.testing.assert_array_equal(rerender(program)[-1], canvas[0])
    finally:
        del ENVIRONMENTS["stamps"]


class FakeRun:
    """What the page uses of a run of Weights & Biases."""

    def __init__(self):
        self.logged, self.finished = [], False

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


def test_the_page_runs(circles, tmp_path, monkeypatch):
    run, started = FakeRun(), []
    wandb = types.ModuleType("wandb")
    wandb.init = lambda **settings: started.append(settings) or run
    wandb.Image = lambda picture: ("image", picture.shape)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(evaluation, "NUM_SAMPLES", 20)
    monkeypatch.chdir(tmp_path)
    import_named(circles, "dataset")
    small = "max_updates=2, log_updates=1, batch_size=4, canvas_width=16, grid_width=8"
    names: dict = {}
    for block in BLOCKS[2:]:
        exec(block.replace("max_minutes=5", small), names)

    assert len(load_dataset(names["config"]).train.images) == 2000
    records = read_records(tmp_path / "runs/circles/metrics.jsonl")
    measured = [r["ink/share"] for r in records if "ink/share" in r]
    assert len(measured) == 1
    assert 0 <= measured[0] <= 1
    assert names["canvases"].shape == (16, 16, 16, 1)
    assert started == [{"project": "spiral_jax", "mode": "offline", "dir": "runs"}]
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
