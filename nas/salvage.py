"""What is left of a damaged ledger: candidates read from SQLite row by row, past the pages that cannot be read.

Only used when `ledger.py` cannot open the study; nothing is written to the file. With it the leaderboard is rebuilt.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from nas import leaderboard
from nas.database import check_database
from nas.errors import Damaged, InputError, RunError, counted
from nas.messages import Record
from nas.recorded import record_of
from nas.result import at_rest
from nas.run import Run, write_whole

_Row = tuple[Any, ...]
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, MemoryError)  # a name or a message in it may be no text, a size absurd
MOST_LOST = 100_000  # rows that are looked for one by one between the readable ones


def check_ledger(run: Run) -> None:
    """Raise Damaged if a run's ledger is, or if it has lost candidates that the leaderboard knows."""
    known = 0
    with suppress(InputError):  # no leaderboard yet, or a damaged one: then there is nothing to compare with
        known = len(leaderboard.read_csv(run.leaderboard))
    if not run.study.exists():
        if known:
            raise Damaged(f"is gone, but the leaderboard has {known} candidates", str(run.study))
        return  # a driver was killed before it had begun
    check_database(run.study)
    found = 0
    with suppress(*_UNREADABLE), closing(sqlite3.connect(f"{run.study.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        found = sum(1 for _ in _rows(connection, "trials", "number"))  # whole or not: one may have been killed in the middle
    if found < known:
        words = f"is damaged, or an older copy: it has {counted(found, 'candidate')}, the leaderboard {known}"
        raise Damaged(f"{words}; to go on with what it has, remove {run.leaderboard.name}", str(run.study))


@contextmanager
def examined(run: Run) -> Iterator[None]:
    """A damaged ledger is told, and the leaderboard rebuilt from what can be read of it."""
    try:
        yield
    except Damaged as problem:
        read, rows = rebuild_leaderboard(run)
        words = f"{read} candidates can still be read of it; the leaderboard has {rows} rows"
        hint = f"Models stay as they are; put back a copy of {run.study.name}, or start a new search"
        raise RunError(f"{problem}\n       {words}. {hint}") from None


def rebuild_leaderboard(run: Run) -> tuple[int, int]:
    """Write the leaderboard anew from what can be read of the ledger; what cannot keeps the row it had. Returns how many
    candidates could be read, and how many rows the leaderboard has."""
    records = salvage(run.study)
    with suppress(Exception):
        kept = leaderboard.read_csv(run.leaderboard)
        rows = leaderboard.merged(leaderboard.rows(at_rest(records)), kept)
        write_whole(run.leaderboard, leaderboard.as_csv(rows))
        return len(records), len(rows)
    write_whole(run.leaderboard, leaderboard.to_csv(at_rest(records)))  # the old one is damaged as well
    return len(records), len(records)


def salvage(file: Path) -> list[Record]:
    """All candidates that can be read whole, by number. Never raises for what the file holds."""
    found: list[Record] = []
    place = Path(os.path.realpath(file)).as_uri()  # `resolve` fails at a link to itself
    with suppress(*_UNREADABLE), closing(sqlite3.connect(f"{place}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        attributes: dict[int, dict[str, Any]] = defaultdict(dict)
        for trial, key, text in _rows(connection, "trial_user_attributes", "trial_id, key, value_json"):
            with suppress(ValueError, TypeError):
                attributes[trial][key] = json.loads(text)
        scores: dict[int, dict[int, float]] = defaultdict(dict)
        for trial, step, value in _rows(connection, "trial_intermediate_values", "trial_id, step, intermediate_value"):
            scores[trial][step] = value
        values: dict[int, float] = dict(_rows(connection, "trial_values", "trial_id, value"))
        for trial, number, state in _rows(connection, "trials", "trial_id, number, state"):
            with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
                finished = state in ("COMPLETE", "PRUNED")
                if not _whole(finished, state == "COMPLETE", values.get(trial), scores[trial], attributes[trial]):
                    continue  # the row that the leaderboard had is better than one with gaps
                record = record_of(int(number), finished, values.get(trial), scores[trial], attributes[trial])
                leaderboard.rows([record])  # fails where a fact is not of its kind
                found.append(record)
    return sorted({record.number: record for record in found}.values(), key=lambda record: record.number)


def _whole(finished: bool, trained: bool, value: float | None, scores: Mapping[int, float], facts: Mapping[str, Any]) -> bool:
    """Whether nothing of a candidate is missing: its outcome, its value, and the score and metrics of each epoch."""
    epochs = range(1, len(scores) + 1)
    known = {int(key.removeprefix("epoch ")) for key in facts if key.startswith("epoch ")}
    complete = sorted(scores) == list(epochs) and (not known or known >= set(epochs))
    if "blueprint" in facts:  # an evaluator need not report
        # Metrics are written before the score: of a killed driver there may be those of one epoch more.
        complete = complete and known >= set(epochs) and (bool(scores) or not trained)
    return complete and (not finished or "outcome" in facts) and (not trained or value is not None)


def _rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[_Row]:
    """The rows of a table that can be read: from the first on until one cannot be, from the last back, then those between."""
    query = f"select rowid, {columns} from {table}"
    seen: set[int] = set()
    ends: list[int] = []
    for order in ("asc", "desc"):
        last = 0
        with suppress(*_UNREADABLE):
            for rowid, *row in connection.execute(f"{query} order by rowid {order}"):
                last = rowid
                if rowid in seen:
                    return
                seen.add(rowid)
                yield tuple(row)
            if order == "asc":
                return
        ends.append(last)
    for rowid in range(ends[0] + 1, min(ends[1], ends[0] + MOST_LOST)):
        with suppress(*_UNREADABLE):
            for _, *row in connection.execute(f"{query} where rowid = ?", (rowid,)):
                yield tuple(row)
