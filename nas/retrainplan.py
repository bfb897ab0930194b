"""What a retraining does, as `retrain.yaml` keeps it: who is compared, how long, who won. `retraining.py` carries it out."""

from __future__ import annotations

import math
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nas.config import EPOCHS, seconds
from nas.database import without_candidates
from nas.errors import ConfigError, RunError, counted, listing
from nas.final import OPENED
from nas.ledger import Ledger
from nas.messages import LONGEST, Candidate
from nas.provenance import TRAINING
from nas.retrainparts import COMPARISON, FINAL, both
from nas.run import Run
from nas.space import SearchSpace
from nas.yamlfile import read

FULL = 30  # epochs of a training at full length, where neither epochs nor time are given and the search had not more
DEEPER = 3  # times the pictures that a candidate saw in the search, at least, or a comparison says nothing new
ASKED = {"top", "number", "seeds", "epochs"}
MOST = {"epochs": EPOCHS, "seeds": 1_000}  # that can be asked for
TOP = SEEDS = 3  # candidates that are compared, and trainings of each
PLAN = "retrain.yaml"  # in the run folder
COMPARING = 0.125  # part of the time that is for the comparison
SLACK = 0.1  # and as much more, where it takes longer than was foretold
START_UP = 6.0  # seconds of a training until its first epoch, at least
ANEW = f"remove {PLAN}, {COMPARISON}/ and {FINAL}/"
AFTER = 10.0  # seconds after its last: its model is written, read, and the figures of the test part are drawn


class RetrainPlan(BaseModel):
    """What is retrained, as `retrain.yaml` keeps it: decided once, whatever is repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: dict[str, int | None]
    # Seconds that were given for all of it; given again when it is repeated.
    time: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    candidates: list[int] = Field(min_length=1)
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)  # of each training of the comparison
    winner: int | None = None
    compared: float | None = None  # its mean score
    over: dict[int, int] = {}  # candidate → seeds that its mean is over, of those that were compared
    last_epochs: int | None = Field(default=None, ge=1)  # of the last fit
    fitted: int | None = Field(default=None, ge=1)  # epochs of it that were done when it was over

    @model_validator(mode="after")
    def _sound(self) -> RetrainPlan:
        if set(self.asked) != ASKED or len(set(self.candidates)) < len(self.candidates):
            raise ValueError("what was asked, or a candidate, is missing or there twice")
        if self.winner is not None and self.winner not in self.candidates:
            raise ValueError("the winner is none of the candidates")
        try:
            check_asked(self.asked)
        except ConfigError as problem:
            raise ValueError(str(problem)) from None
        return self

    @property
    def trainings(self) -> int:
        """Of the comparison: 0 for a single candidate, unless its spread over seeds was asked for."""
        alone = len(self.candidates) == 1 and self.asked.get("seeds") is None
        count = len(self.candidates) * self.seeds
        return 0 if alone or count == 1 else count

    def words(self) -> str:
        numbers = ", ".join(f"#{number}" for number in self.candidates)
        if not self.trainings:
            return f"{numbers}, on all training pictures"
        return f"{numbers}, {counted(self.seeds, 'seed')} each, {counted(self.epochs, 'epoch')}"

    def facts(self, winner: Candidate) -> dict[str, object]:
        """What `final.csv` says of the winner, when all is done."""
        assert winner.blueprint is not None
        alone = self.compared is None
        return {
            "winner": winner.number,
            "compared": "" if self.compared is None else round(self.compared, 6),
            "candidates": " ".join(map(str, self.over or ([winner.number] if alone else self.candidates))),
            "seeds": self.over.get(winner.number, "" if alone else self.seeds),
            "epochs": self.fitted,
            "parameters": winner.blueprint.parameters,
            "flops": winner.blueprint.flops,
        }


def planned(
    asked: dict[str, int | None],
    numbers: list[int],
    workers: int,
    searched: float,
    left: float | None,
    epoch_seconds: Callable[[int], float],
    start_up: float = START_UP,
) -> RetrainPlan:
    """A plan that the time allows: rather fewer seeds, then fewer candidates, than trainings too short to say more than the
    search has. Each training has as many epochs, though some take longer: after the same time, so much less than that of the
    last fit, the smallest network would look best.

    `searched` are the epochs of the search, counted in all training pictures, `left` the seconds to plan for (None without a
    limit), `epoch_seconds` what an epoch of a candidate takes, `start_up` what a training takes until its first one.
    """
    epochs = asked["epochs"] or max(FULL, math.ceil(searched))
    plan = RetrainPlan(asked=asked, candidates=numbers, seeds=asked["seeds"] or SEEDS, epochs=epochs)
    if left is None or asked["epochs"] is not None:
        return plan
    while plan.trainings:
        rounds = math.ceil(plan.trainings / workers)  # of trainings side by side, the last one maybe not full
        each = COMPARING * left / rounds - start_up
        fitting = min(LONGEST, int(each / statistics.mean(map(epoch_seconds, plan.candidates))))
        if fitting >= max(1, DEEPER * searched):
            return plan.model_copy(update={"epochs": fitting})
        if plan.seeds > 1:
            plan = plan.model_copy(update={"seeds": plan.seeds - 1})
        else:
            plan = plan.model_copy(update={"candidates": plan.candidates[:-1]})
    return plan


def last_words(winner: int, epochs: int, timed: bool, going_on: bool, searched: float) -> str:
    """What the last fit is, in words: its epochs, or those that still fit into the time, as far as is foretold."""
    about = f"as many {'more ' if going_on else ''}epochs as fit, about " if timed else ""
    more = "time" if timed else "epochs"
    few = "" if going_on or epochs >= searched else f"; it saw more pictures in the search: give it more {more}"
    return f"the last fit: #{winner}, {about}{counted(epochs, 'epoch')}{few}"


def given_up(plan: RetrainPlan, numbers: Sequence[int]) -> str:
    """What of the comparison of `numbers` the time was too short for, in words; empty if nothing."""
    wanted = plan.model_copy(update={"candidates": list(numbers), "seeds": plan.asked["seeds"] or SEEDS})
    if plan.trainings == wanted.trainings:
        return ""
    names, seeds = listing(f"#{number}" for number in numbers), counted(wanted.seeds, "seed")
    return f"; the time is too short to compare {names} over {seeds}" + ("" if plan.trainings else ", or even two of them once")


def check_asked(asked: dict[str, int | None]) -> None:
    """Raise ConfigError for a value that is none."""
    for name, value in asked.items():
        least, most = int(name != "number"), MOST.get(name)
        if value is not None and (type(value) is not int or value < least or (most is not None and value > most)):
            to = "" if most is None else f" to {most:,}"
            raise ConfigError(f"a whole number from {least}{to} is expected; found {value!r}", f"--{name}")
    if asked["top"] is not None and asked["number"] is not None:
        raise ConfigError("give one of them alone", "--top, --number")


def asked_anew(run: Run, asked: dict[str, int | None]) -> dict[str, int | None] | None:
    """What is asked of another plan, where by the one that there is no epoch was trained, for its time was far too short, and
    another time is given now: as then, if nothing is now. None where there is no such plan."""
    plan = _kept(run)
    if plan is None or any(part.best.exists() or any(part.checkpoint(0).parent.glob("*")) for part in both(run)):
        return None
    _check_opened(run, plan)
    return asked if any(value is not None for value in asked.values()) else plan.asked


def without_last_fit(run: Run, plan: RetrainPlan, space: SearchSpace, strategy: str) -> RetrainPlan:
    """A plan whose last fit is still to be planned, for another time: where it is not over, and has not had an epoch yet."""
    part = Run(run.folder / FINAL)
    if plan.fitted is not None or part.checkpoint(0).exists() or part.best.exists():
        return plan
    if part.study.exists() and not without_candidates(part.study):
        with closing(Ledger(part.study, space, strategy, reading=True)) as ledger:
            if any(record.finished for record in ledger.records()):
                return plan
    shutil.rmtree(part.folder, ignore_errors=True)
    return plan.model_copy(update={"last_epochs": None})


def _kept(run: Run) -> RetrainPlan | None:
    """The plan in a run folder; None if there is none. Raises RunError if it is damaged."""
    file = run.folder / PLAN
    if not file.exists():
        return None
    try:
        return RetrainPlan.model_validate(read(file, RunError).data)
    except ValidationError as problem:
        what = problem.errors()[0]["msg"].removeprefix("Value error, ")
        raise RunError(f"is damaged ({what}); {ANEW} to begin the retraining anew", str(file)) from None


def begun(run: Run, asked: dict[str, int | None]) -> RetrainPlan | None:
    """What was planned when this retraining began; None if it has not. Raises RunError if it is damaged, if other is asked, or
    if the test part was opened for a model that is gone."""
    plan = _kept(run)
    if plan is None:
        _check_opened(run, None)
        return None
    said: dict[str, int | None] = {"epochs": plan.epochs}  # where it was not asked
    if plan.asked.get("number") is None:
        said["top"] = TOP
    if plan.trainings:
        said["seeds"] = plan.seeds
    for name, value in asked.items():
        before = plan.asked.get(name)
        before = said.get(name) if before is None else before
        if value is not None and value != before:
            words = "without it" if before is None else f"with another value ({before})"
            raise RunError(f"this retraining began {words}; leave it out to go on, or {ANEW}", f"--{name}")
    _check_opened(run, plan)
    return plan


def check_unseen(run: Run) -> None:
    """Raise RunError if a run was retrained before: its test part has been seen."""
    if run.final.exists():
        if run.read_settings().get("kind") == TRAINING:
            raise RunError(f"is no search but a {TRAINING}, whose figures are in final.csv", str(run.folder))
        words = "was retrained before, and its test part opened: the figures are in final.csv. Those of a second look would not"
        raise RunError(f"{words} be of unseen pictures; for another try, start a new search", str(run.folder))


def _check_opened(run: Run, plan: RetrainPlan | None) -> None:
    """Raise RunError if the test part was opened for a model that is no longer there, or no longer the plan's: its figures may
    have been seen."""
    opened = run.read_settings().get(OPENED)
    fitted = plan is not None and plan.winner == opened and plan.fitted is not None
    if opened is not None and not (fitted and Run(run.folder / FINAL).best.exists()):
        words = (
            f"its test part was opened for the model of #{opened}, of which {PLAN} or {FINAL}/ is gone; another one would be"
        )
        raise RunError(f"{words} chosen with that in mind: start a new search", str(run.folder))


def limit_of(time: str | float | None) -> str | float:
    """The time that was given; that of the search does not count here."""
    if time is None:
        return "none"
    try:
        seconds(time)
    except ValueError as problem:
        raise ConfigError(f"{problem}; found {time!r}", "--time") from None
    return time


def until_of(deadline: float) -> float:
    """When the last epoch should end (by time.time) so that all is done by `deadline` (by time.monotonic). A training foretells
    its epochs, so it may be late by a part of one."""
    return time.time() + deadline - time.monotonic() - AFTER
