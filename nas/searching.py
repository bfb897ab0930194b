"""The search, from settings to result: what `nas search`, `nas resume` and `nas.search(...)` do.

It checks everything that can be checked, prepares the data, rehearses the largest network, foretells the time, and hands
over to `driver.py`; read that next.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nas import plugins, pruners
from nas.blueprint import check_networks, express
from nas.config import Settings, settings
from nas.datasets import DATASETS
from nas.datasets.prepare import card_facts, describe
from nas.datasets.split import default_train_part, default_validation_part
from nas.driver import Driver, best_of
from nas.errors import ConfigError, RunError, RunFailed
from nas.executors import EXECUTORS, Executor, Work
from nas.ledger import Ledger
from nas.messages import (
    Candidate,
    DataCard,
    DataRequest,
    Infeasible,
    Job,
    Outcome,
    Progress,
    Proposal,
    Record,
    Stopped,
    Trained,
)
from nas.run import Run
from nas.space import SearchSpace, read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking, over_limit
from nas.view import Plain, Silent, View, duration

if TYPE_CHECKING:
    import pandas

Evaluate: TypeAlias = Callable[..., float]
"""`function(genotype, report) -> float`, the higher the better.

`report(epoch, score)` answers whether to go on; a pruner compares the first reports of all candidates, then the second, …
"""

WORKER = "nas.training.worker"
START_UP = 3.0  # seconds until a candidate's first step: process, building, tracing; for the forecast only
REHEARSED = 60  # genotypes drawn to find a large and a middling network within the limits


@dataclass(frozen=True)
class Result:
    """What a search found. `records` are all candidates by number, `best` the best that was trained to the end (or None),
    `folder` where everything lies (None for a search in memory), `ended` why it ended: budget, time or space."""

    records: tuple[Record, ...]
    best: Record | None
    folder: Path | None
    ended: str

    def to_pandas(self) -> pandas.DataFrame:
        """The leaderboard: the columns of `leaderboard.csv`, best first."""
        import pandas

        from nas.leaderboard import COLUMNS, rows

        return pandas.DataFrame(rows(self.records, ended=True), columns=list(COLUMNS))


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
    if evaluate is not None:
        given = {"pruner": "none", "executor": "inline", **given}
    chosen = settings(config, space=str(space) if named and space is not None else None, **given)
    for plugin in chosen.plugin:
        plugins.load(plugin)
    chosen = _with_whole_paths(chosen)
    read = read_space(chosen.space if space is None or named else space)
    chosen = chosen.model_copy(update={"space": read.name}) if not named else chosen
    if evaluate is not None:
        if chosen.executor != "inline":
            raise ConfigError("an evaluator runs in this process, by the executor 'inline'", "executor")
        return _search_with(evaluate, read, chosen, out, view or Silent())
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
    stored = {key: value for key, value in facts["settings"].items() if value is not None}
    chosen = settings(None, **{**stored, **{key: value for key, value in changes.items() if value is not None}})
    for plugin in chosen.plugin:
        plugins.load(plugin)
    space = read_space(facts["space"])
    view = view or Plain()
    run.lock()
    try:
        with _log() as log, _executor(chosen, log) as hands:
            card = hands.call(
                f"{WORKER}:prepare", DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size), view.preparing
            )
        if card.digest != facts["digests"]["data"]:
            raise RunError(f"the data '{card.name}' has changed since this run began; start a new search", str(run.folder))
        view.note(describe(card))
        run.write_settings({**facts, "settings": chosen.model_dump(mode="json")})
        return _run(space, chosen, run, card, view)
    finally:
        run.unlock()


CHANGEABLE = ("budget", "time", "workers", "threads", "keep", "max_params", "max_flops", "max_memory", "data_dir")


def _search_pictures(space: SearchSpace, chosen: Settings, out: str | Path | None, view: View) -> Result:
    if not space.describes_networks:
        raise ConfigError(f"the space '{space.name}' has no group 'blocks', so it describes no networks", "--space")
    check_networks(space)
    Run.check_new(out)
    make_strategy(
        chosen.strategy, space, chosen.seed, chosen
    )  # a wrong name or a missing package shows before the data is read
    with _log() as log, _executor(chosen, log) as hands:
        card: DataCard = hands.call(
            f"{WORKER}:prepare", DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size), view.preparing
        )
        view.note(describe(card))
        check_networks(space, card.pictures)
        machine = hands.call(f"{WORKER}:machine", None, view.preparing)
        chosen = _resolved(chosen, card, machine)
        view.note(_forecast(space, chosen, card, hands))
    run = Run.create(out, f"{card.name}-{chosen.strategy}")
    run.lock()
    try:
        run.write_settings(_facts(space, chosen, card, machine))
        view.note(f"run: {run.folder}")
        return _run(space, chosen, run, card, view)
    finally:
        run.unlock()


def _run(space: SearchSpace, chosen: Settings, run: Run, card: DataCard, view: View) -> Result:
    ledger = Ledger(run.study, space, chosen.strategy)

    def job_for(candidate: Candidate) -> Job:
        return _job(candidate, chosen, card, run)

    asking = Asking(
        space,
        make_strategy(chosen.strategy, space, chosen.seed, chosen),
        chosen,
        lambda genotype: express(genotype, card.pictures),
    )
    return _drive(chosen, ledger, asking, view, job_for, f"{WORKER}:train", run, chosen.epochs)


def _search_with(evaluate: Evaluate, space: SearchSpace, chosen: Settings, out: str | Path | None, view: View) -> Result:
    """A search in which a user's function scores genotypes; in memory unless `out` names a folder."""
    strategy = make_strategy(chosen.strategy, space, chosen.seed, chosen)
    run = _run_of_evaluator(space, chosen, out, getattr(evaluate, "__name__", "a function")) if out is not None else None
    ledger = Ledger(run.study if run else None, space, chosen.strategy)

    def score(candidate: Candidate, heard: Callable[[Progress], bool]) -> Outcome:
        return _evaluated(evaluate, candidate, heard)

    try:
        return _drive(chosen, ledger, Asking(space, strategy, chosen), view, lambda candidate: candidate, score, run, None)
    finally:
        if run is not None:
            run.unlock()


def _run_of_evaluator(space: SearchSpace, chosen: Settings, out: str | Path, name: str) -> Run:
    """The folder for an evaluator's search: a new one, or one of the same search, which then goes on. Raises RunError."""
    if not (Path(out).expanduser() / "run.yaml").exists():
        run = Run.create(out, space.name)
    else:
        run = Run.open(out)
        facts = run.read_settings()
        before = facts["settings"]
        same = (space.digest, chosen.strategy, chosen.seed) == (facts["digests"]["space"], before["strategy"], before["seed"])
        if not facts.get("evaluator") or not same:
            raise RunError("holds another search (of another space, strategy or seed); give another folder", str(out))
    run.lock()
    run.write_settings({**_facts(space, chosen, None, {}), "evaluator": name})
    return run


def _evaluated(evaluate: Evaluate, candidate: Candidate, heard: Callable[[Progress], bool]) -> Outcome:
    """Call a user's function. Told to stop and returning at once, it was stopped; anything but a number is infeasible."""
    go_on, reports = True, 0

    def report(epoch: int, score: float) -> bool:
        nonlocal go_on, reports
        reports += 1  # candidates are compared report by report, whatever each evaluator calls its epochs
        go_on = heard(Progress(candidate.number, reports, float(score), {}))
        return go_on

    value = evaluate(candidate.genotype, report)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Infeasible(f"the evaluator returned {value!r}, which is no number"[:300])
    if number != number or number in (float("inf"), float("-inf")):
        return Infeasible(f"the evaluator returned {number}")
    return Trained(number) if go_on else Stopped()


def _drive(
    chosen: Settings,
    ledger: Ledger,
    asking: Asking,
    view: View,
    job_for: Callable[[Candidate], Any],
    function: Any,
    run: Run | None,
    last_epoch: int | None,
) -> Result:
    """Set the driver going and sum up. Raises RunFailed if candidates ended and none of them could be trained."""
    driver: Driver

    def heard(progress: Progress) -> bool:
        return driver.heard(progress)

    executor = EXECUTORS[chosen.executor](Work(function, heard, chosen.workers, chosen.plugin, str(run.log) if run else None))
    deadline = time.monotonic() + chosen.time if chosen.time is not None else float("inf")
    prune = pruners.PRUNERS[chosen.pruner]
    driver = Driver(chosen, ledger, asking, executor, prune, view, job_for, run, last_epoch, deadline)
    try:
        driver.loop()
    except KeyboardInterrupt:
        if run is not None:
            view.note(f"interrupted; every result is kept. Go on with: nas resume {run.folder}")
        raise
    records = tuple(ledger.records())
    refused = ", ".join(f"{count} {why}" for why, count in asking.refused.items())
    if refused:
        view.note(f"refused before training: {refused}")
    if driver.ended == "space":
        view.note(f"the space has nothing new within the limits after {len(records)} candidates; the search ends")
    if records and all(record.state == "infeasible" for record in records):
        where = f"; see {run.log}" if run else ""
        raise RunFailed(f"no candidate could be trained; the last one: {records[-1].reason}{where}")
    return Result(records, best_of(records), run.folder if run else None, driver.ended)


def _job(candidate: Candidate, chosen: Settings, card: DataCard, run: Run) -> Job:
    assert candidate.blueprint is not None and candidate.recipe is not None
    return Job(
        number=candidate.number,
        blueprint=candidate.blueprint,
        recipe=candidate.recipe,
        data=card,
        epochs=chosen.epochs,
        train_part=chosen.train_part or 1.0,
        validation_part=chosen.validation_part or 0.1,
        seed=chosen.seed,
        threads=chosen.threads or 1,
        precision=chosen.precision,
        patience=chosen.patience,
        checkpoint=str(run.checkpoint(candidate.number).absolute()),
        model=str(run.model(candidate.number).absolute()),
    )


def _with_whole_paths(chosen: Settings) -> Settings:
    """Relative paths of data and plugins made absolute: `nas resume` may be typed in another folder."""
    update: dict[str, Any] = {"plugin": tuple(str(Path(file).expanduser().resolve()) for file in chosen.plugin)}
    if chosen.dataset not in DATASETS:
        update["dataset"] = str(Path(chosen.dataset).expanduser().absolute())
    if chosen.data_dir is not None:
        update["data_dir"] = str(Path(chosen.data_dir).expanduser().absolute())
    return chosen.model_copy(update=update)


def _resolved(chosen: Settings, card: DataCard, machine: dict[str, str]) -> Settings:
    """Settings with nothing left open: what `auto` and `None` mean for this data and this machine."""
    pictures = sum(card.counts)
    part = chosen.validation_part or default_validation_part(pictures)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    update: dict[str, Any] = {
        "validation_part": part,
        "train_part": chosen.train_part or default_train_part(round(pictures * (1 - part))),
        "threads": chosen.threads or max(1, cores // chosen.workers),
        "image_size": chosen.image_size,
    }
    if chosen.precision == "auto":
        update["precision"] = machine["precision"]
    return chosen.model_copy(update=update)


def _forecast(space: SearchSpace, chosen: Settings, card: DataCard, hands: Executor) -> str:
    """Build and train a large and a middling network for a moment, so that a mistake shows now; foretell the time."""
    rng = random.Random(chosen.seed)
    asking = Asking(space, _NoStrategy(), chosen, lambda genotype: express(genotype, card.pictures))
    drawn = (asking.candidate(Proposal(space.sample(rng)), -1) for _ in range(20 * REHEARSED))
    within = []
    for candidate in drawn:
        if over_limit(candidate, chosen) is None:
            within.append(candidate)
        if len(within) == REHEARSED:
            break
    if not within:
        limits = f"max-params {chosen.max_params}, max-flops {chosen.max_flops}, max-memory {chosen.max_memory}"
        raise ConfigError(
            f"none of {20 * REHEARSED:,} random networks of '{space.name}' is within the limits ({limits})", "--space"
        )
    within.sort(key=lambda each: each.blueprint.flops if each.blueprint else 0)
    nowhere = Run(Path(tempfile.gettempdir()))
    jobs = [_job(each, chosen, card, nowhere) for each in (within[-1], within[len(within) // 2])]
    seconds = hands.call(f"{WORKER}:rehearse", jobs, lambda done, total: None)
    # Seconds for one picture and one FLOP, from whichever of the two networks is the less efficient.
    each_flop = max(s / (job.recipe.batch_size * job.blueprint.flops) for s, job in zip(seconds, jobs, strict=True))
    usual = statistics.mean(each.blueprint.flops for each in within if each.blueprint)
    pictures = sum(card.counts) * (1 - (chosen.validation_part or 0)) * (chosen.train_part or 1)
    epochs = _expected_epochs(chosen)
    candidate_seconds = START_UP + each_flop * usual * pictures * epochs
    total = candidate_seconds * chosen.budget / chosen.workers
    words = f"{duration(total)} for {chosen.budget} candidates" if chosen.time is None else f"{duration(chosen.time)} at most"
    return f"about {words}: {pictures:,.0f} pictures for up to {chosen.epochs} epochs each, {chosen.workers} at a time"


def _expected_epochs(chosen: Settings) -> float:
    """Epochs that a candidate is trained on average: with ASHA a third goes on at each rung."""
    if chosen.pruner == "none":
        return chosen.epochs
    if chosen.pruner == "median":
        return 1 + (chosen.epochs - 1) / 2
    expected, going_on, epoch = 0.0, 1.0, 1
    while epoch <= chosen.epochs:
        following = min(epoch * pruners.REDUCTION, chosen.epochs)
        expected += going_on * (1 if epoch == 1 else 0)
        going_on /= pruners.REDUCTION
        expected += going_on * (following - epoch)
        epoch *= pruners.REDUCTION
    return expected


class _NoStrategy:
    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        raise AssertionError("the forecast draws by itself")


def _facts(space: SearchSpace, chosen: Settings, card: DataCard | None, machine: dict[str, str]) -> dict[str, Any]:
    """What `run.yaml` holds."""
    packages = ("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "optuna", "deap", "numpy", "pandas")
    versions = {"python": platform.python_version(), "nas": _version("nas"), **{name: _version(name) for name in packages}}
    return {
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {name: version for name, version in versions.items() if version},
        "machine": {"system": platform.platform(), **machine},
        "settings": chosen.model_dump(mode="json"),
        "digests": {"space": space.digest, "data": card.digest if card else None},
        "data": card_facts(card) if card else None,
        "space": space.source,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextmanager
def _log() -> Iterator[str]:
    """A file for what workers say before there is a run folder; shown if the preparation fails unexpectedly."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "log.txt")


@contextmanager
def _executor(chosen: Settings, log: str) -> Iterator[Executor]:
    """An executor for tasks: they run where jobs will."""
    executor = EXECUTORS[chosen.executor](Work(f"{WORKER}:train", lambda _: True, 1, chosen.plugin, log))
    try:
        yield executor
    finally:
        executor.close()
