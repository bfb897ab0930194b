"""A ledger that several drivers share: an Optuna study on a PostgreSQL server, for searches on several machines at once.

Each driver has a run folder of its own, with the leaderboard of all and the models of its own candidates. `claims.py` says who
trains what, `joint.py` which search it is and who retrains its best, `server.py` how the server is reached.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import optuna
from sqlalchemy.exc import SQLAlchemyError

from nas import claims
from nas.claims import Claims
from nas.config import Settings, settings
from nas.errors import NasError, NoAnswer, RunError, RunFailed, counted, first_line
from nas.executors.base import Note
from nas.joint import FACTS, check_same, facts_of
from nas.ledger import Ledger, record_of_trial
from nas.messages import Candidate, Infeasible, Progress, Record, Stopped, Trained
from nas.run import Run
from nas.server import alone, engine_of, failure_of, name_of, reached, ready, storage_at
from nas.space import SearchSpace, read_space

LOOK = 2.0  # seconds between two looks at what others have written
BEAT = 10.0  # seconds between two signs of life
PATIENCE = 120.0  # seconds in which a server that does not answer is asked again
PAUSE = 1.0  # seconds until then

_T = TypeVar("_T")


def ledger_for(run: Run, space: SearchSpace, chosen: Settings, note: Note) -> Ledger:
    """The ledger that a driver writes: the run's own, or the shared one, which tells by `note` what it waits for. Raises what
    `Ledger` and `SharedLedger` raise."""
    if chosen.storage is None:
        return Ledger(run.study, space, chosen.strategy)
    return SharedLedger(chosen, space, run.read_settings(), note)


def reader_of(run: Run, facts: dict[str, Any]) -> Ledger:
    """The ledger of a run, for reading; `facts` are those of its `run.yaml`."""
    space, kept = read_space(facts["space"]), facts["settings"]
    if kept.get("storage") is None:
        return Ledger(run.study, space, kept["strategy"], reading=True)
    return SharedLedger(settings(None, kept), space)


def awake() -> float:
    """Seconds by a clock that goes on while the machine sleeps, as the server's does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SharedLedger(Ledger):
    """The study `chosen.study` at `chosen.storage`, as the driver of a run writes it that has `facts` in its `run.yaml`;
    without them it is for reading alone.

    Raises ConfigError for an address that is none, ServiceFailed if the server refuses something or does not answer, RunError
    if the study is another search.
    """

    def __init__(
        self, chosen: Settings, space: SearchSpace, facts: dict[str, Any] | None = None, note: Note = lambda words: None
    ) -> None:
        self.space, self.strategy, self._note = space, chosen.strategy, note
        self._engine = engine_of(chosen.storage)
        self.place = f"{name_of(self._engine)}, study '{chosen.study}'"
        self._storage, self._claims = None, Claims(self._engine, chosen.study, str(facts.get("driver")) if facts else "")
        self._reading, self._budget = facts is None, chosen.budget
        self._mine: set[str] = set()  # digests of the candidates that are, or were, this driver's
        self._ended: list[Record] = []  # by others, and not told yet
        self._lost: list[int] = []  # to others, and not told yet
        self._next = self._beaten = 0.0  # when others are looked at again, when this driver gave a sign of life; by `awake`
        self._troubled = -math.inf  # when the server last made this driver wait: then others may have waited as well
        self._records, self._begun = {}, set()
        try:
            if facts is None:
                self._found(chosen.study)
            else:
                self._patiently(partial(self._entered, chosen, facts))
        except BaseException as problem:
            self.close()
            if isinstance(problem, NasError | OSError) or not isinstance(problem, Exception):
                raise
            # Somebody has changed what is there.
            raise RunError(f"is damaged: {type(problem).__name__}: {first_line(str(problem))}", self.place) from None
        note(f"study '{chosen.study}': {counted(len(self._records), 'candidate')} so far")

    def _found(self, study: str) -> None:
        """Open a study that is there."""
        with reached():
            storage = storage_at(self._engine).storage
            self._storage = storage
            if study not in optuna.get_all_study_names(storage):
                raise RunError("there is no such study", self.place)
            self._open(storage, study, reading=True)

    def _entered(self, chosen: Settings, facts: dict[str, Any]) -> None:
        """Open the study, made if it is not there, as one of its drivers."""
        super().close()  # of a try that came to nothing
        ready(self._engine)
        with reached(), alone(self._engine, chosen.study):
            self._storage = storage_at(self._engine).storage
            self._open(self._storage, chosen.study, reading=False)
            if FACTS not in self._study.user_attrs:
                self._study.set_user_attr(FACTS, facts_of(chosen, facts))
            check_same(self._study.user_attrs[FACTS], chosen, facts)
            self._mine = self._claims.digests()
            self._begun = {number for number in self._begun if self._records[number].digest in self._mine}
            self._claims.hold(self._running())

    def close(self) -> None:
        if not self._reading:  # who goes on need not wait until this driver is taken to have gone
            entered = {record.digest for record in self._records.values()}
            with contextlib.suppress(SQLAlchemyError):
                self._claims.release([*self._running(), *(self._mine - entered)])
        super().close()
        self._engine.dispose()

    def own(self) -> Sequence[Record]:
        return tuple(record for record in self.records() if record.digest in self._mine)

    def refresh(self) -> Sequence[Record]:
        self.beat()
        if awake() >= self._next:
            self._patiently(self._read)
            self._next = awake() + LOOK
        ended, self._ended = self._ended, []
        return ended

    def beat(self) -> None:
        if awake() >= self._beaten + BEAT:
            self._look_to_claims()

    def holds(self, number: int, surely: bool = False) -> bool:
        if surely:
            self._look_to_claims()
        return number in self._begun

    def _look_to_claims(self) -> None:
        """Give a sign of life, and let go of what another driver has taken over meanwhile."""
        running = self._running()
        lost = set(running) - self._patiently(partial(self._claims.hold, running))
        self._beaten = awake()
        self._mine -= lost
        taken = {number for number in self._begun if self._records[number].digest in lost}
        self._lost += sorted(taken)
        self._begun -= taken

    def _read(self) -> None:
        """Take in what others have written."""
        with self._writing():
            trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            before = self._records.get(trial.number)
            if trial.number in self._begun or (before is not None and before.finished):
                continue
            record = record_of_trial(trial)
            self._ids[trial.number] = trial._trial_id
            self._keep(record)
            if record.finished:
                self._ended.append(record)
        self._records = dict(sorted(self._records.items()))

    def lost(self) -> list[int]:
        lost, self._lost = self._lost, []
        return lost

    def abandoned(self, most: int) -> list[Candidate]:
        if awake() < self._troubled + claims.GRACE:  # of a server that was away all claims look old
            return []
        theirs = {self._records[number].digest: number for number in self.awaited()}
        if not theirs or most < 1:
            return []
        taken = self._patiently(partial(self._claims.take_over, list(theirs), most))
        if not taken:
            return []
        self._mine |= taken
        self._patiently(self._read)  # its driver may have ended it since this one looked last
        left = sorted(theirs[digest] for digest in taken)
        return [self._patiently(partial(self._adopted, number)) for number in left if not self._records[number].finished]

    def _adopted(self, number: int) -> Candidate:
        """A candidate that is entered, from now on this driver's to train."""
        candidate = self.candidate(number)
        self._begun.add(number)
        return candidate

    def awaited(self) -> list[int]:
        return [record.number for record in self.records() if self._others(record) and record.number < self._budget]

    def add(self, candidate: Candidate) -> Candidate | None:
        """As `Ledger.add`; None if another driver was quicker, with this candidate (which it may not have entered yet) or with
        the last that the budget allows."""
        return self._patiently(partial(self._added, candidate))

    def _added(self, candidate: Candidate) -> Candidate | None:
        with self._writing(), reached(), alone(self._engine, self._study.study_name):
            self._read()
            known = next((record for record in self.records() if record.digest == candidate.digest), None)
            if known is not None:
                lost = candidate.digest in self._mine and not known.finished and known.number not in self._begun
                return self._adopted(known.number) if lost else None  # lost: it was entered, but the answer never came
            if len(self._records) >= self._budget:
                return None
            if not self._claims.make(candidate.digest):
                return None
            self._mine.add(candidate.digest)
            entered = super().add(candidate)
            if entered is not None and not self._claims.hold([candidate.digest]):  # suspended since: another has claimed it
                self._mine.discard(candidate.digest)
                super().tell(entered.number, Infeasible("another driver has entered it meanwhile"), 0.0)
                return None
            return entered

    def progress(self, progress: Progress) -> None:
        self._patiently(partial(super().progress, progress))

    def halve(self, number: int, reason: str) -> Record | None:
        return self._patiently(partial(super().halve, number, reason))

    def tell(self, number: int, outcome: Trained | Stopped | Infeasible, seconds: float) -> Record:
        return self._patiently(partial(self._ended_as, number, outcome, seconds))

    def _ended_as(self, number: int, outcome: Trained | Stopped | Infeasible, seconds: float) -> Record:
        with self._writing():
            trial = self._study._storage.get_trial(self._ids[number])
        if trial.state.is_finished():  # it was entered, but the answer never came
            self._begun.discard(number)
            self._keep(record_of_trial(trial))
            return self._records[number]
        return super().tell(number, outcome, seconds)

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Do something that may be done again; while the server does not answer, again."""
        began, told = awake(), False
        while True:
            try:
                with reached():
                    found = work()
                if awake() >= began + BEAT:
                    self._troubled = awake()
                if told:
                    self._note("the database answers again")
                return found
            except NoAnswer as problem:
                left = began + PATIENCE - awake()
                if left <= 0:
                    raise
                if not told:
                    self._note(f"{problem}; it is tried again for {left:.0f} s")
                told = True
                self._troubled = awake()
                time.sleep(PAUSE)

    def _failure(self, problem: BaseException) -> type[RunFailed]:
        return failure_of(problem)

    def _running(self) -> list[str]:
        return [self._records[number].digest for number in sorted(self._begun)]

    def _others(self, record: Record) -> bool:
        return record.state == "running" and record.digest not in self._mine
