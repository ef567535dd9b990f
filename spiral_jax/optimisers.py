"""What turns gradients into steps: Adam, if nothing else is given."""

from typing import NamedTuple

import optax


class Optimisers(NamedTuple):
    """The optimisers of both learners, with their learning-rate schedules.

    Attributes:
      policy, critic: of each one's parameters. Their states are part of checkpoints, so a
        run goes on with optimisers of the same kind only.
    """

    policy: optax.GradientTransformation
    critic: optax.GradientTransformation


def make_optimisers(
    policy_learning_rate: float,
    critic_learning_rate: float,
    max_gradient_norm: float = 0.0,
) -> Optimisers:
    """Returns Adam for both, at constant rates.

    The critic's moments decay as SPIRAL's do (section 4; SPIRAL++, appendix A).

    Args:
      policy_learning_rate, critic_learning_rate: of Adam.
      max_gradient_norm: the policy's larger gradients are scaled down to it; 0: none.
    """
    policy = optax.adam(policy_learning_rate)
    if max_gradient_norm:
        policy = optax.chain(optax.clip_by_global_norm(max_gradient_norm), policy)
    return Optimisers(policy, optax.adam(critic_learning_rate, b1=0.5, b2=0.999))
