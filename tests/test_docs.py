"""What the documentation says can be followed."""

import re
from pathlib import Path

import pytest

from spiral_jax.config import PRESETS

ROOT = Path(__file__).parents[1]
DOCS = [*sorted(ROOT.glob("*.md")), ROOT / "tests/data/README.md"]
DOCS += sorted((ROOT / "docs").rglob("*.md"))


def anchors(text):
    """What GitHub makes of headings."""
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = path if not name else path.parent / name
        assert target.exists(), link
        if anchor:
            assert anchor in set(anchors(target.read_text(encoding="utf-8"))), link


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["canvases"].shape == (16, 32, 32, 1)
    assert names["again"].to_json() == names["program"].to_json()
    assert names["stages"].shape == (7, 128, 128, 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "digit.gif",
        "digit.json",
        "digit.png",
        "digit.svg",
    ]


def test_every_preset_says_what_to_expect():
    text = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(PRESETS)


def test_the_worked_example_is_what_is_explained():
    """Blocks of code in the explanation are the example's, docstrings left out."""
    text = (ROOT / "docs" / "howto" / "environment.md").read_text(encoding="utf-8")
    code = (ROOT / "experiments" / "examples" / "rectangles.py").read_text(
        encoding="utf-8"
    )
    assert len(code.splitlines()) < 100
    squeezed = re.sub(r"\s", "", code)
    for block in re.findall(r"^```python\n(# .*?)^```", text, flags=re.M | re.S):
        for line in block.splitlines():
            bare = re.sub(r"\s", "", line)
            if not bare.startswith(("def", "#")):
                assert bare in squeezed, line
