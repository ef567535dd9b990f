"""What the extras are called, and what goes into the image."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_extras_that_documents_name_exist():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    extras = set(re.findall(r'^        "(\w+)": \[', setup, flags=re.M))
    assert {"cuda12", "tpu"} <= extras
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for names in re.findall(r"(?:spiral_jax|[ \"']\.)\[([\w,]+)\]", text):
            assert set(names.split(",")) <= extras, path


def test_the_image_takes_along_what_there_is():
    listed = (ROOT / "experiments" / "docker" / "Dockerfile.dockerignore").read_text()
    names = re.findall(r"^!(.*)", listed, flags=re.M)
    assert {"setup.py", "requirements.txt", "README.md", "spiral_jax"} <= set(names)
    assert all((ROOT / name).exists() for name in names)
