"""The driver: one loop without threads that asks, submits, listens and keeps the books.

It knows the ledger, one strategy (through `Asking`), one executor and a run folder, and never Keras. `searching.py` sets it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas import leaderboard
from nas.config import Settings
from nas.errors import RunFailed
from nas.executors import EXECUTORS, Executor, Work
from nas.ledger import Ledger
from nas.messages import Candidate, Finished, Infeasible, Lost, Outcome, Progress, Record
from nas.pruners import PRUNERS, Prune
from nas.result import Result, best_of, goodness
from nas.run import Run, write_whole
from nas.strategies.asking import Asking
from nas.view import View

TICK = 0.5  # seconds that the loop waits for news before it looks at the clock


@dataclass
class Driver:
    """Runs candidates until the budget, the time or the space is used up. `run` is None for a search in memory.

    `job_for` makes of a candidate what the executor's function wants; `last_epoch` is the one at which no pruner is asked.
    """

    settings: Settings
    ledger: Ledger
    asking: Asking
    executor: Executor
    prune: Prune
    view: View
    job_for: Callable[[Candidate], Any]
    run: Run | None = None
    last_epoch: int | None = None
    deadline: float = float("inf")  # by time.monotonic
    ended: str = ""  # why the loop ended: budget, time, or an exhausted space
    began: int = 0  # candidates that were there when the loop began
    _losses: dict[int, int] = field(default_factory=dict)  # number → epochs it had when it was last lost
    _best: Record | None = None
    _handed_over: int | None = None  # number of the model that `best.keras` is

    def loop(self) -> None:
        """Until nothing is left to do. A KeyboardInterrupt passes through, with all workers ended and the books in order."""
        running = 0
        again = self.ledger.unfinished()
        self.began = len(self.ledger.records())
        self._best = best_of(self.ledger.records())
        self._tidy()  # an earlier driver may have ended between an outcome and its consequences
        self._write_leaderboard()
        self.view.begin(self.settings.budget, self.ledger.records())
        try:
            while True:
                while self.executor.free and time.monotonic() < self.deadline:
                    candidate = again.pop(0) if again else self._ask()
                    if candidate is None:
                        break
                    self.executor.submit(candidate.number, self.job_for(candidate))
                    self.view.started(candidate, self.ledger.record(candidate.number).architecture)
                    running += 1
                if time.monotonic() >= self.deadline and (running or again or self._room()):
                    self.ended = "time"
                    break
                if not running:
                    break
                for finished in self.executor.finished(min(TICK, max(0.0, self.deadline - time.monotonic()))):
                    running -= 1
                    if not self._tell(finished):
                        again.append(self.ledger.candidate(finished.number))
        finally:
            self.executor.close()
            self.view.end()
            self._write_leaderboard(ended=True)

    def heard(self, progress: Progress) -> bool:
        """Keep an epoch; whether the candidate goes on. The executor calls this."""
        known = self.ledger.record(progress.number).epochs
        self.ledger.progress(progress)
        self.view.progress(progress, self.ledger.record(progress.number).curve)
        # An epoch that is told again after a restart was let through when it was new; only the last may still be undecided.
        if progress.epoch == self.last_epoch or progress.epoch < known:
            return True
        return not self.prune(self.ledger.records(), progress.number, progress.epoch)

    def _room(self) -> bool:
        """Whether the budget and the space have room for another candidate."""
        return self.ended != "space" and len(self.ledger.records()) < self.settings.budget

    def _ask(self) -> Candidate | None:
        if not self._room():
            self.ended = self.ended or "budget"
            return None
        records = self.ledger.records()
        candidate = self.asking.next(records, len(records))
        if candidate is None:
            self.ended = "space"
            return None
        self.ledger.add(candidate)
        return candidate

    def _tell(self, finished: Finished) -> bool:
        """Enter an outcome; False if the candidate was lost and has to be sent out again."""
        outcome: Outcome = finished.outcome
        number = finished.number
        if isinstance(outcome, Lost):
            epochs = self.ledger.record(number).epochs
            if self._losses.get(number) != epochs:
                self._losses[number] = epochs
                self.view.note(f"#{number}: {outcome.reason}; it goes on after epoch {epochs}")
                return False
            outcome = Infeasible(f"{outcome.reason}, twice after epoch {epochs}")
        record = self.ledger.tell(number, outcome, finished.seconds)
        if record.state == "trained" and (self._best is None or goodness(record) > goodness(self._best)):
            self._best = record
        self._tidy()
        self._write_leaderboard()
        self.view.finished(record, self._best)
        return True

    def _tidy(self) -> None:
        """Keep the models of the best few and the checkpoints of what runs, and nothing else; the best model of all stands
        at the top of the folder as well. Depends on the records alone, so it also mends what a crash left."""
        if self.run is None:
            return
        records = self.ledger.records()
        trained = sorted((record for record in records if record.state == "trained"), key=goodness, reverse=True)
        kept = {self.run.model(record.number) for record in trained[: self.settings.keep]}
        # A worker writes its model before its outcome is heard, and another outcome may be entered in between.
        running = [record.number for record in records if record.state == "running"]
        kept |= {self.run.checkpoint(number) for number in running} | {self.run.model(number) for number in running}
        if self._best is not None and self._best.number != self._handed_over:
            model = self.run.model(self._best.number)
            if model.exists():
                write_whole(self.run.best, model.read_bytes())
                self._handed_over = self._best.number
        for folder in (self.run.folder / "models", self.run.folder / "checkpoints"):
            for file in folder.iterdir():
                # A file whose name begins with a point is being written by a worker, unless nothing runs yet.
                if file not in kept and (not file.name.startswith(".") or self.executor.free == self.settings.workers):
                    file.unlink(missing_ok=True)

    def _write_leaderboard(self, ended: bool = False) -> None:
        if self.run is not None:
            write_whole(self.run.leaderboard, leaderboard.to_csv(self.ledger.records(), ended))


def deadline_of(chosen: Settings) -> float:
    """When `--time` is over, counted from now: preparing the data is part of the time that a user gives."""
    return time.monotonic() + chosen.time if chosen.time is not None else float("inf")


def drive(
    chosen: Settings,
    ledger: Ledger,
    asking: Asking,
    view: View,
    job_for: Callable[[Candidate], Any],
    function: str | Callable[..., Any],
    run: Run | None = None,
    last_epoch: int | None = None,
    deadline: float = float("inf"),
) -> Result:
    """Set a driver going and sum up. Raises RunFailed if candidates ended and none of them could be trained."""
    driver: Driver
    log = str(run.log.absolute()) if run else None
    work = Work(function, lambda progress: driver.heard(progress), chosen.workers, chosen.plugin, log)
    executor, prune = EXECUTORS[chosen.executor](work), PRUNERS[chosen.pruner]
    driver = Driver(chosen, ledger, asking, executor, prune, view, job_for, run, last_epoch, deadline)
    try:
        driver.loop()
    except KeyboardInterrupt:
        if run is not None:
            again = f"nas resume {run.folder}" if isinstance(function, str) else f"nas.search(…, out='{run.folder}')"
            view.note(f"interrupted; every result is kept. Go on with: {again}")
        raise
    records = tuple(ledger.records())
    if asking.refused:
        view.note("refused before training: " + ", ".join(f"{count} {why}" for why, count in asking.refused.items()))
    if driver.began == len(records) == sum(record.finished for record in records):
        view.note(f"nothing was left to do: {len(records)} candidates are done, and the budget is {chosen.budget}")
    if driver.ended == "space":
        view.note(f"the space has nothing new within the limits after {len(records)} candidates; the search ends")
    if records and all(record.state == "infeasible" for record in records):
        where = f"; see {run.log}" if run else ""
        raise RunFailed(f"no candidate could be trained; the last one: {records[-1].reason}{where}")
    return Result(records, best_of(records), run.folder if run else None, driver.ended)
