"""The search, from settings to result: what `nas search`, `nas resume` and `nas.search(...)` do.

It checks everything that can be checked, prepares the data, rehearses the largest network, foretells the time, and hands
over to `driver.py`; read that next.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas import plugins
from nas.blueprint import check_networks, express
from nas.changes import data_changes, space_changes, version_changes
from nas.config import Settings, settings
from nas.datasets import DATASETS
from nas.datasets.prepare import describe
from nas.driver import deadline_of, drive
from nas.errors import ConfigError, Damaged, RunError, RunFailed
from nas.evaluator import Evaluate, search_with
from nas.executors import EXECUTORS, Executor, Work
from nas.forecast import forecast
from nas.jobs import WORKER, check_memory, job_for, limits_of, resolved
from nas.ledger import Ledger, check_database
from nas.machine import default_threads
from nas.messages import Candidate, DataCard, DataRequest, Job
from nas.provenance import provenance, versions
from nas.result import Result
from nas.run import Run, write_whole
from nas.salvage import rebuild_leaderboard
from nas.shipped import shipped
from nas.space import SearchSpace, read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import Plain, Silent, View


def search(
    space: str | Path | dict[str, Any] | SearchSpace | None = None,
    dataset: str | Path | None = None,
    strategy: str | None = None,
    budget: int | None = None,
    *,
    evaluate: Evaluate | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    view: View | None = None,
    **options: Any,
) -> Result:
    """Search for the best genotype of a space.

    Args:
        space: a shipped name, the path of a YAML file, or a dictionary of the same form (default `cnn`).
        dataset: a known name or a folder of pictures (default `cifar10`); candidates are trained on it.
        strategy: `genetic` (default), `optuna`, `random`, or a registered one.
        budget: how many candidates (default 50).
        evaluate: in place of `dataset`: scores a genotype, maximised; called in this process, nothing is written
            unless `out` is given; with the folder of an earlier search of the same space it goes on there.
        out: the run folder; by default `results/<dataset>-<strategy>-<n>`.
        config: a configuration, by shipped name or path.
        view: who is told of the progress; plain lines by default, silence with `evaluate`.
        **options: any other setting by its option's name, such as `seed=1` or `max_params=500_000`.

    Returns:
        The result; its rows are frozen.

    Raises:
        NasError: anything in the input that is wrong, or a run in which no candidate could be trained.
    """
    if evaluate is not None and dataset is not None:
        raise ConfigError("give either a data set or an evaluator, not both", "evaluate")
    named = space is None or isinstance(space, str | Path)
    given = {**options, "strategy": strategy, "budget": budget, "dataset": None if dataset is None else str(dataset)}
    below = {"pruner": "none", "executor": "inline"} if evaluate is not None else {}
    chosen = settings(config, below, space=str(space) if named and space is not None else None, **given)
    for plugin in chosen.plugin:
        plugins.load(plugin)
    chosen = _with_whole_paths(chosen)
    read = read_space(chosen.space if space is None or named else space)
    chosen = chosen.model_copy(update={"space": read.name}) if not named else chosen
    if evaluate is not None:
        if chosen.executor != "inline":
            raise ConfigError("an evaluator runs in this process, by the executor 'inline'", "executor")
        return search_with(evaluate, read, chosen, out, view or Silent())
    return _search_pictures(read, chosen, out, view or Plain())


def resume(folder: str | Path | None, view: View | None = None, **changes: Any) -> Result:
    """Go on with a run where it stopped, or extend it: `budget`, `time`, `workers`, `threads` and the limits may change.

    Raises RunError if the folder is no run, another driver has it, or its data or space are no longer what they were.
    """
    run = Run.open(folder)
    facts = run.read_settings()
    if facts.get("evaluator"):
        raise RunError("was scored by a Python function; call nas.search(...) with it and this folder as out=", str(run.folder))
    unknown = [key for key, value in changes.items() if value is not None and key not in CHANGEABLE]
    if unknown:
        raise ConfigError(f"cannot change on resume; these can: {', '.join(CHANGEABLE)}", f"--{unknown[0]}")
    changed = {key: value for key, value in changes.items() if value is not None}
    if "workers" in changed:
        changed = {"threads": default_threads(changed["workers"]), **changed}
    chosen = settings(None, facts["settings"], **changed)
    for plugin in chosen.plugin:
        plugins.load(plugin)
    chosen = _with_whole_paths(chosen)
    space = _space_of(run, facts, chosen)
    deadline = deadline_of(chosen)
    view = view or Plain()
    run.lock()
    try:
        with _examined(run):
            if run.study.exists():
                check_database(run.study)
        with _log() as log, _executor(chosen, log) as hands:
            card = _prepared(hands, chosen, view, deadline)
        if card.digest != facts["digests"].get("data"):
            what = f"the data '{card.name}' has changed since this run began: {data_changes(facts.get('data') or {}, card)}"
            raise RunError(f"{what}; undo that, or start a new search", str(run.folder))
        view.note(describe(card))
        changed_versions = version_changes(facts.get("versions") or {}, versions())
        if changed_versions:
            view.note(f"other versions than when this run began, so scores may differ a little: {changed_versions}")
        run.write_settings({**facts, "settings": chosen.model_dump(mode="json")})
        view.note(f"run: {run.folder}, going on to {chosen.budget} candidates")
        return _run(space, chosen, run, card, view, deadline)
    finally:
        run.unlock()


CHANGEABLE = (
    *("budget", "time", "workers", "threads", "keep", "max_params", "max_flops", "max_memory"),
    *("trial_time", "trial_memory", "hang_time", "data_dir"),
)


def _space_of(run: Run, facts: dict[str, Any], chosen: Settings) -> SearchSpace:
    """The space of a run, from its own copy. Raises RunError if that, or the file that it was read from, has changed."""
    space = read_space(facts["space"])
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


def _search_pictures(space: SearchSpace, chosen: Settings, out: str | Path | None, view: View) -> Result:
    if not space.describes_networks:
        raise ConfigError(f"the space '{space.name}' has no group 'blocks', so it describes no networks", "--space")
    deadline = deadline_of(chosen)
    check_networks(space)
    Run.check_new(out)
    make_strategy(chosen.strategy, space, chosen.seed, chosen)  # a wrong name shows before the data is read
    limits_of(chosen)
    with _log() as log, _executor(chosen, log) as hands:
        card = _prepared(hands, chosen, view, deadline)
        view.note(describe(card))
        check_networks(space, card.pictures)
        machine = hands.call(f"{WORKER}:machine", None, view.preparing)
        chosen = resolved(chosen, card, machine)
        check_memory(chosen, machine)
        view.note(forecast(space, chosen, card, hands, deadline))
    run = Run.create(out, f"{card.name}-{chosen.strategy}")
    run.lock()
    try:
        run.write_settings(provenance(space, chosen, card, machine))
        view.note(f"run: {run.folder}")
        if card.skipped:
            write_whole(run.folder / "skipped.txt", "".join(f"{file}: {reason}\n" for file, reason in card.skipped))
        return _run(space, chosen, run, card, view, deadline)
    finally:
        run.unlock()


def _prepared(hands: Executor, chosen: Settings, view: View, deadline: float) -> DataCard:
    request = DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size)
    card: DataCard = hands.call(f"{WORKER}:prepare", request, view.preparing, deadline - time.monotonic())
    return card


@contextmanager
def _examined(run: Run) -> Iterator[None]:
    """A damaged ledger is told, and the leaderboard rebuilt from what can be read of it."""
    try:
        yield
    except Damaged as problem:
        read, rows = rebuild_leaderboard(run)
        words = f"{read} candidates can still be read of it; the leaderboard has {rows} rows"
        hint = f"Models and leaderboard stay as they are; put back a copy of {run.study.name}, or start a new search"
        raise RunError(f"{problem}\n       {words}. {hint}") from None


def _run(space: SearchSpace, chosen: Settings, run: Run, card: DataCard, view: View, deadline: float) -> Result:
    with _examined(run):
        ledger = Ledger(run.study, space, chosen.strategy)

    def to_job(candidate: Candidate) -> Job:
        return job_for(candidate, chosen, card, run)

    asking = Asking(
        space,
        make_strategy(chosen.strategy, space, chosen.seed, chosen),
        chosen,
        lambda genotype: express(genotype, card.pictures),
    )

    def hand_over(executor: Executor, candidate: Candidate) -> None:
        job = dataclasses.replace(to_job(candidate), model=str(run.best.absolute()))
        executor.call(f"{WORKER}:hand_over", job, lambda done, total: None)

    limits = limits_of(chosen)
    return drive(chosen, ledger, asking, view, to_job, f"{WORKER}:train", run, chosen.epochs, deadline, limits, hand_over)


def _with_whole_paths(chosen: Settings) -> Settings:
    """Relative paths of data, space and plugins made absolute: `nas resume` may be typed in another folder."""
    update: dict[str, Any] = {"plugin": tuple(str(Path(file).expanduser().resolve()) for file in chosen.plugin)}
    for name, known in (("dataset", DATASETS), ("data_dir", ()), ("space", shipped("search_spaces"))):
        value = getattr(chosen, name)
        # What is not there stays as it was typed, for the message.
        if value is not None and value not in known and Path(value).expanduser().exists():
            update[name] = str(Path(value).expanduser().absolute())
    return chosen.model_copy(update=update)


@contextmanager
def _log() -> Iterator[str]:
    """A file for what workers say before there is a run folder; kept and named if they fail unexpectedly."""
    folder = tempfile.mkdtemp(prefix="nas-")
    log = Path(folder) / "log.txt"
    try:
        yield str(log)
    except RunFailed as problem:
        raise RunFailed(f"{problem}; see {log}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _executor(chosen: Settings, log: str) -> Iterator[Executor]:
    """An executor for tasks: they run where jobs will."""
    executor = EXECUTORS[chosen.executor](Work(f"{WORKER}:train", lambda _: True, 1, chosen.plugin, log))
    try:
        yield executor
    finally:
        executor.close()
