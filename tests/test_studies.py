import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.curves import read_curve
from experiments.studies import (
    complement_critic,
    conditional_rewards,
    critic_regularisers,
    faces,
    omniglot_rewards,
    rerendered,
    reward_forms,
    scenes_rewards,
    unconditional_mnist,
)
from experiments.studies.reward_forms import visible_strokes
from experiments.studies.study import Options, Study, load_variants, measure
from spiral_jax.data import to_float
from spiral_jax.environments import Painting
from spiral_jax.reconstruction import ReconstructionEvaluator
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES
from tests.conftest import SHARED_DATA, needs_gl, write_faces
from tests.test_experiments import run

pytestmark = pytest.mark.thorough


def test_curves_are_read_by_hand(tmp_path):
    records = [
        {"updates": 5, "frames": 50, "minutes": 0.1, "policy/loss": 1.0},
        {"updates": 7, "frames": 70, "minutes": 0.2, "l2": 3.0},
        {"updates": 9, "frames": 90, "minutes": 0.3, "l2": 2.0},
        {"updates": 9, "frames": 90, "minutes": 0.9, "l2": 2.0},  # started again
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(
        text + '{"updates": 12, "l2": 1', encoding="utf-8"
    )
    assert read_curve(tmp_path, "l2", untrained=4.0) == {
        "updates": [0, 7, 9],
        "frames": [0, 70, 90],
        "minutes": [0.0, 0.2, 0.3],
        "values": [4.0, 3.0, 2.0],
    }


@pytest.mark.parametrize(
    "line",
    [
        '{"l2": "3"}',
        '["l2", {}]}',
        '{"updates": 1, "frames": 1, "minutes": true, "l2": 1}',
    ],
)
def test_curves_name_the_line_that_is_no_record(tmp_path, line):
    good = '{"updates": 1, "frames": 1, "minutes": 1, "l2": 1}'
    text = f"{good}\n{line}\n{good}\n"
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: .* is no record; exp"):
        read_curve(tmp_path, "l2", untrained=4.0)


def test_curves_refuse_what_is_no_number(tmp_path):
    text = '{"updates": 1, "frames": 1, "minutes": 1, "l2": "3"}\n'
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics.jsonl: 'l2' is '3' after 1 updates; "):
        read_curve(tmp_path, "l2", untrained=4.0)


@pytest.mark.parametrize(
    "study",
    [
        complement_critic.STUDY,
        conditional_rewards.STUDY,
        critic_regularisers.STUDY,
        faces.STUDY,
        omniglot_rewards.STUDY,
        scenes_rewards.STUDY,
    ],
)
def test_variants_differ_in_what_the_study_names_and_in_nothing_else(study):
    configs = [study.config(label, {"max_minutes": 3.0}) for label in study.variants]
    assert len(set(configs)) == len(configs)
    assert all(config.max_minutes == 3.0 for config in configs)
    named = {name for own in study.variants.values() for name in own}
    for config in configs:
        differing = {k for k, v in vars(config).items() if v != getattr(configs[0], k)}
        assert differing <= named
    label, own = next(iter(study.variants.items()))
    (name, value) = next(iter(own.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}: that is what the variants"):
        study.config(label, {name: value})


@pytest.fixture(scope="module")
def scenes_result(scenes_run, tmp_path_factory):
    """The study of scenes; one run stands for both, which saves compiling another."""
    runs = tmp_path_factory.mktemp("runs")
    study, options = scenes_rewards.STUDY, Options(runs, runs, None, False, True, {})
    shutil.copytree(scenes_run, runs / "l2")
    (agent,) = load_variants(study, runs).values()
    shutil.copytree(scenes_run, runs / "critic")
    agents = {"critic": agent, "l2": agent}
    result = {
        "study": study.name,
        "variants": {k: measure(agent, runs / k) for k, agent in agents.items()},
    }
    scenes_rewards.extend(result, agents, options)
    return runs, agents, json.loads(json.dumps(result))


@needs_gl
def test_scenes_are_measured_as_the_run_measures_them(scenes_result):
    _, agents, result = scenes_result
    assert list(result["variants"]) == ["critic", "l2"]
    variant, agent = result["variants"]["l2"], agents["l2"]
    assert variant["curve"]["updates"] == [0, 2]
    assert variant["curve"]["values"] == [variant["untrained"], 1.5]
    assert variant["now"] != variant["untrained"]
    evaluator = ReconstructionEvaluator(agent.system, agent.data)
    measures, pairs = evaluator.measure(agent.params)
    assert variant["now"] == pytest.approx(measures["reconstruction/l2"], rel=1e-6)
    # The search and the agents are compared on the same pictures, the first three.
    targets, drawings = pairs[::2], pairs[1::2]
    first = np.mean([np.linalg.norm(d - t) for d, t in zip(drawings[:3], targets)])
    assert variant["first"]["now"] == pytest.approx(first, rel=1e-5)
    assert result["metropolis_hastings"]["settings"]["num_images"] == 3
    environment = agent.system.environment(batch_size=1)
    blank = environment.reset().observation["canvas"]
    environment.close()
    share = np.mean([np.array_equal(drawing, blank[0]) for drawing in drawings])
    assert 0 < share < 1
    assert variant["blank_share"] == pytest.approx(share)
    np.testing.assert_array_equal(targets, to_float(agent.data.test.images[:500]))


@needs_gl
def test_the_figure_shows_what_the_json_says(scenes_result):
    _, _, result = scenes_result
    figure = scenes_rewards.draw(result)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    curve = result["variants"]["critic"]["curve"]
    shown = lines["critic reward"].get_xydata()
    np.testing.assert_allclose(shown[:, 0] * 1e6, curve["frames"])
    np.testing.assert_allclose(shown[:, 1], curve["values"])
    assert set(lines["blank canvas"].get_ydata()) == {result["variants"]["l2"]["blank"]}
    assert {"l2 reward", "untrained"} <= set(lines)
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    search = result["metropolis_hastings"]["curve"]
    shown = lines["search, best so far"].get_xydata()
    np.testing.assert_allclose(
        shown, np.transpose([search["renderer_calls"], search["best"]])
    )
    first = result["variants"]["l2"]["first"]["now"]
    np.testing.assert_allclose(lines["l2 reward"].get_xydata(), [[3, first]])
    assert figure.axes[1].get_xscale() == "log"


@needs_gl
def test_a_search_of_other_scenes_is_refused(scenes_result):
    runs, agents, result = scenes_result
    path = runs / "metropolis_hastings.json"
    search = json.loads(path.read_text(encoding="utf-8"))
    search["settings"]["shadows"] = True
    path.write_text(json.dumps(search), encoding="utf-8")
    options = Options(runs, runs, None, False, True, {})
    with pytest.raises(ValueError, match="delete it to have it made again"):
        scenes_rewards.extend(result, agents, options)


@needs_gl
def test_what_is_not_trained_yet_is_left_out(scenes_run, tmp_path, capsys):
    study = Study("some", "scenes_small", {"first": {}, "second": {}})
    with pytest.raises(FileNotFoundError, match="to be called first, second"):
        load_variants(study, tmp_path)
    shutil.copytree(scenes_run, tmp_path / "second")
    capsys.readouterr()
    assert list(load_variants(study, tmp_path)) == ["second"]
    assert "some: without 'first'" in capsys.readouterr().out


def test_studies_refuse_with_a_reason(tmp_path):
    result = run("studies.conditional_rewards", "--notrain", f"--runs={tmp_path}")
    assert result.returncode != 0
    assert "has no run of conditional_rewards yet" in result.stderr
    assert "Traceback" not in result.stderr
    text = run("studies.conditional_rewards", "--help").stdout
    for flag in (
        "--only",
        "--train=True",
        "--notrain",
        "--runs",
        "--max_minutes",
        "critic_blind",
    ):
        assert flag in text


def test_visible_strokes_by_hand():
    environment = Painting(
        canvas_width=32,
        grid_width=16,
        episode_length=7,
        brush_sizes=(2.5, 4.0),
        use_color=False,
        use_pressure=False,
    )
    middle, corner = 8 * 16 + 8, 2 * 16 + 2
    commands = {
        # A move; a dot; a larger one over it; a move; a stroke; a move.
        "flag": [0, 1, 1, 0, 1, 0],
        "end": [middle, middle, middle, corner, corner + 5, middle],
        "control": [middle, middle, middle, corner, corner, middle],
        "size": [0, 0, 1, 0, 0, 0],
    }
    actions = {k: np.array(v, np.int32)[:, None] for k, v in commands.items()}
    visible = visible_strokes(environment, actions)
    np.testing.assert_array_equal(visible[:, 0], [0, 0, 1, 0, 1, 0])


def test_enlarged_canvases_are_blurred_and_drawn_ones_are_not():
    stripes = np.zeros([1, 8, 8, 1], np.float32)
    stripes[:, ::2] = 1
    assert rerendered.blurred_share(stripes) == 0
    larger = rerendered.enlarged(stripes, 64)
    assert larger.shape == (1, 64, 64, 1)
    assert rerendered.blurred_share(larger) > 0.2


@pytest.mark.parametrize(
    "study",
    [
        complement_critic,
        conditional_rewards,
        critic_regularisers,
        faces,
        omniglot_rewards,
        rerendered,
        reward_forms,
        pytest.param(scenes_rewards, marks=needs_gl),
        unconditional_mnist,
    ],
    ids=lambda study: study.STUDY.name,
)
def test_studies_run_from_end_to_end(study, tmp_path, monkeypatch):
    # Compilation is most of the time, and these sizes gain nothing by it.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    name, labels = study.STUDY.name, list(study.STUDY.variants)
    runs, out = tmp_path / "runs", tmp_path / "out"
    flags = ["--tiny", f"--runs={runs}"]
    if study is omniglot_rewards:
        strokes = SHARED_DATA / "strokes" / "short_kanji_stroke3.npz"
        if not strokes.exists():
            pytest.skip(f"there is no {strokes}")
        flags += [f"--data_dir={SHARED_DATA / 'omniglot'}", f"--transfer={strokes}"]
    if study is faces:
        flags += [f"--data_dir={write_faces(tmp_path / 'celeba')}"]
    if study is reward_forms:  # one for all: it is the same code, and takes long
        result = run(f"studies.{name}", *flags, f"--only={labels[-1]}")
        assert result.returncode == 0, result.stderr
        trained = [p.parent.name for p in runs.glob("*/config.json")]
        assert trained == [labels[-1]]
    result = run(f"studies.{name}", *flags, f"--out={out}")
    assert result.returncode == 0, result.stderr
    written = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert list(written["variants"]) == labels
    for variant in written["variants"].values():
        if study is omniglot_rewards:
            assert variant["held out"]["now"] == pytest.approx(variant["now"], rel=1e-6)
            assert variant["transfer"]["blank"] > variant["held out"]["blank"]
        if study is complement_critic:
            assert variant["right_digits"] < 0.5 < 0.9 < variant["right_targets"]
        if study is faces:
            assert len(variant["visible"]) == 12
            assert max(variant["visible"]) > 0
        if study is rerendered:
            shares = variant["blurred_share"]
            assert list(shares) == ["enlarged", "soft", *SHIPPED_BRUSHES]
            assert shares["classic/pen"] < shares["enlarged"]
    pictures = [f"{name}.png"]
    if study in (complement_critic, faces, omniglot_rewards, rerendered):
        pictures.append(f"{name}_drawings.png")
    for picture in pictures:
        with Image.open(out / picture) as image:
            assert image.size[0] > image.size[1]
