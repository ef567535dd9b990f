"""What old Pythons are told, and what the extras are called."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOLD = "spiral_jax needs Python 3.11 or newer"


def as_old_python(then: str) -> str:
    """Code that takes itself to run in Python 3.10."""
    version = "sys.version_info, sys.version = (3, 10, 13), '3.10.13 (main)'"
    return f"import sys; {version}; {then}"


def test_old_pythons_are_refused_in_one_line():
    code = as_old_python("exec(open('setup.py').read())")
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"{TOLD}, this is 3.10.13: call a newer one")
    assert len(result.stderr.splitlines()) == 1


def test_make_refuses_old_pythons(tmp_path):
    python = tmp_path / "python3.10"
    exec_it = as_old_python("exec(sys.argv[1])")
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{exec_it}" "$2"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    venv = tmp_path / "venv"
    command = ["make", f"PYTHON={python}", f"VENV={venv}", f"{venv}/installed"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode
    assert f"{TOLD}, {python} is 3.10.13: name a newer one, such as make" in result.stderr
    assert not venv.exists()


def test_extras_that_documents_name_exist():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    extras = set(re.findall(r'^        "(\w+)": \[', setup, flags=re.M))
    assert {"cuda12", "tpu"} <= extras
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for names in re.findall(r"(?:spiral_jax|[ \"']\.)\[([\w,]+)\]", text):
            assert set(names.split(",")) <= extras, path


def test_the_image_takes_along_what_there_is():
    path = ROOT / "experiments" / "docker" / "Dockerfile.dockerignore"
    listed = path.read_text(encoding="utf-8")
    names = re.findall(r"^!(.*)", listed, flags=re.M)
    assert {"setup.py", "requirements.txt", "README.md", "spiral_jax"} <= set(names)
    assert all((ROOT / name).exists() for name in names)
