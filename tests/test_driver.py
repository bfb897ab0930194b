"""What the driver makes of a worker that the system ended for want of memory, and of a place that went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nas.config import settings
from nas.driving import drive
from nas.ledger import Ledger
from nas.messages import Candidate, Lost, Outcome, OutOfMemory, Progress, Record, Trained
from nas.space import read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import Silent

SPACE = read_space({"name": "toy", "genes": {"x": {"range": [0.0, 1.0]}}})
ENDED = OutOfMemory("the system had no memory left and ended the worker", by_system=True)
Heard = Callable[[Progress], bool]


def driven(job: Callable[[int, Heard], Outcome]) -> Record:
    """The record of one candidate whose tries are `job`, counted from 0."""
    chosen = settings(None, {"executor": "inline", "pruner": "none"}, budget=1, strategy="random")
    tries = 0

    def run(candidate: Candidate, heard: Heard) -> Outcome:
        nonlocal tries
        tries += 1
        return job(tries - 1, heard)

    ledger = Ledger(None, SPACE, "random")
    asking: Any = Asking(SPACE, make_strategy("random", SPACE, 0, chosen), chosen)
    try:
        drive(chosen, ledger, asking, Silent(), lambda one: one, run, last_epoch=3)
    except Exception as problem:  # nothing was trained
        assert "no candidate could be trained" in str(problem)
    return ledger.record(0)


def test_candidate_that_fits_goes_on_when_something_else_took_the_memory() -> None:
    """Ended after its first epoch, after its second, and then not any more."""

    def job(tried: int, heard: Heard) -> Outcome:
        for epoch in range(1, min(tried + 1, 3) + 1):
            heard(Progress(0, epoch, epoch / 10, {}))
        return ENDED if tried < 2 else Trained(0.3)

    record = driven(job)
    assert (record.state, record.reason, record.curve) == ("trained", "", (0.1, 0.2, 0.3))


def test_candidate_that_is_ended_twice_at_one_epoch_is_infeasible() -> None:
    def job(tried: int, heard: Heard) -> Outcome:
        heard(Progress(0, 1, 0.1, {}))
        return ENDED

    record = driven(job)
    assert (record.state, record.reason) == ("infeasible", f"{ENDED.reason}, twice after epoch 1")


def test_candidate_that_never_had_an_epoch_does_not_fit() -> None:
    record = driven(lambda tried, heard: ENDED)
    assert (record.state, record.reason) == ("infeasible", f"out of memory: {ENDED.reason}")


def test_candidate_whose_place_goes_again_and_again_is_not_blamed() -> None:
    """Three machines leave while it is in its first epoch; one whose worker died as often is infeasible."""
    gone = Lost("its place on the cluster is gone", place=True)
    assert driven(lambda tried, heard: gone if tried < 3 else Trained(0.3)).state == "trained"
    record = driven(lambda tried, heard: gone)
    assert (record.state, record.reason) == ("infeasible", f"{gone.reason}, twice after epoch 0")
    died = Lost("the worker was killed by SIGKILL")
    assert driven(lambda tried, heard: died if tried < 3 else Trained(0.3)).state == "infeasible"


def test_candidate_that_another_driver_took_over_while_it_waited_is_not_sent_out() -> None:
    chosen = settings(None, {"executor": "inline", "pruner": "none"}, budget=2, strategy="random")
    asking: Any = Asking(SPACE, make_strategy("random", SPACE, 0, chosen), chosen)
    sent: list[int] = []

    class Robbed(Ledger):
        def holds(self, number: int, surely: bool = False) -> bool:
            return number == 0 or not sent

    ledger = Robbed(None, SPACE, "random")
    for number in range(2):
        ledger.add(asking.next(ledger.records(), number))

    def run(candidate: Candidate, heard: Heard) -> Outcome:
        sent.append(candidate.number)
        return Trained(0.5)

    drive(chosen, ledger, asking, Silent(), lambda one: one, run)
    assert sent == [0]
