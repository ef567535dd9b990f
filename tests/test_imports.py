"""Data flows one way through the package: no module needs one that needs it."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

from spiral_jax import names
from spiral_jax.data.registry import OURS
from spiral_jax.networks.presets import PRESETS as POLICIES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spiral_jax"

# Imports what takes long once, and then each module alone, in a copy of this process.
IMPORT_EACH = """
import importlib, os, sys
import haiku, jax, mujoco, numpy, optax, orbax.checkpoint, PIL.Image, rlax, tensorboardX
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(len(failed))
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """Returns what a file imports anywhere, but for annotations only."""

    found: set[str] = set()

    class Imports(ast.NodeVisitor):
        def visit_If(self, node):
            if getattr(node.test, "id", None) != "TYPE_CHECKING":
                self.generic_visit(node)

        def visit_Import(self, node):
            found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node):
            assert node.level == 0, f"{path}: imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(n if n in MODULES else node.module for n in names)

    Imports().visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_no_module_needs_one_that_needs_it():
    """Lazy imports count: they hide a circle, they do not open it."""
    graph = {
        name: (imports_of(path) & set(MODULES)) - {name} for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_the_library_does_not_know_its_scripts():
    for path in MODULES.values():
        outside = {name.split(".")[0] for name in imports_of(path)}
        assert not outside & {"experiments", "tests"}, path


def test_each_module_can_be_imported_first():
    """numba's is left out: it is optional, and compiles for a minute."""
    names = [name for name in MODULES if not name.endswith(".compiled")]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_EACH, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_settings_are_read_without_an_accelerator_library():
    code = (
        "import sys, spiral_jax.config\n"
        "found = {'jax', 'haiku', 'rlax', 'optax', 'chex', 'mujoco'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_names_of_settings_are_those_of_what_implements_them():
    assert tuple(OURS) == names.OUR_DATASETS
    assert all(names.ENVIRONMENTS[name] for name in names.OUR_ENVIRONMENTS)
    assert set(names.POLICIES) == set(POLICIES)


def rooms() -> dict[str, int]:
    """Reads which modules stand in which row of docs/architecture.md's table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [\w ]+ \| .* \| ((?:`[\w.]+` ?)+)\|$", text, flags=re.M)
    return {
        f"spiral_jax.{name}": row
        for row, listed in enumerate(rows)
        for name in re.findall(r"`([\w.]+)`", listed)
    }


def room_of(module: str, table: dict[str, int]) -> int | None:
    """Returns the row of a module, or else of the package that it is in."""
    while module and module not in table:
        module = module.rpartition(".")[0]
    return table.get(module)


def test_rooms_import_only_rooms_above_them():
    table = rooms()
    assert set(table) <= set(MODULES), "docs/architecture.md names modules that are gone"
    for name, path in MODULES.items():
        if name == "spiral_jax":
            continue
        room = room_of(name, table)
        assert room is not None, f"{name} stands in no room of docs/architecture.md"
        for imported in (imports_of(path) & set(MODULES)) - {"spiral_jax"}:
            assert room_of(imported, table) <= room, f"{name} imports {imported}"


def test_files_and_functions_are_short():
    """300 lines a file, 60 a function without its docstring, or that says why."""
    for path in MODULES.values():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            says = ast.get_docstring(node) or ""
            length = node.end_lineno - node.lineno + 1 - says.count("\n")
            reason = re.search(r"One function of (\d+) lines:", says)
            allowed = int(reason[1]) if reason else 60
            assert length <= allowed, f"{path}: {node.name}"
