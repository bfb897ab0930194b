"""One known network, trained and scored: what `nas train` does.

The file holds its genotype and its settings, as those in `configs/baselines/`. There is nothing to choose, so nothing is
compared: the validation part only shows how it goes, and the test part is opened once, at the end.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from nas import plugins
from nas.blueprint import check_networks
from nas.config import settings
from nas.datasets.prepare import describe
from nas.driver import deadline_of
from nas.errors import RunError, RunFailed
from nas.executors import Task
from nas.final import final_lines, write_final
from nas.fitting import fit, score
from nas.jobs import WORKER, check_memory, job_for, limits_of, networks_of, resolved
from nas.known import known, read_genotype
from nas.messages import Candidate, Job, Limits, Proposal, Score
from nas.paths import expanded
from nas.preparing import hands_of, interrupts_told, kept, prepare, time_left, with_whole_paths
from nas.provenance import provenance
from nas.result import Result
from nas.resuming import Reopened, reopened
from nas.run import Run, disk_told
from nas.space import read_space
from nas.strategies.asking import make_candidate
from nas.view import Plain, View


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
        **options: any setting of a search that beats the file's, such as `epochs=10` or `time="10m"`.

    Raises NasError for anything in the input that is wrong, or if it could not be trained.
    """
    view = view or Plain()
    path, _ = read_genotype(file)
    begun = out is not None and (expanded(out) / "run.yaml").is_file()
    if begun and out is not None:
        return _go_on(Run.open(out), path, view)
    chosen = settings(path, {"train_part": 1.0, "pruner": "none"}, **{**options, "budget": 1})
    for plugin in chosen.plugin:
        plugins.load(plugin)
    chosen = with_whole_paths(chosen)
    space = read_space(chosen.space)
    (genotype,) = known([str(path)], space)
    with disk_told():
        deadline = deadline_of(chosen)
        check_networks(space)
        Run.check_new(out)
        limits_of(chosen)
        with interrupts_told(view), hands_of(chosen) as hands:
            card = prepare(hands, chosen, view, deadline)
            view.note(describe(card))
            limits = Limits(time_left(deadline), None, chosen.hang_time)
            machine = hands.call(Task(f"{WORKER}:machine", None, "a look at this machine", limits))
            chosen = resolved(chosen, card, machine)
            check_memory(chosen, machine)
        run = Run.create(out, path.stem)
        run.lock()
        try:
            facts = {**provenance(space, chosen, card, machine), "start": [genotype]}
            run.write_settings(facts)
            view.note(f"run: {run.folder}")
            return _fit(run, path, Reopened(facts, chosen, space, card, deadline), view)
        finally:
            run.unlock()


def _go_on(run: Run, path: Path, view: View) -> TrainedOne:
    """Go on with a training that was interrupted. Raises RunError if the folder is of something else, or done."""
    if run.final.exists():
        raise RunError("is done; its figures are in final.csv. Give another --out", str(run.folder))
    if run.read_settings().get("start") != [read_genotype(str(path))[1]]:
        raise RunError(f"is no training of {path}; give another --out", str(run.folder))
    with disk_told():
        run.lock()
        try:
            return _fit(run, path, reopened(run, view), view)
        finally:
            run.unlock()


def _fit(run: Run, path: Path, back: Reopened, view: View) -> TrainedOne:
    chosen, card = back.chosen, back.card
    proposal = Proposal(back.facts["start"][0], operator="known")
    candidate = make_candidate(back.space, proposal, 0, networks_of(card, chosen))
    again = f"nas train {shlex.quote(str(path))} --out {run.name}"

    def job_of(one: Candidate) -> Job:
        return job_for(one, chosen, card, run)

    with interrupts_told(view, kept(again)):
        result = fit(run, back.space, chosen, [candidate], job_of, view, again, back.deadline)
    record = result.records[0]
    if not run.best.exists():
        raise RunFailed(f"there is no model: {record.reason or record.state}")
    with hands_of(chosen) as hands:
        found = score(hands, run, chosen, card, view)
    facts = {
        "network": path.stem,
        "validation_accuracy": record.metrics.get("val_accuracy", ""),
        "train_accuracy": record.metrics.get("train_accuracy", ""),
        "epochs": record.epochs,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "flops": record.flops,
    }
    write_final(run, found, facts)
    view.note("\n".join(final_lines(found)))
    return TrainedOne(run.folder, result, found)
