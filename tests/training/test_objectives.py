"""Objectives: what Keras measures while it trains is what scikit-learn says afterwards."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn import metrics as reference

from nas.answers import class_probabilities
from nas.datasets import open_cache, prepare
from nas.datasets.split import split
from nas.figures import figures
from nas.messages import DataCard, Progress, Trained
from nas.recipe import Recipe
from nas.training import trainer
from nas.training.batches import Batches, targets
from nas.training.model import build
from nas.training.objectives import accuracy_metric, objective_metrics, score
from nas.training.seeds import seed_of
from tests.helpers import GENOTYPE, PLAIN, class_folder, make_job

pytestmark = pytest.mark.backend


def measured(objective: str, targets: np.ndarray, outputs: np.ndarray) -> float:
    (metric,) = objective_metrics(objective, outputs.shape[1])
    for start in range(0, len(targets), 7):
        metric.update_state(targets[start : start + 7], outputs[start : start + 7])
    return float(np.asarray(metric.result()))


RNG = np.random.default_rng(0)
LABELS = np.array([0] * 30 + [1] * 8 + [2] * 4)
OUTPUTS = RNG.dirichlet(np.ones(3), len(LABELS)).astype("float32")


@pytest.mark.parametrize("units", [3, 1])
def test_measured_as_by_scikit_learn(units: int) -> None:
    if units == 3:
        labels, targets, outputs, found = LABELS, np.eye(3, dtype="float32")[LABELS], OUTPUTS, OUTPUTS.argmax(axis=1)
    else:
        labels = (LABELS > 0).astype(int)
        targets, outputs = labels[:, None].astype("float32"), OUTPUTS[:, :1]
        found = (outputs[:, 0] > 0.5).astype(int)
    balanced = reference.balanced_accuracy_score(labels, found)
    assert measured("balanced_accuracy", targets, outputs) == pytest.approx(balanced, abs=1e-6)
    assert measured("f1", targets, outputs) == pytest.approx(reference.f1_score(labels, found, average="macro"), abs=1e-6)
    area = reference.roc_auc_score(targets if units == 3 else labels, outputs, average="macro")
    assert measured("auc", targets, outputs) == pytest.approx(area, abs=2e-3)


def test_of_several_sigmoids_the_area_is_that_of_the_figures() -> None:
    """Outputs that rise and fall together say nothing of classes."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(600, 3)) + 3 * rng.normal(size=(600, 1))
    labels = np.argmax(logits + rng.normal(size=(600, 3)), axis=1)
    outputs = (1 / (1 + np.exp(-logits))).astype("float32")
    (area,) = (each.value for each in figures(class_probabilities(outputs), labels, tuple("abc")).figures if each.name == "auc")
    assert measured("auc", np.eye(3, dtype="float32")[labels], outputs) == pytest.approx(area, abs=2e-3)


@pytest.mark.parametrize(
    ("classes", "rare", "sure"), [(2, 0.02, 0.5), (2, 0.5, 12.0), (10, 0.1, 8.0), (100, 0.01, 0.5), (1, 0.02, 12.0)]
)
def test_area_of_answers_that_are_sure_or_of_many_classes_is_that_of_scikit_learn(
    classes: int, rare: float, sure: float
) -> None:
    """Answers near 0 or 1, or of classes that hardly get any probability, differ by less than thresholds at equal distances."""
    rng = np.random.default_rng(1)
    count = 1_500
    labels = rng.integers(0, classes, count) if classes > 2 else (rng.random(count) < rare).astype(int)
    hot = np.eye(max(2, classes), dtype="float32")[labels]
    logits = sure * (rng.normal(size=hot.shape) + 0.9 * hot)
    outputs = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype("float32")
    if classes == 1:
        hot, outputs = hot[:, 1:], outputs[:, 1:]
    area = reference.roc_auc_score(hot, outputs, average="macro")
    assert measured("auc", hot, outputs) == pytest.approx(area, abs=2e-3)


def test_accuracy_of_a_single_unit_takes_targets_that_are_mixed() -> None:
    metric = accuracy_metric(1)
    metric.update_state(np.array([[0.3], [0.8], [1.0], [0.0]], "float32"), np.array([[0.1], [0.9], [0.2], [0.4]], "float32"))
    assert float(np.asarray(metric.result())) == pytest.approx(0.75)


def test_a_class_that_is_not_there_does_not_count() -> None:
    targets, outputs = np.eye(3, dtype="float32")[[0, 0, 1]], np.eye(3, dtype="float32")[[0, 1, 1]]
    assert measured("balanced_accuracy", targets, outputs) == pytest.approx(0.75)
    assert measured("f1", targets, outputs) == pytest.approx(2 / 3)


def test_accuracy_and_loss_need_no_more_than_is_measured_anyway() -> None:
    assert objective_metrics("accuracy", 3) == objective_metrics("loss", 3) == []
    facts = {"val_accuracy": 0.5, "val_loss": 1.5, "train_accuracy": 0.75, "val_f1": 0.25}
    assert [score(name, facts) for name in ("accuracy", "loss", "f1")] == [0.5, -1.5, 0.25]
    assert score("accuracy", {"train_accuracy": 0.75}) == 0.75


@pytest.mark.parametrize("objective", ["balanced_accuracy", "f1", "auc", "loss"])
def test_a_training_is_scored_by_its_objective(objective: str, digits: DataCard, tmp_path: Path) -> None:
    heard: list[Progress] = []
    job = make_job(digits, tmp_path, objective=objective, epochs=2)
    outcome = trainer.train(job, lambda news: heard.append(news) or True if isinstance(news, Progress) else True)
    assert isinstance(outcome, Trained)
    assert outcome.value == max(each.value for each in heard)
    for each in heard:
        assert each.value == (-each.metrics["val_loss"] if objective == "loss" else each.metrics[f"val_{objective}"])


def test_rare_classes_weigh_as_much_as_common_ones() -> None:
    weights = trainer.class_weights(np.array([0] * 60 + [1] * 30 + [3] * 10), 5)
    assert weights == pytest.approx([100 / 180, 100 / 90, 0.0, 100 / 30, 0.0])
    assert 60 * weights[0] == pytest.approx(10 * weights[3])


@pytest.mark.parametrize(("output", "recipe"), [("softmax", {}), ("softmax", {"cutmix": 1.0}), ("binary", {"mixup": 1.0})])
def test_rare_classes_weigh_as_much_in_mixtures_too(two_classes: DataCard, output: str, recipe: dict[str, float]) -> None:
    images, labels = open_cache(two_classes)
    index = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:4]])
    outputs = 1 if output == "binary" else 2
    weights = trainer.class_weights(labels[index], 2)
    training = Batches(images, targets(labels, outputs), index, 22, (1,), Recipe(**recipe), weights)  # type: ignore[arg-type]
    sums, pictures = np.zeros(2), 0
    for epoch in range(200):
        training.set_epoch(epoch, 200)
        for number in range(len(training)):
            _, hot, each = training[number]
            sums += each @ (np.hstack([1 - hot, hot]) if outputs == 1 else hot)
            pictures += len(each)
    assert sums / pictures == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_training_minimises_the_weighed_loss(tmp_path: Path) -> None:
    """Of a network that does not move, the loss in training is the mean of the classes' own losses."""
    card = prepare(str(class_folder(tmp_path / "rare", {"red": 150, "green": 20})))
    genotype = {**PLAIN, "optimizer": "sgd", "learning_rate": 1e-8, "batch_size": 1_000}
    job = make_job(card, tmp_path, genotype, epochs=1, train_part=1.0, class_weight="balanced")
    heard: list[Progress] = []
    trainer.train(job, lambda news: heard.append(news) or True if isinstance(news, Progress) else True)
    images, labels = open_cache(card)
    index, _ = split(labels, job.seed, job.validation_part, job.train_part)
    network = build(job.blueprint, seed_of(job.seed, job.number), job.precision)
    losses = -np.log(
        keras.ops.convert_to_numpy(network(np.asarray(images[index], "float32")))[np.arange(len(index)), labels[index]]
    )
    each = [float(losses[labels[index] == label].mean()) for label in (0, 1)]
    assert heard[0].metrics["train_loss"] == pytest.approx(np.mean(each), rel=1e-3)
    assert abs(each[0] - each[1]) > 0.01, "so that weights make a difference"


def test_the_loss_that_is_told_is_the_same_for_every_recipe(digits: DataCard, tmp_path: Path) -> None:
    """Of one network before it has learned: a squared error or smoothed labels are not what is told."""
    told = []
    for place, recipe in enumerate(({}, {"loss": "mse"}, {"label_smoothing": 0.4})):
        heard: list[Progress] = []
        folder = tmp_path / str(place)
        folder.mkdir()
        job = make_job(digits, folder, {**PLAIN, "optimizer": "sgd", "learning_rate": 1e-8, **recipe}, epochs=1)
        trainer.train(job, lambda news, heard=heard: heard.append(news) or True if isinstance(news, Progress) else True)
        told.append(heard[0].metrics["val_loss"])
    assert told[1:] == pytest.approx([told[0]] * 2, rel=1e-4)
    assert told[0] > 1


def test_without_validation_all_pictures_are_trained_on_and_the_last_weights_are_kept(digits: DataCard, tmp_path: Path) -> None:
    heard: list[Progress] = []
    job = make_job(digits, tmp_path, validation_part=0.0, train_part=1.0, epochs=2)
    outcome = trainer.train(job, lambda news: heard.append(news) or True if isinstance(news, Progress) else True)
    assert isinstance(outcome, Trained)
    timed = {"train_accuracy", "train_loss", "seconds"}
    assert [set(each.metrics) for each in heard] == [timed | {"start"}, timed]
    assert [each.value for each in heard] == [each.metrics["train_accuracy"] for each in heard]
    assert Path(job.model).exists()


def test_averaged_weights_are_the_ones_that_are_validated_and_handed_over(digits: DataCard, tmp_path: Path) -> None:
    """The training is the same, with averages or without (but for roundings as they are put in place); what is looked at and
    kept is not."""
    from nas.training.handover import load_model

    curves, networks = {}, {}
    for ema in (0.0, 0.99999):
        heard: list[Progress] = []
        (tmp_path / str(ema)).mkdir()
        job = make_job(digits, tmp_path / str(ema), {**GENOTYPE, "ema": ema}, epochs=6)
        trainer.train(job, lambda news, heard=heard: heard.append(news) or True if isinstance(news, Progress) else True)
        curves[ema] = [each.metrics for each in heard]
        # Without the statistics of normalisation: they are no part of the average, and the same on JAX to the last digit.
        networks[ema] = [np.asarray(weight.numpy()) for weight in load_model(Path(job.model)).model.trainable_weights]
    for name in ("train_accuracy", "train_loss"):
        assert [each[name] for each in curves[0.0]] == pytest.approx([each[name] for each in curves[0.99999]], abs=1e-3)
    assert all(a["val_loss"] != b["val_loss"] for a, b in zip(curves[0.0], curves[0.99999], strict=True))
    assert curves[0.99999][-1]["val_accuracy"] > 0.7
    assert not any(np.allclose(a, b, atol=1e-5) for a, b in zip(networks[0.0], networks[0.99999], strict=True))
