"""The shared trainer on real digits: it learns, repeats itself bit for bit, and ends for the right reason."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.datasets import open_cache
from nas.datasets.split import split
from nas.messages import DataCard, Infeasible, News, Progress, Pulse, Stopped, Trained
from nas.recipe import OPTIMIZERS, SCHEDULES
from nas.training.batches import Batches
from nas.training.handover import load_model
from nas.training.trainer import train
from tests.helpers import GENOTYPE, PLAIN, make_job, train_fresh, workers


class Ear:
    """Hears the progress, and answers by `answer`; pulses are kept apart."""

    def __init__(self, answer: Callable[[Progress], bool] = lambda _: True) -> None:
        self.heard: list[Progress] = []
        self.pulses: list[Pulse] = []
        self.answer = answer

    def __call__(self, news: News) -> bool:
        if isinstance(news, Pulse):
            self.pulses.append(news)
            return False  # which means nothing
        self.heard.append(news)
        return self.answer(news)

    @property
    def curve(self) -> list[tuple[float, ...]]:
        """All that was measured but the seconds, in full digits."""
        return [tuple(value for key, value in each.metrics.items() if key not in ("seconds", "start")) for each in self.heard]


@pytest.mark.backend
def test_digits_are_learned(digits: DataCard, tmp_path: Path) -> None:
    ear = Ear()
    outcome = train(make_job(digits, tmp_path, train_part=1.0, epochs=5), ear)
    assert isinstance(outcome, Trained)
    assert outcome.value > 0.9
    assert outcome.value == max(each.value for each in ear.heard)
    assert [each.epoch for each in ear.heard] == [1, 2, 3, 4, 5]
    assert ear.pulses, "there is a sign of life at the first batch"
    assert all(0 < pulse.done <= 5 for pulse in ear.pulses)
    assert set(ear.heard[0].metrics) == {"val_accuracy", "val_loss", "train_accuracy", "train_loss", "seconds", "start"}


def test_what_the_first_look_at_validation_pictures_takes_is_told_as_part_of_the_start(
    digits: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of the first batch: networks are traced then, or compiled, and another epoch takes less."""

    class Slow(Batches):
        read = 0

        def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
            self.read += 1
            if self.seed is None and self.read == 2:  # of validation, the first after that by which `fed` knows its shape
                time.sleep(3)
            return super().__getitem__(number)

    monkeypatch.setattr("nas.training.trainer.Batches", Slow)
    ear = Ear()
    train(make_job(digits, tmp_path, epochs=2), ear)
    first, second = (each.metrics for each in ear.heard)
    assert 3 < first["start"] <= first["seconds"]
    assert "start" not in second


@pytest.mark.slow
@pytest.mark.backend
def test_curve_is_the_same_in_one_piece_and_killed_after_two_epochs(digits: DataCard, tmp_path: Path) -> None:
    """Augmentation, dropout, AdamW and cosine decay are all in the recipe; every piece has a fresh process."""
    whole = Ear()
    (tmp_path / "whole").mkdir()
    first = train_fresh(make_job(digits, tmp_path / "whole"), whole)
    kills: list[int] = []

    def kill_once(progress: Progress) -> bool:
        if progress.epoch == 2 and not kills:
            kills.append(progress.epoch)
            for worker in workers():
                worker.kill()
        return True

    pieces = Ear(kill_once)
    second = train_fresh(make_job(digits, tmp_path), pieces)
    assert kills == [2]
    assert [each.epoch for each in pieces.heard] == [1, 2, 1, 2, 3, 4], "what was trained is told again, not trained again"
    assert pieces.curve[2:] == whole.curve
    assert isinstance(first, Trained)
    assert second == first


def test_another_number_is_another_candidate(digits: DataCard, tmp_path: Path) -> None:
    first, second = Ear(), Ear()
    train(make_job(digits, tmp_path, epochs=1, number=1), first)
    train(make_job(digits, tmp_path, epochs=1, number=2, checkpoint=str(tmp_path / "2.npz")), second)
    assert first.curve != second.curve


@pytest.mark.parametrize(("epochs", "as_if"), [(1, {}), (3, {"mixup": 1.0})])
def test_batches_are_mixed_where_the_training_is_long(
    digits: DataCard, tmp_path: Path, epochs: int, as_if: dict[str, float]
) -> None:
    curves = []
    for recipe in ({"mixup": 1.0, "mixing_epochs": 3}, as_if):
        folder = tmp_path / str(len(curves))
        folder.mkdir()
        ear = Ear()
        train(make_job(digits, folder, {**PLAIN, **recipe}, epochs=epochs), ear)
        curves.append(ear.curve)
    assert curves[0] == curves[1]


@pytest.mark.backend
def test_told_to_stop_it_is_stopped(digits: DataCard, tmp_path: Path) -> None:
    ear = Ear(lambda progress: progress.epoch < 2)
    assert train(make_job(digits, tmp_path), ear) == Stopped()
    assert len(ear.heard) == 2
    assert not (tmp_path / "1.keras").exists()


def test_stopped_one_that_may_have_heirs_leaves_its_model(digits: DataCard, tmp_path: Path) -> None:
    job = dataclasses.replace(make_job(digits, tmp_path), heirs=True)
    assert train(job, Ear(lambda progress: progress.epoch < 2)) == Stopped()
    assert load_model(tmp_path / "1.keras").facts["epochs"] == 2


def test_told_to_stop_after_the_last_epoch_it_is_trained(digits: DataCard, tmp_path: Path) -> None:
    outcome = train(make_job(digits, tmp_path, epochs=2), Ear(lambda progress: progress.epoch < 2))
    assert isinstance(outcome, Trained)
    assert (tmp_path / "1.keras").exists()


def test_patience_ends_what_no_longer_improves(digits: DataCard, tmp_path: Path) -> None:
    ear = Ear()
    genotype = {**PLAIN, "optimizer": "sgd", "learning_rate": 1e-8}
    outcome = train(make_job(digits, tmp_path, genotype, epochs=9, patience=2), ear)
    assert isinstance(outcome, Trained)
    assert len(ear.heard) == 3
    assert (tmp_path / "1.keras").exists()


@pytest.mark.backend
def test_huge_learning_rate_is_infeasible_with_a_reason(digits: DataCard, tmp_path: Path) -> None:
    ear = Ear()
    # Weights that decay by a hundred times themselves: with little decay JAX's stay finite, and the network is merely dead.
    genotype = {**PLAIN, "optimizer": "sgd", "learning_rate": 100.0, "weight_decay": 1.0}
    outcome = train(make_job(digits, tmp_path, genotype), ear)
    assert isinstance(outcome, Infeasible)
    assert "the loss became infinite or no number in epoch" in outcome.reason
    assert all(np.isfinite(each.value) for each in ear.heard)
    assert not (tmp_path / "1.keras").exists()


def test_damaged_checkpoint_begins_anew(digits: DataCard, tmp_path: Path) -> None:
    undisturbed, ear = Ear(), Ear()
    job = make_job(digits, tmp_path, epochs=2)
    train(job, undisturbed)
    Path(job.checkpoint).write_bytes(Path(job.checkpoint).read_bytes()[:3000])
    train(job, ear)
    assert ear.curve == undisturbed.curve


def test_checkpoint_of_the_last_epoch_is_enough(digits: DataCard, tmp_path: Path) -> None:
    """Killed between the last epoch and the saved model: nothing is trained again, and the model is there."""
    job = make_job(digits, tmp_path, epochs=2)
    first = train(job, Ear())
    Path(job.model).unlink()
    before = Path(job.checkpoint).stat().st_mtime_ns
    assert train(job, Ear()) == first
    assert Path(job.model).exists()
    assert Path(job.checkpoint).stat().st_mtime_ns == before


HEADS = [*itertools.product(("softmax", "sigmoid", "binary"), ("crossentropy", "mse"))]


@pytest.mark.backend
@pytest.mark.parametrize(("output", "loss"), HEADS)
def test_every_head_trains_with_every_loss(two_classes: DataCard, tmp_path: Path, output: str, loss: str) -> None:
    genotype: dict[str, Any] = {**GENOTYPE, "output": output, "loss": loss, "label_smoothing": 0.1, "batch_size": 8}
    outcome = train(make_job(two_classes, tmp_path, genotype, train_part=1.0, epochs=4), Ear())
    assert isinstance(outcome, Trained)
    assert outcome.value > 0.8, "the two colours are easy to tell"
    images, labels = open_cache(two_classes)
    shares = load_model(tmp_path / "1.keras").probabilities(images)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.argmax(axis=1) == labels).mean() > 0.8


@pytest.mark.backend
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_and_schedule_trains(two_classes: DataCard, tmp_path: Path, optimizer: str, schedule: str) -> None:
    genotype = {**PLAIN, "optimizer": optimizer, "schedule": schedule, "weight_decay": 0.01, "learning_rate": 1e-3}
    assert isinstance(train(make_job(two_classes, tmp_path, genotype, epochs=1), Ear()), Trained)


@pytest.mark.backend
@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-6), ("bfloat16", 0.02)])
def test_saved_model_scores_what_was_told(digits: DataCard, tmp_path: Path, precision: str, off: float) -> None:
    """It loads in Keras's safe mode, in float32, takes raw bytes, and is the best epoch, not the last."""
    job = make_job(digits, tmp_path, precision=precision)
    outcome = train(job, Ear())
    assert isinstance(outcome, Trained)
    loaded = load_model(Path(job.model))
    assert {layer.compute_dtype for layer in loaded.model.layers} == {"float32"}
    assert loaded.classes == digits.classes
    images, labels = open_cache(digits)
    _, index = split(labels, job.seed, job.validation_part, job.train_part)
    accuracy = (loaded.probabilities(images[index]).argmax(axis=1) == labels[index]).mean()
    assert accuracy == pytest.approx(outcome.value, abs=off)
