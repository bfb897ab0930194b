"""The candidates of a run in the order in which they ended: what a search had spent and found after each of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from nas.messages import Record
from nas.run import Run
from nas.shared import reader_of


def ended(folder: Path) -> list[tuple[Record, float]]:
    """Each with the seconds of its epochs."""
    run = Run(folder)
    with closing(reader_of(run, run.read_settings())) as ledger:
        records = {record.number: record for record in ledger.records() if record.finished}
        ends = {number: end for number, (_, end) in ledger.spans().items() if number in records and end is not None}
        seconds = {number: sum(epoch["seconds"] for epoch in ledger.epochs(number)) for number in ends}
    return [(records[number], seconds[number]) for number in sorted(ends, key=lambda number: ends[number])]
