"""The callback of a training: what happens around each of its epochs.

It seeds the epoch, says now and then that the worker is alive, keeps a checkpoint, reports the score and ends the training when
it is told to, when it fails, or when the time is over.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras

from nas.messages import LONGEST, Infeasible, Job, Metrics, News, Outcome, Progress, Pulse, Stopped, Trained
from nas.pace import START, epoch_seconds
from nas.training.backbone import fetch
from nas.training.batches import Batches
from nas.training.inherit import inherit
from nas.training.objectives import score
from nas.training.schedule import Rate
from nas.training.seeds import reset_generators, seed_of
from nas.training.weights import Arrays, load_checkpoint, save_checkpoint, weights_of

Report: TypeAlias = Callable[[News], bool]
"""Hears of an epoch, or of a pulse; False for an epoch ends the training."""

PULSE = 1.0  # seconds between two signs of life
BETWEEN = 0.1  # seconds, at least, between two epochs
SCORED = 0.15  # of an epoch's time: what a look at the test part takes, which follows where a time is to be kept


def reached(job: Job, curve: list[float]) -> float:
    """The score of the weights that are kept: those of the best epoch, or without validation of the last."""
    return max(curve) if job.validation_part else curve[-1]


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Seeds each epoch, checkpoints it, reports it, and ends the training when told to or when it fails.

    `curve` is the score of each epoch, `best` the weights that are kept: of the best one, or without validation of the last;
    `outcome` is why training ended early.
    """

    def __init__(self, job: Job, network: Any, optimizer: Any, fitting: Batches, report: Report) -> None:
        super().__init__()
        self.job, self.network, self.optimizer, self.fitting, self.report = job, network, optimizer, fitting, report
        self.epochs = job.epochs  # of the whole training, as planned at the moment
        self.replanned = False  # whether that was changed, to keep a time
        # By its own clock from here on: that of the wall jumps where a machine has slept, and a schedule would be cut off.
        self._until = None if job.until is None else time.monotonic() + job.until - time.time()
        self.curve: list[float] = []
        self.best: Arrays = {}
        self._looked_at: Arrays = {}  # the weights that were validated last: with averaging, not those that are trained
        self.outcome: Outcome | None = None
        self.history: list[Metrics] = []
        self._started = self._pulse = 0.0
        # What this process's first batches of both kinds take: with JAX, most of the first epoch. None: the first is to come.
        self._start: float | None = None
        self._first_look: float | None = None
        self._looking = 0.0
        optimizer.build(network.trainable_variables)
        self._resume()

    def _resume(self) -> None:
        """Go on from the checkpoint: tell the driver again what it may not have kept, then follow its answer."""
        state = load_checkpoint(Path(self.job.checkpoint), self.network, self.optimizer)
        if state is None:
            job = self.job
            fetch(self.network, job.blueprint)  # of a backbone; what its parent has learned since comes over it
            copies = seed_of(job.seed, job.number, "copies")
            if job.inherits and not inherit(self.network, job.blueprint, Path(job.inherits), copies, job.shrink):
                sys.stderr.write(f"#{job.number}: its parent's model is gone, so it begins at random\n")  # the run's log
            return
        self.best, history = state
        # Where the schedule stands: unchanged, unless the batch was halved since and an epoch has more steps now.
        step = len(history["epochs"]) * len(self.fitting)
        self.optimizer.iterations.assign(step)
        self.epochs, self.replanned = history.get("of", self.epochs), "of" in history
        rate = rate_of(self.optimizer)
        if rate is not None and "done" in history:
            rate.replan(step, (self.epochs - len(history["epochs"])) * len(self.fitting), history["done"])
        elif rate is not None:
            rate.replan(0, self.epochs * len(self.fitting), 0.0)
        for metrics in history["epochs"]:
            self.history.append(metrics)
            self.curve.append(score(self.job.objective, metrics))
            last = len(self.curve) == self.epochs
            if not self.report(Progress(self.job.number, len(self.curve), self.curve[-1], metrics)) and not last:
                self.outcome = Stopped()
                return
        if len(self.curve) >= self.epochs or self._tired():
            self.outcome = Trained(reached(self.job, self.curve))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self.fitting.set_epoch(epoch, self.epochs)
        reset_generators(self.model, self.job.seed, self.job.number, epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._start is None:
            self._start = time.perf_counter() - self._started
        self._alive((batch + 1) / len(self.fitting))

    def on_test_begin(self, logs: Any = None) -> None:
        self._looking = time.perf_counter()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._first_look is None:
            self._first_look = time.perf_counter() - self._looking
        self._alive(1.0)

    def on_test_end(self, logs: Any = None) -> None:
        self._looked_at = weights_of(self.network)  # with averaging, the average

    def _alive(self, done: float) -> None:
        now = time.monotonic()
        if now - self._pulse >= PULSE:
            self._pulse = now
            self.report(Pulse(self.job.number, len(self.curve) + done))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        found = {name: round(float(value), 6) for name, value in logs.items()}
        metrics = {"train_accuracy": found["accuracy"], "train_loss": found["loss"]}
        if self.job.validation_part:
            # The loss that is told is the same for all recipes: in nats, of true targets, whatever each network minimises.
            metrics = {"val_accuracy": found["val_accuracy"], "val_loss": found["val_crossentropy"], **metrics}
            if "val_objective" in found:
                metrics[f"val_{self.job.objective}"] = found["val_objective"]
        metrics["seconds"] = round(time.perf_counter() - self._started, 3)
        if self._start or self._first_look:
            metrics[START] = round((self._start or 0.0) + (self._first_look or 0.0), 3)
            self._start = self._first_look = 0.0
        if not all(math.isfinite(value) for value in metrics.values()):
            self._end(Infeasible(f"the loss became infinite or no number in epoch {epoch + 1}"))
            return
        value = score(self.job.objective, metrics)
        if not self.curve or not self.job.validation_part or value > max(self.curve):
            self.best = self._looked_at or weights_of(self.network)
        self.curve.append(value)
        self.history.append(metrics)
        self._replan()
        history = {"epochs": self.history, **self._standing()}
        save_checkpoint(Path(self.job.checkpoint), self.network, self.optimizer, self.best, history)
        go_on = self.report(Progress(self.job.number, epoch + 1, value, metrics))
        if not go_on and epoch + 1 < self.epochs:
            self._end(Stopped())
        elif self._tired() or epoch + 1 >= self.epochs:
            self._end(Trained(reached(self.job, self.curve)))

    def _replan(self) -> None:
        """Where there is a time to keep: so many more epochs as fit into it at the pace so far, and the schedule with them."""
        if self._until is None:
            return
        took, pace = len(self.history), (epoch_seconds(self.history) or 0.0) + BETWEEN
        more = max(0, min(LONGEST - took, int((self._until - time.monotonic()) / pace - SCORED)))
        self.epochs, self.replanned = took + more, True
        rate, step = rate_of(self.optimizer), int(self.optimizer.iterations)
        if rate is not None:
            # Where more epochs fit than were planned, the schedule goes back to the part that is done of them: else it would
            # come to its end too early, or stay there.
            done = min(float(rate.progress(step)), took / self.epochs)
            rate.replan(step, more * len(self.fitting), done)

    def _standing(self) -> dict[str, Any]:
        """What a checkpoint keeps of a plan that was changed: how many epochs, and how far the schedule is."""
        if not self.replanned:
            return {}
        rate = rate_of(self.optimizer)
        done = {} if rate is None else {"done": float(rate.progress(int(self.optimizer.iterations)))}
        return {"of": self.epochs, **done}

    def _tired(self) -> bool:
        """Whether the score has not improved for `patience` epochs."""
        best = self.curve.index(max(self.curve))
        return 0 < self.job.patience <= len(self.curve) - 1 - best

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.model.stop_training = True


def rate_of(optimizer: Any) -> Rate | None:
    """The schedule of an optimizer, which can be planned anew; None where the rate is constant."""
    rate = optimizer._learning_rate  # `learning_rate` is its value
    return rate if isinstance(rate, Rate) else None
