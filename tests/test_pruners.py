"""Pruners by hand-made records: at which epochs they decide, who goes on, and that ties do."""

import pytest

from nas.messages import Record
from nas.pruners import PRUNERS, asha, median, none


def records(*curves, state="running"):
    return [Record(number, {}, state, curve=tuple(curve)) for number, curve in enumerate(curves)]


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(1, [1]), (2, [1]), (3, [1]), (4, [2]), (9, [3]), (13, [5]), (27, [9]), (100, [34])]
)
def test_asha_decides_at_a_third_of_a_training(epochs, rungs):
    best, worst = [0.9] * epochs, [0.1] * epochs
    found = records(best, best, best, worst)
    assert [epoch for epoch in range(1, epochs + 1) if asha(found, 3, epoch, epochs)] == rungs
    assert not any(asha(found, 0, epoch, epochs) for epoch in range(1, epochs + 1))


def test_asha_decides_at_epochs_1_3_9_and_27_where_nobody_knows_the_last():
    best, worst = [0.9] * 30, [0.1] * 30
    found = records(best, best, best, worst)
    assert [epoch for epoch in range(1, 31) if asha(found, 3, epoch)] == [1, 3, 9, 27]
    assert not any(asha(found, 0, epoch) for epoch in range(1, 31))


def test_under_asha_the_first_two_at_a_rung_go_on_whatever_they_score():
    assert not asha(records([0.1]), 0, 1)
    assert not asha(records([0.9], [0.1]), 1, 1)
    assert asha(records([0.9], [0.8], [0.1]), 2, 1)


def test_under_asha_the_first_two_at_a_later_rung_go_on_too():
    found = records([0.9] * 3, [0.1, 0.1, 0.1], [0.8], [0.7], [0.6], [0.5])
    assert not asha(found, 1, 3)


def test_under_asha_the_best_third_goes_on():
    found = records([0.6], [0.5], [0.4], [0.3], [0.2], [0.1])
    assert [number for number in range(6) if not asha(found, number, 1)] == [0, 1]


def test_under_asha_ties_go_on():
    found = records(*[[0.5]] * 7)
    assert not any(asha(found, number, 1) for number in range(7))


def test_asha_compares_scores_of_the_same_epoch():
    found = records([0.1, 0.1, 0.9], [0.1, 0.1, 0.8], [0.9, 0.9, 0.1])
    assert asha(found, 2, 3)
    assert not asha(found, 2, 1)


@pytest.mark.parametrize("state", ["running", "trained", "stopped"])
def test_asha_does_not_ask_how_the_others_ended(state):
    found = [*records([0.9], [0.8], state=state), Record(2, {}, "running", curve=(0.1,))]
    assert asha(found, 2, 1)


def test_the_median_decides_after_five_others_at_every_epoch():
    better = [[0.9, 0.9]] * 5
    assert not median(records(*better[:4], [0.1, 0.1]), 4, 1)
    found = records(*better, [0.1, 0.1])
    assert median(found, 5, 1)
    assert median(found, 5, 2)


def test_at_or_above_the_median_goes_on():
    found = records([0.1], [0.2], [0.3], [0.4], [0.5], [0.3], [0.25])
    assert [number for number in range(7) if median(found, number, 1)] == [0, 1, 6]
    assert not any(median(records(*[[0.5]] * 9), number, 1) for number in range(9))


def test_none_stops_nobody():
    assert not none(records([0.9], [0.9], [0.9], [0.0]), 3, 1)


@pytest.mark.parametrize("name", PRUNERS)
def test_an_answer_depends_on_the_records_alone(name):
    found = records(*[[score / 10] * 9 for score in range(9)])
    asked = [(number, epoch) for number in range(9) for epoch in range(1, 10)]
    once = {each: PRUNERS[name](found, *each) for each in asked}
    assert {each: PRUNERS[name](found, *each) for each in reversed(asked)} == once
