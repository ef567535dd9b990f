import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from spiral_jax.config import PRESETS, Config, preset
from spiral_jax.environments.painting import language_of
from spiral_jax.programs import programs_from_json

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]
TINY = [
    "--canvas_width=32",
    "--grid_width=8",
    "--episode_length=4",
    "--batch_size=4",
    "--critic_width=8",
    "--evaluate_minutes=0",
    "--max_updates=3",
]


def frames_of(path):
    with Image.open(path) as image:
        return image.n_frames


def run(module, *flags):
    command = [sys.executable, "-m", f"experiments.{module}", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--preset=mnist_smal"], "Did you mean 'mnist_small'"),
        (["--batch_size=0"], "batch_size=0: expected at least 1"),
        (["--brush=oil"], "brush='oil': expected one of"),
        (["--brush=/nowhere/oil.myb"], "brush='/nowhere/oil.myb'"),
        (["--reward=l3"], "reward='l3': expected one of"),
        (["--canvas_width=48"], "power of two"),
        (["--brush_sizes=2,x"], "expected radii in px"),
        (["--learning_rate=1"], "Unknown command line flag"),
        (["--data_dir=/nowhere"], "is not a folder"),
        (["--preset=folder_small"], "dataset='folder' needs data_dir"),
        (["fast"], "Unexpected argument 'fast'"),
    ],
)
def test_launch_refuses_with_a_reason(flags, words, tmp_path):
    result = run("launch", f"--run_dir={tmp_path}", *flags)
    assert result.returncode != 0
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_help_explains_every_setting_in_a_line():
    result = run("launch", "--help", "--preset=mnist_pen", "--batch_size=8")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 90
    for field in dataclasses.fields(Config):
        name = {"own": "set"}.get(field.name, field.name)
        line = next(line for line in lines if line.startswith(f"  --{name}="))
        first_words = " ".join(field.metadata["help"].split()[:2]).rstrip(".")
        assert first_words in line, line
    assert any(line.startswith("  --brush=classic/pen ") for line in lines)
    assert any(line.startswith("  --batch_size=8 ") for line in lines)
    assert all(name in result.stdout for name in PRESETS)
    full = run("launch", "--helpfull").stdout
    assert "expected" not in full
    assert "With actors=threads: how many of these devices run the policy" in full


def test_config_survives_json():
    for config in PRESETS.values():
        text = json.dumps(dataclasses.asdict(config))
        assert Config.from_dict(json.loads(text)) == config
    with pytest.raises(ValueError, match=r"Unknown settings \['speed'\]"):
        Config.from_dict({"speed": 1})
    with pytest.raises(ValueError, match="synchronous"):
        dataclasses.replace(preset("mnist"), synchronous=True, num_actors=2)


@pytest.mark.slow
def test_launch_then_sample_and_evaluate(tmp_path):
    result = run("launch", f"--run_dir={tmp_path}", *TINY)
    assert result.returncode == 0, result.stderr
    assert "precision" in result.stdout
    result = run("sample", f"--run_dir={tmp_path}", "--num=5")
    assert result.returncode == 0, result.stderr
    assert frames_of(tmp_path / "drawing.gif") == 4
    _, programs = programs_from_json(
        (tmp_path / "programs.json").read_text(encoding="utf-8"), language_of
    )
    assert [len(p) for p in programs] == [3] * 5
    assert (tmp_path / "drawings.svg").read_text(encoding="utf-8").startswith("<svg")
    one_by_one = [program.to_svg() for program in programs]
    assert [
        (tmp_path / f"svg/{i}.svg").read_text(encoding="utf-8") for i in range(5)
    ] == one_by_one
    again = ["--num=4", "--width=100", "--scale=1", f"--out={tmp_path / 'again'}"]
    result = run("sample", f"--run_dir={tmp_path}", *again, "--brush=classic/pen")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "again" / "samples.png") as image:
        assert image.size == (2 * 102 + 2, 2 * 102 + 2)
    result = run("sample", f"--run_dir={tmp_path}", *again, "--brush=oil")
    assert result.returncode != 0
    assert "sample: brush='oil': expected one of" in result.stderr
    curve = tmp_path / "curve.png"
    result = run("evaluate", f"--run_dir={tmp_path}", f"--curve={curve}")
    assert result.returncode == 0, result.stderr
    with Image.open(curve) as image:
        assert image.size[0] > image.size[1]
    agent, real, blank = map(
        float, re.search(r"Fréchet distance +(\S+) +(\S+) +(\S+)", result.stdout).groups()
    )
    assert real < agent
    assert real < blank
    untrained = re.search(r"untrained agent: .*Fréchet distance (\S+)", result.stdout)
    assert float(untrained[1]) != agent


def test_sample_without_a_run_says_so(tmp_path):
    result = run("sample", f"--run_dir={tmp_path}")
    assert result.returncode != 0
    assert "holds no run" in result.stderr


@pytest.mark.slow
def test_the_accelerator_benchmark_measures_each_part(tmp_path):
    path = tmp_path / "speed.json"
    sizes = ("--preset=mnist_small", "--batch_sizes=2", "--fuse=1", "--seconds=0.2")
    result = run("accelerator_speed", *sizes, f"--json={path}")
    assert result.returncode == 0, result.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["backend"] == "cpu"
    assert [record["batch_size"] for record in found["speed"]] == [2]
    for record in found["speed"]:
        flops = record["frames_per_second"] * record["flops_per_frame"]
        share = flops / (found["matmul_tflops"] * 1e12)
        assert record["share_of_peak"] == pytest.approx(share)
    names = {record["part"] for record in found["parts"]}
    assert {"rollout", "acting alone", "painting alone", "policy update"} <= names
    assert all(record["ms"] > 0 for record in found["parts"])
