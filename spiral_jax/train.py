"""The training run: actors in threads, both learners in the calling thread."""

import contextlib
import dataclasses
import itertools
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from spiral_jax.actor import Actor, DeviceActor
from spiral_jax.checkpoint import Checkpointer
from spiral_jax.collapse import CollapseWatch
from spiral_jax.config import Config
from spiral_jax.data.registry import load_dataset
from spiral_jax.evaluation import MeasureFn, Table
from spiral_jax.hosts import Due, Peers
from spiral_jax.metrics import Metrics, NotFiniteError, ProgressLine, Writer
from spiral_jax.networks import Discriminator
from spiral_jax.optimisers import Optimisers
from spiral_jax.ownership import Owner, OwnerError, owned
from spiral_jax.parallel import choose_devices
from spiral_jax.paths import explained
from spiral_jax.pictures import save_png, sheet
from spiral_jax.precision import in_float32
from spiral_jax.queues import ParameterStore, Stopped, TrajectoryQueue
from spiral_jax.reconstruction import Reconstruction, make_evaluator
from spiral_jax.rewards import ScoreFn
from spiral_jax.run_folder import CONFIG_FILE, keep_earlier_settings
from spiral_jax.system import (
    MakePolicy,
    System,
    make_actor,
    make_device_actor,
    make_learner,
    make_system,
)

SHEET_DRAWINGS = 100


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
) -> Table | Reconstruction | None:
    """Trains an agent, or goes on training the one in `run_dir`.

    Leaves `config.json`, `metrics.jsonl`, `samples.png`, `checkpoints/` and
    `tensorboard/` in the folder, and in `earlier_settings.json` what config.json held
    before, if settings were changed on the way. Of several processes (see `hosts`) all
    call it, with the same arguments; all but process 0 write parts of checkpoints only.
    docs/extending.md has an example of each part that may be of your own. A resumed run
    has to be given the same ones.

    Args:
      config: the settings.
      run_dir: the run's folder; made if absent. All processes see the same.
      policy, discriminator, optimisers, score: parts of your own, see `make_system`.
      evaluators: what else to measure at each evaluation.
      writers: where else process 0 writes metrics; closed at the end.

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
    with (
        contextlib.ExitStack() as signals,  # caught until all else is closed
        owned(run_dir) as owner,
        Peers(run_dir / "processes", config.stuck_seconds) as peers,
        contextlib.closing(Checkpointer(run_dir / "checkpoints")) as checkpointer,
        contextlib.closing(
            _Run(
                make_system(
                    config,
                    policy=policy,
                    discriminator=discriminator,
                    optimisers=optimisers,
                    score=score,
                ),
                run_dir,
                owner,
                checkpointer,
                peers,
                evaluators,
                writers,
            )
        ) as run,
    ):
        return run.train(signals)


class _Run:
    """Everything of a run that has a lifetime."""

    def __init__(
        self,
        system: System,
        run_dir: Path,
        owner: Owner | None,
        checkpointer: Checkpointer,
        peers: Peers,
        evaluators: Sequence[MeasureFn],
        writers: Sequence[Writer],
    ):
        config = system.config
        self._system, self._config = system, config
        self._dir, self._owner = run_dir, owner
        self._evaluators = evaluators
        self._checkpointer, self._peers = checkpointer, peers
        resumed = self._checkpointer.latest() is not None
        if resumed and not config.resume:
            raise ValueError(
                f"resume=False, but {run_dir} holds a run: resume it, name another "
                "folder, or delete this one."
            )
        self._parallel = choose_devices(
            config.devices, config.parallel, config.batch_size, config.actor_devices
        )
        data = load_dataset(config)
        self._store = ParameterStore()
        self._images = data.train.images
        self._learner = make_learner(
            self._system, self._images, self._store, self._parallel
        )
        self._num_rollouts, minutes = 0, 0.0
        if resumed:
            state = self._checkpointer.restore(self._state(minutes))
            self._learner.restore(state["learner"])
            self._num_rollouts = int(state["num_rollouts"])
            minutes = float(state["minutes"])
        if peers.first:
            settings = dataclasses.asdict(config)
            keep_earlier_settings(run_dir, settings, self._learner.num_updates)
            config.save(run_dir / CONFIG_FILE)
            self._evaluator = make_evaluator(self._system, data)
        self._metrics = Metrics(
            run_dir if peers.first else None,
            self._learner.num_updates,
            self._frames,
            minutes,
            writers,
        )
        self._progress = ProgressLine(
            config.max_updates, config.max_minutes, silent=not peers.first
        )
        self._watch = CollapseWatch(config, self._system.language)
        self._queue = TrajectoryQueue(config.queue_capacity)
        self._on_device = config.actors == "device"
        self._in_threads = not (config.synchronous or self._on_device)
        self._actors = []
        if not config.fuse:
            num_actors = 1 if self._on_device else config.num_actors
            self._actors = [self._make_actor(i) for i in range(num_actors)]

    def _make_actor(self, actor_id: int) -> Actor | DeviceActor:
        common = (self._system, self._store)
        if self._on_device:
            return make_device_actor(
                *common, self._num_rollouts, self._images, self._parallel
            )
        return make_actor(
            *common, actor_id, self._num_rollouts, self._images, parallel=self._parallel
        )

    def train(self, signals: contextlib.ExitStack) -> Table | Reconstruction | None:
        """Runs until a limit is reached or a signal comes.

        Args:
          signals: how long they are caught, from the end of compilation on.
        """
        used, found = self._config.devices, jax.local_device_count()
        if 0 < used < found:
            self._progress.say(
                f"uses {used} of the {found} devices that JAX sees here; --devices=0: all"
            )
        if done := self._learner.num_updates:
            self._progress.say(f"going on from the checkpoint of update {done}")
        # Nothing can be lost until compilation is over, so signals end it as usual.
        self._progress.say("compiling ...")
        if self._config.fuse:
            self._learner.compile(self._num_rollouts)
        else:
            actor = self._actors[0]
            self._learner.compile(actor.play())
            actor.restart(self._num_rollouts)  # nothing has been learnt from it
        self._progress.say(f"compiled in {self._learner.compile_seconds:.1f} s")
        threads = [
            threading.Thread(
                target=actor.run, args=(self._queue,), name="actor", daemon=True
            )
            for actor in (self._actors if self._in_threads else [])
        ]
        try:
            signals.enter_context(_on_signals(self._stop_soon))
            return self._until_the_end(threads)
        except NotFiniteError as error:
            raise NotFiniteError(
                f"{error} Nothing was saved since. {self._safe} A lower learning rate "
                "is the usual remedy."
            ) from None
        except OwnerError:
            raise
        except OSError as error:
            raise explained(error, self._dir, self._safe) from error
        finally:
            self._queue.stop()
            for thread in threads:
                thread.join()

    def _until_the_end(
        self, threads: list[threading.Thread]
    ) -> Table | Reconstruction | None:
        try:
            for thread in threads:
                thread.start()
            self._loop()
            return self._finish()
        except Stopped:
            self._save()
            self._progress.say(
                f"Stopped and saved after {self._learner.num_updates} updates; the "
                "same command goes on from there."
            )
            return None

    @property
    def _safe(self) -> str:
        """Says what the next session will go on from."""
        latest = self._checkpointer.latest()
        if latest is None:
            return "There is no checkpoint yet."
        return (
            f"The checkpoint of update {latest} in {self._dir / 'checkpoints'} is good; "
            "the same command goes on from there."
        )

    def _stop_soon(self) -> None:
        self._peers.stop()
        if self._peers.alone:  # else the others would wait for what it has not learnt yet
            self._queue.stop()

    def _loop(self) -> None:
        config, learner, metrics = self._config, self._learner, self._metrics
        logged = learner.num_updates // config.log_updates
        saved = evaluated = metrics.minutes
        while learner.num_updates < config.max_updates:
            now, pause = metrics.minutes, config.evaluate_minutes
            due = self._peers.agree(
                learner.num_updates,
                Due(
                    stop=self._peers.stopping,
                    finish=bool(config.max_minutes and now >= config.max_minutes),
                    save=now >= saved + config.checkpoint_minutes,
                    evaluate=bool(pause and now >= evaluated + pause),
                ),
            )
            if due.stop:
                raise Stopped
            if due.finish:
                break
            if due.save:
                self._save()
                saved = metrics.minutes
            if due.evaluate and self._peers.first:
                with contextlib.suppress(Stopped):  # all have to agree on it first
                    self._evaluate()
                evaluated = metrics.minutes
            record = self._learn()
            metrics.add(learner.num_updates, record)
            if learner.num_updates // config.log_updates > logged:
                logged = learner.num_updates // config.log_updates
                self._check_owner()
                means = metrics.flush(self._frames)
                self._progress.show(
                    learner.num_updates, self._frames, metrics.minutes, means
                )
                if warning := self._watch.observe(learner.num_updates, means):
                    self._progress.say(warning)

    def _learn(self) -> dict:
        """Learns from some more episodes, wherever they are played."""
        update = f"update {self._learner.num_updates + 1}"
        if self._config.fuse:
            self._peers.meet(update)
            metrics = self._learner.step(self._num_rollouts)
            self._num_rollouts += self._config.fuse
            return metrics
        waiting = len(self._queue)
        self._peers.doing(f"playing for {update}")
        item = self._queue.get() if self._in_threads else self._actors[0].play()
        self._num_rollouts = max(self._num_rollouts, item.num_rollouts)
        self._peers.meet(update)
        return {**self._learner.step(item), "learner/queue_length": waiting}

    @property
    def _frames(self) -> int:
        config = self._config
        return self._learner.num_updates * config.frames_per_update

    def _state(self, minutes: float) -> dict:
        return {
            "learner": self._learner.state(),
            "num_rollouts": np.asarray(self._num_rollouts),
            "minutes": np.asarray(minutes),
        }

    def _save(self) -> None:
        self._check_owner()
        self._metrics.flush(self._frames)  # refuses to save what is not finite
        with self._peers.busy("saving"):
            self._checkpointer.save(
                self._learner.num_updates, self._state(self._metrics.minutes)
            )

    def _check_owner(self) -> None:
        """Makes sure, before anything is written, that the folder is still ours."""
        if self._owner is not None:
            self._owner.check()

    def _evaluate(self) -> dict[str, float]:
        """Writes how well the agent draws, and a sheet of samples."""
        updates, batches = self._learner.num_updates, itertools.count(1)

        def stopping() -> bool:
            self._progress.note(f"{updates:,} updates, measuring: batch {next(batches)}")
            return self._peers.stopping

        with self._peers.busy("evaluating"):
            measures, drawings = self._evaluator.measure(self._learner.average, stopping)
            own = {}
            for evaluator in self._evaluators:
                own |= evaluator(self._system, drawings)
        self._check_owner()
        self._metrics.write(updates, self._frames, measures | own)
        page = sheet(drawings[:SHEET_DRAWINGS])
        save_png(self._dir / "samples.png", page, scale=2)
        self._metrics.picture(updates, "samples", page)
        self._progress.say(
            f"{updates} updates, {self._frames:,} frames, "
            f"{self._metrics.minutes:.1f} min: {self._evaluator.in_short(measures)}"
            + "".join(f", {name} {value:.4g}" for name, value in own.items())
        )
        return measures

    def _finish(self) -> Table | Reconstruction | None:
        self._save()
        if not self._peers.first:
            return None
        measures = self._evaluate()
        with self._peers.busy("measuring real pictures"):
            return self._evaluator.table(measures)

    def close(self) -> None:
        self._progress.close()
        self._metrics.close()


@contextlib.contextmanager
def _on_signals(stop):
    """Calls `stop` on Ctrl-C and SIGTERM, and lets nothing but a second Ctrl-C through.

    Whoever ends a job may send SIGTERM again and again while it is being saved.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return

    def handle(number, frame):
        if number == signal.SIGINT:
            signal.signal(number, previous[number])
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
