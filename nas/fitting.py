"""Listed networks trained at full length, in a run folder of their own, by the driver of a search.

`single.py` (one known network) and `retraining.py` (the best of a search) use it: what a search does about crashes, memory,
interrupts and resuming holds here too, and `nas leaderboard` shows such a folder.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from nas.config import Settings
from nas.driver import drive
from nas.executors import Executor, Task
from nas.jobs import WORKER, limits_of
from nas.ledger import Ledger
from nas.messages import Candidate, DataCard, DataRequest, Job, Limits, Record, Score, ScoreRequest
from nas.result import Result
from nas.run import Run
from nas.salvage import check_ledger, examined
from nas.space import SearchSpace
from nas.view import View

HAND_OVER = 20.0  # seconds that may pass, after the time is over, until a model is made of what there is


@dataclasses.dataclass
class Listed:
    """In place of a strategy that is asked: the candidates that were listed, one after the other."""

    candidates: Sequence[Candidate]
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    exhausted: str = ""

    def next(self, records: Sequence[Record], number: int) -> Candidate | None:
        return self.candidates[number] if number < len(self.candidates) else None


def fit(
    run: Run,
    space: SearchSpace,
    chosen: Settings,
    candidates: Sequence[Candidate],
    job_of: Callable[[Candidate], Job],
    view: View,
    again: str,
    deadline: float = math.inf,
) -> Result:
    """Train all `candidates`, numbered from 0, as `job_of` says, or go on with that; `again` is the command for it.

    Raises what a search raises.
    """

    def hand_over(executor: Executor, candidate: Candidate) -> None:
        job = dataclasses.replace(job_of(candidate), model=str(run.best.absolute()))
        executor.call(Task(f"{WORKER}:hand_over", job, "making a model", Limits(HAND_OVER)))

    chosen = chosen.model_copy(update={"budget": len(candidates), "pruner": "none"})
    with examined(run):
        check_ledger(run)
        with closing(Ledger(run.study, space, chosen.strategy)) as ledger:
            return drive(
                chosen,
                ledger,
                Listed(candidates),
                view,
                job_of,
                f"{WORKER}:train",
                run,
                chosen.epochs,
                deadline,
                limits_of(chosen),
                hand_over,
                again,
            )


def score(hands: Executor, model: Run, chosen: Settings, card: DataCard, view: View) -> Score:
    """Open the test part, and score the best model of a run on it. Raises DatasetError or RunError."""
    data = DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size)
    request = ScoreRequest(str(model.best.absolute()), data, card)
    found: Score = hands.call(Task(f"{WORKER}:score", request, "scoring on the test part"), view.preparing)
    return found
