"""What a retraining does, as `retrain.yaml` keeps it: who is compared, how long, who won. `retraining.py` carries it out."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.config import Settings, seconds, settings
from nas.database import without_candidates
from nas.errors import ConfigError, RunError, counted, listing
from nas.ledger import Ledger
from nas.machine import default_threads
from nas.messages import LONGEST, Candidate, Record
from nas.provenance import TRAINING
from nas.run import Run
from nas.space import SearchSpace
from nas.timed import timed
from nas.yamlfile import read

COMPARISON, FINAL = "retrain", "final"  # folders
FULL = 30  # epochs of a training at full length, where neither epochs nor time are given and the search had not more
DEEPER = 3  # times the pictures that a candidate saw in the search, at least, or a comparison says nothing new
TOP = SEEDS = 3  # candidates that are compared, and trainings of each
PLAN = "retrain.yaml"  # in the run folder
OPENED = "test part opened for"  # in its run.yaml: the candidate whose model was, or is, scored there
COMPARING = 0.125  # part of the time that is for the comparison
SLACK = 0.1  # and as much more, where it takes longer than was foretold
START_UP = 6.0  # seconds of a training until its first epoch
_OF_A_TRAINING = ("epochs", "patience", "train_part", "validation_part", "objective", "class_weight", "seed")
AFTER = 10.0  # seconds after its last: its model is written, read, and the figures of the test part are drawn


class RetrainPlan(BaseModel):
    """What is retrained, as `retrain.yaml` keeps it: decided once, whatever is repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: dict[str, int | None]
    time: float | None = None  # seconds that were given for all of it; given again when it is repeated
    candidates: list[int] = Field(min_length=1)
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)  # of each training of the comparison
    winner: int | None = None
    compared: float | None = None  # its mean score
    over: dict[int, int] = {}  # candidate → seeds that its mean is over, of those that were compared
    last_epochs: int | None = Field(default=None, ge=1)  # of the last fit
    fitted: int | None = Field(default=None, ge=1)  # epochs of it that were done when it was over

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
) -> RetrainPlan:
    """A plan that the time allows: rather fewer seeds, then fewer candidates, than trainings too short to say more than the
    search has. Each training has as many epochs, though some take longer: after the same time, so much less than that of the
    last fit, the smallest network would look best.

    `searched` are the epochs of the search, counted in all training pictures, `left` the seconds to plan for (None without a
    limit), `epoch_seconds` what an epoch of a candidate takes.
    """
    epochs = asked["epochs"] or max(FULL, math.ceil(searched))
    plan = RetrainPlan(asked=asked, candidates=numbers, seeds=asked["seeds"] or SEEDS, epochs=epochs)
    if left is None or asked["epochs"] is not None:
        return plan
    while plan.trainings:
        rounds = math.ceil(plan.trainings / workers)  # of trainings side by side, the last one maybe not full
        each = COMPARING * left / rounds - START_UP
        fitting = min(LONGEST, int(each / statistics.mean(map(epoch_seconds, plan.candidates))))
        if fitting >= max(1, DEEPER * searched):
            return plan.model_copy(update={"epochs": fitting})
        if plan.seeds > 1:
            plan = plan.model_copy(update={"seeds": plan.seeds - 1})
        else:
            plan = plan.model_copy(update={"candidates": plan.candidates[:-1]})
    return plan


def given_up(plan: RetrainPlan, numbers: Sequence[int]) -> str:
    """What of the comparison of `numbers` the time was too short for, in words; empty if nothing."""
    wanted = plan.model_copy(update={"candidates": list(numbers), "seeds": plan.asked["seeds"] or SEEDS})
    if plan.trainings == wanted.trainings:
        return ""
    names, seeds = listing(f"#{number}" for number in numbers), counted(wanted.seeds, "seed")
    return f"; the time is too short to compare {names} over {seeds}" + ("" if plan.trainings else ", or any")


def check_asked(asked: dict[str, int | None]) -> None:
    """Raise ConfigError for a value that is none."""
    for name, value in asked.items():
        if value is not None and (type(value) is not int or value < (name != "number")):
            raise ConfigError(f"a whole number from {int(name != 'number')} is expected; found {value!r}", f"--{name}")
    if asked["top"] is not None and asked["number"] is not None:
        raise ConfigError("give one of them alone", "--top, --number")


def begun(run: Run, asked: dict[str, int | None]) -> RetrainPlan | None:
    """What was planned when this retraining began; None if it has not. Raises RunError if it is damaged, if other is asked, or
    if the test part was opened for a model that is gone."""
    file = run.folder / PLAN
    if not file.exists():
        _check_opened(run, None)
        return None
    anew = f"remove {file.name}, {COMPARISON}/ and {FINAL}/"
    try:
        plan = RetrainPlan.model_validate(read(file, RunError).data)
    except ValidationError:
        raise RunError(f"is damaged; {anew} to begin the retraining anew", str(file)) from None
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
            raise RunError(f"this retraining began {words}; leave it out to go on, or {anew}", f"--{name}")
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


def training_threads(chosen: Settings, trainings: int) -> int | None:
    """Of each training: all cores where they are fewer than the search's workers, unless its threads were given."""
    if chosen.executor == "ray" or chosen.threads != default_threads(chosen.at_once):  # Ray has reserved as many
        return chosen.threads
    return default_threads(min(chosen.at_once, trainings))


def check_same(part: Run, space: SearchSpace, chosen: Settings, listed: Sequence[Candidate]) -> None:
    """Raise RunError if a part holds trainings of another list, or others of these: it was left behind when the plan was
    removed."""
    if not part.study.exists() or without_candidates(part.study):  # a driver may have been killed before its first
        return
    with closing(Ledger(part.study, space, chosen.strategy, reading=True)) as ledger:
        pairs = list(zip(ledger.records(), listed, strict=False))
    before = settings(None, part.read_settings()["settings"])
    other = any(getattr(before, name) != getattr(chosen, name) for name in _OF_A_TRAINING)
    if other or any((record.parents, record.operator) != (one.parents, one.operator) for record, one in pairs):
        raise RunError("holds another retraining; remove it to begin this one anew", str(part.folder))


def until_of(deadline: float) -> float:
    """When the last epoch should end (by time.time) so that all is done by `deadline` (by time.monotonic). A training foretells
    its epochs, so it may be late by a part of one."""
    return time.time() + deadline - time.monotonic() - AFTER


def ends(records: Sequence[Record], pairs: Sequence[tuple[int, int]]) -> dict[int, dict[int, float | None]]:
    """Candidate → seed → score of the trainings that ended, None where one failed; `pairs` are candidate and seed of each."""
    found: dict[int, dict[int, float | None]] = {}
    for record, (number, seed) in zip(records, pairs, strict=False):
        if record.state in ("trained", "infeasible"):
            found.setdefault(number, {})[seed] = record.value if record.state == "trained" else None
    return found


def compared(ended: dict[int, dict[int, float | None]]) -> dict[int, list[float]]:
    """Candidate → its scores over the seeds (its first training, its second, …) that all candidates have; where there is none,
    of those with the most seeds.

    The score of a training that failed is None. Only those that failed least are compared: the others' good seeds were luck.
    """
    failed = {number: sum(score is None for score in found.values()) for number, found in ended.items()}
    told = {number: {seed: score for seed, score in found.items() if score is not None} for number, found in ended.items()}
    least = min((failed[number] for number, found in told.items() if found), default=0)
    scores = {number: found for number, found in told.items() if found and failed[number] == least}
    if not scores:
        return {}
    shared = set.intersection(*(set(found) for found in scores.values()))
    if shared:
        return {number: [found[seed] for seed in sorted(shared)] for number, found in scores.items()}
    most = max(map(len, scores.values()))
    return {number: list(found.values()) for number, found in scores.items() if len(found) == most}


def decided(
    plan: RetrainPlan,
    ended: dict[int, dict[int, float | None]],
    pace: Mapping[int, float] | None = None,
    objective: str = "accuracy",
) -> tuple[RetrainPlan, list[str]]:
    """The plan with its winner, the one with the best mean score, and what there is to say of it; `ended` as by `ends`. With
    the `pace`, seconds of an epoch of each candidate, the best for a time."""
    told = compared(ended)
    if not told:
        best = next((number for number in plan.candidates if None not in ended.get(number, {}).values()), plan.candidates[0])
        whose = "best of the search" if best == plan.candidates[0] else "best of the search that did not fail"
        words = f"no training of the comparison came to its end in time: #{best}, the {whose}, is taken"
        return plan.model_copy(update={"winner": best}), [words]
    means = {number: statistics.mean(found) for number, found in told.items()}
    lines = []
    for number, found in told.items():
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        took = f", an epoch in {pace[number]:.0f} s" if pace else ""
        lines.append(f"#{number}: {means[number]:.4f}{spread} over {counted(len(found), 'seed')}{took}")
    for number in plan.candidates:
        if number not in told:
            lines.append(f"#{number} is left out: more of its trainings failed, or fewer came to their end in time")
    worth = {number: timed(mean, pace[number], objective) for number, mean in means.items()} if pace else means
    winner = max(worth, key=lambda number: worth[number])
    alone = len(plan.candidates) == 1
    most = ", which should reach most in the time," if means[winner] < max(means.values()) else ","
    lines.append(f"now {'it' if alone else f'the winner, #{winner}{most}'} is fitted on all training pictures")
    over = {number: len(found) for number, found in told.items()}
    return plan.model_copy(update={"winner": winner, "compared": means[winner], "over": over}), lines
