"""The shared trainer: one job, one Keras `fit`, one callback of ours.

`train(job, report)` is a function of the job alone: the same job gives the same curve, in one piece or resumed from its
checkpoint after any epoch; only where it has a time to keep, the pace decides how many epochs there are. After each epoch
`report` hears the score and answers whether to go on; in between it hears a pulse now and then, so that a worker that hangs is
noticed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from nas.datasets.cache import open_cache
from nas.datasets.split import split
from nas.errors import RunError
from nas.messages import LONGEST, Infeasible, Job, Metrics, News, Outcome, Progress, Pulse, Stopped, Trained
from nas.recipe import Recipe
from nas.training.augment import augmentation
from nas.training.averaging import averaged, averaging
from nas.training.backbone import fetch
from nas.training.batches import Batches, targets
from nas.training.handover import save_model
from nas.training.model import build
from nas.training.muon import Muon
from nas.training.objectives import accuracy_metric, crossentropy_metric, objective_metrics, score
from nas.training.schedule import WARM_UP, Rate
from nas.training.seeds import reset_generators, seed_of
from nas.training.weights import Arrays, load_checkpoint, save_checkpoint, weights_of

Report: TypeAlias = Callable[[News], bool]
"""Hears of an epoch, or of a pulse; False for an epoch ends the training."""

VALIDATION_BATCH = 500  # at most; and at most four training batches, or a network that could be trained could not be validated
PULSE = 1.0  # seconds between two signs of life
LATEST = 5  # epochs by which the pace is judged
AROUND = 0.1  # seconds, at least, between two epochs
KINDS: dict[str, type[Any]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "muon": Muon,
}


def train(job: Job, report: Report) -> Outcome:
    """Train one candidate. Its model is at `job.model` afterwards if it was trained to the end.

    Raises what Keras raises for a network that cannot be built or trained; `worker.py` makes an outcome of it.
    """
    seed = seed_of(job.seed, job.number)
    images, labels = open_cache(job.data)
    train_index, validation_index = split(labels, job.seed, job.validation_part, job.train_part)
    network = build(job.blueprint, seed, job.precision, fast=True)
    outputs = int(network.output_shape[-1])
    hot = targets(labels, outputs)
    if not len(validation_index) and job.recipe.ema:  # a look at a few: the average stands in for the weights meanwhile
        validation_index = train_index[:VALIDATION_BATCH]
    weights = class_weights(labels[train_index], len(job.data.classes)) if job.class_weight == "balanced" else None
    fitting = Batches(images, hot, train_index, job.recipe.batch_size, (job.seed, job.number), job.recipe, weights)
    validation = Batches(images, hot, validation_index, validation_batch(job.recipe)) if len(validation_index) else None
    model = with_augmentation(network, job.recipe, seed)
    optimizer = make_optimizer(job.recipe, job.epochs * len(fitting))
    compile_model(model, job.recipe, optimizer, outputs, job.blueprint.nodes[-1].layer, job.objective)
    epochs = Epochs(job, network, optimizer, fitting, report)
    if epochs.outcome is None:
        model.fit(
            fitting,
            validation_data=validation,
            epochs=max(job.epochs, LONGEST),  # `Epochs` ends it
            initial_epoch=len(epochs.curve),
            shuffle=False,  # the order is ours
            callbacks=[epochs, *averaging(job.recipe)],
            verbose=0,
        )
    outcome = epochs.outcome or Trained(reached(job, epochs.curve))
    if isinstance(outcome, Trained):
        save_model(job, epochs.best, _facts(job, epochs.curve))
    return outcome


def validation_batch(recipe: Recipe) -> int:
    """Pictures that are looked at at once in validation."""
    return min(VALIDATION_BATCH, 4 * recipe.batch_size)


def hand_over(job: Job) -> None:
    """Write the model of the weights kept in the job's checkpoint, whatever is still to be trained. Raises RunError."""
    network = build(job.blueprint, 0, job.precision, fast=True)
    optimizer = make_optimizer(job.recipe, 1)
    optimizer.build(network.trainable_variables)
    state = load_checkpoint(Path(job.checkpoint), network, optimizer)
    if state is None:
        raise RunError("is no checkpoint of this candidate", job.checkpoint)
    save_model(job, state[0], _facts(job, [score(job.objective, metrics) for metrics in state[1]["epochs"]]))


def _facts(job: Job, curve: list[float]) -> dict[str, Any]:
    return {"number": job.number, "value": reached(job, curve), "epochs": len(curve)}


def reached(job: Job, curve: list[float]) -> float:
    """The score of the weights that are kept: those of the best epoch, or without validation of the last."""
    return max(curve) if job.validation_part else curve[-1]


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Seeds each epoch, checkpoints it, reports it, and ends the training when told to or when it fails.

    `curve` is the score of each epoch, `best` the weights of the best one, `outcome` why training ended early.
    """

    def __init__(self, job: Job, network: Any, optimizer: Any, fitting: Batches, report: Report) -> None:
        super().__init__()
        self.job, self.network, self.optimizer, self.fitting, self.report = job, network, optimizer, fitting, report
        self.epochs = job.epochs  # of the whole training, as planned at the moment
        self.replanned = False  # whether that was changed, to keep a time
        self.curve: list[float] = []
        self.best: Arrays = {}
        self._looked_at: Arrays = {}  # the weights that were validated last: with averaging, not those that are trained
        self.outcome: Outcome | None = None
        self.history: list[Metrics] = []
        self._started = self._pulse = 0.0
        optimizer.build(network.trainable_variables)
        self._resume()

    def _resume(self) -> None:
        """Go on from the checkpoint: tell the driver again what it may not have kept, then follow its answer."""
        state = load_checkpoint(Path(self.job.checkpoint), self.network, self.optimizer)
        if state is None:
            fetch(self.network, self.job.blueprint)
            return
        self.best, history = state
        # Where the schedule stands: unchanged, unless the batch was halved since and an epoch has more steps now.
        step = len(history["epochs"]) * len(self.fitting)
        self.optimizer.iterations.assign(step)
        self.epochs, self.replanned = history.get("of", self.epochs), "of" in history
        rate = rate_of(self.optimizer)
        if rate is not None and "done" in history:
            rate.replan(step, (self.epochs - len(history["epochs"])) * len(self.fitting), history["done"])
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
        self._alive((batch + 1) / len(self.fitting))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
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
        if self.job.until is None:
            return
        took = [metrics["seconds"] for metrics in self.history]
        pace = statistics.median(took[1:][-LATEST:] or took) + AROUND
        more = max(0, min(LONGEST - len(took), int((self.job.until - time.time()) / pace)))
        self.epochs, self.replanned = len(took) + more, True
        rate = rate_of(self.optimizer)
        if rate is not None:
            rate.replan(int(self.optimizer.iterations), more * len(self.fitting))

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


def with_augmentation(network: Any, recipe: Recipe, seed: int) -> Any:
    """The model that is fitted: raw uint8 pixels, augmentation, then the network, whose weights it shares."""
    pixels = keras.Input(network.input_shape[1:], dtype="uint8")
    pictures = keras.ops.cast(pixels, "float32")
    for layer in augmentation(recipe, seed):
        pictures = layer(pictures)
    return keras.Model(pixels, network(pictures))


def make_optimizer(recipe: Recipe, steps: int) -> Any:
    """The recipe's optimizer with its schedule over `steps` batches. Norms and biases are not decayed."""
    rate: Any = Rate(recipe, steps) if recipe.schedule in WARM_UP else recipe.learning_rate
    kind, options = KINDS[recipe.optimizer], {"learning_rate": rate, "weight_decay": recipe.weight_decay or None}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": True}
    if recipe.optimizer in ("adamw", "muon"):  # their own decay must be a number
        options["weight_decay"] = recipe.weight_decay
    if recipe.ema:
        kind, options = averaged(kind), {**options, "use_ema": True, "ema_momentum": recipe.ema}
    optimizer = kind(**options)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "alpha"])
    return optimizer


def rate_of(optimizer: Any) -> Rate | None:
    """The schedule of an optimizer that can be planned anew: none where the rate is constant, or compiled in once (JAX)."""
    rate = optimizer._learning_rate  # `learning_rate` is its value
    return rate if isinstance(rate, Rate) and keras.backend.backend() != "jax" else None


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """float64 [classes]: what a picture of each weighs, so that all classes weigh the same and the pictures 1 on average."""
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)


def compile_model(model: Any, recipe: Recipe, optimizer: Any, outputs: int, last: Any, objective: str = "accuracy") -> None:
    """Loss by recipe and head: categorical cross-entropy behind softmax, binary behind sigmoid, or squared error."""
    softmax = last.type == "softmax"
    if recipe.loss == "mse":
        loss: Any = keras.losses.MeanSquaredError()
    elif softmax:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    else:
        loss = keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing)
    # XLA makes convolutions on a CPU several times slower; elsewhere Keras decides.
    metrics = [accuracy_metric(outputs), crossentropy_metric(outputs), *objective_metrics(objective, outputs)]
    model.compile(optimizer, loss, metrics=metrics, jit_compile="auto" if on_accelerator() else False)


def on_accelerator() -> bool:
    """Whether Keras's backend sees a GPU or TPU."""
    if keras.backend.backend() == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        return bool(torch.cuda.is_available())
    return any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices())
