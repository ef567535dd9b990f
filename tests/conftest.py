"""What several test files need."""

import atexit
import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path

# Many tests, and the processes that they start, compile the same programs. Before JAX is
# imported, which reads this.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="spiral_jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    atexit.register(
        shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True
    )

import dm_env
import jax
import numpy as np
import pytest
from PIL import Image

from experiments.studies.study import TINY
from spiral_jax.checkpoint import Checkpointer
from spiral_jax.config import Config, preset
from spiral_jax.data.scenes import load_scenes
from spiral_jax.renderers.scene import NoGLError, SceneRenderer
from spiral_jax.system import make_system

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
MNIST_DIR = SHARED_DATA / "mnist"


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """A run that takes seconds: 16 px, 3 commands, batches of 4, small networks."""
    return dataclasses.replace(
        preset("mnist_small"),
        canvas_width=16,
        grid_width=8,
        episode_length=4,
        batch_size=4,
        critic_width=8,
        replay_batches=3,
        log_updates=5,
        evaluate_minutes=0.0,
        synchronous=True,
    )


@pytest.fixture(scope="session")
def tiny_system(tiny_config):
    return make_system(tiny_config)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def play_by_the_specs(environment, time_step, rng):
    """Plays random commands until new episodes begin, and checks all that is seen.

    Args:
      environment: of episodes of 4 commands, and batches of 3.
      time_step: of its reset.
      rng: of the commands.

    Returns:
      The last time step, and the first one of the next episodes.
    """
    kinds = []
    for step in range(environment.episode_length):
        for name, spec in environment.observation_spec().items():
            value = time_step.observation[name]
            if isinstance(spec, dict):
                assert list(value) == list(spec) == list(environment.language.names)
                for key in spec:
                    spec[key].validate(value[key])
            else:
                spec.validate(value)
        environment.reward_spec().validate(time_step.reward)
        environment.discount_spec().validate(time_step.discount)
        assert (time_step.reward == 0).all()
        assert (time_step.observation["episode_step"] == step).all()
        kinds.append(dm_env.StepType(time_step.step_type[0]))
        actions = environment.language.random([3], rng)
        for key, spec in environment.action_spec().items():
            spec.validate(actions[key].astype(np.int32))
        before, time_step = time_step, environment.step(actions)
    assert kinds == [dm_env.StepType.FIRST] + 3 * [dm_env.StepType.MID] + [
        dm_env.StepType.LAST
    ]
    return before, time_step


def assert_trees_equal(a, b) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def write_faces(folder: Path) -> Path:
    """Writes pictures in CelebA's layout: a frame of 9 and 29 px around what is seen."""
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = []
    for i in range(30):
        picture = np.full([218, 178, 3], 255, np.uint8)
        picture[29:189, 9:169] = [6 * i, 0, 100]
        name = f"{i + 1:06d}.jpg"
        Image.fromarray(picture).save(folder / "img_align_celeba" / name, "PNG")
        lines.append(f"{name} {0 if i < 20 else 1 if i < 25 else 2}")
    (folder / "list_eval_partition.txt").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    return folder


def _why_scenes_cannot_be_drawn() -> str:
    try:
        SceneRenderer(canvas_width=8, shadows=False).close()
    except NoGLError as error:
        return str(error)
    return ""


needs_gl = pytest.mark.skipif(
    bool(reason := _why_scenes_cannot_be_drawn()), reason=reason
)


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory):
    """Folder in which the small set of scenes is cached for all tests."""
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="session")
def few_scenes(scenes_dir):
    return load_few_scenes(scenes_dir)


def load_few_scenes(folder):
    return load_scenes(folder, num_train=20, num_test=20, progress=False)


@pytest.fixture(scope="session")
def scenes_run(tmp_path_factory):
    """Folder of what a run of a conditional agent leaves, on scenes of 16 px.

    The agent's parameters are random, as training takes longer.
    """
    folder = tmp_path_factory.mktemp("scenes_run") / "l2"
    folder.mkdir()
    config = dataclasses.replace(
        preset("scenes_small"), **TINY, reward_source="l2", data_dir=str(folder.parent)
    )
    (folder / "config.json").write_text(
        json.dumps(dataclasses.asdict(config)), encoding="utf-8"
    )
    record = {"updates": 2, "frames": 24, "minutes": 0.1, "reconstruction/l2": 1.5}
    (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    shapes = jax.eval_shape(make_system(config).policy.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    average = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype("f"), shapes)
    with contextlib.closing(Checkpointer(folder / "checkpoints")) as checkpointer:
        learner = {"average": average, "num_updates": np.asarray(2)}
        checkpointer.save(2, {"learner": learner})
    return folder
