"""Scores where a time is to be kept: they tell what a network reaches in it, rather than after as many pictures.

All candidates of a search see as many pictures; but in a given time one that takes half as long for each sees twice as many. An
error falls with the epochs of a training about as 1 + LEARNING / epochs: by much where there is time for a few, by little where
there are many. So for a time an error counts times that, with the epochs that fit (docs/results.md, "What a picture costs").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from nas.messages import Record
from nas.pace import epoch_seconds

LEARNING = 4.0  # epochs
FEWEST = 0.01  # of an epoch, that something is told apart even where the time is too short for any


def timed(score: float, epochs: float, objective: str, learning: float = LEARNING) -> float:
    """A score for a time, from one by `objective` after as many pictures as others, and the epochs that fit into it."""
    perfect = 0.0 if objective == "loss" else 1.0
    return perfect - (perfect - score) * (1 + learning / max(epochs, FEWEST))


@dataclass
class TimedScores:
    """Records with their scores for a time; the same record for the same one. Those whose seconds are not known stay as they
    are. The time is told in seconds of such epochs as theirs: `jobs.in_epochs_of_a_search`."""

    objective: str
    seconds: float
    _known: dict[int, tuple[Record, Record]] = field(default_factory=dict)

    def of(self, records: Sequence[Record]) -> list[Record]:
        return [self._of(record) for record in records]

    def _of(self, record: Record) -> Record:
        each = epoch_seconds([record.metrics])
        if record.value is None or not each:
            return record
        before, found = self._known.get(record.number, (None, record))
        if before is not record:
            fitting = self.seconds / each
            value, *curve = (timed(score, fitting, self.objective) for score in (record.value, *record.curve))
            found = dataclasses.replace(record, value=value, curve=tuple(curve))
            self._known[record.number] = (record, found)
        return found
