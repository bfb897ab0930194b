"""Pruners: may a candidate go on after this epoch? Each is a pure function of what the ledger holds.

`prune(records, number, epoch, epochs)` is True to stop; `epochs` are those of a whole training, None where nobody knows. So the
answer is the same after a restart; Optuna's own pruners keep state between calls. A pruner is not asked at the last epoch,
where that is known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TypeAlias

from nas.messages import Record

Prune: TypeAlias = Callable[[Sequence[Record], int, int, int | None], bool]

REDUCTION = 3  # of as many candidates at a rung, one goes on
MEDIAN_WARM_UP = 5  # candidates at an epoch before its median means something


def none(records: Sequence[Record], number: int, epoch: int, epochs: int | None = None) -> bool:
    """Never stop."""
    return False


def asha(records: Sequence[Record], number: int, epoch: int, epochs: int | None = None) -> bool:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), deciding at the rung, as in its stopping form.

    The rung is at a third of a training, rounded up to whole epochs; earlier, scores say next to nothing (docs/results.md). Of
    a training whose length nobody knows, rungs are the epochs 1, 3, 9, …. There a candidate goes on only if it is among the
    best third of all that came so far.
    """
    if not is_rung(epoch, epochs):
        return False
    own, all_scores = _scores(records, number, epoch)
    if len(all_scores) < REDUCTION:
        return False
    kept = sorted(all_scores, reverse=True)[: max(1, len(all_scores) // REDUCTION)]
    return own < kept[-1]


def is_rung(epoch: int, epochs: int | None) -> bool:
    """Whether `asha` decides after this epoch."""
    if epochs is not None:
        return epoch == math.ceil(epochs / REDUCTION)
    rung = 1
    while rung < epoch:
        rung *= REDUCTION
    return rung == epoch


def median(records: Sequence[Record], number: int, epoch: int, epochs: int | None = None) -> bool:
    """Stop what is worse at this epoch than the median of the others; simpler than the rule of Golovin et al. 2017 (section
    3.2.2), which compares with the means of their curves so far."""
    own, all_scores = _scores(records, number, epoch)
    all_scores.remove(own)
    return len(all_scores) >= MEDIAN_WARM_UP and own < statistics.median(all_scores)


def _scores(records: Sequence[Record], number: int, epoch: int) -> tuple[float, list[float]]:
    """The candidate's score at an epoch, and those of all that have reached it, itself included; not of infeasible ones."""
    reached = [record for record in records if len(record.curve) >= epoch and record.state != "infeasible"]
    scores = {record.number: record.curve[epoch - 1] for record in reached}
    return scores[number], list(scores.values())


PRUNERS: dict[str, Prune] = {"none": none, "asha": asha, "median": median}
