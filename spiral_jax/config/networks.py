"""Settings of the networks (spec, section 5)."""

import dataclasses

from spiral_jax.config.fields import setting
from spiral_jax.names import DTYPES, POLICIES


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Policy and critic."""

    policy: str = setting("paper", "Size of the policy network.", POLICIES)
    blind: bool = setting(
        False, "Conditional agents: hide the canvas, so that it sees the target only."
    )
    compute_dtype: str = setting(
        "float32", "Of the convolutions of the policy's torso.", DTYPES
    )
    critic_width: int = setting(
        64,
        "Channels of the critic's first layer; each further one has twice as many.",
        minimum=1,
    )
