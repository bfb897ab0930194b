"""Networks trained in a run folder: `fit` sets the driver going on them, whoever names them.

A search (`searching.py`) asks a strategy; `single.py` (one known network) and `retraining.py` (the best of a search) have a
list. So what a search does about crashes, memory, interrupts and resuming holds there too, and `nas leaderboard` shows
such a folder.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from nas.config import Settings
from nas.driving import drive
from nas.errors import RunFailed
from nas.executors import Executor, Task
from nas.jobs import WORKER, job_for, limits_of
from nas.ledger import Ledger
from nas.messages import LAST_FIT, Candidate, DataCard, Job, Limits, Record
from nas.result import Result
from nas.run import Run
from nas.salvage import examined
from nas.shared import ledger_for
from nas.space import SearchSpace
from nas.strategies.asking import Asks
from nas.view import View

HAND_OVER = 20.0  # seconds that may pass, after the time is over, until a model is made of what there is


@dataclasses.dataclass
class Listed:
    """In place of a strategy that is asked: the candidates that were listed, one after the other."""

    candidates: Sequence[Candidate]
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    exhausted: str = ""
    noun: str = "training"

    def told(self, records: Sequence[Record], /) -> Sequence[Record]:
        return records

    def next(self, records: Sequence[Record], number: int) -> Candidate | None:
        return self.candidates[number] if number < len(self.candidates) else None


def fit(
    run: Run,
    space: SearchSpace,
    chosen: Settings,
    asking: Asks,
    job_of: Callable[[Candidate], Job],
    view: View,
    again: str,
    deadline: float = math.inf,
    unfinished: bool = True,
) -> Result:
    """Train the candidates of `asking` as `job_of` says, or go on with that; `again` is the command that goes on. Where the
    time is over before any of them is done, `best.keras` is made of the best one in flight, if `unfinished`.

    Raises what `drive` raises, and RunError for a damaged ledger.
    """

    def hand_over(executor: Executor, candidate: Candidate) -> None:
        job = dataclasses.replace(job_of(candidate), model=str(run.best.absolute()))
        executor.call(Task(f"{WORKER}:hand_over", job, "making a model", Limits(HAND_OVER)))

    train, limits, given = f"{WORKER}:train", limits_of(chosen), hand_over if unfinished else None

    def opened() -> Ledger:
        try:
            return ledger_for(run, space, chosen, view.note)
        except RunFailed as problem:
            raise RunFailed(f"{problem}\n       when that is mended, go on with: {again}") from None

    with examined(run), closing(opened()) as ledger:
        return drive(chosen, ledger, asking, view, job_of, train, run, chosen.epochs, deadline, limits, given, again)


def fit_listed(
    run: Run,
    space: SearchSpace,
    chosen: Settings,
    candidates: Sequence[Candidate],
    card: DataCard,
    view: View,
    again: str,
    deadline: float,
    until: Callable[[], float] | None = None,
    unfinished: bool = True,
) -> Result:
    """Train all `candidates`, numbered from 0, to the end: the epochs of the settings, or as many as fit until then: `until`
    says (by time.time) when it is, whenever a training is sent out, for a machine may have slept. `unfinished` as in `fit`."""
    chosen = chosen.model_copy(update={"budget": len(candidates), "pruner": "none"})

    def job_of(one: Candidate) -> Job:
        called = one.parents[0] if one.operator == LAST_FIT else None
        return dataclasses.replace(job_for(one, chosen, card, run), until=until and until(), called=called)

    return fit(run, space, chosen, Listed(candidates), job_of, view, again, deadline, unfinished)
