"""The training loop: what is done after each update, and what is left in the folder."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from spiral_jax.checkpoint import Checkpointer
from spiral_jax.collapse import CollapseWatch
from spiral_jax.data.registry import load_dataset
from spiral_jax.distributed.choice import choose_devices
from spiral_jax.distributed.process_group import Decision, ProcessGroup
from spiral_jax.evaluation import MeasureFn, Report
from spiral_jax.metrics import Metrics, NotFiniteError, ProgressLine, Writer
from spiral_jax.ownership import Owner, OwnerError
from spiral_jax.paths import explained
from spiral_jax.rollouts.queues import Stopped
from spiral_jax.run_folder import CONFIG_FILE, keep_earlier_settings
from spiral_jax.system import System
from spiral_jax.training.build import make_learner
from spiral_jax.training.evaluations import Evaluations
from spiral_jax.training.signals import on_signals
from spiral_jax.training.sources import make_source, make_store


class Run:
    """Everything of a run that has a lifetime."""

    def __init__(
        self,
        system: System,
        run_dir: Path,
        owner: Owner | None,
        checkpointer: Checkpointer,
        group: ProcessGroup,
        evaluators: Sequence[MeasureFn],
        writers: Sequence[Writer],
    ):
        """Builds it, or takes over what the newest checkpoint holds.

        Args:
          system: from `make_system`.
          run_dir: the run's folder, which exists.
          owner: makes sure that the folder is ours; None in all processes but one.
          checkpointer: of the folder.
          group: the processes of the run.
          evaluators, writers: see `train`.

        Raises:
          ValueError: there is a run, and it is not to be resumed.
        """
        config = system.config
        self._system, self._config = system, config
        self._dir, self._owner = run_dir, owner
        self._checkpointer, self._group = checkpointer, group
        resumed = checkpointer.latest() is not None
        if resumed and not config.resume:
            raise ValueError(
                f"resume=False, but {run_dir} holds a run: resume it, name another "
                "folder, or delete this one."
            )
        devices = choose_devices(
            config.devices,
            config.parallel,
            config.batch_size,
            config.actor_devices,
            config.actor_platform,
        )
        data, store = load_dataset(config), make_store(config)
        images = data.train.images
        self._learner = make_learner(system, images, store, devices)
        self._num_rollouts, minutes = 0, 0.0
        if resumed:
            state = checkpointer.restore(self._state(minutes))
            self._learner.restore(state["learner"])
            self._num_rollouts = int(state["num_rollouts"])
            minutes = float(state["minutes"])
        self._source = make_source(system, store, self._num_rollouts, images, devices)
        if group.first:
            settings = dataclasses.asdict(config)
            keep_earlier_settings(run_dir, settings, self._learner.num_updates)
            config.save(run_dir / CONFIG_FILE)
        self._metrics = Metrics(
            run_dir if group.first else None,
            self._learner.num_updates,
            self._frames,
            minutes,
            writers,
        )
        self._progress = ProgressLine(
            config.max_updates, config.max_minutes, silent=not group.first
        )
        if group.first:
            self._evaluations = Evaluations(
                system, data, run_dir, evaluators, self._metrics, self._progress
            )
        self._watch = CollapseWatch(config, system.language)

    def train(self, signals: contextlib.ExitStack) -> Report | None:
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
        self._learner.compile(self._source.example())
        self._progress.say(f"compiled in {self._learner.compile_seconds:.1f} s")
        try:
            signals.enter_context(on_signals(self._stop_soon))
            return self._until_the_end()
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
            self._source.close()

    def _until_the_end(self) -> Report | None:
        try:
            self._source.start()
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
        self._group.stop()
        if self._group.alone:  # else the others would wait for what it has not learnt yet
            self._source.stop()

    def _loop(self) -> None:
        config, learner, metrics = self._config, self._learner, self._metrics
        logged = learner.num_updates // config.log_updates
        saved = evaluated = self._minutes_before = metrics.minutes
        self._frames_before = self._frames  # no time of compilation is theirs
        while learner.num_updates < config.max_updates:
            now, pause = metrics.minutes, config.evaluate_minutes
            due = self._group.decide(
                learner.num_updates,
                Decision(
                    stop=self._group.stopping,
                    finish=self._time_is_up(now),
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
            if due.evaluate and self._group.first:
                with contextlib.suppress(Stopped):  # all have to agree on it first
                    self._evaluate()
                evaluated = metrics.minutes
            record = self._learn()
            metrics.add(learner.num_updates, record)
            if learner.num_updates // config.log_updates > logged:
                logged = learner.num_updates // config.log_updates
                self._log()

    def _time_is_up(self, now: float) -> bool:
        """Whether what is left of `max_minutes` is needed for the last evaluation."""
        limit, learnt = self._config.max_minutes, self._frames - self._frames_before
        if not limit or not self._group.first:
            return False
        needed = 0.0
        if learnt:
            needed = self._evaluations.minutes((now - self._minutes_before) / learnt)
        return now + needed >= limit

    def _learn(self) -> dict:
        """Learns from one more rollout, wherever it is played."""
        update, waiting = self._learner.num_updates + 1, self._source.num_waiting
        self._group.report(f"playing for update {update}")
        rollout = self._source.next()
        self._num_rollouts = rollout.num_rollouts
        self._group.barrier(f"update {update}")
        metrics = self._learner.step(rollout)
        metrics["learner/queue_length"] = waiting
        return {**metrics, **self._source.metrics()}

    def _log(self) -> None:
        self._check_owner()
        means = self._metrics.flush(self._frames)
        updates = self._learner.num_updates
        self._progress.show(updates, self._frames, self._metrics.minutes, means)
        if warning := self._watch.observe(updates, means):
            self._progress.say(warning)

    @property
    def _frames(self) -> int:
        return self._learner.num_updates * self._config.frames_per_update

    def _state(self, minutes: float) -> dict:
        return {
            "learner": self._learner.state(),
            "num_rollouts": np.asarray(self._num_rollouts),
            "minutes": np.asarray(minutes),
        }

    def _save(self) -> None:
        self._check_owner()
        self._metrics.flush(self._frames)  # refuses to save what is not finite
        with self._group.paused("saving"):
            self._checkpointer.save(
                self._learner.num_updates, self._state(self._metrics.minutes)
            )

    def _check_owner(self) -> None:
        """Makes sure, before anything is written, that the folder is still ours."""
        if self._owner is not None:
            self._owner.check()

    def _evaluate(self) -> dict[str, float]:
        with self._group.paused("evaluating"):
            return self._evaluations.run(
                self._learner.average,
                self._learner.num_updates,
                self._frames,
                lambda: self._group.stopping,
                self._check_owner,
            )

    def _finish(self) -> Report | None:
        self._save()
        if not self._group.first:
            return None
        measures = self._evaluate()
        with self._group.paused("measuring real pictures"):
            return self._evaluations.table(measures)

    def close(self) -> None:
        """Ends all that plays and writes; whoever opened the checkpointer closes it."""
        self._source.close()
        self._progress.close()
        self._metrics.close()
