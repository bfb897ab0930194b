"""What a score can be: `accuracy`, or what says more where classes are rare: `balanced_accuracy`, `f1`, `auc`; or the `loss`.

All are of validation pictures, from 0 to 1 with 1 the best; only the score by `loss` is its negative.
"""

from __future__ import annotations

from typing import Any

import keras

from nas.answers import LEAST
from nas.messages import Metrics

BINS, WIDEST = 4_096, 20.0  # of the log-odds, from -WIDEST to WIDEST: what is beyond that (2e-9) is told apart no more


class _Confusion(keras.metrics.Metric):  # type: ignore[misc]  # Keras ships no types
    """Counts [class, answered class] over all batches; targets are one-hot, or 0 and 1 for a single sigmoid unit."""

    def __init__(self, outputs: int) -> None:
        super().__init__(name="objective")
        self.classes = max(2, outputs)
        self.counts = self.add_variable((self.classes, self.classes), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        ops = keras.ops
        single = y_pred.shape[-1] == 1
        true = ops.cast(ops.round(y_true[:, 0]), "int32") if single else ops.argmax(y_true, axis=-1)
        found = ops.cast(y_pred[:, 0] > 0.5, "int32") if single else ops.argmax(y_pred, axis=-1)
        rows, columns = (ops.one_hot(each, self.classes, dtype="float32") for each in (true, found))
        self.counts.assign_add(ops.matmul(ops.transpose(rows), columns))

    def _parts(self) -> tuple[Any, Any, Any]:
        """Of each class: hits, pictures, answers."""
        counts = keras.ops.convert_to_tensor(self.counts)
        return keras.ops.diagonal(counts), keras.ops.sum(counts, axis=1), keras.ops.sum(counts, axis=0)


class BalancedAccuracy(_Confusion):
    """The mean over the classes of the part that was recognised."""

    def result(self) -> Any:
        hits, pictures, _ = self._parts()
        there = keras.ops.cast(pictures > 0, "float32")
        return keras.ops.sum(hits / keras.ops.maximum(pictures, 1.0)) / keras.ops.maximum(keras.ops.sum(there), 1.0)


class MacroF1(_Confusion):
    """The mean over the classes of the harmonic mean of precision and recall."""

    def result(self) -> Any:
        hits, pictures, answers = self._parts()
        there = keras.ops.cast(pictures + answers > 0, "float32")
        each = 2 * hits / keras.ops.maximum(pictures + answers, 1.0)
        return keras.ops.sum(each) / keras.ops.maximum(keras.ops.sum(there), 1.0)


class RankAuc(keras.metrics.Metric):  # type: ignore[misc]
    """The chance that a picture of a class is given more of it than one of another class, ties counted half: the area under
    the ROC curve (Hanley & McNeil 1982), the mean over the classes that are there, each against the rest.

    Ranks are those of the log-odds in steps of a hundredth, of shares where there is an output for each class, as in
    `answers.py`. Keras's own `AUC` has 200 thresholds at equal distances, between
    two of which all answers of a network lie that is sure, or that knows many classes.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__(name="objective")
        self.outputs = outputs
        self.own = self.add_variable((outputs * BINS,), "zeros", name="own")
        self.rest = self.add_variable((outputs * BINS,), "zeros", name="rest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        ops = keras.ops
        given = ops.nan_to_num(ops.cast(y_pred, "float32"), nan=0.0)  # of a network that diverged, which its loss tells
        if self.outputs > 1:
            total = ops.sum(given, axis=1, keepdims=True)
            given = ops.where(total > LEAST, given / ops.maximum(total, LEAST), 1 / self.outputs)
        odds = ops.log(ops.maximum(given, 1e-38)) - ops.log(ops.maximum(1.0 - given, 1e-38))
        place = ops.cast((ops.clip(odds, -WIDEST, WIDEST) + WIDEST) / (2 * WIDEST) * (BINS - 1) + 0.5, "int32")
        place = ops.reshape(place + BINS * ops.arange(self.outputs, dtype="int32"), (-1,))
        true = ops.reshape(ops.cast(y_true, "float32"), (-1,))
        for counts, weights in ((self.own, true), (self.rest, 1.0 - true)):
            counts.assign_add(ops.segment_sum(weights, place, num_segments=self.outputs * BINS))

    def result(self) -> Any:
        ops = keras.ops
        own, rest = (ops.reshape(ops.convert_to_tensor(each), (self.outputs, BINS)) for each in (self.own, self.rest))
        below = ops.cumsum(rest, axis=1) - rest / 2
        pairs = ops.sum(own, axis=1) * ops.sum(rest, axis=1)
        areas = ops.sum(own * below, axis=1) / ops.maximum(pairs, 1e-9)
        return ops.sum(areas) / ops.maximum(ops.sum(ops.cast(pairs > 0, "float32")), 1.0)


def accuracy_metric(outputs: int) -> Any:
    """The part of pictures whose likeliest class is that of the target, which may be mixed of two."""
    if outputs > 1:
        return keras.metrics.CategoricalAccuracy(name="accuracy")
    return keras.metrics.MeanMetricWrapper(_right, name="accuracy")  # Keras's own takes no target between 0 and 1


def _right(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.cast(keras.ops.equal(y_true[:, 0] > 0.5, y_pred[:, 0] > 0.5), "float32")


def crossentropy_metric(outputs: int) -> Any:
    """The mean negative logarithm of the probability that the true class was given (of sigmoids, of their shares)."""
    kind = keras.metrics.CategoricalCrossentropy if outputs > 1 else keras.metrics.BinaryCrossentropy
    return kind(name="crossentropy")


def objective_metrics(objective: str, outputs: int) -> list[Any]:
    """What has to be measured beside accuracy and loss."""
    if objective == "balanced_accuracy":
        return [BalancedAccuracy(outputs)]
    if objective == "f1":
        return [MacroF1(outputs)]
    if objective == "auc":
        return [RankAuc(outputs)]
    return []


def score(objective: str, metrics: Metrics) -> float:
    """The score of an epoch, the higher the better; without validation it is the accuracy in training."""
    if "val_loss" not in metrics:
        return metrics["train_accuracy"]
    return -metrics["val_loss"] if objective == "loss" else metrics[f"val_{objective}"]
