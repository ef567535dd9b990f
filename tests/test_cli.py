"""How scripts end when something stands in the way: in one line."""

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import COMMANDS, cli
from experiments.cli import as_called, brush_value, explain, one_line
from spiral_jax.metrics import NotFiniteError
from tests.test_experiments import ROOT, run

pytestmark = pytest.mark.thorough

SCRIPTS = [
    path
    for path in sorted((ROOT / "experiments").rglob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]


def refused(number, path=None):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(errno.ENOSPC, "/a"), "/a: No space left on device; free some space"),
        (refused(errno.EACCES, "/a"), "/a: Permission denied; ask for the right"),
        (refused(errno.EROFS, "/a"), "/a: Read-only file system; name a place"),
        (refused(errno.EEXIST, "/a"), "/a: File exists; a file is where a folder"),
        (refused(errno.ENOTDIR, "/a"), "/a: Not a directory; a file is where a"),
        (refused(errno.EISDIR, "/a"), "/a: Is a directory; a folder is where a file"),
        (refused(errno.EDQUOT, "/a"), "/a: Disk quota exceeded; free some space"),
        (refused(errno.EMFILE), "Too many open files; let processes open more"),
        (refused(errno.ENOTSUP, "/a"), "/a: Operation not supported."),
        (refused(errno.EIO, b"/\xff"), "/\udcff: Input/output error; the disk"),
        (FileNotFoundError("our own words."), "our own words."),
        (ValueError("one\n  and two."), "one and two."),
        (NotFiniteError("loss=nan."), "loss=nan."),
    ],
)
def test_one_line_says_where_why_and_what_to_do(error, words):
    with pytest.raises(SystemExit) as caught, one_line("launch"):
        raise error
    assert str(caught.value).startswith(f"launch: {words}")
    assert "\n" not in str(caught.value)
    assert caught.value.code != 0
    with pytest.raises(type(error)), one_line("launch", debug=True):
        raise error


def test_remedies_that_others_add_come_last():
    error = refused(errno.EACCES, "/a")
    error.add_note("or name it by --cache_dir")
    assert explain(error).endswith("another place; or name it by --cache_dir.")


def test_mistakes_of_ours_keep_their_traceback():
    with pytest.raises(KeyError), one_line("launch"):
        raise KeyError("x")


def test_brushes_of_flags(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert brush_value("soft") == "soft"
    assert brush_value("classic/pen") == "classic/pen"
    assert brush_value("~/a.myb") == str(tmp_path / "a.myb")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_begins_and_ends_so(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call) for call in calls]
    if path.stem != "cli":
        assert {"run", "run_study", "runpy.run_module"} & set(names)
        assert "app.run" not in names


def command(*arguments):
    command = [sys.executable, "-m", "experiments", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_commands_are_listed_with_what_their_scripts_say():
    result = command("--help")
    assert result.returncode == 0, result.stderr
    for name, script in COMMANDS.items():
        text = (ROOT / "experiments" / f"{script}.py").read_text(encoding="utf-8")
        summary = text.removeprefix("r").removeprefix('"""').splitlines()[0]
        assert f"  {name:12} {summary}\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["trian"],
            "no command 'trian': expected one of train, sample, .* mean 'train'?",
        ),
        (["export_agent"], "Did you mean 'export'?"),
        (["launch"], "Did you mean 'train'?"),
        (["--preset=mnist"], "no command '--preset=mnist': expected one of train"),
        ([], "No command is given: expected one of train, sample"),
    ],
)
def test_what_is_no_command_is_refused_in_one_line(arguments, words):
    result = command(*arguments)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("spiral-jax: ")
    assert re.search(words, line)


def test_a_command_is_its_script():
    result = command("export")
    assert result.returncode == 1
    assert result.stderr == (
        "export_agent: out: expected the folder to write, such as --out=my_agent.\n"
    )


def test_scripts_are_named_as_they_are_called(monkeypatch):
    text = "python -m experiments.export_agent; python -m experiments.launch --preset=x"
    assert as_called(text) == text
    monkeypatch.setattr(cli, "__package__", "spiral_jax.commands")
    assert as_called(text) == "spiral-jax export; spiral-jax train --preset=x"


def relative_imports(script):
    """Modules of experiments/ that one of them imports; none but relatively."""
    text = (ROOT / "experiments" / f"{script}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert not any(name.name.startswith("experiments") for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level or not node.module.startswith("experiments")
            if node.level and node.module:
                yield node.module


def test_the_wheel_has_all_that_its_commands_import():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    listed = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }
    assert listed["SCRIPTS"] == list(COMMANDS.values())
    found, left = set(), {"__main__", *COMMANDS.values()}
    while left:
        found |= left
        left = {name for script in left for name in relative_imports(script)} - found
    assert found == {*listed["SCRIPTS"], *listed["PARTS"]}


def launch(*flags, **environment):
    command = [sys.executable, "-m", "experiments.launch", *flags]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)


def test_buckets_are_refused_before_anything_is_made(tmp_path):
    command = [sys.executable, "-m", "experiments.launch", "--run_dir=gs://bucket/x"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("launch: run_dir='gs://bucket/x': gs:// is not")
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "cp932"])
def test_help_on_terminals_of_other_alphabets(encoding):
    result = launch("--help", PYTHONIOENCODING=encoding)
    assert b"Fr?chet" in result.stdout
    assert result.stderr == b""


def test_the_wheel_is_built_where_text_is_not_utf8():
    """C without its coercion to UTF-8: ASCII, of which cp1252 differs no less."""
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    command = [sys.executable, "setup.py", "--quiet", "--long-description"]
    environment = {**os.environ, **plain, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert "Fréchet" in result.stdout.decode()


def test_scripts_name_what_they_may_not_write(tmp_path):
    (tmp_path / "file").touch()
    for place, words in (
        (tmp_path / "file", "File exists; a file is where a folder should be"),
        (tmp_path / "file" / "x", "Not a directory; a file is where a folder"),
        (Path("/sys/kernel/x"), "x: "),
    ):
        result = run("launch", f"--run_dir={place}", "--brush=soft")
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"launch: {place}: ")
        assert words in line


def test_scripts_compute_in_float32_whatever_is_asked_of_jax():
    code = (
        "import jax.numpy as jnp; from experiments.cli import run; "
        "run(lambda argv: print(jnp.asarray(1.5).dtype), 'x')"
    )
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "float32\n"
    assert result.stderr.strip().endswith("JAX_ENABLE_X64 is off here: float32 is meant.")
