"""A search in which somebody's own function scores the genotypes: in this process, in memory unless a folder is named.

The loop, the ledger and the strategies are those of a search on pictures; this is also how strategies are judged on tables.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

from nas.changes import space_changes
from nas.config import CHANGEABLE, Settings, settings
from nas.driving import deadline_of, drive
from nas.errors import ConfigError, RunError
from nas.jobs import limits_of
from nas.known import known
from nas.ledger import Ledger
from nas.messages import Candidate, Infeasible, Outcome, Progress, Stopped, Trained
from nas.paths import expanded
from nas.preparing import interrupts_told, kept
from nas.provenance import SEARCH, provenance
from nas.result import Result
from nas.run import Run
from nas.salvage import check_ledger, examined
from nas.space import SearchSpace
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import View

Evaluate: TypeAlias = Callable[..., float]
"""`function(genotype, report) -> float`, the higher the better.

`report(epoch, score)` answers whether to go on; a pruner compares the first reports of all candidates, then the second, … and
is not asked after the last, where `epochs=` says how many there are.
"""


READ = (
    *("strategy", "sampler", "genetic", "budget", "time", "space", "seed", "start_from", "plugin"),
    *("epochs", "pruner", "trial_time", "trial_memory", "executor", "workers", "threads"),
)
"""Settings that a search with an evaluator reads."""

WHY_NOT = {
    "retrain": "nothing is trained, so nothing can be retrained",
    "tensorboard": "nothing is trained, so there is nothing to log",
    "inherit": "nothing is trained, so there are no weights to inherit",
    "objective": "its own score counts, the higher the better",
    "storage": "there is one driver, since nothing is trained",
}
"""Why there is no such thing; refused in a file too, which otherwise may hold what other searches read."""


def check_settings(chosen: Settings, given: Mapping[str, Any]) -> None:
    """Raises ConfigError for a setting that an evaluator's search does not read, of those that are `given` with the call."""
    for name, field in Settings.model_fields.items():
        idle = name not in READ and getattr(chosen, name) != field.default
        if idle and (name in WHY_NOT or given.get(name) is not None):
            raise ConfigError(f"with an evaluator {WHY_NOT.get(name, 'this has no effect, for nothing is trained')}", name)
    if chosen.executor != "inline":
        raise ConfigError("an evaluator runs in this process, by the executor 'inline'", "executor")
    if chosen.workers != 1:
        raise ConfigError(f"an evaluator runs in this process, one candidate at a time; found {chosen.workers}", "workers")


def search_with(evaluate: Evaluate, space: SearchSpace, chosen: Settings, out: str | Path | None, view: View) -> Result:
    """A search in which a user's function scores genotypes; in memory unless `out` names a folder. Raises ConfigError if that
    is nothing which can be called so."""
    _check(evaluate)
    deadline = deadline_of(chosen.time, time.monotonic())
    strategy, limits = make_strategy(chosen.strategy, space, chosen.seed, chosen), limits_of(chosen)
    asking = Asking(space, strategy, chosen, first=known(chosen.start_from, space), deadline=deadline)
    # What is relative would be somewhere else after an evaluator has gone to another folder.
    run = _run_folder(evaluate, space, chosen, expanded(out).absolute()) if out is not None else None

    def score(candidate: Candidate, heard: Callable[[Progress], bool]) -> Outcome:
        return evaluated(evaluate, candidate, heard)

    if run is not None:
        run.lock()
    try:
        if run is not None:
            with examined(run):
                check_ledger(run)
            run.write_settings({**provenance(space, chosen, None, {}, SEARCH), "evaluator": name_of(evaluate)})
        again = interrupts_told(view, kept(f"nas.search(…, out='{run.folder}')")) if run else nullcontext()
        with closing(Ledger(run.study if run else None, space, chosen.strategy)) as ledger, again:
            return drive(chosen, ledger, asking, view, lambda each: each, score, run, chosen.epochs, deadline, limits)
    finally:
        if run is not None:
            run.unlock()


def _check(evaluate: Evaluate) -> None:
    """One that cannot be called as it will be would fail with every candidate."""
    try:
        inspect.signature(evaluate).bind({}, None)
    except TypeError as problem:
        raise ConfigError(f"is called as function(genotype, report), and does not take that: {problem}", "evaluate") from None
    except ValueError:  # some of those written in C do not say what they take
        return


def name_of(evaluate: Evaluate) -> str:
    """By what a run knows who scored it."""
    return str(getattr(evaluate, "__name__", "a function"))


def _run_folder(evaluate: Evaluate, space: SearchSpace, chosen: Settings, out: Path) -> Run:
    """The folder for an evaluator's search: a new one, or one of the same search, which then goes on. Raises RunError."""
    if not (out / "run.yaml").exists():
        run = Run.create(out, space.name)
    else:
        run = Run.open(out)
        facts = run.read_settings()
        if not facts.get("evaluator"):
            raise RunError("holds a search on pictures; go on with it by nas.resume(…), or give another folder", str(out))
        before, now = settings(None, facts["settings"]).model_dump(mode="json"), chosen.model_dump(mode="json")
        if facts["evaluator"] != name_of(evaluate):
            words = f"holds scores of the function '{facts['evaluator']}', and this is '{name_of(evaluate)}'"
            raise RunError(f"{words}; give another folder", str(out))
        differing = [
            f"{name} {before[name]!r}, here {now[name]!r}"
            for name in now
            if name not in (*CHANGEABLE, "space") and before[name] != now[name]  # the space by its digest
        ]
        if facts["digests"].get("space") != space.digest:
            differing.append(f"another space: {space_changes(facts['space'], space.source)}")
        if differing:
            raise RunError(f"holds another search ({'; '.join(differing)}); give another folder", str(out))
    return run


def evaluated(evaluate: Evaluate, candidate: Candidate, heard: Callable[[Progress], bool]) -> Outcome:
    """Call a user's function. Told to stop and returning at once, it was stopped; what is no number is infeasible, and so is
    the text of one."""
    reports, stopped_at = 0, 0

    def report(epoch: int, score: float) -> bool:
        nonlocal reports, stopped_at
        reports += 1  # candidates are compared report by report, whatever each evaluator calls its epochs
        value = float(score) if math.isfinite(score) else -math.inf
        go_on = heard(Progress(candidate.number, reports, value, {}))
        stopped_at = stopped_at or (0 if go_on else reports)
        return go_on

    value = evaluate(candidate.genotype, report)
    try:
        number = None if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        number = None
    if number is None:
        return Infeasible(f"the evaluator returned {value!r}, which is no number"[:300])
    if not math.isfinite(number):
        return Infeasible(f"the evaluator returned {number}")
    # Who reported again after a No has ignored it, and went on to the end.
    return Stopped() if stopped_at and stopped_at == reports else Trained(number)
