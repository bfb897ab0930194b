"""The best of a search at full length: what `nas retrain` does.

The best candidates are trained with several seeds on all training pictures but the validation part, where they are compared;
the winner is then fitted on all of them, and it alone is scored on the test part, once. Comparison and last fit are runs of
their own in the run folder, `retrain/` and `final/`; what is done of them is not done again.
"""

from __future__ import annotations

import dataclasses
import math
import time as clock
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from nas.comparison import decided, ends
from nas.datasets.prepare import check_test_part
from nas.driving import deadline_of
from nas.errors import NothingTrained, RunError, RunFailed, TimeOver
from nas.final import OPENED, last_score
from nas.fitting import fit_listed
from nas.jobs import in_epochs_of_a_search
from nas.joint import claim_retraining
from nas.ledger import Ledger
from nas.messages import LAST_FIT, LONGEST, SEED, Candidate, Record, Score
from nas.preparing import interrupts_told, kept
from nas.provenance import SEARCH
from nas.result import Result, best_begun, best_first
from nas.resuming import Reopened, reopened
from nas.retrainpace import RetrainPace
from nas.retrainparts import COMPARISON, FINAL, check_same, forget_trainings, part_of, told_to_remove, training_threads
from nas.retrainplan import (
    AFTER,
    ANEW,
    COMPARING,
    FULL,
    PLAN,
    SLACK,
    TOP,
    RetrainPlan,
    asked_anew,
    begun,
    check_asked,
    check_unseen,
    given_up,
    last_words,
    limit_of,
    planned,
    until_of,
    without_last_fit,
)
from nas.run import Run, disk_told, write_whole
from nas.salvage import check_ledger, examined
from nas.shared import reader_of
from nas.timed import TimedScores
from nas.view import Plain, View
from nas.yamlfile import dumped

SPARE = 0.85  # of the time, so much is planned for: an epoch of the search foretells one of all pictures badly


@dataclasses.dataclass(frozen=True)
class Retrained:
    """What came out: the winner's number in the search, its mean score in the comparison (None without one), and the figures
    of the test part."""

    folder: Path
    winner: int
    compared: float | None
    score: Score


def retrain(
    folder: str | Path | None,
    view: View | None = None,
    *,
    top: int | None = None,
    number: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    time: str | float | None = None,
    **changes: Any,
) -> Retrained:
    """Retrain the best `top` candidates of a run (or the one called `number`) with `seeds` seeds each, and score the winner.

    Repeated after an interrupt it goes on with what was planned, and with the same time again: only the time and the `changes`
    may be given anew.

    Args:
        top: how many (default 3). seeds: of each (default 3).
        epochs: of each training (default 30, or the search's if those were more, or what fits into `time`).
        time: seconds, or such as `20m`, for the whole; that of the search does not count.
        changes: of what may change on resume, such as `workers`, `threads` and `data_dir`.

    Raises RunError if nothing was trained, or if this run was retrained before: its test part has been seen.
    """
    began = clock.monotonic()
    asked = {"top": top, "number": number, "seeds": seeds, "epochs": epochs}
    check_asked(asked)
    limit_of(time)
    view, run = view or Plain(), Run.open(folder)
    check_unseen(run)
    again = f"nas retrain {run.name}"
    with disk_told(), interrupts_told(view, kept(again)):
        run.lock()
        try:
            check_unseen(run)  # by another process, while this one waited for the lock
            anew = asked_anew(run, asked) if time is not None else None
            before = begun(run, asked) if anew is None else None
            limit = before.time if before is not None and time is None else time
            back = reopened(run, view, SEARCH, time=limit_of(limit), **changes)
            check_test_part(back.chosen.dataset, back.chosen.data_dir, back.card)
            if anew is not None:
                forget_trainings(run)
            deadline = deadline_of(back.chosen.time, began)
            return _Retraining(run, back, view, again, deadline, RetrainPace(run, back)).carried_out(anew or asked, before)
        finally:
            run.unlock()


@dataclasses.dataclass
class _Retraining:
    run: Run
    back: Reopened
    view: View
    again: str  # the command that goes on with it
    deadline: float  # by time.monotonic
    pace: RetrainPace

    def carried_out(self, asked: dict[str, int | None], before: RetrainPlan | None) -> Retrained:
        plan = before or self._planned(asked)
        claim_retraining(self.back.chosen, self.back.facts, self.run.folder)
        if before is not None:
            self.view.note(f"going on with the retraining that began: {plan.words()}")
        if before is not None and plan.time != self.back.chosen.time and plan.asked.get("epochs") is None:
            plan = without_last_fit(self.run, plan, self.back.space, self.back.chosen.strategy)
        plan = self._write(plan.model_copy(update={"time": self.back.chosen.time}))
        plan = self._write(self._chosen(plan)) if plan.winner is None else plan
        if plan.last_epochs is None:
            if clock.monotonic() >= self.deadline:  # with another time it has other epochs
                raise TimeOver(f"the time was over before the last fit; nothing is lost; give it more: {self.again} --time …")
            plan = self._write(plan.model_copy(update={"last_epochs": self._last_epochs(plan)}))
        winner = plan.winner
        assert winner is not None
        model = Run(self.run.folder / FINAL).best
        if plan.fitted is None or not model.exists():  # once it is over, the model stays the one it is
            plan = self._write(plan.model_copy(update={"fitted": max(1, self._fit_last(plan).records[0].epochs)}))
        facts = plan.facts(self._candidate(winner))
        anew = f"remove {model.parent} to fit it anew"
        opening = partial(self._opening, winner)
        score = last_score(self.run, model, self.back.chosen, self.back.card, facts, self.view, anew, opening)
        return Retrained(self.run.folder, winner, plan.compared, score)

    def _opening(self, winner: int) -> dict[str, object]:
        """What is written down before the look; of several drivers only one has it."""
        claim_retraining(self.back.chosen, self.back.facts, self.run.folder, opening=True)
        return {OPENED: winner}

    def _write(self, plan: RetrainPlan) -> RetrainPlan:
        write_whole(self.run.folder / PLAN, dumped(plan.model_dump()))
        return plan

    def _planned(self, asked: dict[str, int | None]) -> RetrainPlan:
        with closing(self._ledger()) as ledger:
            records, one = ledger.records(), asked["number"]
            ranked = self._for_the_time(records) if self._timed(asked) else records
            found = [ledger.record(one)] if one is not None else best_first(ranked)[: asked["top"] or TOP]
        if not found and (half := best_begun(records)) is not None:
            self.view.note(f"no candidate was trained to the end: #{half.number}, the best so far, is taken")
            found = [half]
        if not found:
            raise RunError("has no candidate that was trained for an epoch", str(self.run.folder))
        numbers = [record.number for record in found]
        seconds: dict[int, float] = {}
        if self._timed(asked):  # one of which none is known is told before anything is planned
            seconds = {number: self.pace.epoch_seconds(number, True) for number in numbers}
        workers, start_up = self.back.chosen.at_once, self.pace.start_up(numbers)
        plan = planned(asked, numbers, workers, self.pace.searched, self._left(), seconds.__getitem__, start_up)
        self.view.note(f"retraining: {plan.words()}{given_up(plan, numbers)}")
        return plan

    def _timed(self, asked: dict[str, int | None]) -> bool:
        """Whether the time decides how many epochs there are."""
        return self.deadline < math.inf and asked.get("epochs") is None

    def _chosen(self, plan: RetrainPlan) -> RetrainPlan:
        """The plan with its winner: the best mean score over seeds that all candidates have, for the time that there is."""
        if not plan.trainings:
            return plan.model_copy(update={"winner": plan.candidates[0]})
        pairs = [(number, seed) for seed in range(plan.seeds) for number in plan.candidates]
        listed = [
            dataclasses.replace(self._candidate(number), number=place, parents=(number,), operator=f"{SEED}{seed}", refused=())
            for place, (number, seed) in enumerate(pairs)
        ]
        with suppress(TimeOver, NothingTrained):  # then the search says who is best
            self._fit(COMPARISON, {"epochs": plan.epochs, "patience": 0}, listed, self._compared_by(plan))
        study = Run(self.run.folder / COMPARISON).study
        with closing(Ledger(study, self.back.space, self.back.chosen.strategy, reading=True)) as ledger:
            ended = ends(ledger.records(), pairs)
        fitting = {each: self._fitting(each) for each in plan.candidates} if self._timed(plan.asked) else None
        plan, words = decided(plan, ended, fitting, self.back.chosen.objective)
        for line in words:
            self.view.note(line)
        return plan

    def _compared_by(self, plan: RetrainPlan) -> float:
        """When the comparison ends at the latest (by time.monotonic), so that the last fit has its time."""
        left, now = self._left(), clock.monotonic()
        if left is None:
            return self.deadline
        until = now + left * (COMPARING + SLACK)
        if self._timed(plan.asked):
            return until
        with suppress(RunError):  # the last fit takes what was asked for, and the rest is for the comparison
            dearest = max(self.pace.epoch_seconds(number, validated=False) for number in plan.candidates)
            until = max(until, self.deadline - plan.epochs * dearest - self.pace.start_up(plan.candidates) - AFTER)
        return until

    def _last_epochs(self, plan: RetrainPlan) -> int:
        """Epochs of the last fit: as asked, what fits into the time, or those of the comparison."""
        assert plan.winner is not None
        if plan.asked.get("epochs") is not None:
            return plan.epochs
        if self.deadline == math.inf:  # it may have been planned for a time, which was taken back
            return max(plan.epochs, FULL, math.ceil(self.pace.searched))
        return min(LONGEST, max(1, int(self._fitting(plan.winner))))

    def _fitting(self, number: int) -> float:
        """Epochs of a candidate on all pictures that fit into what is left."""
        left = self.deadline - clock.monotonic() - self.pace.start_up([number]) - AFTER
        return left / self.pace.epoch_seconds(number, validated=False)

    def _for_the_time(self, records: Sequence[Record]) -> list[Record]:
        """Records with their scores for the last fit, that is for what the comparison will leave."""
        left = (self.deadline - clock.monotonic()) * (1 - COMPARING)
        chosen, card = self.back.chosen, self.back.card
        return TimedScores(chosen.objective, in_epochs_of_a_search(left, chosen, card)).of(records)

    def _fit_last(self, plan: RetrainPlan) -> Result:
        """The winner on all training pictures."""
        assert plan.winner is not None
        own: dict[str, Any] = {"number": 0, "parents": (plan.winner,), "operator": LAST_FIT, "refused": ()}
        listed = [dataclasses.replace(self._candidate(plan.winner), **own)]
        # What an epoch takes is foretold badly, and a schedule that is cut off before its end costs much.
        timed = self._timed(plan.asked)
        until = partial(until_of, self.deadline) if timed else None
        going_on = Run(self.run.folder / FINAL).checkpoint(0).exists()
        epochs = self._last_epochs(plan) if going_on and timed else plan.last_epochs or 1
        self.view.note(last_words(plan.winner, epochs, timed, going_on, self.pace.searched))
        settings = {"epochs": plan.last_epochs, "validation_part": 0.0, "patience": 0}
        result = self._fit(FINAL, settings, listed, self.deadline, until)
        if not Run(self.run.folder / FINAL).best.exists():
            raise RunFailed(f"the last fit gave no model: {result.records[0].reason or result.records[0].state}")
        return result

    def _fit(
        self,
        name: str,
        settings: dict[str, Any],
        listed: Sequence[Candidate],
        deadline: float,
        until: Callable[[], float] | None = None,
    ) -> Result:
        """Train a list in its own run folder, made if it is not there. The search's limit of time for one candidate is not one
        of trainings at full length."""
        threads = training_threads(self.back.chosen, len(listed))
        own = {"train_part": 1.0, "keep": 1, "trial_time": None, "inherit": False, "threads": threads, "storage": None}
        chosen = self.back.chosen.model_copy(update={**own, **settings})
        space, card = self.back.space, self.back.card
        part = part_of(self.run, name, self.back.facts, chosen)
        part.lock()
        try:
            with told_to_remove(part), examined(part):
                check_ledger(part)
                check_same(part, space, chosen, listed)
            # Of a comparison that is cut off, a model would be taken for a result.
            return fit_listed(part, space, chosen, listed, card, self.view, self.again, deadline, until, name == FINAL)
        except NothingTrained as problem:
            words = f"it is not tried again, unless you remove {part.folder}; to take another one, {ANEW}, and name it"
            raise NothingTrained(f"{problem}\n       {words}: {self.again} --number …") from None
        finally:
            part.unlock()

    def _left(self) -> float | None:
        """Seconds that may be planned for; None without a limit."""
        return max(1.0, (self.deadline - clock.monotonic()) * SPARE) if self.deadline != float("inf") else None

    def _ledger(self) -> Ledger:
        return reader_of(self.run, self.back.facts)

    def _candidate(self, number: int) -> Candidate:
        with closing(self._ledger()) as ledger:
            try:
                return ledger.candidate(number)
            except RunError as problem:
                raise RunError(f"{problem}; {PLAN} names it: {ANEW} to begin anew", self.run.name) from None
