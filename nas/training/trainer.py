"""The shared trainer: one job, one Keras `fit`, one callback of ours.

`train(job, report)` is a function of the job alone: the same job gives the same curve, in one piece or resumed from its
checkpoint after any epoch. After each epoch `report` hears the score and answers whether to go on; in between it hears a
pulse now and then, so that a worker that hangs is noticed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import keras

from nas.datasets.cache import open_cache
from nas.datasets.split import split
from nas.errors import RunError
from nas.messages import Infeasible, Job, Metrics, News, Outcome, Progress, Pulse, Stopped, Trained
from nas.recipe import Recipe
from nas.training.augment import augmentation
from nas.training.batches import Batches, targets
from nas.training.handover import save_model
from nas.training.model import build
from nas.training.seeds import reset_generators, seed_of
from nas.training.weights import Arrays, load_checkpoint, save_checkpoint, weights_of

Report: TypeAlias = Callable[[News], bool]
"""Hears of an epoch, or of a pulse; False for an epoch ends the training."""

VALIDATION_BATCH = 500  # at most; and at most four training batches, or a network that could be trained could not be validated
PULSE = 1.0  # seconds between two signs of life
WARM_UP = 0.05  # part of all steps in which the cosine schedule's rate rises from a tenth (Goyal et al. 2017, section 2.2)


def train(job: Job, report: Report) -> Outcome:
    """Train one candidate. Its model is at `job.model` afterwards if it was trained to the end.

    Raises what Keras raises for a network that cannot be built or trained; `worker.py` makes an outcome of it.
    """
    seed = seed_of(job.seed, job.number)
    images, labels = open_cache(job.data)
    train_index, validation_index = split(labels, job.seed, job.validation_part, job.train_part)
    network = build(job.blueprint, seed, job.precision)
    outputs = int(network.output_shape[-1])
    hot = targets(labels, outputs)
    fitting = Batches(images, hot, train_index, job.recipe.batch_size, (job.seed, job.number))
    validation = Batches(images, hot, validation_index, validation_batch(job.recipe))
    model = with_augmentation(network, job.recipe, seed)
    optimizer = make_optimizer(job.recipe, job.epochs * len(fitting))
    compile_model(model, job.recipe, optimizer, outputs, job.blueprint.nodes[-1].layer)
    epochs = Epochs(job, network, optimizer, fitting, report)
    if epochs.outcome is None:
        model.fit(
            fitting,
            validation_data=validation,
            epochs=job.epochs,
            initial_epoch=len(epochs.curve),
            shuffle=False,  # the order is ours
            callbacks=[epochs],
            verbose=0,
        )
    outcome = epochs.outcome or Trained(max(epochs.curve))
    if isinstance(outcome, Trained):
        save_model(job, epochs.best, _facts(job, epochs.curve))
    return outcome


def validation_batch(recipe: Recipe) -> int:
    """Pictures that are looked at at once in validation."""
    return min(VALIDATION_BATCH, 4 * recipe.batch_size)


def hand_over(job: Job) -> None:
    """Write the model of the best epoch in the job's checkpoint, whatever is still to be trained. Raises RunError."""
    network = build(job.blueprint, 0, job.precision)
    optimizer = make_optimizer(job.recipe, 1)
    optimizer.build(network.trainable_variables)
    state = load_checkpoint(Path(job.checkpoint), network, optimizer)
    if state is None:
        raise RunError("is no checkpoint of this candidate", job.checkpoint)
    save_model(job, state[0], _facts(job, [metrics["val_accuracy"] for metrics in state[1]["epochs"]]))


def _facts(job: Job, curve: list[float]) -> dict[str, Any]:
    return {"number": job.number, "value": max(curve), "epochs": len(curve)}


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Seeds each epoch, checkpoints it, reports it, and ends the training when told to or when it fails.

    `curve` is the validation accuracy of each epoch, `best` the weights of the best one, `outcome` why training ended early.
    """

    def __init__(self, job: Job, network: Any, optimizer: Any, fitting: Batches, report: Report) -> None:
        super().__init__()
        self.job, self.network, self.optimizer, self.fitting, self.report = job, network, optimizer, fitting, report
        self.curve: list[float] = []
        self.best: Arrays = {}
        self.outcome: Outcome | None = None
        self.history: list[Metrics] = []
        self._started = self._pulse = 0.0
        optimizer.build(network.trainable_variables)
        self._resume()

    def _resume(self) -> None:
        """Go on from the checkpoint: tell the driver again what it may not have kept, then follow its answer."""
        state = load_checkpoint(Path(self.job.checkpoint), self.network, self.optimizer)
        if state is None:
            return
        self.best, history = state
        # Where the schedule stands: unchanged, unless the batch was halved since and an epoch has more steps now.
        self.optimizer.iterations.assign(len(history["epochs"]) * len(self.fitting))
        for metrics in history["epochs"]:
            self.history.append(metrics)
            self.curve.append(metrics["val_accuracy"])
            last = len(self.curve) == self.job.epochs
            if not self.report(Progress(self.job.number, len(self.curve), self.curve[-1], metrics)) and not last:
                self.outcome = Stopped()
                return
        if len(self.curve) >= self.job.epochs or self._tired():
            self.outcome = Trained(max(self.curve))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self.fitting.set_epoch(epoch)
        reset_generators(self.model, self.job.seed, self.job.number, epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._alive((batch + 1) / len(self.fitting))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._alive(1.0)

    def _alive(self, done: float) -> None:
        now = time.monotonic()
        if now - self._pulse >= PULSE:
            self._pulse = now
            self.report(Pulse(self.job.number, len(self.curve) + done))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        metrics = {
            "val_accuracy": round(float(logs["val_accuracy"]), 6),
            "val_loss": round(float(logs["val_loss"]), 6),
            "train_accuracy": round(float(logs["accuracy"]), 6),
            "train_loss": round(float(logs["loss"]), 6),
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        if not all(math.isfinite(value) for value in metrics.values()):
            self._end(Infeasible(f"the loss became infinite or no number in epoch {epoch + 1}"))
            return
        if not self.curve or metrics["val_accuracy"] > max(self.curve):
            self.best = weights_of(self.network)
        self.curve.append(metrics["val_accuracy"])
        self.history.append(metrics)
        save_checkpoint(Path(self.job.checkpoint), self.network, self.optimizer, self.best, {"epochs": self.history})
        go_on = self.report(Progress(self.job.number, epoch + 1, metrics["val_accuracy"], metrics))
        if not go_on and epoch + 1 < self.job.epochs:
            self._end(Stopped())
        elif self._tired():
            self._end(Trained(max(self.curve)))

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
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warm = max(1, round(WARM_UP * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 10, max(1, steps - warm), warmup_target=recipe.learning_rate, warmup_steps=warm
        )
    common = {"learning_rate": rate, "weight_decay": recipe.weight_decay or None}
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=recipe.momentum, nesterov=True, **common)
    elif recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(**{**common, "weight_decay": recipe.weight_decay})
    else:
        optimizer = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[recipe.optimizer](**common)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "alpha"])
    return optimizer


def compile_model(model: Any, recipe: Recipe, optimizer: Any, outputs: int, last: Any) -> None:
    """Loss by recipe and head: categorical cross-entropy behind softmax, binary behind sigmoid, or squared error."""
    softmax = last.type == "softmax"
    if recipe.loss == "mse":
        loss: Any = keras.losses.MeanSquaredError()
    elif softmax:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    else:
        loss = keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing)
    kind = keras.metrics.BinaryAccuracy if outputs == 1 else keras.metrics.CategoricalAccuracy
    # XLA makes convolutions on a CPU several times slower; elsewhere Keras decides.
    model.compile(optimizer, loss, metrics=[kind(name="accuracy")], jit_compile="auto" if on_accelerator() else False)


def on_accelerator() -> bool:
    """Whether Keras's backend sees a GPU or TPU."""
    if keras.backend.backend() == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        return bool(torch.cuda.is_available())
    return any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices())
