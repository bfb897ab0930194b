"""Going on with a search: what `nas resume` does.

A run can be extended, not changed: its space and its data must be what they were. `preparing.py` and `searching.go` do the
rest as for a new search.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from nas import plugins
from nas.blueprint import BACKBONE
from nas.changes import data_changes, space_changes, version_changes
from nas.config import CHANGEABLE, OF_RAY, Settings, settings
from nas.datasets.prepare import describe
from nas.driving import deadline_of
from nas.errors import ConfigError, NasError, RunError, counted
from nas.jobs import check_memory, threads_of
from nas.joint import check_shared
from nas.leaderboard import read_csv
from nas.messages import DataCard
from nas.preparing import check_executor, check_space, hands_of, interrupts_told, kept, prepare, with_whole_paths
from nas.provenance import SEARCH, backbone_digests, plugin_digests, versions
from nas.result import Result, best_of
from nas.retrainplan import PLAN
from nas.run import Run, disk_told
from nas.salvage import check_ledger, examined
from nas.searching import and_retrain, go
from nas.shared import reader_of
from nas.space import SearchSpace, read_space
from nas.view import Plain, View, duration


@dataclasses.dataclass(frozen=True)
class Reopened:
    """A run that was found to be what it was: the facts of its `run.yaml`, its settings with what was changed, its space
    and data."""

    facts: dict[str, Any]
    chosen: Settings
    space: SearchSpace
    card: DataCard


def resume(folder: str | Path | None, view: View | None = None, **changes: Any) -> Result:
    """Go on with a run where it stopped, or extend it: what `CHANGEABLE` names may change.

    Raises RunError if the folder is no run, another driver has it, or its data or space are no longer what they were.
    """
    run, view, began = Run.open(folder), view or Plain(), time.monotonic()
    with disk_told(), interrupts_told(view, kept(f"nas resume {run.name}")):
        run.lock()
        try:
            back = reopened(run, view, SEARCH, **changes)
            if changes.get("budget") is not None:
                check_budget(run, back)
            run.write_settings({**back.facts, "settings": back.chosen.model_dump(mode="json")})
            limit = back.chosen.time
            most = f", for at most {duration(limit)} (--time none for no limit)" if limit is not None else ""
            view.note(f"run: {run.folder}, going on to {counted(back.chosen.budget, 'candidate')}{most}")
            if back.chosen.retrain and changes.get("budget") is None and (run.folder / PLAN).exists():
                view.note("the search is over: its retraining has begun")
                with closing(reader_of(run, back.facts)) as ledger:
                    records = tuple(ledger.records())
                result = Result(records, best_of(records), run.folder, "retraining")
            else:
                whole, first = deadline_of(back.chosen.time, began), back.facts.get("start") or ()
                result = go(back.space, back.chosen, run, back.card, view, whole, first)
        finally:
            run.unlock()
    and_retrain(result, back.chosen, view, began, (run.folder / PLAN).exists() and changes.get("time") is None)
    return result


def check_budget(run: Run, back: Reopened) -> None:
    """Raises ConfigError if there are more candidates already than shall be: the run would say what never was."""
    with closing(reader_of(run, back.facts)) as ledger:
        there = len(ledger.records())
    if back.chosen.budget < there:
        hint = "give as many or more; without it the search goes on to what it was to have"
        raise ConfigError(f"there are {counted(there, 'candidate')} already; {hint}", f"--budget {back.chosen.budget}")


def reopened(run: Run, view: View, kind: str, **changes: Any) -> Reopened:
    """Check a run whose lock is held, and prepare its data. Raises RunError as `resume` does, or if it is of another kind."""
    facts = run.read_settings()
    if facts.get("kind", SEARCH) != kind:
        raise RunError(f"is no {kind} but a {facts['kind']}"[:200], str(run.folder))
    if facts.get("evaluator"):
        raise RunError("was scored by a Python function; call nas.search(...) with it and this folder as out=", str(run.folder))
    unknown = [key for key, value in changes.items() if value is not None and key not in CHANGEABLE]
    if unknown:
        raise ConfigError(f"cannot change on resume; these can: {', '.join(CHANGEABLE)}", f"--{unknown[0]}")
    changed = {key: value for key, value in changes.items() if value is not None}
    own = facts["settings"]
    if changed.get("executor", own.get("executor")) != "ray":  # a run that was brought home from a cluster
        own = {key: value for key, value in own.items() if key not in OF_RAY}
    chosen = settings(None, own, **changed)
    check_executor(chosen)
    if changed.get("workers") == "auto" and "gpu" in (facts.get("machine") or {}):
        chosen = chosen.model_copy(update={"workers": facts["settings"]["workers"]})  # as many as its rehearsal gave room
    chosen = chosen.model_copy(update={"workers": chosen.at_once})
    if changed.keys() & {"workers", "executor", "cpus_per_trial"} and "threads" not in changed:
        chosen = chosen.model_copy(update={"threads": threads_of(chosen)})
    deadline = deadline_of(chosen.time, time.monotonic())
    plugins.load_of_run(chosen.plugin, run.folder)
    chosen = with_whole_paths(chosen)
    space = _space_of(run, facts, chosen, view)
    if chosen.storage is None:
        with examined(run):
            check_ledger(run)
    else:
        check_shared(chosen, facts, len(read_csv(run.leaderboard)) if run.leaderboard.exists() else 0)
    with hands_of(chosen, view) as hands:
        card = prepare(hands, chosen, view, deadline)
    if card.digest != facts["digests"].get("data"):
        what = f"the data '{card.name}' has changed since this run began: {data_changes(facts.get('data') or {}, card)}"
        raise RunError(f"{what}; undo that, or start a new search", str(run.folder))
    view.note(describe(card))
    other = version_changes({**(facts.get("versions") or {}), **(facts.get("plugins") or {})}, _versions(chosen))
    if other:
        view.note(f"not the same as when this run began, so scores may differ: {other}")
    if "worker_memory" in (facts.get("machine") or {}):
        check_memory(chosen, facts["machine"])
    return Reopened(facts, chosen, space, card)


def _space_of(run: Run, facts: dict[str, Any], chosen: Settings, view: View) -> SearchSpace:
    """The space of a run, from its own copy. Raises RunError if that, or the file that it was read from, has changed, or if
    what it was to start from is no point of it."""
    space = read_space(facts["space"])
    try:
        for genotype in facts.get("start") or ():
            space.check(genotype, "'start'")
    except (NasError, TypeError, AttributeError) as problem:
        raise RunError(f"is damaged: {problem}", str(run.settings)) from None
    if BACKBONE in space.genes:  # a file of the user's, which may have gone
        check_space(space, chosen, view)
        then = facts["digests"].get("backbones") or {}
        other = [name for name, digest in backbone_digests(space).items() if then.get(name, digest) != digest]
        if other:
            words = f"the backbone '{other[0]}' is no longer the model that it was when this run began"
            raise RunError(f"{words} (retrained, or searched on?); undo that, or start a new search", str(run.folder))
    again = "undo that, or start a new search"
    if space.digest != facts["digests"].get("space"):
        raise RunError(f"the space in its run.yaml is not the one it began with; {again}", str(run.folder))
    file = Path(chosen.space)
    if file.is_absolute() and file.is_file():  # neither a shipped one nor a dictionary
        now = read_space(file)
        if now.digest != space.digest:
            what = space_changes(space.source, now.source)
            raise RunError(f"the space in {file} has changed since this run began: {what}; {again}", str(run.folder))
    return space


def _versions(chosen: Settings) -> dict[str, str]:
    return {**versions(), **plugin_digests(chosen)}
