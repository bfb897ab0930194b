"""Who trains which candidate, where several drivers share a ledger: a table beside Optuna's, in the same database.

A candidate is claimed by its digest before it is entered. A claim holds as long as its driver says now and then that it lives;
that of a driver that has gone is taken over by another. All times are the database's own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, MetaData, String, Table, cast, func, select, update
from sqlalchemy.dialects.postgresql import INTERVAL, TIMESTAMP, insert

GRACE = 180.0  # seconds without a sign of life after which a driver is taken to have gone
TABLE = Table(
    "nas_claims",
    MetaData(),
    Column("study", String(200), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("driver", String(64), nullable=False, index=True),
    Column("seen", TIMESTAMP(timezone=True), nullable=False),  # when its driver said last that it lives
)


class Claims:
    """The claims of one study, as `driver` sees and makes them. Raises what SQLAlchemy raises."""

    def __init__(self, engine: Engine, study: str, driver: str) -> None:
        self._engine, self._study, self._driver = engine, study, driver

    def make(self, digest: str) -> bool:
        """Claim a candidate that nobody has entered; a driver that has gone may have claimed it before. False if another one
        has that lives, or has not been silent for long: it may still enter it."""
        mine = {"driver": self._driver, "seen": func.now()}
        new = insert(TABLE).values(study=self._study, digest=digest, **mine)
        free = (TABLE.c.driver == self._driver) | _stale()
        with self._engine.begin() as connection:
            made = new.on_conflict_do_update(index_elements=["study", "digest"], set_=mine, where=free)
            return connection.execute(made.returning(TABLE.c.digest)).first() is not None

    def hold(self, digests: Collection[str]) -> set[str]:
        """Say that this driver lives and trains these; those of them that are still its own."""
        return self._changed(self._mine(digests).values(seen=func.now())) if digests else set()

    def release(self, digests: Collection[str]) -> None:
        """Let others go on with these at once."""
        if digests:
            self._changed(self._mine(digests).values(seen=func.to_timestamp(0)))

    def take_over(self, digests: Collection[str], most: int) -> set[str]:
        """At most so many of those whose driver has gone; they are this driver's from now on. It may have taken some over
        before, and not heard that it had."""
        free = (TABLE.c.driver == self._driver) | _stale()
        theirs = (TABLE.c.study == self._study) & TABLE.c.digest.in_(digests) & free
        some = select(TABLE.c.digest).where(theirs).limit(most).with_for_update(skip_locked=True)
        with self._engine.begin() as connection:  # one by one: as a part of the update, `some` may be looked for several times
            taken = {row.digest for row in connection.execute(some)}
            row = update(TABLE).where((TABLE.c.study == self._study) & TABLE.c.digest.in_(taken))
            connection.execute(row.values(driver=self._driver, seen=func.now()))
        return taken

    def digests(self) -> set[str]:
        """The candidates that are, or were, this driver's."""
        own = select(TABLE.c.digest).where((TABLE.c.study == self._study) & (TABLE.c.driver == self._driver))
        with self._engine.connect() as connection:
            return {row.digest for row in connection.execute(own)}

    def _mine(self, digests: Collection[str]) -> Any:
        own = (TABLE.c.study == self._study) & (TABLE.c.driver == self._driver)
        return update(TABLE).where(own & TABLE.c.digest.in_(digests))

    def _changed(self, statement: Any) -> set[str]:
        with self._engine.begin() as connection:
            return {row.digest for row in connection.execute(statement.returning(TABLE.c.digest))}


def _stale() -> ColumnElement[bool]:
    return TABLE.c.seen < func.now() - cast(f"{GRACE} seconds", INTERVAL)
