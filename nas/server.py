"""How a PostgreSQL server is reached that holds the ledger of a shared search: its address, its silence, one driver at a time.

A password is never written: PostgreSQL's library takes it from PGPASSWORD or from `~/.pgpass`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, OptunaError
from sqlalchemy import URL, Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NotSupportedError, ProgrammingError, SQLAlchemyError

from nas.claims import TABLE
from nas.database import said
from nas.errors import ConfigError, NoAnswer, ServiceFailed, to_install

OPTION = "--storage"
TURN = 30.0  # seconds that a driver waits until another has entered its candidate, or has gone
HELD = 20.0  # seconds for which one may enter a candidate; who waits is patient for longer
_DIALECT = "postgresql+psycopg"
_NAMES = ("postgresql", "postgres", _DIALECT)
_SECRETS = ("password", "sslpassword")
# How the codes of what may go well later begin (PostgreSQL, appendix A): connections, deadlocks, disks and memory, timeouts
# (ours among them), a server that ends or begins or may only be read.
_AGAIN = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58")
_REFUSED = ("does not exist", "authentication failed", "pg_hba.conf")  # said at a connection, where there are no codes
_FINAL = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
_LOCK = 0x6E6173  # with the study: under it one driver at a time makes the tables, or enters a candidate
_OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,  # a connection that was cut is opened anew
    "connect_args": {
        "connect_timeout": 10,
        # Whoever has gone without a word is noticed within a minute, here and there.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "options": "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
        " -c idle_in_transaction_session_timeout=60000",  # a driver that is suspended keeps no rows from the others
    },
}


def engine_of(address: str | None) -> Engine:
    """A maker of connections to `--storage`. Raises ConfigError."""
    what, url = "is none of PostgreSQL", URL.create("none")
    try:
        url = make_url(address or "")
    except ArgumentError:
        pass
    except ValueError:
        what = "has a port that is no number"
    if url.drivername not in _NAMES or not url.database:
        if url.drivername in _NAMES:  # what was given is not quoted: it may hold a password
            what = "names no database"
        elif url.drivername.startswith("postgresql+"):
            what = "names a library other than psycopg, which is the one that is used"
        raise ConfigError(f"what was given {what}: an address such as postgresql://user@host:5432/database is expected", OPTION)
    if url.password is not None or any(name in url.query for name in _SECRETS):
        raise ConfigError("holds a password, which would be kept in run.yaml; give it in PGPASSWORD or in ~/.pgpass", OPTION)
    try:
        import psycopg  # noqa: F401  SQLAlchemy asks for it
    except ImportError:
        raise ConfigError(f"needs psycopg, not installed here: {to_install('postgresql')}", OPTION) from None
    return create_engine(url.set(drivername=_DIALECT), **_OPTIONS)


def name_of(engine: Engine) -> str:
    """The address as a user gives it."""
    return engine.url.set(drivername=_NAMES[0]).render_as_string()


def check_server(address: str) -> None:
    """Raise ConfigError or ServiceFailed if `--storage` cannot be used."""
    engine = engine_of(address)
    try:
        ready(engine)
    finally:
        engine.dispose()


def ready(engine: Engine) -> None:
    """Have the tables there. Raises ServiceFailed, also if this user may not make them."""
    with reached(), alone(engine, ""):
        TABLE.metadata.create_all(engine)
        with storage_at(engine, reading=False):
            pass


class storage_at:
    """Optuna's storage on a server; as a context, one that is closed again. For `reading` the tables have to be there."""

    def __init__(self, engine: Engine, reading: bool = True) -> None:
        address = engine.url.render_as_string(hide_password=False)
        self.storage = optuna.storages.RDBStorage(address, _OPTIONS, skip_table_creation=reading)

    def __enter__(self) -> optuna.storages.RDBStorage:
        return self.storage

    def __exit__(self, *_: object) -> None:
        self.storage.remove_session()
        self.storage.engine.dispose()


@contextlib.contextmanager
def reached() -> Iterator[None]:
    """A server that does not answer, or does not do what it is asked for, is told: NoAnswer, ServiceFailed."""
    try:
        yield
    except (SQLAlchemyError, OptunaError) as problem:
        words = said(problem)
        hint = "; 'createdb' with its name makes it" if 'database "' in words and "does not exist" in words else ""
        raise failure_of(problem)(f"{OPTION}: the database cannot be used: {words}{hint}") from None


def failure_of(problem: BaseException) -> type[ServiceFailed]:
    """NoAnswer for what may go well later, else ServiceFailed."""
    cause = problem if isinstance(problem, SQLAlchemyError) else problem.__cause__
    code = getattr(getattr(cause, "orig", None), "sqlstate", None)
    if isinstance(problem, DuplicatedStudyError):  # another driver was quicker
        later = True
    elif code is not None:
        later = code.startswith(_AGAIN)
    else:
        refused = isinstance(cause, _FINAL) or any(words in said(problem) for words in _REFUSED)
        later = isinstance(cause, SQLAlchemyError) and not refused
    return NoAnswer if later else ServiceFailed


@contextlib.contextmanager
def alone(engine: Engine, study: str) -> Iterator[None]:
    """What is inside is done by one driver of a study at a time. Raises NoAnswer if others do not get done."""
    lock, end = (_LOCK, func.hashtext(study)), time.monotonic() + TURN
    with engine.connect() as connection:
        while not connection.execute(select(func.pg_try_advisory_lock(*lock))).scalar():
            connection.rollback()
            if time.monotonic() >= end:
                raise NoAnswer(f"{OPTION}: another driver has been writing for {TURN:.0f} s")
            time.sleep(0.05)
        # The lock is the connection's, not the transaction's. A driver that is suspended here loses it after a while.
        _ends_after(connection, f"{HELD:.0f}s")
        try:
            yield
        finally:
            with contextlib.suppress(SQLAlchemyError):
                connection.execute(select(func.pg_advisory_unlock(*lock)))
                _ends_after(connection, "0")


def _ends_after(connection: Connection, silence: str) -> None:
    """How long the server keeps a connection that asks nothing; 0 is for ever. Servers before 14 have no such limit."""
    if (connection.dialect.server_version_info or (0,)) >= (14,):
        connection.execute(select(func.set_config("idle_session_timeout", silence, False)))
    connection.commit()
