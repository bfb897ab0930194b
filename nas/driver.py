"""The driver: one loop without threads that asks, submits, listens and keeps the books.

It knows the ledger, one strategy (through `Asking`), one executor and a run folder, and never Keras. `fitting.py` sets it up.
Whatever ends the loop (budget, time, Ctrl-C, a full disk) leaves books with which `nas resume` goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas.config import Settings
from nas.errors import NasError, RunFailed, counted, listing
from nas.executors import Executor
from nas.interrupts import Interrupts
from nas.keeping import Keeping
from nas.ledger import Ledger
from nas.machine import PATIENCE, wait_for_memory
from nas.messages import Blocked, Candidate, Finished, Infeasible, Lost, News, OutOfMemory, Pulse
from nas.pruners import Prune
from nas.result import best_of, goodness
from nas.run import disk_told
from nas.strategies.asking import Asks
from nas.view import View, name_of

TICK = 0.5  # seconds that the loop waits for news before it looks at the clock
PLACES = 20  # times that a candidate's place may go without a word against the candidate
TAKEN = "this driver was silent for too long; another one trains it"


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
    began: int = 0  # candidates that were done when the loop began
    _losses: dict[int, int] = field(default_factory=dict)  # number → epochs it had when it was last lost
    _gone: Counter[int] = field(default_factory=Counter)  # number → places that it has lost
    _spent: dict[int, float] = field(default_factory=dict)  # number → seconds of the tries that came to nothing
    _out: set[int] = field(default_factory=set)  # numbers of the candidates that the executor has
    _told: bool = False  # that this driver waits for others
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
                    try:
                        self.executor.close()
                    finally:
                        self.view.end()
                        with contextlib.suppress(OSError):  # of a full disk more has been said already
                            self._keep(ended=True)
            if self.ended == "time":
                self._hand_over_what_there_is()

    def _loop(self) -> None:
        again = self.ledger.unfinished()
        self.began = sum(record.finished for record in self.ledger.records())
        self._keep(begun=True)  # an earlier driver may have ended between an outcome and its consequences
        records = self.ledger.records()
        self.view.begin(max(self.settings.budget, len(records)), records, self.deadline)  # begun ones are finished as well
        while True:
            again += self._news(self.executor.free - len(again))
            again = [each for each in again if self.ledger.holds(each.number)]  # another driver may have taken one over
            while self.executor.free and time.monotonic() < self.deadline:
                self.ledger.beat()  # proposals for many workers take their time
                candidate = again.pop(0) if again else self._ask()
                if candidate is None:
                    break
                number = candidate.number
                record = self.ledger.record(number)
                self.executor.submit(number, self.job_for(candidate), self._spent.get(number, record.seconds))
                self.view.started(candidate, record.architecture)
                self._out.add(number)
            if time.monotonic() >= self.deadline and (self._out or again or self._room()):
                self.ended = "time"
                break
            if not self._out:
                if time.monotonic() >= self.deadline or not (self._waits() or self._room()):
                    break
                time.sleep(TICK)
            listen = min(TICK, max(0.0, self.deadline - time.monotonic())) if self._out else 0.0
            for finished in self.executor.finished(listen):
                self._out.discard(finished.number)
                if isinstance(finished.outcome, OutOfMemory) and finished.outcome.by_system:
                    wait_for_memory(min(PATIENCE, self.deadline - time.monotonic()), self.ledger.beat)
                with self._interrupts.held():
                    if not self._tell(finished):
                        again.append(self.ledger.candidate(finished.number))

    def heard(self, news: News) -> bool:
        """Keep an epoch; whether the candidate goes on. The executor calls this."""
        self.ledger.beat()
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

    def _news(self, room: int) -> list[Candidate]:
        """Where several drivers share the ledger: tell what the others have done. Returns what one has left behind that has
        gone, as much as there is room for."""
        ended = self.ledger.refresh()
        for record in ended:
            self.view.finished(record, best_of(self.ledger.records()))
        if ended:
            self._write_leaderboard()
        for number in self._out.intersection(self.ledger.lost()):
            self._out.remove(number)
            self.executor.stop(number)
            self._note(f"{self._name(number)}: {TAKEN}")
        left = self.ledger.abandoned(room)
        for candidate in left:
            self._spent[candidate.number] = 0.0  # its checkpoint is the other's: it begins anew
            self._note(f"#{candidate.number}: its driver has gone; it is trained here")
        return left

    def _waits(self) -> bool:
        """Whether there is something that others may leave behind; told when it begins."""
        awaited = self.ledger.awaited()
        if awaited and not self._told:
            self._note(f"waiting for what other drivers train: {listing([f'#{number}' for number in awaited[:10]])}")
        self._told = bool(awaited)
        return self._told

    def _room(self) -> bool:
        """Whether the budget and the space have room for another candidate."""
        return self.ended != "space" and len(self.ledger.records()) < self.settings.budget

    def _ask(self) -> Candidate | None:
        """The next candidate, entered; None if there is none, or none at the moment."""
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
            self.ledger.beat()
            if len(self.ledger.records()) == len(records):  # claimed by a driver that has not entered it: it may have gone
                return None
        self.ended = self.ended or "budget"
        return None

    def _tell(self, finished: Finished) -> bool:
        """Enter an outcome; False if the candidate was lost or too large and has to be sent out again."""
        outcome, number = finished.outcome, finished.number
        if not self.ledger.holds(number, surely=True):
            self._note(f"{self._name(number)}: {TAKEN}")
            return True
        epochs = self.ledger.record(number).epochs
        self._spent[number] = finished.seconds
        if isinstance(outcome, Blocked):
            raise RunFailed(outcome.reason)
        if isinstance(outcome, OutOfMemory) and outcome.by_system and epochs:
            outcome = Lost(outcome.reason)  # it fits, as it has shown: something else wanted more
        if isinstance(outcome, Lost):
            self._gone[number] += outcome.place
            blameless = outcome.place and self._gone[number] < PLACES
            if blameless or self._losses.get(number) != epochs:
                if blameless:
                    del self._spent[number]  # but for its epochs, whose times the record has
                else:
                    self._losses[number] = epochs
                self._note(f"{self._name(number)}: {outcome.reason}; it goes on after epoch {epochs}")
                return False
            outcome = Infeasible(f"{outcome.reason}, twice after epoch {epochs}")
            self._log(f"#{number}: {outcome.reason}")
        if isinstance(outcome, OutOfMemory):
            halved = self.ledger.halve(number, outcome.reason)
            if halved is not None:
                self._note(f"{name_of(halved)}: {halved.reason}")
                return False
            tried = self.ledger.record(number)
            half = f", with half the batch ({tried.recipe['batch_size']}) as well" if tried.reason else ""
            outcome = Infeasible(f"out of memory{half}: {outcome.reason}")
        record = self.ledger.tell(number, outcome, finished.seconds)
        self._keep()
        self.view.finished(record, best_of(self.ledger.records()))
        return True

    def _name(self, number: int) -> str:
        return name_of(self.ledger.record(number))

    def _note(self, text: str) -> None:
        """Tell the user, and the log."""
        self.view.note(text)
        self._log(text)

    def _log(self, text: str) -> None:
        if self.keeping is not None:
            self.keeping.note(text)

    def _hand_over_what_there_is(self) -> None:
        """Where the time was over before any candidate was done: what the best one in flight has kept, as `best.keras`."""
        begun = [record for record in self.ledger.own() if record.state == "running" and record.value is not None]
        if best_of(self.ledger.own()) is not None or self.hand_over is None or not begun:
            return
        record = max(begun, key=goodness)
        try:
            self.hand_over(self.executor, self.ledger.candidate(record.number))
        except (NasError, OSError) as problem:
            self._note(f"no model could be made of {name_of(record)}: {problem}")
        else:
            self._note(
                f"no candidate was done; best.keras is made of {name_of(record)} after {counted(record.epochs, 'epoch')}"
            )

    def _keep(self, begun: bool = False, ended: bool = False) -> None:
        """Bring the folder up to date with the records."""
        if self.keeping is not None:
            self.keeping.tidy(self.ledger.own(), self.ledger.records(), remnants=begun or ended)
            self._write_leaderboard(ended)

    def _write_leaderboard(self, ended: bool = False) -> None:
        if self.keeping is not None:
            self.keeping.write_leaderboard(self.ledger.at_rest() if ended else self.ledger.records(), ended)
