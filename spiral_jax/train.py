"""Training an agent: one call that makes everything of a run, and goes on with it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from spiral_jax.agents import starting_from
from spiral_jax.checkpoint import Checkpointer, newest_step
from spiral_jax.config import Config
from spiral_jax.distributed.process_group import ProcessGroup
from spiral_jax.evaluation import MeasureFn, Report
from spiral_jax.metrics import Writer
from spiral_jax.networks import Discriminator
from spiral_jax.optimisers import Optimisers
from spiral_jax.ownership import owned
from spiral_jax.precision import in_float32
from spiral_jax.ray_cluster import joined
from spiral_jax.rewards import ScoreFn
from spiral_jax.system import MakePolicy, make_system
from spiral_jax.training.loop import Run


@in_float32
def train(
    config: Config,
    run_dir: str | Path,
    *,
    policy: MakePolicy | None = None,
    discriminator: Discriminator | None = None,
    optimisers: Optimisers | None = None,
    score: ScoreFn | None = None,
    evaluators: Sequence[MeasureFn] = (),
    writers: Sequence[Writer] = (),
    init_from: str | Path | None = None,
) -> Report | None:
    """Trains an agent, or goes on training the one in `run_dir`.

    Leaves `config.json`, `metrics.jsonl`, `samples.png`, `checkpoints/` and
    `tensorboard/` in the folder, and in `earlier_settings.json` what config.json held
    before, if settings were changed on the way. Of several processes (see `distributed`)
    all call it, with the same arguments; all but process 0 write parts of checkpoints
    only.
    docs/extending.md leads to an example of each part that may be of your own. A resumed
    run has to be given the same ones.

    Args:
      config: the settings.
      run_dir: the run's folder; made if absent. All processes see the same.
      policy, discriminator, optimisers, score: parts of your own, see `make_system`.
      evaluators: what else to measure at each evaluation.
      writers: where else process 0 writes metrics; closed at the end.
      init_from: the agent, as in `load_agent`, whose policy a new run starts from; of no
        effect on one that goes on.

    Returns:
      How good the agent's drawings are, beside real pictures and blank canvases; of
      conditional agents, l2 distances to held-out targets;
      None after Ctrl-C or SIGTERM, which save and return early, and in all processes but
      process 0.

    Raises:
      NotFiniteError: a metric became NaN; the last good checkpoint is named.
      OwnerError: another run is at work in the folder.
      OSError: something cannot be written, a full disk say; what is safe is named.
      ValueError: the settings do not fit those checkpoints, or all are damaged.
      BaseException: whatever an actor died of.
    """
    run_dir = Path(run_dir)
    system = make_system(
        config,
        policy=policy,
        discriminator=discriminator,
        optimisers=optimisers,
        score=score,
    )
    if init_from is not None and newest_step(run_dir / "checkpoints") is None:
        system = starting_from(system, init_from)
    with (
        contextlib.ExitStack() as signals,  # caught until all else is closed
        joined(num_cpus=config.num_actors)
        if config.actors == "ray"
        else contextlib.nullcontext(),
        owned(run_dir) as owner,
        ProcessGroup(run_dir / "processes", config.stuck_seconds) as group,
        contextlib.closing(Checkpointer(run_dir / "checkpoints")) as checkpointer,
        contextlib.closing(
            Run(
                system,
                run_dir,
                owner,
                checkpointer,
                group,
                evaluators,
                writers,
            )
        ) as run,
    ):
        return run.train(signals)
