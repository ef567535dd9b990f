"""Packaging of spiral_jax."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.*)"', (ROOT / "spiral_jax/__init__.py").read_text("utf-8")
).group(1)

setup(
    name="spiral_jax",
    version=VERSION,
    description="SPIRAL agents in JAX: they draw by writing programs",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["spiral_jax", "spiral_jax.*"]),
    package_data={
        "spiral_jax": ["agents/*/*", "classifiers/*"],
        "spiral_jax.data": ["mnist_subset/*"],
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
        "tensorboardX",
        "tensorstore",
        "tqdm",
    ],
    extras_require={
        "numba": ["numba"],  # faster libmypaint brushes
        "plot": ["matplotlib"],
        "test": ["ipykernel", "nbclient", "pytest", "pytest-xdist", "resvg_py", "ruff"],
    },
)
        "cuda12": ["jax[cuda12]"],  # NVIDIA GPUs
        "tpu": ["jax[tpu]"],
        "tensorboard": ["tensorboard"],  # shows what tensorboardX writes
