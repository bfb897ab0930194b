"""Scores for a time: what a strategy is told where a retraining in what is left of the time follows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nas.keeping import Keeping
from nas.messages import Record
from nas.result import best_first
from nas.run import Run
from nas.timed import LEARNING, TimedScores, timed

DEAR = Record(0, {}, "trained", value=0.7, curve=(0.6, 0.7), metrics={"val_accuracy": 0.7, "seconds": 18.0, "start": 2.0})
CHEAP = Record(1, {}, "trained", value=0.6, curve=(0.5, 0.6), metrics={"val_accuracy": 0.6, "seconds": 3.0, "start": 2.0})


def test_an_error_counts_the_more_the_fewer_epochs_there_is_time_for() -> None:
    found = TimedScores("accuracy", 32.0).of([DEAR, CHEAP])
    assert found[0].value == pytest.approx(1 - 0.3 * (1 + LEARNING / 2)), "two epochs of 16 seconds"
    assert found[0].curve == pytest.approx((1 - 0.4 * (1 + LEARNING / 2), found[0].value))
    assert found[1].value == pytest.approx(1 - 0.4 * (1 + LEARNING / 32)), "and 32 of one"
    assert [record.number for record in best_first([DEAR, CHEAP])] == [0, 1]
    assert [record.number for record in best_first(found)] == [1, 0]
    ages = TimedScores("accuracy", 16_000.0).of([DEAR, CHEAP])
    assert [record.number for record in best_first(ages)] == [0, 1], "where there is time for a thousand, it is the score"
    assert timed(-0.5, 2.0, "loss") == pytest.approx(-0.5 * (1 + LEARNING / 2)), "a loss has no end at 1"
    assert timed(0.5, -3.0, "accuracy") < timed(0.6, -3.0, "accuracy"), "no time at all is no time"


def test_a_record_stays_the_same_as_long_as_it_does() -> None:
    """Strategies keep what they have made of a record by its identity."""
    scores = TimedScores("accuracy", 32.0)
    first = scores.of([DEAR, CHEAP])
    assert all(one is other for one, other in zip(scores.of([DEAR, CHEAP]), first, strict=True))
    longer = dataclasses.replace(DEAR, value=0.75, curve=(*DEAR.curve, 0.75))
    assert scores.of([longer])[0].value == pytest.approx(1 - 0.25 * (1 + LEARNING / 2))


def test_what_has_no_score_or_no_seconds_is_told_as_it_is() -> None:
    begun = Record(2, {}, "running")
    untimed = dataclasses.replace(DEAR, metrics={"val_accuracy": 0.7})
    assert TimedScores("accuracy", 32.0).of([begun, untimed]) == [begun, untimed]


def test_models_are_kept_of_those_who_become_parents_by_their_scores_for_the_time(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", "run")
    for record in (DEAR, CHEAP):
        run.model(record.number).touch()
    told = TimedScores("accuracy", 32.0).of
    Keeping(run, 0, breeders=1, told=told).tidy([DEAR, CHEAP], [DEAR, CHEAP])
    assert [run.model(number).exists() for number in (0, 1)] == [False, True]
    run.model(0).touch()
    Keeping(run, 1, breeders=1, told=told).tidy([DEAR, CHEAP], [DEAR, CHEAP])
    assert [run.model(number).exists() for number in (0, 1)] == [True, True], "and of the best by their scores themselves"
