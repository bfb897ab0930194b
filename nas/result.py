"""What a search found, for Python: frozen rows, and the leaderboard as a table."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.leaderboard import COLUMNS, rows
from nas.messages import Record

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Result:
    """What a search found. `records` are all candidates by number, `best` the best that was trained to the end (or None),
    `folder` where everything lies (None for a search in memory), `ended` why it ended: budget, time or space."""

    records: tuple[Record, ...]
    best: Record | None
    folder: Path | None
    ended: str

    def to_pandas(self) -> pandas.DataFrame:
        """The leaderboard: the columns of `leaderboard.csv`, best first."""
        import pandas

        return pandas.DataFrame(rows(at_rest(self.records)), columns=list(COLUMNS))


def at_rest(records: Iterable[Record], whose: Container[int] | None = None) -> list[Record]:
    """Records as they are when their driver has ended: what is not done is `interrupted`; of those numbers alone, if `whose`
    says so."""
    return [
        replace(record, state="interrupted")
        if record.state == "running" and (whose is None or record.number in whose)
        else record
        for record in records
    ]


def goodness(record: Record) -> tuple[float, int]:
    """For choosing the best: the score, and of equal ones the earlier."""
    return (record.value if record.value is not None else -1e300, -record.number)


def best_first(records: Iterable[Record]) -> list[Record]:
    """All candidates that were trained to the end, the best first."""
    return sorted((record for record in records if record.state == "trained"), key=goodness, reverse=True)


def best_begun(records: Iterable[Record]) -> Record | None:
    """The best that has been trained for an epoch at least and did not fail, or None."""
    begun = (record for record in records if record.value is not None and record.state != "infeasible")
    return max(begun, key=goodness, default=None)


def best_of(records: Iterable[Record]) -> Record | None:
    """The best candidate that was trained to the end, or None."""
    return max((record for record in records if record.state == "trained"), key=goodness, default=None)
