"""Settings of the optimisation (spec, section 2)."""

import dataclasses

from spiral_jax.config.fields import setting


@dataclasses.dataclass(frozen=True)
class OptimisationSettings:
    """How both networks learn."""

    batch_size: int = setting(
        64, "Episodes, and pictures, per update, of all processes together.", minimum=1
    )
    policy_learning_rate: float = setting(3e-4, "Adam learning rate of the policy.")
    critic_learning_rate: float = setting(1e-4, "Adam learning rate of the critic.")
    max_gradient_norm: float = setting(
        0.0,
        "Scale the policy's gradients down to this norm if it is larger; 0: never.",
        minimum=0,
    )
    critic_steps: int = setting(1, "Critic updates per policy update.", minimum=1)
    replay_batches: int = setting(20, "Capacity of the replay, in batches.", minimum=1)
    average_updates: int = setting(
        300,
        "Updates over which the policy's parameters are averaged for evaluation and "
        "sampling (exponentially); 1: the latest.",
        minimum=1,
    )

    def check_optimisation(self) -> None:
        """Refuses impossible rates."""
        for name in ("policy_learning_rate", "critic_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)}: expected between 0 and 1."
                )
