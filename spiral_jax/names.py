"""What settings may name, known without importing what the names stand for.

A configuration is checked, and `--help` written, where neither JAX nor MuJoCo need be
loaded. What implements a name takes it from here.
"""

from typing import Any

OUR_DATASETS = ("mnist", "omniglot", "celeba", "emoji", "faces", "folder", "scenes")
OUR_ENVIRONMENTS = ("painting", "scenes")
# What they stand for is filled in by `data.registry` and `environments.rerender`; both
# grow by what others register.
DATASETS: dict[str, Any] = dict.fromkeys(OUR_DATASETS)
ENVIRONMENTS: dict[str, Any] = dict.fromkeys(OUR_ENVIRONMENTS)

BACKGROUNDS = ("white", "black")
SHIPPED_BRUSHES = ("classic/dry_brush", "classic/pen")
SOFT_BRUSH = "soft"
BRUSH_ENDING = ".myb"

POLICIES = ("paper", "small", "pointer", "painter")
ALGORITHMS = ("vtrace", "a2c")
ADVANTAGE_SCALES = ("batch", "step")
REWARD_FORMS = ("final", "delta")
REWARD_SOURCES = ("critic", "l2")
REGULARISERS = ("gp", "spectral")
DTYPES = ("float32", "bfloat16")
ACTORS = ("threads", "device", "ray")
PARALLEL_MODES = ("jit", "pmap")
