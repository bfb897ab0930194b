"""Scores where a time is to be kept: they tell what a network reaches in it, rather than after as many pictures.

All candidates of a search see as many pictures; but in a given time one that takes half as long for each sees twice as many. An
error falls about as the number of pictures to the power of -POWER, so for a time errors are compared times the seconds of an
epoch to that power (docs/results.md, "What a picture costs").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from nas.messages import Record
from nas.pace import epoch_seconds

POWER = 0.25


def timed(score: float, seconds: float, objective: str) -> float:
    """A score for a time, from one by `objective` after as many pictures as others, and the seconds of an epoch."""
    perfect = 0.0 if objective == "loss" else 1.0
    return perfect - (perfect - score) * float(seconds**POWER)


@dataclass
class TimedScores:
    """Records with their scores for a time; the same record for the same one. Those whose seconds are not known stay as they
    are."""

    objective: str
    _known: dict[int, tuple[Record, Record]] = field(default_factory=dict)

    def of(self, records: Sequence[Record]) -> list[Record]:
        return [self._of(record) for record in records]

    def _of(self, record: Record) -> Record:
        seconds = epoch_seconds([record.metrics])
        if record.value is None or not seconds:
            return record
        before, found = self._known.get(record.number, (None, record))
        if before is not record:
            value, *curve = (timed(each, seconds, self.objective) for each in (record.value, *record.curve))
            found = dataclasses.replace(record, value=value, curve=tuple(curve))
            self._known[record.number] = (record, found)
        return found
