"""The search, from settings to result: what `nas search` and `nas.search(...)` do. `resuming.py` goes on with one.

It checks everything that can be checked, prepares the data, rehearses the largest network, foretells the time, and hands
over to `driver.py`; read that next.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from nas import plugins
from nas.blueprint import check_networks
from nas.config import Settings, settings
from nas.datasets.prepare import describe
from nas.driver import deadline_of, drive
from nas.errors import ConfigError
from nas.evaluator import Evaluate, search_with
from nas.executors import Executor, Task
from nas.forecast import forecast
from nas.jobs import WORKER, check_memory, job_for, limits_of, networks_of, resolved
from nas.known import known
from nas.ledger import Ledger
from nas.messages import Candidate, DataCard, Job, Limits
from nas.preparing import hands_of, interrupts_told, kept, prepare, time_left, with_whole_paths
from nas.provenance import provenance
from nas.result import Result
from nas.run import Run, disk_told, write_whole
from nas.salvage import examined
from nas.space import Genotype, SearchSpace, read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import Plain, Silent, View

SEARCHING = 0.35  # part of the time, where a retraining follows
HAND_OVER = 20.0  # seconds that may pass, after the time is over, until a model is made of what there is


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
    chosen = with_whole_paths(chosen)
    read = read_space(chosen.space if space is None or named else space)
    chosen = chosen.model_copy(update={"space": read.name}) if not named else chosen
    if evaluate is not None:
        if chosen.executor != "inline":
            raise ConfigError("an evaluator runs in this process, by the executor 'inline'", "executor")
        return search_with(evaluate, read, chosen, out, view or Silent())
    began, view = time.monotonic(), view or Plain()
    with disk_told():
        result = _search_pictures(read, chosen, out, view)
    and_retrain(result, chosen, view, began)
    return result


def and_retrain(result: Result, chosen: Settings, view: View, began: float) -> None:
    """Go straight on with the retraining, if that was asked for and has not been done, in what is left of the time."""
    from nas.retraining import retrain  # it goes on with a run, and so imports this

    if chosen.retrain and result.folder is not None and not Run(result.folder).final.exists():
        left = None if chosen.time is None else max(1.0, began + chosen.time - time.monotonic())
        retrain(result.folder, view, time=left)


def _search_pictures(space: SearchSpace, chosen: Settings, out: str | Path | None, view: View) -> Result:
    if not space.describes_networks:
        raise ConfigError(f"the space '{space.name}' has no group 'blocks', so it describes no networks", "--space")
    if chosen.validation_part == 0:
        raise ConfigError("a search compares candidates on validation pictures, so some are needed", "--validation-part")
    deadline = deadline_of(chosen, SEARCHING if chosen.retrain else 1.0)
    check_networks(space)
    Run.check_new(out)
    make_strategy(chosen.strategy, space, chosen.seed, chosen)  # a wrong name shows before the data is read
    limits_of(chosen)
    first = known(chosen.start_from, space)
    with interrupts_told(view), hands_of(chosen) as hands:
        card = prepare(hands, chosen, view, deadline)
        view.note(describe(card))
        check_networks(space, card.pictures)
        limits = Limits(time_left(deadline), None, chosen.hang_time)
        machine = hands.call(Task(f"{WORKER}:machine", None, "a look at this machine", limits))
        chosen = resolved(chosen, card, machine)
        check_memory(chosen, machine)
        view.note(forecast(space, chosen, card, hands, deadline))
    run = Run.create(out, f"{card.name}-{chosen.strategy}")
    run.lock()
    try:
        run.write_settings({**provenance(space, chosen, card, machine), "start": first})
        view.note(f"run: {run.folder}")
        if card.skipped:
            write_whole(run.folder / "skipped.txt", "".join(f"{file}: {reason}\n" for file, reason in card.skipped))
        with interrupts_told(view, kept(f"nas resume {run.name}")):
            return go(space, chosen, run, card, view, deadline, first)
    finally:
        run.unlock()


def go(
    space: SearchSpace,
    chosen: Settings,
    run: Run,
    card: DataCard,
    view: View,
    deadline: float,
    first: Sequence[Genotype] = (),
) -> Result:
    """Drive a run whose data are prepared, new or not; `first` are known networks. Raises what `drive` raises, and RunError for
    a damaged ledger."""

    def to_job(candidate: Candidate) -> Job:
        return job_for(candidate, chosen, card, run)

    strategy = make_strategy(chosen.strategy, space, chosen.seed, chosen)
    asking = Asking(space, strategy, chosen, networks_of(card, chosen), first, deadline)

    def hand_over(executor: Executor, candidate: Candidate) -> None:
        job = dataclasses.replace(to_job(candidate), model=str(run.best.absolute()))
        executor.call(Task(f"{WORKER}:hand_over", job, "making a model", Limits(HAND_OVER)))

    limits = limits_of(chosen)
    with examined(run), closing(Ledger(run.study, space, chosen.strategy)) as ledger:
        return drive(chosen, ledger, asking, view, to_job, f"{WORKER}:train", run, chosen.epochs, deadline, limits, hand_over)
