"""The two runs that a retraining has in its run folder: `retrain/`, its comparison, and `final/`, its last fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from nas.config import Settings, settings
from nas.database import without_candidates
from nas.errors import RunError
from nas.ledger import Ledger
from nas.machine import default_threads
from nas.messages import Candidate
from nas.provenance import PART
from nas.run import Run
from nas.space import SearchSpace

COMPARISON, FINAL = "retrain", "final"  # folders
_OF_A_TRAINING = ("epochs", "patience", "train_part", "validation_part", "objective", "class_weight", "seed")


def part_of(run: Run, name: str, facts: dict[str, Any], chosen: Settings) -> Run:
    """One of the two, made if it is not there. `facts` are of the search, `chosen` are its own settings. Raises RunError."""
    part = Run(run.folder / name)
    if not part.settings.is_file():
        with told_to_remove(part):
            part = Run.create(part.folder, name)
            part.write_settings({**facts, "kind": PART, "settings": chosen.model_dump(mode="json")})
    return part


@contextmanager
def told_to_remove(part: Run) -> Iterator[None]:
    """What is wrong with the folder of a part ends with what helps: nothing but the part is lost with it."""
    try:
        yield
    except RunError as problem:
        raise RunError(f"{problem}\n       To do this part of the retraining anew, remove {part.name}") from None


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
        raise RunError("holds another retraining", str(part.folder))


def training_threads(chosen: Settings, trainings: int) -> int | None:
    """Of each training: all cores where they are fewer than the search's workers, unless its threads were given."""
    if chosen.executor == "ray" or chosen.threads != default_threads(chosen.at_once):  # Ray has reserved as many
        return chosen.threads
    return default_threads(min(chosen.at_once, trainings))


def both(run: Run) -> list[Run]:
    """The two, there or not."""
    return [Run(run.folder / name) for name in (COMPARISON, FINAL)]


def forget_trainings(run: Run) -> None:
    """Remove what a plan has begun. The plan stays until another is written over it: nothing that was asked is lost."""
    for part in both(run):
        shutil.rmtree(part.folder, ignore_errors=True)
