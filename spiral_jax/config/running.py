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
        "the soft brush on the accelerator; ray has a process for each actor, here or "
        "on other machines, see docs/ray.md.",
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
    actor_platform: str = setting(
        "",
        "With actors=threads: cpu runs the policy for actors on the host's CPU, beside "
        "an accelerator that learns; empty: as devices and actor_devices say.",
    )
    parallel: str = setting("jit", "How learners use several devices.", PARALLEL_MODES)
    num_actors: int = setting(
        1,
        "Actors of each learner's process; they share its part of a batch, and each has "
        "environments of its own.",
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
        if self.actor_platform not in ("", "cpu"):
            raise ValueError(
                f"actor_platform={self.actor_platform!r}: expected cpu, or empty."
            )
        if self.actor_platform and (self.actors == "device" or self.actor_devices):
            raise ValueError(
                f"actor_platform={self.actor_platform!r} with actors={self.actors!r} and "
                f"actor_devices={self.actor_devices}: each says where actors run the "
                "policy; leave it out."
            )
        if self.actors == "ray":
            for name in ("actor_devices", "synchronous"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name}={getattr(self, name)} with actors='ray': its actors "
                        "play ahead, on CPUs; leave it out, or set actors='threads'."
                    )
        if self.actors != "device" and self.fuse:
            raise ValueError(
                f"fuse={self.fuse} with actors={self.actors!r}: only rollouts on the "
                "accelerator can be part of a program; set actors='device'."
            )
        if self.synchronous and self.num_actors != 1:
            raise ValueError(
                f"synchronous=True with num_actors={self.num_actors}: lock step has "
                "one actor; set num_actors=1."
            )
