"""The search, from settings to result: what `nas search` and `nas.search(...)` do. `resuming.py` goes on with one.

It checks everything that can be checked, prepares the data, rehearses one or two networks, foretells the time, and hands over
by `fitting.py` to `driver.py`; read that next.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas import plugins
from nas.blueprint import check_networks
from nas.config import Settings, settings
from nas.datasets.prepare import check_test_part
from nas.driving import deadline_of
from nas.errors import ConfigError, TimeOver
from nas.evaluator import Evaluate, check_settings, search_with
from nas.fitting import fit
from nas.forecast import forecast
from nas.jobs import in_epochs_of_a_search, job_for, limits_of, networks_of, search_deadline, search_part
from nas.joint import check_shared
from nas.known import known
from nas.logs import FOLDER, Logged, check_tensorboard
from nas.messages import DataCard
from nas.preparing import (
    begin,
    check_executor,
    check_space,
    hands_of,
    interrupts_told,
    kept,
    note_backbones,
    readied,
    with_whole_paths,
)
from nas.provenance import SEARCH, provenance
from nas.result import Result, best_begun
from nas.retrainplan import COMPARING
from nas.run import Run, disk_told
from nas.server import check_server
from nas.space import Genotype, SearchSpace, read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.timed import TimedScores
from nas.view import Plain, Silent, View

CHILDLESS = ("optuna", "random")  # strategies whose candidates have no parents


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
        space: a shipped name, the path of a YAML file, or a dictionary of the same form (default `modern`).
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
        check_settings(chosen, given)
        return search_with(evaluate, read, chosen, out, view or Silent())
    began, view = time.monotonic(), view or Plain()
    with disk_told():
        result = _search_pictures(read, chosen, out, view, began)
    and_retrain(result, chosen, view, began)
    return result


def and_retrain(result: Result, chosen: Settings, view: View, began: float, again: bool = False) -> None:
    """Go straight on with the retraining, if that was asked for and has not been done, in what is left of the time, or `again`
    with the time that it had when it began."""
    if not chosen.retrain or result.folder is None or Run(result.folder).final.exists():
        return
    if best_begun(result.records) is None:
        view.note("no candidate was trained for an epoch, so nothing is retrained")
        return
    from nas.retraining import retrain  # it goes on with a run, and so imports this

    left = "none" if chosen.time is None else max(1.0, began + chosen.time - time.monotonic())
    retrain(result.folder, view, time=None if again else left)


def check_search(space: SearchSpace, chosen: Settings) -> list[Genotype]:
    """Check what can be checked before data are read; the known networks that the search begins with. Raises NasError."""
    if not space.describes_networks:
        words = f"the space '{space.name}' has no group 'blocks', so it describes no networks (in Python evaluate= scores any)"
        raise ConfigError(words, "--space")
    if chosen.inherit and chosen.strategy in CHILDLESS:
        raise ConfigError(f"needs parents: '{chosen.strategy}' has none, 'genetic' has", "--inherit")
    check_executor(chosen)
    if chosen.storage is None and chosen.study != Settings().study:
        raise ConfigError("is for --storage, which was not given", "--study")
    if chosen.storage is not None:
        if chosen.inherit:
            words = "is not possible with --storage: each driver has the models of its own candidates alone"
            raise ConfigError(words, "--inherit")
        if chosen.retrain:
            words = "is not possible with --storage, where each driver would do so: retrain afterwards, once, by 'nas retrain'"
            raise ConfigError(words, "--retrain")
        check_server(chosen.storage)
    if chosen.tensorboard:
        check_tensorboard()
    if chosen.validation_part == 0:
        raise ConfigError("a search compares candidates on validation pictures, so some are needed", "--validation-part")
    make_strategy(chosen.strategy, space, chosen.seed, chosen)
    limits_of(chosen)
    return known(chosen.start_from, space)


def _search_pictures(space: SearchSpace, chosen: Settings, out: str | Path | None, view: View, began: float) -> Result:
    first = check_search(space, chosen)
    Run.check_new(out)
    whole = deadline_of(chosen.time, began)
    with interrupts_told(view):
        check_space(space, chosen, view, whole)
    with interrupts_told(view), hands_of(chosen, view) as hands:
        card, machine, chosen = readied(hands, chosen, view, whole)
        check_networks(space, card.pictures)
        note_backbones(space, card, view)
        if chosen.retrain:
            check_test_part(chosen.dataset, chosen.data_dir, card)
        if chosen.storage is not None:
            check_shared(chosen, _facts(space, chosen, card, machine, first))
        chosen, words = forecast(space, chosen, card, hands, machine, whole)
        view.note(words)
    facts = _facts(space, chosen, card, machine, first)
    run = Run.create(out, f"{card.name}-{chosen.strategy}")
    run.lock()
    try:
        begin(run, facts, card, view)
        with interrupts_told(view, kept(f"nas resume {run.name}")):
            return go(space, chosen, run, card, view, whole, first)
    finally:
        run.unlock()


def _facts(
    space: SearchSpace, chosen: Settings, card: DataCard, machine: dict[str, str], first: Sequence[Genotype]
) -> dict[str, Any]:
    return {**provenance(space, chosen, card, machine, SEARCH), "start": first}


def go(
    space: SearchSpace,
    chosen: Settings,
    run: Run,
    card: DataCard,
    view: View,
    whole: float,
    first: Sequence[Genotype] = (),
) -> Result:
    """Search in a run whose data are prepared, new or not, so that all that was asked for can be done by `whole` (by
    time.monotonic); `first` are known networks. Raises what `fit` raises."""
    view = Logged(view, run.folder / FOLDER) if chosen.tensorboard else view
    if chosen.pruner != "none" and chosen.epochs == 1:
        hint = "--epochs, or fewer --train-pictures, make it more"
        view.note(f"--pruner={chosen.pruner} stops nobody, for a training is one epoch here: {hint}")

    def until(deadline: float) -> Result:
        strategy = make_strategy(chosen.strategy, space, chosen.seed, chosen)
        asking = Asking(space, strategy, chosen, networks_of(card), first, deadline)
        if chosen.retrain and chosen.time is not None:  # the best is what reaches most in the rest of it
            rest = chosen.time * (1 - search_part(chosen)) * (1 - COMPARING)
            asking.told = TimedScores(chosen.objective, in_epochs_of_a_search(rest, chosen, card)).of
        job_of, again = lambda one: job_for(one, chosen, card, run), f"nas resume {run.name}"
        return fit(run, space, chosen, asking, job_of, view, again, deadline)

    try:
        return until(search_deadline(chosen, whole))
    except TimeOver:
        if not chosen.retrain:
            raise
        # An epoch takes longer than the search's part of the time; without one there is nothing to retrain.
        view.note("no candidate had an epoch in the time of the search; it goes on for half of what is left")
        return until(time.monotonic() + (whole - time.monotonic()) / 2)
