"""A ledger that several drivers share: an Optuna study on a PostgreSQL server, for searches on several machines at once.

Each driver has a run folder of its own, with the leaderboard of all and the models of its own candidates. `claims.py` says who
trains what. A password is never written: PostgreSQL's library takes it from PGPASSWORD or from `~/.pgpass`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.trial import Trial
from sqlalchemy import URL, Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from nas.changes import space_changes
from nas.claims import TABLE, Claims
from nas.config import Settings, settings
from nas.errors import ConfigError, NasError, RunError, RunFailed, first_line
from nas.ledger import Ledger, record_of_trial
from nas.messages import Candidate, Infeasible, Record, Stopped, Trained
from nas.run import Run
from nas.space import SearchSpace, read_space

OPTION = "--storage"
FACTS = "search"  # the study's attribute that says which search it is
LOOK = 2.0  # seconds between two looks at what others have written
BEAT = 10.0  # seconds between two signs of life
REACHED = 10  # seconds in which the server has to answer
_DRIVER = "postgresql+psycopg"
_NAMES = ("postgresql", "postgres", _DRIVER)
_LOCK = 0x6E6173  # with the study: under it one driver at a time makes the tables, or enters a candidate

# What drivers of one search may have different: a machine's own affairs, and how long each goes on.
_OWN = (
    *("budget", "time", "workers", "threads", "keep", "storage", "study", "trial_time", "trial_memory", "hang_time"),
    *("dataset", "data_dir", "space"),  # paths; what is there has to be the same
    *("executor", "ray_address", "cpus_per_trial", "gpus_per_trial", "tensorboard", "plugin", "start_from"),
)


def ledger_for(run: Run, space: SearchSpace, chosen: Settings) -> Ledger:
    """The ledger that a driver writes: the run's own, or the shared one. Raises what `Ledger` and `SharedLedger` raise."""
    if chosen.storage is None:
        return Ledger(run.study, space, chosen.strategy)
    return SharedLedger(chosen, space, run.read_settings())


def reader_of(run: Run, facts: dict[str, Any]) -> Ledger:
    """The ledger of a run, for reading; `facts` are those of its `run.yaml`."""
    space, kept = read_space(facts["space"]), facts["settings"]
    if kept.get("storage") is None:
        return Ledger(run.study, space, kept["strategy"], reading=True)
    return SharedLedger(settings(None, kept), space)


def check_shared(chosen: Settings, facts: dict[str, Any] | None = None) -> None:
    """Raise ConfigError or RunFailed if the `storage` of a search cannot be used, RunError if what is there is another search
    than that of `facts`."""
    engine = engine_of(chosen)
    try:
        with _reached(), engine.connect() as connection:
            there = connection.execute(select(func.to_regclass("studies"))).scalar() is not None
        if there and facts is not None:
            storage = optuna.storages.RDBStorage(_text(engine.url), _engine_options())
            try:
                if chosen.study in optuna.get_all_study_names(storage):
                    _check_same(optuna.load_study(storage=storage, study_name=chosen.study), chosen, facts)
            finally:
                storage.remove_session()
                storage.engine.dispose()
    finally:
        engine.dispose()


class SharedLedger(Ledger):
    """The study `chosen.study` at `chosen.storage`, as the driver of a run writes it that has `facts` in its `run.yaml`;
    without them it is for reading alone.

    Raises ConfigError for an address that is none, RunFailed if the server does not answer, RunError if the study is another
    search.
    """

    def __init__(self, chosen: Settings, space: SearchSpace, facts: dict[str, Any] | None = None) -> None:
        self.space, self.strategy = space, chosen.strategy
        engine = engine_of(chosen)
        self.place = f"{_text(engine.url.set(drivername='postgresql'))}, study '{chosen.study}'"
        self._storage, self._claims = None, Claims(engine, chosen.study, str(facts.get("driver")) if facts else "")
        self._engine, self._reading, self._budget = engine, facts is None, chosen.budget
        self._mine: set[int] = set()  # candidates that are, or were, this driver's
        self._next = self._beaten = 0.0  # when others are looked at again, when this driver gave a sign of life; monotonic
        try:
            with _reached(), engine.connect() as connection, _alone(connection, "", not self._reading):
                if facts is not None:
                    TABLE.metadata.create_all(connection)
                    connection.commit()
                self._storage = storage = optuna.storages.RDBStorage(_text(engine.url), _engine_options())
                if facts is None and chosen.study not in optuna.get_all_study_names(storage):
                    raise RunError("there is no such study", self.place)
                self._open(storage, chosen.study, reading=facts is None)
                if facts is not None:
                    _check_same(self._study, chosen, facts)
                    self._mine = self._claims.numbers()
        except NasError:
            self.close()
            raise
        except Exception as problem:  # somebody has changed what is there
            self.close()
            raise RunError(f"is damaged: {type(problem).__name__}: {first_line(str(problem))}", self.place) from None
        if facts is not None:
            self._trials = {number: trial for number, trial in self._trials.items() if number in self._mine}
            with self._writing():
                self._claims.hold(self._running())

    def close(self) -> None:
        if not self._reading:  # who goes on need not wait until this driver is taken to have gone
            with contextlib.suppress(SQLAlchemyError):
                self._claims.release(self._running())
        super().close()
        self._engine.dispose()

    def own(self) -> Sequence[Record]:
        return tuple(record for record in self.records() if record.number in self._mine)

    def refresh(self) -> Sequence[Record]:
        now = time.monotonic()
        if now < self._next:
            return ()
        self._next = now + LOOK
        if now >= self._beaten + BEAT:
            self._beaten = now
            with self._writing():
                self._claims.hold(self._running())
        return self._read()

    def _read(self) -> Sequence[Record]:
        """Take in what others have written."""
        ended = []
        with self._writing():
            trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            before = self._records.get(trial.number)
            if trial.number in self._mine or (before is not None and before.finished):
                continue
            record = record_of_trial(trial)
            self._ids[trial.number] = trial._trial_id
            self._keep(record)
            if record.finished:
                ended.append(record)
        self._records = dict(sorted(self._records.items()))
        return ended

    def holds(self, number: int) -> bool:
        """Whether a candidate is still this driver's: one that was stopped for long may have lost it."""
        with self._writing():
            if number in self._trials and self._claims.hold([self._records[number].digest]):
                return True
        self._mine.discard(number)
        self._trials.pop(number, None)
        return False

    def abandoned(self) -> list[Candidate]:
        theirs = {record.digest: record.number for record in self.records() if self._others(record)}
        if not theirs:
            return []
        with self._writing():
            numbers = sorted(theirs[digest] for digest in self._claims.take_over(theirs))
        for number in numbers:
            self._mine.add(number)
            self._trials[number] = Trial(self._study, self._ids[number])
        return [self.candidate(number) for number in numbers]

    def awaited(self) -> bool:
        return any(self._others(record) for record in self.records())

    def add(self, candidate: Candidate) -> Candidate | None:
        with self._writing(), self._engine.connect() as connection, _alone(connection, self._study.study_name):
            self._read()  # another driver may have been quicker, with this one or with the last that the budget allows
            if len(self._records) >= self._budget or not self._claims.take(candidate.digest):
                return None
            entered = super().add(candidate)
            assert entered is not None
            self._mine.add(entered.number)
            self._claims.entered(candidate.digest, entered.number)
            return entered

    def tell(self, number: int, outcome: Trained | Stopped | Infeasible, seconds: float) -> Record:
        record = super().tell(number, outcome, seconds)
        self._next = 0.0
        return record

    def _running(self) -> list[str]:
        return [self._records[number].digest for number in getattr(self, "_trials", {})]

    def _others(self, record: Record) -> bool:
        return record.state == "running" and record.number not in self._mine


def engine_of(chosen: Settings) -> Engine:
    """A connection's maker for `chosen.storage`. Raises ConfigError."""
    assert chosen.storage is not None
    try:
        url = make_url(chosen.storage)
    except ArgumentError:
        url = URL.create("")
    if url.drivername not in _NAMES or not url.database:
        raise ConfigError("an address such as postgresql://user@host/database is expected", OPTION)
    if url.password is not None:
        raise ConfigError("holds a password, which would be kept in run.yaml; give it in PGPASSWORD or in ~/.pgpass", OPTION)
    try:
        import psycopg  # noqa: F401  SQLAlchemy asks for it
    except ImportError:
        raise ConfigError("needs psycopg, not installed here: pip install 'nas[postgresql]'", OPTION) from None
    return create_engine(url.set(drivername=_DRIVER), **_engine_options())


def _engine_options() -> dict[str, Any]:
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": REACHED}}


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """A server that does not answer, or not as it should, is told."""
    try:
        yield
    except SQLAlchemyError as problem:
        words = first_line(str(getattr(problem, "orig", None) or problem))
        raise RunFailed(f"{OPTION}: the database cannot be used: {words}") from None


@contextlib.contextmanager
def _alone(connection: Connection, study: str, wanted: bool = True) -> Iterator[None]:
    """What is inside is done by one driver of a study at a time, if that is `wanted`."""
    if not wanted:
        yield
        return
    lock = (_LOCK, func.hashtext(study))
    connection.execute(select(func.pg_advisory_lock(*lock)))
    try:
        yield
    finally:
        connection.execute(select(func.pg_advisory_unlock(*lock)))
        connection.commit()


def _check_same(study: optuna.Study, chosen: Settings, facts: dict[str, Any]) -> None:
    """Raise RunError if a study was begun as another search; one that was not begun is this search from now on."""
    kept = {name: value for name, value in chosen.model_dump(mode="json").items() if name not in _OWN}
    now = {"settings": kept, **{f"digest of the {name}": facts["digests"].get(name) for name in ("space", "data")}}
    then = study.user_attrs.get(FACTS)
    if then is None:
        study.set_user_attr(FACTS, now)
    elif then != now:
        words = space_changes(then, now).replace("settings.", "--")
        raise RunError(f"the study '{chosen.study}' is another search: {words}; give another --study", OPTION)
