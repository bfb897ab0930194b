"""The driver: one loop without threads that asks, submits, listens and keeps the books.

It knows the ledger, one strategy (through `Asking`), one executor and a run folder, and never Keras. `fitting.py` sets it up.
Whatever ends the loop (budget, time, Ctrl-C, a full disk) leaves books with which `nas resume` goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas.config import Settings
from nas.errors import NasError, NothingTrained, RunFailed, counted
from nas.executors import EXECUTORS, Executor, Work
from nas.interrupts import Interrupts
from nas.keeping import Keeping, models_kept
from nas.ledger import Ledger
from nas.machine import scarce_memory
from nas.messages import Blocked, Candidate, Finished, Infeasible, Limits, Lost, News, OutOfMemory, Pulse
from nas.pruners import PRUNERS, Prune
from nas.result import Result, best_of, goodness
from nas.run import Run, disk_told
from nas.strategies.asking import Asks
from nas.view import View

TICK = 0.5  # seconds that the loop waits for news before it looks at the clock
LATER = 0.2  # seconds after which the strategy is asked again for a candidate that another driver was quicker with
PATIENCE = 60.0  # seconds that a machine without memory is given to have some again


class _TimeOver(BaseException):
    """The search's time is over. Passes through a job in this process, whatever it catches."""


@dataclass
class Driver:
    """Runs candidates until the budget, the time or the space is used up. `keeping` is None for a search in memory.

    `job_for` makes of a candidate what the executor's function wants; `last_epoch` is the one at which no pruner is asked.
    `hand_over` makes `best.keras` of a candidate that was not done when the time was over.
    """

    settings: Settings
    ledger: Ledger
    asking: Asks
    executor: Executor
    prune: Prune
    view: View
    job_for: Callable[[Candidate], Any]
    keeping: Keeping | None = None
    last_epoch: int | None = None
    deadline: float = float("inf")  # by time.monotonic
    hand_over: Callable[[Executor, Candidate], None] | None = None
    ended: str = ""  # why the loop ended: budget, time, or an exhausted space
    began: int = 0  # candidates that were there when the loop began
    _losses: dict[int, int] = field(default_factory=dict)  # number → epochs it had when it was last lost
    _spent: dict[int, float] = field(default_factory=dict)  # number → seconds of the tries that came to nothing
    _interrupts: Interrupts = field(default_factory=Interrupts)

    def loop(self) -> None:
        """Until nothing is left to do. A KeyboardInterrupt passes through, with all workers ended and the books in order.

        Raises RunFailed if the disk does not take what is written; then, too, nothing that was written before is lost.
        """
        with self._interrupts:
            try:
                with disk_told():
                    self._loop()
            except _TimeOver:
                self.ended = "time"
            finally:
                with self._interrupts.held():
                    self.executor.close()
                    self.view.end()
                    with contextlib.suppress(OSError):  # of a full disk more has been said already
                        self._keep(ended=True)
            if self.ended == "time":
                self._hand_over_what_there_is()

    def _loop(self) -> None:
        running = 0
        again = self.ledger.unfinished()
        self.began = len(self.ledger.records())
        self._keep(begun=True)  # an earlier driver may have ended between an outcome and its consequences
        self.view.begin(self.settings.budget, self.ledger.records(), self.deadline)
        while True:
            again += self._news()
            while self.executor.free and time.monotonic() < self.deadline:
                candidate = again.pop(0) if again else self._ask()
                if candidate is None:
                    break
                number = candidate.number
                record = self.ledger.record(number)
                spent = max(record.seconds, self._spent.get(number, 0.0))
                self.executor.submit(number, self.job_for(candidate), spent)
                self.view.started(candidate, record.architecture)
                running += 1
            if time.monotonic() >= self.deadline and (running or again or self._room()):
                self.ended = "time"
                break
            if not running:
                if time.monotonic() >= self.deadline or not self.ledger.awaited():
                    break
                time.sleep(TICK)
                continue
            for finished in self.executor.finished(min(TICK, max(0.0, self.deadline - time.monotonic()))):
                running -= 1
                if isinstance(finished.outcome, OutOfMemory) and finished.outcome.by_system:
                    self._wait_for_memory()
                with self._interrupts.held():
                    if not self._tell(finished):
                        again.append(self.ledger.candidate(finished.number))

    def heard(self, news: News) -> bool:
        """Keep an epoch; whether the candidate goes on. The executor calls this."""
        if isinstance(news, Pulse):
            self.view.pulse(news)
            go_on = True
        else:
            if not self.ledger.holds(news.number):
                return False
            known = self.ledger.record(news.number).epochs
            with self._interrupts.held():
                self.ledger.progress(news)
            self.view.progress(news, self.ledger.record(news.number).curve)
            # An epoch told again after a restart was let through when it was new; only the last may still be undecided.
            decided = news.epoch == self.last_epoch or news.epoch < known
            go_on = decided or not self.prune(self.ledger.records(), news.number, news.epoch, self.last_epoch)
        if time.monotonic() >= self.deadline:
            raise _TimeOver
        return go_on

    def _news(self) -> list[Candidate]:
        """Where several drivers share the ledger: tell what the others have done. Returns what one has left behind that has
        gone."""
        ended = self.ledger.refresh()
        for record in ended:
            self.view.finished(record, best_of(self.ledger.records()))
        if ended:
            self._write_leaderboard()
        left = self.ledger.abandoned() if self.executor.free else []
        for candidate in left:
            self._note(f"#{candidate.number}: its driver has gone; it is trained here")
        return left

    def _room(self) -> bool:
        """Whether the budget and the space have room for another candidate."""
        return self.ended != "space" and len(self.ledger.records()) < self.settings.budget

    def _ask(self) -> Candidate | None:
        while self._room():
            records = self.ledger.records()
            candidate = self.asking.next(records, len(records))
            if candidate is None:
                if time.monotonic() < self.deadline:
                    self.ended = "space"
                return None
            with self._interrupts.held():
                entered = self.ledger.add(candidate)
                self._write_leaderboard()
            if entered is not None:
                return entered
            time.sleep(LATER)  # another driver had the same thought, and enters it at this moment
        self.ended = self.ended or "budget"
        return None

    def _tell(self, finished: Finished) -> bool:
        """Enter an outcome; False if the candidate was lost or too large and has to be sent out again."""
        outcome, number = finished.outcome, finished.number
        if not self.ledger.holds(number):
            self._note(f"#{number}: this driver was silent for too long; another one trains it")
            return True
        epochs = self.ledger.record(number).epochs
        self._spent[number] = finished.seconds
        if isinstance(outcome, Blocked):
            raise RunFailed(outcome.reason)
        if isinstance(outcome, OutOfMemory) and outcome.by_system and epochs:
            outcome = Lost(outcome.reason)  # it fits, as it has shown: something else wanted more
        if isinstance(outcome, Lost):
            if self._losses.get(number) != epochs:
                self._losses[number] = epochs
                self._note(f"#{number}: {outcome.reason}; it goes on after epoch {epochs}")
                return False
            outcome = Infeasible(f"{outcome.reason}, twice after epoch {epochs}")
            self._log(f"#{number}: {outcome.reason}")
        if isinstance(outcome, OutOfMemory):
            halved = self.ledger.halve(number, outcome.reason)
            if halved is not None:
                self._note(f"#{number}: {halved.reason}")
                return False
            tried = self.ledger.record(number)
            half = f", with half the batch ({tried.recipe['batch_size']}) as well" if tried.reason else ""
            outcome = Infeasible(f"out of memory{half}: {outcome.reason}")
        record = self.ledger.tell(number, outcome, finished.seconds)
        self._keep()
        self.view.finished(record, best_of(self.ledger.records()))
        return True

    def _wait_for_memory(self) -> None:
        """Give what took all memory some time to end, or to be ended: what is sent out meanwhile would be the next to go."""
        end = min(time.monotonic() + PATIENCE, self.deadline)
        while scarce_memory() and time.monotonic() < end:
            time.sleep(TICK)

    def _note(self, text: str) -> None:
        """Tell the user, and the log."""
        self.view.note(text)
        self._log(text)

    def _log(self, text: str) -> None:
        if self.keeping is not None:
            self.keeping.note(text)

    def _hand_over_what_there_is(self) -> None:
        """Where the time was over before any candidate was done: what the best one in flight has kept, as `best.keras`."""
        begun = [record for record in self.ledger.records() if record.state == "running" and record.value is not None]
        if best_of(self.ledger.records()) is not None or self.hand_over is None or not begun:
            return
        record = max(begun, key=goodness)
        try:
            self.hand_over(self.executor, self.ledger.candidate(record.number))
        except (NasError, OSError) as problem:
            self._note(f"no model could be made of #{record.number}: {problem}")
        else:
            self._note(f"no candidate was done; best.keras is made of #{record.number} after {counted(record.epochs, 'epoch')}")

    def _keep(self, begun: bool = False, ended: bool = False) -> None:
        """Bring the folder up to date with the records."""
        if self.keeping is not None:
            self.keeping.tidy(self.ledger.own(), remnants=begun or ended)
            self._write_leaderboard(ended)

    def _write_leaderboard(self, ended: bool = False) -> None:
        if self.keeping is not None:
            self.keeping.write_leaderboard(self.ledger.records(), ended)


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
    """Set a driver going and sum up. `again` is the command that goes on with it, where it is not `nas resume`.

    Raises RunFailed if the disk does not take what is written, or if candidates ended and none of them could be trained.
    """
    driver: Driver
    log = str(run.log.absolute()) if run else None
    limits = limits or Limits()
    work = Work(function, lambda news: driver.heard(news), chosen.workers, chosen.plugin, log, limits, chosen.cluster)
    executor, prune = EXECUTORS[chosen.executor](work), PRUNERS[chosen.pruner]
    keeping = Keeping(run, *models_kept(chosen)) if run else None
    driver = Driver(chosen, ledger, asking, executor, prune, view, job_for, keeping, last_epoch, deadline, hand_over)
    again = again or f"nas.search(…, out='{run and run.folder}')"
    try:
        driver.loop()
    except RunFailed as problem:
        if run is None:
            raise
        raise RunFailed(f"{problem}\n       every result so far is kept; when that is mended, go on with: {again}") from None
    records = tuple(ledger.records())
    if asking.refused:
        view.note("refused before training: " + ", ".join(f"{count} {why}" for why, count in asking.refused.items()))
    if driver.ended == "time":
        done = sum(record.finished for record in records)
        view.note(f"the time is over: {done} of {counted(chosen.budget, 'candidate')} done")
    elif driver.ended == "budget" and driver.began == len(records) == sum(record.finished for record in records):
        view.note(f"nothing was left to do: {counted(len(records), 'candidate')} done, and the budget is {chosen.budget}")
    if driver.ended == "space":
        view.note(f"the space has nothing new within the limits after {counted(len(records), 'candidate')}; the search ends")
        view.note(asking.exhausted)
    if driver.ended == "time" and run is not None and all(record.value is None for record in records):
        hint = f"nothing is lost; give it more: {again} --time …" if isinstance(function, str) else "nothing is lost"
        raise RunFailed(f"the time was over before any candidate had been trained for an epoch; {hint}")
    if records and all(record.state == "infeasible" for record in records):
        where = f"; see {run.log}" if run else ""
        raise NothingTrained(f"no candidate could be trained; the last one: {records[-1].reason}{where}")
    return Result(records, best_of(records), run.folder if run else None, driver.ended)
