"""Packaging of spiral_jax."""

import sys

# Before all that an old Python cannot read. Not within pip, whose own line, which comes
# from `python_requires`, would drown in what it says of a failing setup.py.
if sys.version_info < (3, 11) and "setuptools.build_meta" not in sys.modules:
    sys.exit(
        "spiral_jax needs Python 3.11 or newer, this is "
        + sys.version.split()[0]
        + ": call a newer one, such as python3.12 -m pip install ."
    )

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.*)"', (ROOT / "spiral_jax/__init__.py").read_text("utf-8")
).group(1)

# What `spiral-jax` runs: scripts of experiments/, and what they import from there. The
# wheel has them as spiral_jax.commands: others have an `experiments` of their own.
COMMANDS = "spiral_jax.commands"
SCRIPTS = ["launch", "sample", "reconstruct", "evaluate", "export_agent", "app"]
PARTS = ["__main__", "cli", "curves", "drawings", "memory", "settings"]

setup(
    name="spiral_jax",
    version=VERSION,
    description="SPIRAL agents in JAX: they draw by writing programs",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={COMMANDS: "experiments"},
    py_modules=[f"{COMMANDS}.{name}" for name in SCRIPTS + PARTS],
    entry_points={"console_scripts": [f"spiral-jax = {COMMANDS}.__main__:main"]},
    packages=find_packages(include=["spiral_jax", "spiral_jax.*"]),
    package_data={
        "spiral_jax": ["agents/*/*", "classifiers/*", "py.typed"],
        "spiral_jax.data": ["fluent_emoji/*", "mnist_subset/*"],
        "spiral_jax.renderers.mypaint": ["brushes/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        "absl-py",
        "chex>=0.1.90",
        "dm-env",
        "dm-haiku>=0.0.16",
        "jax>=0.8.1",
        "mujoco>=3.3",
        "numpy>=2.0",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.11.30",
        "pillow",
        "rlax>=0.1.8",
        "scipy",
        "tensorboardX",
        "tensorstore",
        "tqdm",
    ],
    extras_require={
        "app": ["gradio>=6"],
        "cuda12": ["jax[cuda12]"],  # NVIDIA GPUs
        "tpu": ["jax[tpu]"],
        "docs": ["mkdocs-api-autonav", "mkdocs-material", "mkdocstrings[python]"],
        "numba": ["numba"],  # faster libmypaint brushes
        "plot": ["matplotlib"],
        "ray": ["ray>=2.60"],  # populations, and actors in other processes
        "tensorboard": ["tensorboard"],  # shows what tensorboardX writes
        "test": [
            *("ipykernel", "nbclient", "pyrefly", "pytest", "pytest-xdist"),
            *("resvg_py", "ruff"),
        ],
    },
)
