"""A driver set going, and what is said when it has ended. `driver.py` is what goes on in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nas.config import Settings
from nas.driver import Driver
from nas.errors import NothingTrained, RunFailed, TimeOver, counted
from nas.executors import EXECUTORS, Executor, Work
from nas.keeping import Keeping, models_kept
from nas.ledger import Ledger
from nas.messages import Candidate, Limits
from nas.pruners import PRUNERS
from nas.result import Result, best_of
from nas.run import Run
from nas.strategies.asking import Asks, refused_words
from nas.view import View


def deadline_of(seconds: float | None, began: float) -> float:
    """When a time is over that began at `began` (by time.monotonic): preparing the data is in the time that a user gives."""
    return began + seconds if seconds is not None else float("inf")


def drive(
    chosen: Settings,
    ledger: Ledger,
    asking: Asks,
    view: View,
    job_for: Callable[[Candidate], Any],
    function: str | Callable[..., Any],
    run: Run | None = None,
    last_epoch: int | None = None,
    deadline: float = float("inf"),
    limits: Limits | None = None,
    hand_over: Callable[[Executor, Candidate], None] | None = None,
    again: str = "",
) -> Result:
    """Set a driver going and sum up. `again` is the command that goes on with it, by default `nas.search(…)`.

    Raises RunFailed if the disk does not take what is written, if there is no way to where jobs run, or if candidates ended and
    none of them could be trained.
    """
    driver: Driver
    log = str(run.log.absolute()) if run else None
    limits = limits or Limits()
    work = Work(
        function, lambda news: driver.heard(news), chosen.at_once, chosen.plugin, log, limits, chosen.cluster, view.note
    )
    prune, keeping = PRUNERS[chosen.pruner], Keeping(run, *models_kept(chosen), told=asking.told) if run else None
    again = again or f"nas.search(…, out='{run and run.folder}')"
    try:
        executor = EXECUTORS[chosen.executor](work)
        driver = Driver(chosen, ledger, asking, executor, prune, view, job_for, keeping, last_epoch, deadline, hand_over)
        driver.loop()
    except RunFailed as problem:
        if run is None:
            raise
        raise RunFailed(f"{problem}\n       every result so far is kept; when that is mended, go on with: {again}") from None
    records = tuple(ledger.records())
    if asking.refused:
        view.note(f"refused before training: {refused_words(asking.refused, chosen)}")
    if driver.ended == "time":
        done = sum(record.finished for record in records)
        view.note(f"the time for {counted(chosen.budget, asking.noun)} is over: {done} done")
    elif driver.ended == "budget" and driver.began == len(records) == sum(record.finished for record in records):
        view.note(f"nothing was left to do: {counted(len(records), asking.noun)} done, and the budget is {chosen.budget}")
    if driver.ended == "space":
        view.note(f"the space has nothing new within the limits after {counted(len(records), 'candidate')}; the search ends")
        view.note(asking.exhausted)
    learns = chosen.strategy == "genetic" or (chosen.strategy == "optuna" and chosen.sampler == "tpe")
    if records and learns and all(record.operator == "random" for record in records):
        drawn = f"all {len(records)} candidates were" if len(records) > 1 else "the one candidate was"
        view.note(f"{drawn} drawn at random: '{chosen.strategy}' needs some to learn from before it proposes its own")
    if driver.ended == "time" and all(record.value is None for record in records):
        hint = f"nothing is lost; give it more: {again} --time …" if isinstance(function, str) else "give it more"
        raise TimeOver(f"the time was over before any candidate had been trained for an epoch; {hint}")
    if records and all(record.state == "infeasible" for record in records):
        where = f"; see {run.log}" if run else ""
        raise NothingTrained(f"no candidate could be trained; the last one: {records[-1].reason}{where}")
    best, here = best_of(records), best_of(ledger.own())
    if best != here:
        kept = f"best.keras is #{here.number}, the best that was trained here" if here else "so there is no best.keras here"
        view.note(f"the best, #{best and best.number}, was trained by another driver; {kept}")
    return Result(records, best, run.folder if run else None, driver.ended)
