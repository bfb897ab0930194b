"""One known network, trained and scored: what `nas train` does.

The file holds its genotype and its settings, as those in `configs/baselines/`. With a validation part the best epoch by it is
kept, without one the last; the test part is opened at the end. A time decides how many epochs there are, unless they are given
in the same place: the file, or the options.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from nas import plugins
from nas.config import Settings, settings
from nas.datasets.prepare import check_test_part
from nas.driving import deadline_of
from nas.errors import ConfigError, NasError, RunError, RunFailed
from nas.final import last_score
from nas.fitting import fit_listed
from nas.jobs import limits_of, networks_of
from nas.known import known, read_genotype
from nas.logs import FOLDER, Logged, check_tensorboard
from nas.messages import Proposal, Score
from nas.paths import expanded
from nas.preparing import begin, check_space, hands_of, interrupts_told, kept, note_backbones, readied, with_whole_paths
from nas.provenance import TRAINING, provenance
from nas.result import Result, best_of
from nas.resuming import Reopened, reopened
from nas.retrainplan import FULL, until_of
from nas.run import Run, disk_told
from nas.shared import reader_of
from nas.space import read_space
from nas.strategies.asking import make_candidate
from nas.view import Plain, View

FITTED = "fitted"  # in run.yaml: that the training is over, and the model is the one to be scored
WHY_NOT = {
    "retrain": "the network is trained at full length as it is",
    "inherit": "one network has no parents to inherit weights from",
    "start_from": "the network in the file is the only one",
    "storage": "nothing is shared among drivers, for there is one training",
}
"""Settings of a search that would promise what one training does not do."""


@dataclasses.dataclass(frozen=True)
class TrainedOne:
    """What came out: the folder, the one record with its curve, and the figures of the test part."""

    folder: Path
    result: Result
    score: Score


def train(file: str, view: View | None = None, out: str | Path | None = None, **options: Any) -> TrainedOne:
    """Train the network that a file describes and score it on the test part.

    Args:
        file: a shipped name such as `baselines/three-blocks`, or a path.
        out: the folder; by default `results/<name>-<n>`. One in which this training was interrupted: it goes on there.
        **options: any setting of a search that beats the file's, such as `epochs=10`, or `time="10m"` for as many as fit.
            Where nobody says how many (or how many pictures are to be seen), they are 30.

    Raises NasError for anything in the input that is wrong, or if it could not be trained.
    """
    view, began = view or Plain(), time.monotonic()
    path, _ = read_genotype(file)
    if out is not None and os.path.isfile(expanded(out) / "run.yaml"):
        return _go_on(Run.open(out), path, view, began, options)
    chosen = settings(path, {"train_part": 1.0, "pruner": "none"}, **{**options, "budget": 1})
    for plugin in chosen.plugin:
        plugins.load(plugin)
    for name, why in WHY_NOT.items():
        if getattr(chosen, name) != Settings.model_fields[name].default:
            raise ConfigError(f"has no meaning for 'nas train': {why}", name)
    if chosen.tensorboard:
        check_tensorboard()
    chosen = with_whole_paths(chosen)
    space = read_space(chosen.space)
    (genotype,) = known([str(path)], space)
    with disk_told():
        Run.check_new(out)
        limits_of(chosen)
        with interrupts_told(view):
            check_space(space, chosen, view)
        said = chosen.epochs is not None and (options.get("epochs") is not None or options.get("time") is None)
        timed = chosen.time is not None and not said
        if chosen.epochs is None and "seen_pictures" not in chosen.model_fields_set:
            chosen = chosen.model_copy(update={"epochs": FULL})
        with interrupts_told(view), hands_of(chosen, view) as hands:
            card, machine, chosen = readied(hands, chosen, view, deadline_of(chosen.time, began))
            check_test_part(chosen.dataset, chosen.data_dir, card)
            if chosen.validation_part:
                note_backbones(space, card, view)
            make_candidate(space, Proposal(genotype), 0, networks_of(card))  # it may not fit these pictures
        run = Run.create(out, path.stem)
        run.lock()
        try:
            facts = {**provenance(space, chosen, card, machine, TRAINING), "start": [genotype], "timed": timed}
            facts["given"] = _given(options)
            begin(run, facts, card, view)
            with interrupts_told(view, kept(_again(path, run))):
                return _fit(run, path, Reopened(facts, chosen, space, card), view, began)
        finally:
            run.unlock()


def _go_on(run: Run, path: Path, view: View, began: float, options: dict[str, Any]) -> TrainedOne:
    """Go on with a training that was interrupted; of the options those may change that may on resume. Raises RunError if the
    folder is of something else, or done."""
    _check_undone(run)
    if not _describes(path, run.read_settings()):
        raise RunError(f"is no training of {path}; give another --out", str(run.folder))
    # What is repeated as it was given is no change, nor is what says the same.
    facts = run.read_settings()
    before, first = with_whole_paths(settings(None, facts["settings"])), facts.get("given") or {}
    changes = {
        name: options[name]
        for name, value in _given(options).items()
        if first.get(name) != value and with_whole_paths(settings(None, facts["settings"], **{name: options[name]})) != before
    }
    with disk_told(), interrupts_told(view, kept(_again(path, run))):
        run.lock()
        try:
            _check_undone(run)  # by another process, while this one waited for the lock
            back = reopened(run, view, TRAINING, **changes)
            given = {**first, **_given(options)}
            run.write_settings({**back.facts, "settings": back.chosen.model_dump(mode="json"), "given": given})
            return _fit(run, path, back, view, began)
        finally:
            run.unlock()


def _describes(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a file is of the network that a training began with: as it is written, or as its space writes it."""
    if facts.get("start") == [read_genotype(str(path))[1]]:
        return True
    with suppress(NasError):
        return facts.get("start") == known([str(path)], read_space(facts["space"]))
    return False


def _check_undone(run: Run) -> None:
    if run.final.exists():
        raise RunError("is done; its figures are in final.csv. Give another --out", str(run.folder))


def _given(options: dict[str, Any]) -> dict[str, str]:
    """The options that were given, as they were."""
    return {name: str(value) for name, value in options.items() if value is not None}


def _fit(run: Run, path: Path, back: Reopened, view: View, began: float) -> TrainedOne:
    chosen, card = back.chosen, back.card
    proposal = Proposal(back.facts["start"][0], operator="known")
    candidate = make_candidate(back.space, proposal, 0, networks_of(card))
    deadline = deadline_of(chosen.time, began)
    timed = back.facts.get("timed") and deadline < math.inf
    logged = Logged(view, run.folder / FOLDER) if chosen.tensorboard else view
    until = partial(until_of, deadline) if timed else None
    if back.facts.get(FITTED) and run.best.exists():  # once it is over, the model stays the one it is
        with closing(reader_of(run, back.facts)) as ledger:
            result = Result(tuple(ledger.records()), best_of(ledger.records()), run.folder, "budget")
    else:
        result = fit_listed(run, back.space, chosen, [candidate], card, logged, _again(path, run), deadline, until)
    record = result.records[0]
    if not run.best.exists():
        raise RunFailed(f"there is no model: {record.reason or record.state}")
    run.write_settings({**run.read_settings(), FITTED: True})
    facts = {
        "network": path.stem,
        "validation_accuracy": record.metrics.get("val_accuracy", ""),
        # Without validation the model is that of the last epoch, and so is the score.
        "train_accuracy": record.metrics.get("train_accuracy", "") if chosen.validation_part else record.curve[-1],
        "epochs": record.epochs,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "flops": record.flops,
    }
    return TrainedOne(run.folder, result, last_score(run, run.best, chosen, card, facts, view, "give another --out"))


def _again(path: Path, run: Run) -> str:
    """The command that goes on with a training."""
    return f"nas train {shlex.quote(str(path))} --out {run.name}"
