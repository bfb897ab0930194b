"""Who trains which candidate, where several drivers share a ledger: a table beside Optuna's, in the same database.

A candidate is claimed by its digest before it is entered, so nothing is trained twice. A claim holds as long as its driver
says now and then that it lives; that of a driver that has gone is taken over by another. All times are the database's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, Integer, MetaData, String, Table, cast, func, select, update
from sqlalchemy.dialects.postgresql import INTERVAL, TIMESTAMP, insert

GRACE = 180.0  # seconds without a sign of life after which a driver is taken to have gone
TABLE = Table(
    "nas_claims",
    MetaData(),
    Column("study", String(200), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("driver", String(64), nullable=False, index=True),
    Column("number", Integer),  # of the candidate, once it is entered
    Column("seen", TIMESTAMP(timezone=True), nullable=False),  # when its driver said last that it lives
)


class Claims:
    """The claims of one study, as `driver` sees and makes them. Raises what SQLAlchemy raises."""

    def __init__(self, engine: Engine, study: str, driver: str) -> None:
        self._engine, self._study, self._driver = engine, study, driver

    def take(self, digest: str) -> bool:
        """Claim a candidate that is not entered yet; whether it is this driver's now."""
        new = insert(TABLE).values(study=self._study, digest=digest, driver=self._driver, seen=func.now())
        mine = {"driver": self._driver, "seen": func.now()}
        left = TABLE.c.number.is_(None) & _stale()  # by a driver that was killed before it had entered the candidate
        claim = new.on_conflict_do_update(index_elements=["study", "digest"], set_=mine, where=left)
        with self._engine.begin() as connection:
            return connection.execute(claim.returning(TABLE.c.digest)).first() is not None

    def entered(self, digest: str, number: int) -> None:
        """Note the number of a candidate that was claimed."""
        self._changed(self._mine(digest).values(number=number))

    def hold(self, digests: Iterable[str]) -> int:
        """Say that this driver lives and trains these; how many of them are still its own."""
        return self._changed(self._mine(*digests).values(seen=func.now()))

    def release(self, digests: Iterable[str]) -> None:
        """Let others go on with these at once."""
        self._changed(self._mine(*digests).values(seen=func.to_timestamp(0)))

    def take_over(self, digests: Iterable[str]) -> list[str]:
        """Those whose driver has gone, which are this driver's from now on."""
        theirs = (TABLE.c.study == self._study) & TABLE.c.digest.in_(list(digests)) & (TABLE.c.driver != self._driver)
        taken = update(TABLE).where(theirs & _stale()).values(driver=self._driver, seen=func.now()).returning(TABLE.c.digest)
        with self._engine.begin() as connection:
            return [row.digest for row in connection.execute(taken)]

    def numbers(self) -> set[int]:
        """The candidates that are, or were, this driver's."""
        own = select(TABLE.c.number).where((TABLE.c.study == self._study) & (TABLE.c.driver == self._driver))
        with self._engine.connect() as connection:
            return {row.number for row in connection.execute(own) if row.number is not None}

    def _mine(self, *digests: str) -> Any:
        own = (TABLE.c.study == self._study) & (TABLE.c.driver == self._driver)
        return update(TABLE).where(own & TABLE.c.digest.in_(digests))

    def _changed(self, statement: Any) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(statement).rowcount)


def _stale() -> ColumnElement[bool]:
    return TABLE.c.seen < func.now() - cast(f"{GRACE} seconds", INTERVAL)
