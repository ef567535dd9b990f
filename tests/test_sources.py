"""What holds for every file of ours."""

import ast
import re
from pathlib import Path

import pytest

import spiral_jax

ROOT = Path(__file__).parents[1]
SOURCES = [
    *(ROOT / name for name in ("setup.py",)),
    *(path for name in ("spiral_jax", "experiments", "tests") for path in
      sorted((ROOT / name).rglob("*.py"))),
]  # fmt: skip
NO_FILES_OF_TEXT = ("Image.open", "os.open", "ts.open", "ts.KvStore.open")
# Position of `encoding` among the arguments of a call, and of the mode that has "b" where
# there is no text.
TEXT = {"read_text": (0, None), "write_text": (1, None), "open": (2, 0)}


def calls_without_encoding(tree):
    """Yields lines that open a text file, and leave its encoding to the machine."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if method else getattr(node.func, "id", "")
        if name not in TEXT:
            continue
        if method and ast.unparse(node.func) in NO_FILES_OF_TEXT:
            continue
        position, mode = TEXT[name]
        if mode is not None:
            mode += not method  # open(path, mode), but path.open(mode)
            modes = [k.value for k in node.keywords if k.arg == "mode"]
            modes += node.args[mode : mode + 1]
            if any("b" in getattr(m, "value", "") for m in modes):
                continue
        given = {k.arg for k in node.keywords}
        if "encoding" not in given and len(node.args) <= position:
            yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_files_are_utf8_wherever_they_are_read(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert list(calls_without_encoding(tree)) == []


def test_what_is_released_has_one_version():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", cited, flags=re.M) == [spiral_jax.__version__]
    assert re.findall(r"^## (.*)$", changes, flags=re.M)[0] == spiral_jax.__version__


def test_the_check_sees_what_it_is_for():
    found = calls_without_encoding(
        ast.parse(
            "a.read_text()\na.read_text('utf-8')\na.write_text(x)\nopen(a)\n"
            "a.open('w')\na.open('wb')\nopen(a, 'rb')\nopen(a, encoding='utf-8')\n"
            "Image.open(a)\n"
        )
    )
    assert list(found) == [1, 3, 4, 5]
