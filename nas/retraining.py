"""The best of a search at full length: what `nas retrain` does.

The best candidates are trained with several seeds on all training pictures but the validation part, where they are compared;
the winner is then fitted on all of them, and it alone is scored on the test part, once. Comparison and last fit are runs of
their own in the run folder, `retrain/` and `final/`; what is done of them is not done again.
"""

from __future__ import annotations

import dataclasses
import statistics
import time as clock
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from nas.config import Settings, seconds
from nas.driver import deadline_of
from nas.errors import ConfigError, RunError, RunFailed, counted
from nas.final import final_lines, write_final
from nas.fitting import fit, score
from nas.jobs import job_for
from nas.ledger import Ledger
from nas.messages import Candidate, Job, Score
from nas.preparing import hands_of, interrupts_told, kept
from nas.result import best_first
from nas.resuming import Reopened, reopened
from nas.run import Run, disk_told, write_whole
from nas.view import Plain, View, duration
from nas.yamlfile import dumped, read

FULL = 30  # epochs of a training at full length, where neither epochs nor time are given
COMPARING = 0.4  # part of the time that is for the comparison
START_UP = 6.0  # seconds of a training until its first epoch, and after its last
SPARE = 0.85  # of the time that is left, so much is planned for: an epoch of the search foretells one of all pictures badly
FORWARD = 1 / 3  # what a picture costs in validation, of what it costs in training


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
    top: int = 3,
    number: int | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    time: str | float | None = None,
    **changes: Any,
) -> Retrained:
    """Retrain the best `top` candidates of a run (or the one called `number`) with `seeds` seeds each, and score the winner.

    Args:
        epochs: of each training (default 30, or what fits into `time`).
        time: seconds, or such as `20m`, for the whole.
        changes: of `workers`, `threads` and `data_dir`.

    Raises RunError if nothing was trained, or if the test part has been opened for this run before: a second look would not be
    of unseen pictures.
    """
    began = clock.monotonic()
    for name, value in (("top", top), ("seeds", seeds), ("epochs", 1 if epochs is None else epochs)):
        if type(value) is not int or value < 1:
            raise ConfigError(f"a whole number from 1 is expected; found {value!r}", f"--{name}")
    view = view or Plain()
    run = Run.open(folder)
    if run.final.exists():
        words = "was retrained before, and its test part opened: the figures are in final.csv. Those of a second look would not"
        raise RunError(f"{words} be of unseen pictures; for another try, start a new search", str(run.folder))
    with disk_told(), interrupts_told(view, kept(f"nas retrain {run.name}")):
        run.lock()
        try:
            back = reopened(run, view, time=_limit(time), **changes)
            deadline = began + back.chosen.time if back.chosen.time is not None else deadline_of(back.chosen)
            return _Retraining(run, back, view, epochs, deadline).all(top, number, seeds)
        finally:
            run.unlock()


def _limit(time: str | float | None) -> str | float:
    """The time that was given; that of the search does not count here."""
    if time is None:
        return "none"
    try:
        seconds(time)
    except ValueError as problem:
        raise ConfigError(f"{problem}; found {time!r}", "--time") from None
    return time


@dataclasses.dataclass
class _Retraining:
    run: Run
    back: Reopened
    view: View
    epochs: int | None
    deadline: float  # by time.monotonic

    def all(self, top: int, number: int | None, seeds: int) -> Retrained:
        plan = self._plan(top, number, seeds)
        compared = self._compare(plan["candidates"], plan["seeds"], plan["epochs"])
        winner, mean = max(compared.items(), key=lambda each: each[1]) if compared else (plan["candidates"][0], None)
        if compared:
            self.view.note(f"the winner is #{winner}, with {mean:.4f} on average; now it is fitted on all training pictures")
        last, epochs = self._fit_last(winner)
        with hands_of(self.back.chosen) as hands:
            found = score(hands, last, self.back.chosen, self.back.card, self.view)
        candidate = self._candidate(winner)
        assert candidate.blueprint is not None
        facts = {
            "winner": winner,
            "compared": "" if mean is None else round(mean, 6),
            "candidates": " ".join(map(str, plan["candidates"])),
            "seeds": plan["seeds"],
            "epochs": epochs,
            "parameters": candidate.blueprint.parameters,
            "flops": candidate.blueprint.flops,
        }
        write_whole(self.run.best, last.best.read_bytes())
        write_final(self.run, found, facts)
        self.view.note("\n".join(final_lines(found)))
        return Retrained(self.run.folder, winner, mean, found)

    def _plan(self, top: int, number: int | None, seeds: int) -> dict[str, Any]:
        """Which candidates, seeds and epochs: as planned when this began, or planned now."""
        file = self.run.folder / "retrain.yaml"
        if file.exists():
            plan = read(file, RunError).data
            kept = plan if isinstance(plan, dict) else {}
            if not (isinstance(kept.get("candidates"), list) and kept["candidates"]) or not all(
                type(kept.get(name)) is int and kept[name] >= 1 for name in ("seeds", "epochs")
            ):
                raise RunError("is damaged; remove it to begin the retraining anew", str(file))
            self.view.note(f"going on with the retraining that began: {_words(kept)}")
            return kept
        with closing(self._ledger()) as ledger:
            if number is not None:
                numbers = [ledger.record(number).number]
            else:
                numbers = [record.number for record in best_first(ledger.records())[:top]]
        if not numbers:
            raise RunError("has no candidate that was trained to the end", str(self.run.folder))
        plan = self._fitted_in(numbers, seeds)
        write_whole(file, dumped(plan))
        self.view.note(f"retraining: {_words(plan)}")
        return plan

    def _fitted_in(self, numbers: list[int], seeds: int) -> dict[str, Any]:
        """A plan that the time allows: rather fewer seeds, then fewer candidates, than trainings shorter than the search's."""
        left = self._left()
        while True:
            trainings = len(numbers) * seeds if len(numbers) * seeds > 1 else 0
            epochs = self.epochs or FULL
            if left is not None and self.epochs is None and trainings:
                each = statistics.mean(self._epoch_seconds(number, validated=True) for number in numbers)
                epochs = int((COMPARING * left / trainings - START_UP) / each)
            if epochs >= self.back.chosen.epochs or not trainings or self.epochs is not None:
                return {"candidates": numbers, "seeds": seeds, "epochs": max(1, epochs)}
            if seeds > 1:
                seeds -= 1
            else:
                numbers = numbers[:-1]

    def _compare(self, numbers: Sequence[int], seeds: int, epochs: int) -> dict[int, float]:
        """Candidate → mean score over the seeds; empty where there is nothing to compare."""
        pairs = [(number, seed) for seed in range(seeds) for number in numbers]
        if len(pairs) == 1:
            return {}
        listed = [
            dataclasses.replace(self._candidate(number), number=place, parents=(number,), operator=f"seed {seed}", refused=())
            for place, (number, seed) in enumerate(pairs)
        ]
        left = self._left()
        until = self.deadline if left is None else clock.monotonic() + left * (COMPARING + 0.1)
        chosen = self.back.chosen.model_copy(update={"epochs": epochs, "train_part": 1.0, "keep": 1})
        result = self._fit(self._part("retrain", chosen), chosen, listed, 0, until)
        scores: dict[int, list[float]] = {}
        for record, (number, _) in zip(result.records, pairs, strict=False):
            if record.state == "trained" and record.value is not None:
                scores.setdefault(number, []).append(record.value)
        for number, found in scores.items():
            spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
            self.view.note(f"#{number}: {statistics.mean(found):.4f}{spread} over {counted(len(found), 'seed')}")
        if not scores:
            raise RunFailed(f"no training of the comparison came to its end; see {self.run.folder / 'retrain'}")
        return {number: statistics.mean(found) for number, found in scores.items()}

    def _fit_last(self, winner: int) -> tuple[Run, int]:
        """The winner on all training pictures: its run, and the epochs that were trained."""
        part = Run(self.run.folder / "final")
        epochs = self.epochs or FULL
        left = self._left()
        if part.settings.is_file():
            epochs = int(part.read_settings()["settings"].get("epochs", epochs))
        elif left is not None and self.epochs is None:
            epochs = max(1, int((left - 2 * START_UP) / self._epoch_seconds(winner, validated=False)))
        if left is not None:
            self.view.note(f"the last fit: {counted(epochs, 'epoch')} in about {duration(left)}")
        listed = [dataclasses.replace(self._candidate(winner), number=0, parents=(winner,), operator="last fit", refused=())]
        chosen = self.back.chosen.model_copy(update={"epochs": epochs, "train_part": 1.0, "keep": 1, "patience": 0})
        result = self._fit(self._part("final", chosen), chosen, listed, None, self.deadline)
        if not part.best.exists():
            raise RunFailed(f"the last fit gave no model: {result.records[0].reason or result.records[0].state}")
        return part, result.records[0].epochs

    def _fit(self, part: Run, chosen: Settings, listed: Sequence[Candidate], validation: int | None, until: float) -> Any:
        def job_of(candidate: Candidate) -> Job:
            job = job_for(candidate, chosen, self.back.card, part)
            return dataclasses.replace(job, validation_part=0.0) if validation is None else job

        part.lock()
        try:
            again = f"nas retrain {self.run.name}"
            return fit(part, self.back.space, chosen, listed, job_of, self.view, again, until)
        finally:
            part.unlock()

    def _part(self, name: str, chosen: Settings) -> Run:
        """The run folder of one part, made if it is not there."""
        part = Run(self.run.folder / name)
        if not part.settings.is_file():
            part = Run.create(part.folder, name)
            part.write_settings({**self.back.facts, "settings": chosen.model_dump(mode="json")})
        return part

    def _left(self) -> float | None:
        """Seconds that may be planned for; None without a limit."""
        return max(1.0, (self.deadline - clock.monotonic()) * SPARE) if self.deadline != float("inf") else None

    def _epoch_seconds(self, number: int, validated: bool) -> float:
        """What one epoch of a candidate takes on all pictures, by the epochs that it was trained before: those of the
        comparison if there are, else those of the search."""
        pictures = sum(self.back.card.counts)
        held = self.back.chosen.validation_part or 0.0
        every = pictures * (1 - held)
        compared = Run(self.run.folder / "retrain")
        with closing(self._ledger()) as ledger:
            epochs, part = ledger.epochs(number), self.back.chosen.train_part or 1.0
        if compared.study.exists():
            with closing(Ledger(compared.study, self.back.space, self.back.chosen.strategy, reading=True)) as ledger:
                again = [m for record in ledger.records() if record.parents == (number,) for m in ledger.epochs(record.number)]
            epochs, part = (again, 1.0) if again else (epochs, part)
        took = [metrics["seconds"] for metrics in epochs if "seconds" in metrics]
        if not took:
            raise RunError(
                f"of #{number} no epoch is known, so its time cannot be foretold; give --epochs", str(self.run.folder)
            )
        each = statistics.median(took[1:] or took) / (every * part + FORWARD * pictures * held)
        return each * ((every + FORWARD * pictures * held) if validated else pictures)

    def _ledger(self) -> Ledger:
        return Ledger(self.run.study, self.back.space, self.back.chosen.strategy, reading=True)

    def _candidate(self, number: int) -> Candidate:
        with closing(self._ledger()) as ledger:
            return ledger.candidate(number)


def _words(plan: dict[str, Any]) -> str:
    numbers = ", ".join(f"#{number}" for number in plan["candidates"])
    if len(plan["candidates"]) * plan["seeds"] == 1:
        return f"{numbers}, on all training pictures"
    return f"{numbers}, {counted(plan['seeds'], 'seed')} each, {counted(plan['epochs'], 'epoch')}"
