"""The ledger: the one record of all candidates, an Optuna study in SQLite (or in memory for somebody's own evaluator).

One driver writes it, each candidate whole in one transaction. Everybody else reads `Record`s; nobody else sees the study.
`salvage.py` reads what is left of a damaged one.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from nas.blueprint import Blueprint, summary
from nas.database import check_database, said, storage_of
from nas.distributions import parameters
from nas.errors import Damaged, NasError, RunError, RunFailed, first_line
from nas.messages import Candidate, Infeasible, Outcome, Progress, Record, Stopped, Trained
from nas.recipe import Recipe
from nas.recorded import numbers, record_of, unvalidated
from nas.result import at_rest
from nas.run import disk_trouble
from nas.space import SearchSpace

STUDY = "nas"


class Ledger:
    """Opens the study at `file` (made if it is not there), or one in memory. Raises Damaged if the file is.

    With `reading` nothing is made or written, so that one can look at a search that runs. Whatever writes raises RunFailed
    if the disk does not take it; what was written before stays.
    """

    def __init__(self, file: Path | None, space: SearchSpace, strategy: str, reading: bool = False) -> None:
        self.space, self.strategy, self.place = space, strategy, str(file or "the ledger")
        self._storage: optuna.storages.BaseStorage | None = None
        if reading and (file is None or not file.exists()):
            raise RunError("there is no study", str(file))
        try:
            if file is not None and file.exists():
                check_database(file)
            self._open(storage_of(file, reading) if file else optuna.storages.InMemoryStorage(), STUDY, reading)
        except NasError:
            raise
        except Exception as problem:  # of a damaged file, SQLAlchemy and Optuna raise anything
            self.close()
            full = disk_trouble(problem)
            if full is not None:
                raise RunFailed(f"{file}: {full}") from None
            raise Damaged(f"is damaged: {type(problem).__name__}: {first_line(str(problem))}", str(file)) from None

    def _open(self, storage: optuna.storages.BaseStorage, study: str, reading: bool) -> None:
        """Find the study in `storage`, or make it, and read all that it has. Raises anything."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage = storage
        if not reading and study not in optuna.get_all_study_names(storage):
            optuna.create_study(storage=storage, study_name=study, direction="maximize")
        # Proposing and pruning are done elsewhere: the study only keeps.
        self._study = optuna.load_study(
            storage=storage,
            study_name=study,
            sampler=optuna.samplers.RandomSampler(0),
            pruner=optuna.pruners.NopPruner(),
        )
        trials = self._study.get_trials(deepcopy=False)
        self._records: dict[int, Record] = {trial.number: record_of_trial(trial) for trial in trials}
        if sorted(self._records) != list(range(len(trials))):
            raise ValueError(f"its candidates are numbered {sorted(self._records)}"[:200])
        if self._study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError("it has lost what it is to maximise")
        self._begun: set[int] = {trial.number for trial in trials if not trial.state.is_finished()}
        self._ids = {trial.number: trial._trial_id for trial in trials}
        self._snapshot: tuple[Record, ...] | None = None

    def close(self) -> None:
        """Let go of the file; the records stay readable."""
        if isinstance(self._storage, optuna.storages.RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def records(self) -> Sequence[Record]:
        """All candidates by number; those without an outcome are `running`."""
        if self._snapshot is None:
            self._snapshot = tuple(self._records.values())
        return self._snapshot

    def record(self, number: int) -> Record:
        """One candidate. Raises RunError if there is no such number."""
        if number not in self._records:
            there = f"they are numbered from 0 to {len(self._records) - 1}" if self._records else "there is none yet"
            raise RunError(f"there is no candidate {number}; {there}")
        return self._records[number]

    # Where nobody else searches along, what follows has nothing to do; `shared.py` has.

    def own(self) -> Sequence[Record]:
        """Those that are trained here: their files are in the run folder."""
        return self.records()

    def at_rest(self) -> Sequence[Record]:
        """All candidates as they are when this driver has ended: what it has not done is `interrupted`."""
        return at_rest(self.records(), {record.number for record in self.own()})

    def refresh(self) -> Sequence[Record]:
        """Read what other drivers have written since. Returns what they have ended."""
        return ()

    def beat(self) -> None:
        """Say now and then that this driver lives."""

    def holds(self, number: int, surely: bool = False) -> bool:
        """Whether a candidate is still this driver's to train: by what it last knew, or `surely`."""
        return True

    def lost(self) -> list[int]:
        """Candidates that another driver has taken over since this was asked last, because this one was silent for too long."""
        return []

    def abandoned(self, most: int) -> list[Candidate]:
        """At most so many candidates of drivers that have gone: from now on they are this driver's."""
        return []

    def awaited(self) -> list[int]:
        """Candidates of other drivers that this one may have to finish."""
        return []

    def add(self, candidate: Candidate) -> Candidate | None:
        """Write a candidate whole, as running, under the next number; None if another driver has it."""
        found, distributions = parameters(self.space, candidate.genotype)
        facts: dict[str, Any] = {
            "genotype": candidate.genotype,
            "digest": candidate.digest,
            "parents": list(candidate.parents),
            "operator": candidate.operator,
            "strategy": self.strategy,
            "refused": list(candidate.refused),
        }
        if candidate.blueprint is not None and candidate.recipe is not None:
            facts |= {
                "architecture": summary(candidate.blueprint),
                "parameters": candidate.blueprint.parameters,
                "flops": candidate.blueprint.flops,
                "recipe": candidate.recipe.to_dict(),
                "blueprint": candidate.blueprint.to_dict(),
            }
        trial = create_trial(state=TrialState.RUNNING, params=found, distributions=distributions, user_attrs=facts)
        with self._writing() as storage:
            identity = storage.create_new_trial(self._study._study_id, template_trial=trial)
            number = len(self._records)  # unless somebody has written there by other means: to read it takes a while
            if storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number) != identity:
                number = storage.get_trial_number_from_id(identity)
        self._ids[number] = identity
        self._begun.add(number)
        self._keep(record_of(number, False, None, {}, json.loads(json.dumps(facts))))
        return dataclasses.replace(candidate, number=number)

    def progress(self, progress: Progress) -> None:
        """Keep an epoch's score and metrics. An epoch that is known already (told again after a restart) is left alone."""
        record = self._records[progress.number]
        if progress.epoch <= record.epochs:
            return
        identity = self._ids[progress.number]
        with self._writing() as storage:
            if progress.metrics:  # before the score, whose presence says that the epoch is kept
                storage.set_trial_user_attr(identity, f"epoch {progress.epoch}", progress.metrics)
            storage.set_trial_intermediate_value(identity, progress.epoch, float(progress.value))
        curve, seconds = (*record.curve, progress.value), record.seconds + progress.metrics.get("seconds", 0.0)
        better = record.value is None or progress.value > record.value or unvalidated(progress.metrics)
        self._keep(
            dataclasses.replace(
                record,
                curve=curve,
                seconds=seconds,
                value=progress.value if better else record.value,
                metrics=progress.metrics if better else record.metrics,
            )
        )

    def halve(self, number: int, reason: str) -> Record | None:
        """Write that a candidate is to be tried with half its batch; None if it was before, or if there is no half.

        The recipe that it has from now on is the one that a retraining uses; its digest stays that of the proposal.
        """
        candidate = self.candidate(number)
        if self._records[number].reason or candidate.recipe is None or candidate.recipe.batch_size < 2:
            return None
        before = candidate.recipe.batch_size
        recipe = dataclasses.replace(candidate.recipe, batch_size=before // 2)
        words = f"out of memory with batch size {before}: {reason}; tried with {before // 2}"
        with self._writing() as storage:
            storage.set_trial_user_attr(self._ids[number], "retry", {"reason": words, "batch_size": before // 2})
        self._keep(dataclasses.replace(self._records[number], reason=words, recipe=recipe.to_dict()))
        return self._records[number]

    def tell(self, number: int, outcome: Trained | Stopped | Infeasible, seconds: float) -> Record:
        """Enter the end of a candidate."""
        record = self._records[number]
        reason = outcome.reason if isinstance(outcome, Infeasible) else record.reason
        seconds = round(seconds, 3)
        state, told = TrialState.PRUNED, record.curve[-1:]
        if isinstance(outcome, Trained):
            state, told = TrialState.COMPLETE, (float(outcome.value),)
        with self._writing() as storage:
            facts = {"seconds": seconds, "reason": reason, "state": _state_of(outcome)}
            storage.set_trial_user_attr(self._ids[number], "outcome", facts)
            storage.set_trial_state_values(self._ids[number], state, told or None)
        self._begun.remove(number)
        value = outcome.value if isinstance(outcome, Trained) else record.value
        if isinstance(outcome, Infeasible):
            value = None
        self._keep(dataclasses.replace(record, state=_state_of(outcome), reason=reason, seconds=seconds, value=value))
        return self._records[number]

    def unfinished(self) -> list[Candidate]:
        """Candidates that were running when the last driver ended, whole, by number."""
        return [self.candidate(number) for number in sorted(self._begun)]

    def candidate(self, number: int) -> Candidate:
        """A candidate as it was proposed, with its blueprint and recipe. Raises RunError if there is no such number."""
        record = self.record(number)
        facts = self._facts(number)
        try:
            blueprint = Blueprint.from_dict(facts["blueprint"]) if "blueprint" in facts else None
            recipe = Recipe.from_dict(record.recipe) if record.recipe else None
        except (NasError, LookupError, TypeError, ValueError, AttributeError) as problem:
            raise Damaged(f"is damaged: the network of candidate {number} cannot be read: {problem}", self.place) from None
        return Candidate(
            number, record.genotype, record.digest, record.parents, record.operator, blueprint, recipe, record.refused
        )

    def epochs(self, number: int) -> list[dict[str, float]]:
        """The metrics of each epoch of one candidate."""
        names = (f"epoch {epoch}" for epoch in range(1, self.record(number).epochs + 1))
        facts = self._facts(number)
        try:
            return [numbers(facts[name]) for name in names if name in facts]
        except (TypeError, ValueError, AttributeError) as problem:
            raise Damaged(f"is damaged: an epoch of candidate {number}: {problem}", self.place) from None

    def spans(self) -> dict[int, tuple[float, float | None]]:
        """When each candidate began and ended (None: not yet), in seconds since 1970. One that was interrupted and went on is
        taken to have begun as much before its end as its workers took."""
        found: dict[int, tuple[float, float | None]] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.datetime_start is None:
                continue
            start, end = trial.datetime_start.timestamp(), None
            if trial.datetime_complete is not None:
                end = trial.datetime_complete.timestamp()
                start = max(start, end - self._records[trial.number].seconds)
            found[trial.number] = (start, end)
        return found

    @contextmanager
    def _writing(self) -> Iterator[optuna.storages.BaseStorage]:
        """The storage itself, to be written: the study's own ways to it read the whole candidate, or all, before each word."""
        try:
            yield self._study._storage
        except (SQLAlchemyError, OptunaError, sqlite3.Error) as problem:
            words = disk_trouble(problem) or said(problem)
            raise self._failure(problem)(f"{self.place} cannot be written: {words}") from None

    def _failure(self, problem: BaseException) -> type[RunFailed]:
        """The error for what the database has raised."""
        return RunFailed

    def _keep(self, record: Record) -> None:
        self._records[record.number] = record
        self._snapshot = None

    def _facts(self, number: int) -> dict[str, Any]:
        return self._study._storage.get_trial(self._ids[number]).user_attrs


def _state_of(outcome: Outcome) -> str:
    return "trained" if isinstance(outcome, Trained) else "stopped" if isinstance(outcome, Stopped) else "infeasible"


def record_of_trial(trial: FrozenTrial) -> Record:
    value = trial.value if trial.state is TrialState.COMPLETE else None
    return record_of(trial.number, trial.state.is_finished(), value, trial.intermediate_values, trial.user_attrs)
