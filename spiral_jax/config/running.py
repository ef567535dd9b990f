"""Settings of how a run is carried out, and what it keeps."""

import dataclasses

from spiral_jax.config.fields import setting
from spiral_jax.names import ACTORS, PARALLEL_MODES


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Where a run computes, how long, and what it keeps."""

    actors: str = setting(
        "threads",
        "Where episodes are played: threads step environments on the CPU; device plays "
        "the soft brush on the accelerator.",
        ACTORS,
    )
    fuse: int = setting(
        0,
        "With actors=device: that many whole iterations (rollout, critic and policy "
        "update) in one program; 0: programs apart.",
        minimum=0,
    )
    devices: int = setting(
        1,
        "Accelerators of each process that learn, and with actors=device play; 0: all.",
        minimum=0,
    )
    actor_devices: int = setting(
        0,
        "With actors=threads: how many of these devices run the policy for actors only, "
        "so that all others do nothing but learn; 0: actors share the first one.",
        minimum=0,
    )
    parallel: str = setting("jit", "How learners use several devices.", PARALLEL_MODES)
    num_actors: int = setting(
        1,
        "Actor threads of each process, with an environment each: of as many canvases as "
        "the process has of a batch.",
        minimum=1,
    )
    queue_capacity: int = setting(
        1, "Batches that wait for the learner before actors pause.", minimum=1
    )
    synchronous: bool = setting(
        False,
        "One actor in lock step with the learner: the same seed gives the same run.",
    )
    seed: int = setting(0, "Seed of every random stream.", minimum=0)
    max_updates: int = setting(
        1_000_000,
        "Stop after that many policy updates, earlier sessions included.",
        minimum=1,
    )
    max_minutes: float = setting(
        0.0,
        "Stop after that many minutes, earlier sessions and the last evaluation "
        "included; 0: no limit.",
        minimum=0,
    )

    stuck_seconds: float = setting(
        45.0,
        "Of several processes: end the run if one sends no heartbeat, or none makes "
        "progress, for that many seconds.",
    )

    resume: bool = setting(True, "Go on from the newest checkpoint in the run folder.")
    log_updates: int = setting(
        20, "Updates between two lines of metrics.jsonl.", minimum=1
    )
    checkpoint_minutes: float = setting(2.0, "Minutes between checkpoints.", minimum=0)
    evaluate_minutes: float = setting(
        5.0,
        "Minutes between evaluations (precision, Fréchet distance, l2) and sample "
        "sheets; 0: only at the end.",
        minimum=0,
    )

    def check_run(self) -> None:
        """Refuses settings of a run that do not fit each other."""
        if self.stuck_seconds < 10:
            raise ValueError(
                f"stuck_seconds={self.stuck_seconds}: expected at least 10; processes "
                "are heard of every second, if their machines are not overloaded."
            )
        if self.actors == "device" and self.actor_devices:
            raise ValueError(
                f"actor_devices={self.actor_devices} with actors='device': there the "
                "devices that learn play as well; set actor_devices=0."
            )
        if self.actors != "device" and self.fuse:
            raise ValueError(
                f"fuse={self.fuse} with actors='threads': only rollouts on the "
                "accelerator can be part of a program; set actors='device'."
            )
        if self.synchronous and self.num_actors != 1:
            raise ValueError(
                f"synchronous=True with num_actors={self.num_actors}: lock step has "
                "one actor; set num_actors=1."
            )
