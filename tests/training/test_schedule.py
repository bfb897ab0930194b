"""The learning rate: as Keras's schedules have it, and planned anew where a time has to be kept."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nas.messages import DataCard, Job, Progress, Stopped, Trained
from nas.recipe import Recipe
from nas.training.schedule import WARM_UP, Rate
from nas.training.trainer import train
from tests.helpers import GENOTYPE, make_job

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("schedule", WARM_UP)
def test_rate_is_that_of_keras(schedule: str) -> None:
    rate = Rate(Recipe(schedule=schedule, learning_rate=0.02), 200)
    part, start = WARM_UP[schedule]
    warm = round(part * 200)
    theirs = keras.optimizers.schedules.CosineDecay(0.02 * start, 200 - warm, warmup_target=0.02, warmup_steps=warm)
    steps = [0, 1, 5, 10, 59, 60, 61, 150, 199, 200]
    np.testing.assert_allclose([float(rate(step)) for step in steps], [float(theirs(step)) for step in steps], atol=1e-8)


def test_rate_that_is_planned_anew_goes_on_from_where_it_is_and_comes_to_its_end() -> None:
    rate = Rate(Recipe(schedule="cosine", learning_rate=1.0), 1000)
    before = float(rate(400))
    rate.replan(400, 50)
    assert float(rate(400)) == pytest.approx(before, abs=1e-6)
    assert before > float(rate(425)) > float(rate(449)) > 0
    assert float(rate(450)) == pytest.approx(0, abs=1e-6)
    before = float(rate(425))
    rate.replan(425, 1000)
    assert float(rate(425)) == pytest.approx(before, abs=1e-6)
    assert before > float(rate(925)) > float(rate(1424)) > 0
    assert float(rate(1425)) == pytest.approx(0, abs=1e-6)


def test_training_with_a_time_to_keep_ends_when_its_schedule_does(digits: DataCard, tmp_path: Path, pace: float) -> None:
    """Far from the epochs that were planned, also when it was ended and goes on with another time."""
    heard: list[int] = []

    class _Ended(Exception):
        pass

    def ends(news: object) -> bool:
        if isinstance(news, Progress):
            heard.append(news.epoch)
            if heard == [1, 2]:
                raise _Ended
        return True

    def job(seconds: float) -> Job:
        timed = make_job(digits, tmp_path, {**GENOTYPE, "schedule": "cosine"}, epochs=900, validation_part=0.0)
        return dataclasses.replace(timed, until=time.time() + seconds)

    with pytest.raises(_Ended):
        train(job(60 * pace), ends)
    heard.append(0)
    outcome = train(job(12 * pace), ends)
    assert isinstance(outcome, Trained)
    with np.load(tmp_path / "1.npz") as stored:
        history = json.loads(str(stored["history"]))
    assert heard[3:5] == [1, 2], "told again"
    assert len(history["epochs"]) == history["of"] == heard[-1] < 900
    assert history["done"] > 0.5
    assert (tmp_path / "1.keras").exists()


def test_far_more_epochs_than_were_planned_are_not_trained_at_the_end_of_the_schedule(digits: DataCard, tmp_path: Path) -> None:
    """One was planned, at the end of which the rate is zero; then there is time for hundreds."""
    losses: list[float] = []

    def hears(news: object) -> bool:
        if isinstance(news, Progress):
            losses.append(news.metrics["train_loss"])
        return len(losses) < 6

    job = make_job(digits, tmp_path, {**GENOTYPE, "schedule": "cosine"}, epochs=1, validation_part=0.0)
    assert train(dataclasses.replace(job, until=time.time() + 3600), hears) == Stopped()
    assert losses[5] < 0.7 * losses[1]
    with np.load(tmp_path / "1.npz") as stored:
        assert json.loads(str(stored["history"]))["done"] < 0.1


def test_a_night_that_the_machine_sleeps_is_no_time_of_a_training(
    digits: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []

    def hears(news: object) -> bool:
        if isinstance(news, Progress):
            monkeypatch.setattr("time.time", lambda: 4e9)  # so late it is when it wakes
            planned.append(news.epoch)
        return len(planned) < 3

    job = make_job(digits, tmp_path, {**GENOTYPE, "schedule": "cosine"}, epochs=20, validation_part=0.0)
    assert train(dataclasses.replace(job, until=time.time() + 3600), hears) == Stopped()
    with np.load(tmp_path / "1.npz") as stored:
        assert json.loads(str(stored["history"]))["of"] > 20


def test_without_its_time_a_training_goes_on_to_the_end_that_was_planned_by_it(digits: DataCard, tmp_path: Path) -> None:
    """However often it is ended: the plan stays in the checkpoint."""

    class _Ended(Exception):
        pass

    def ends_after(epoch: int) -> Callable[[object], bool]:
        def ends(news: object) -> bool:
            if isinstance(news, Progress) and news.epoch == epoch:
                raise _Ended
            return True

        return ends

    def history() -> dict[str, Any]:
        with np.load(folder / "1.npz") as stored:
            return dict(json.loads(str(stored["history"])))

    for seconds in (6, 24, 96):  # a busy machine may have time for one epoch only
        folder = tmp_path / str(seconds)
        folder.mkdir()
        job = make_job(digits, folder, {**GENOTYPE, "schedule": "cosine"}, epochs=900, validation_part=0.0)
        try:
            train(dataclasses.replace(job, until=time.time() + seconds), ends_after(2))
        except _Ended:
            break
    planned = history()["of"]
    assert 2 <= planned < 900
    done = [history()["done"]]
    for epoch in range(3, min(planned, 5)):
        with pytest.raises(_Ended):
            train(job, ends_after(epoch))
        assert history()["of"] == planned
        done.append(history()["done"])
    assert done == sorted(done)
    train(job, lambda _: True)
    assert len(history()["epochs"]) == planned
    assert history()["done"] == pytest.approx(1, abs=0.01)
