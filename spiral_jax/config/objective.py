"""Settings of the objective (spec, section 1)."""

import dataclasses

from spiral_jax.config.fields import setting
from spiral_jax.names import (
    ADVANTAGE_SCALES,
    ALGORITHMS,
    REGULARISERS,
    REWARD_FORMS,
    REWARD_SOURCES,
)


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings:
    """What both networks learn."""

    algorithm: str = setting("vtrace", "Advantage estimation.", ALGORITHMS)
    discount: float = setting(1.0, "Gamma, the discount of what is paid a command later.")
    unroll_length: int = setting(
        0,
        "Commands of an episode that an update learns from, a divisor of all; the next "
        "one goes on with the LSTM's state carried over, and the episodes of a batch are "
        "at different stages. For hundreds of commands; take a discount below 1 with it. "
        "0: whole episodes.",
        minimum=0,
    )
    entropy_cost: float = setting(0.01, "Weight of the entropy bonus.", minimum=0)
    entropy_floor: float = setting(
        0.0,
        "Share of its highest entropy, in 0..1, below which no component of the commands "
        "is to fall: the further below, the more is paid for its entropy. 0: the same "
        "--entropy_cost for all, as in the paper.",
        minimum=0,
    )
    hindsight_cost: float = setting(
        0.0,
        "Conditional agents: weight of the likelihood of an agent's commands had it been "
        "shown what they drew, for supervised learning beside reinforcement.",
        minimum=0,
    )
    value_cost: float = setting(0.5, "Weight of the value loss.", minimum=0)
    normalise_advantages: bool = setting(
        True, "Standardise rewards and advantages over the batch."
    )
    advantage_scale: str = setting(
        "batch",
        "What advantages are divided by: their standard deviation in the whole batch or "
        "in each time step. With `step`, late commands, which bring less than early ones "
        "do, learn as much.",
        ADVANTAGE_SCALES,
    )
    reward: str = setting(
        "delta", "Score at the end, or its change at each command.", REWARD_FORMS
    )
    reward_source: str = setting(
        "critic",
        "What scores: the critic, or, of conditional agents, the negative l2 distance to "
        "the target, with no critic at all.",
        REWARD_SOURCES,
    )
    stroke_start_cost: float = setting(
        0.0,
        "Subtracted from the reward each time the pen is put down; of compound strokes, "
        "at each command that paints.",
        minimum=0,
    )
    blank_cost: float = setting(
        0.0, "Subtracted from the reward if the finished canvas is blank.", minimum=0
    )
    complement: bool = setting(
        False,
        "Conditional agents: the critic sees each half of a drawing completed by the "
        "other half of its target, instead of both side by side.",
    )
    critic_regulariser: str = setting(
        "gp",
        "What keeps the critic smooth: gp, a gradient penalty (Wasserstein loss), or "
        "spectral, layers of norm 1 (standard GAN loss; the score is the logit).",
        REGULARISERS,
    )
    gradient_penalty_cost: float = setting(10.0, "Lambda of WGAN-GP.", minimum=0)
    offset_cost: float = setting(
        1e-3, "Weight of the pin of the critic's free constant.", minimum=0
    )

    def check_objective(self) -> None:
        """Refuses settings of the objective that do not fit each other."""
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount={self.discount}: expected above 0, at most 1.")
        if self.entropy_floor >= 1:
            raise ValueError(
                f"entropy_floor={self.entropy_floor}: expected a share below 1, such as "
                "0.1."
            )
        if self.complement and self.reward_source == "l2":
            raise ValueError(
                "complement=True with reward_source='l2': there is no critic; set "
                "complement=False."
            )
