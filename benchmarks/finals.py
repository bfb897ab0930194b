"""What came out of a run that was retrained: its last fit, and the figures of the test part."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from nas.final import read_final
from nas.messages import Record
from nas.run import Run
from nas.shared import reader_of


def last_fit(run: Run) -> Record:
    """The training that the model of the run comes from."""
    last = Run(run.folder / "final")
    with closing(reader_of(last, last.read_settings())) as ledger:
        (record,) = ledger.records()
    return record


def figures(run: Run, names: Sequence[str]) -> list[str]:
    """The accuracy and its interval, then these of the other figures."""
    found = read_final(run)
    if found is None:
        raise FileNotFoundError(run.final)
    accuracy = found.accuracy
    return [accuracy["value"], accuracy["low"], accuracy["high"], *(found.rows[name, ""]["value"] for name in names)]
