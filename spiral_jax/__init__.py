"""spiral_jax: agents that draw by writing programs, trained by a critic alone.

agent = spiral_jax.load_agent("mnist")
programs, canvases = agent.sample(16, seed=0)
programs[0].save("digit.svg")  # or .png, .gif, .json
"""

import importlib
from typing import Any

__version__ = "0.2.0"
__all__ = ["Program", "TrainedAgent", "load_agent"]

_HOMES = {
    "Program": "spiral_jax.programs",
    "TrainedAgent": "spiral_jax.agents",
    "load_agent": "spiral_jax.agents",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: JAX and all else take seconds that `--help` should not.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
