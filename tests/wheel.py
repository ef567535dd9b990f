"""Builds the wheel, installs it alone, and uses it outside the checkout.

  make wheel-test

Its dependencies are those of the environment that runs this, which a path file leads to:
installing them again would take minutes. The editable spiral_jax of that environment is
not among them, as its own path files are not followed from there.
"""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What README shows, and all data that the package comes with.
USE = """
from pathlib import Path

import spiral_jax
from spiral_jax.data import load_emoji, load_mnist
from spiral_jax.features import load_classifiers
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES, load_brush

programs, canvases = spiral_jax.load_agent("mnist").sample(2, seed=0)
assert canvases.shape == (2, 32, 32, 1) and canvases.min() < 0.5, canvases
Path("digit.svg").write_text(programs[0].to_svg(), encoding="utf-8")
spiral_jax.load_agent("mnist_conditional")
assert len(load_mnist("", 32, "white").test.images) == 2000
assert len(load_emoji(32).test.images) == 181
assert len(load_classifiers()) == 3
assert len([load_brush(name) for name in SHIPPED_BRUSHES]) == 2
print(spiral_jax.__file__)
"""


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """Runs a command, and returns what it says.

    Raises:
      AssertionError: it ends with another exit code; what it says is printed.
    """
    result = subprocess.run(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    words = " ".join(map(str, command))
    assert result.returncode == code, f"{words}: {result.returncode}\n{result.stdout}"
    return result.stdout


def build(folder: Path) -> Path:
    """Builds the wheel, which holds every file of the package, and returns its path."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # leftovers of it would go along
    pip = (sys.executable, "-m", "pip", "--quiet")
    run(*pip, "wheel", "--no-deps", f"--wheel-dir={folder}", ROOT, cwd=folder)
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        packed = set(file.namelist())
    files = (path for path in (ROOT / "spiral_jax").rglob("*") if path.is_file())
    paths = (file.relative_to(ROOT) for file in files)
    wanted = {path.as_posix() for path in paths if "__pycache__" not in path.parts}
    assert wanted <= packed, f"not in the wheel: {sorted(wanted - packed)}"
    assert not any(name.startswith(("experiments/", "tests/")) for name in packed)
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Makes an environment of the wheel in a folder; returns where its programs are."""
    venv.create(folder, symlinks=True)
    places = {"base": str(folder), "platbase": str(folder)}
    packages, programs = (
        Path(sysconfig.get_path(name, "venv", places)) for name in ("purelib", "scripts")
    )
    pip = (sys.executable, "-m", "pip", "--quiet", f"--python={programs / 'python'}")
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=wheel.parent)
    dependencies = sysconfig.get_path("purelib")
    (packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return programs


def use(programs: Path, folder: Path) -> None:
    """Does in a folder, by what is installed alone, what users begin with."""
    # -I: neither this folder nor PYTHONPATH says where spiral_jax is.
    imported = run(programs / "python", "-I", "-c", USE, cwd=folder).splitlines()[-1]
    assert Path(imported).is_relative_to(programs.parent), imported
    assert "</svg>" in (folder / "digit.svg").read_text(encoding="utf-8")
    command = programs / "spiral-jax"
    said = run(command, "trian", cwd=folder, code=1)
    assert said.endswith("Did you mean 'train'?\n"), said
    assert said.count("\n") == 1, said
    said = run(command, "train", "--help", cwd=folder)
    assert "spiral-jax train --preset=mnist_small" in said, said
    assert "--batch_size" in said, said
    run(command, "sample", "--run_dir=mnist", "--num=2", cwd=folder)
    assert (folder / "drawings" / "samples.png").stat().st_size > 100


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        programs = install(wheel, folder / "environment")
        (folder / "outside").mkdir()
        use(programs, folder / "outside")
        print(f"{wheel.name} holds all of the package, and works where it is installed.")


if __name__ == "__main__":
    main()
