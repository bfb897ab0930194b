"""What a search would take on this machine: what `nas plan` does, in a minute or two, without a run folder.

Networks from the cheapest to the dearest within the limits are rehearsed; time, memory and disk follow from them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nas import plugins
from nas.blueprint import check_networks
from nas.config import Settings, settings
from nas.errors import counted
from nas.forecast import (
    AROUND,
    Try,
    candidates_at_once,
    expected_epochs,
    rehearsals,
    rehearsed,
    room_for,
    total_seconds,
    validation_pictures,
    with_room,
    within_limits,
)
from nas.jobs import search_part, training_pictures, whole_epochs
from nas.keeping import models_kept
from nas.messages import DataCard
from nas.preparing import check_space, hands_of, interrupts_told, readied, with_whole_paths
from nas.retrainplan import ASKED, TOP, planned
from nas.run import disk_told
from nas.searching import check_search
from nas.space import SearchSpace, read_space
from nas.view import Plain, View, duration

REHEARSED = 8  # networks
EACH = 3.0  # seconds of steps of one
WEIGHTS = 4  # times its parameters a candidate in flight keeps on disk: its own and its best weights, two moments
RETRAINED = 4  # models that a retraining leaves: of the comparison and of the last fit, each also as its folder's best
ROW = 25_000  # bytes of ledger, leaderboard and log for each candidate
SERVER = 0.5  # gigabytes of driver and server beside the workers; most of the server's memory is shared with them


@dataclass(frozen=True)
class Plan:
    """What to expect. `each` are the seconds of one candidate on average, `low` and `high` of the cheapest and the dearest."""

    each: float
    low: float
    high: float
    before: float  # seconds until the first candidate begins
    seconds: float  # of the whole search
    retraining: float  # seconds of `nas retrain` without a time, where `--retrain` asks for it; else 0
    epochs: float  # of a candidate on average, with the pruner
    memory: float  # bytes, at most
    disk: float  # bytes in the run folder, at its end
    cache: float  # bytes of decoded pictures
    at_once: int  # candidates
    chosen: Settings

    def fitting(self, seconds: float) -> int:
        """Candidates that fit into a time, less what comes before the first of them."""
        return max(0, int((seconds - self.before) * self.at_once / self.each))


def plan(
    space: str | Path | None = None,
    dataset: str | Path | None = None,
    *,
    config: str | Path | None = None,
    view: View | None = None,
    **options: Any,
) -> Plan:
    """Foretell a search: the arguments are those of `search`, its space by a name or path. Raises NasError for anything
    in the input that is wrong."""
    view = view or Plain()
    given = {name: None if value is None else str(value) for name, value in (("space", space), ("dataset", dataset))}
    chosen = settings(config, **{**options, **given})
    for plugin in chosen.plugin:
        plugins.load(plugin)
    chosen = with_whole_paths(chosen)
    read = read_space(chosen.space)
    check_search(read, chosen)
    with disk_told(), interrupts_told(view):
        check_space(read, chosen, view)
        return _foretold(read, chosen, view)


def _foretold(read: SearchSpace, chosen: Settings, view: View) -> Plan:
    with hands_of(chosen, view) as hands:
        card, machine, chosen = readied(hands, chosen, view, float("inf"))
        check_networks(read, card.pictures)
        within = within_limits(read, chosen, card)
        picked = [within[round(at * (len(within) - 1) / (REHEARSED - 1))] for at in range(REHEARSED)]
        costs = [one.blueprint.flops / 1e6 for one in (picked[0], picked[-1]) if one.blueprint]
        view.note(f"rehearsing {REHEARSED} networks, of {costs[0]:,.1f} to {costs[-1]:,.1f} MFLOPs")
        tries, failed = rehearsed(picked, chosen, card, hands, float("inf"), EACH)
        chosen = with_room(chosen, machine, tries, all_told=not failed)
        at_once, room = candidates_at_once(chosen, hands), room_for(chosen, hands)
    if failed:
        view.note(f"{failed}; such candidates may be infeasible")
    pictures, validation, epochs = training_pictures(card, chosen), validation_pictures(card, chosen), expected_epochs(chosen)
    each = [AROUND + one.found.start + epochs * one.epoch_seconds(pictures, validation) for one in tries]
    # The cheapest and the dearest stand for half as many networks as those between them.
    mean = (sum(each) - (each[0] + each[-1]) / 2) / (len(each) - 1) if len(each) > 1 else each[0]
    parameters = [one.job.blueprint.parameters for one in tries]
    models = sum(models_kept(chosen)) + 1 + RETRAINED * chosen.retrain
    disk = 4 * (WEIGHTS * max(parameters) * at_once + models * statistics.mean(parameters))
    height, width, channels = card.shape
    return Plan(
        each=mean,
        low=min(each),
        high=max(each),
        before=rehearsals(chosen, pictures, within) * statistics.mean(AROUND + one.found.start for one in tries),
        seconds=total_seconds(chosen, at_once, mean),
        retraining=_retraining_seconds(chosen, card, tries, room) if chosen.retrain else 0.0,
        epochs=epochs,
        memory=max(one.found.memory for one in tries) * at_once + SERVER * 1e9,
        disk=disk + ROW * chosen.budget,
        cache=sum(card.counts) * (height * width * channels + 8),
        at_once=at_once,
        chosen=chosen,
    )


def _retraining_seconds(chosen: Settings, card: DataCard, tries: Sequence[Try], room: int) -> float:
    """Of a comparison of average candidates, `room` at once, and the last fit of one: by default, without a limit of time."""
    pictures, validation = sum(card.counts), validation_pictures(card, chosen)
    start = AROUND + statistics.mean(one.found.start for one in tries)
    compared = statistics.mean(one.epoch_seconds(pictures - validation, validation) for one in tries)
    last = statistics.mean(one.epoch_seconds(pictures, 0) for one in tries)
    asked = dict.fromkeys(ASKED)
    plan = planned(asked, list(range(min(TOP, chosen.budget))), room, whole_epochs(chosen), None, lambda number: compared)
    rounds = math.ceil(plan.trainings / room)
    return rounds * (start + plan.epochs * compared) + start + plan.epochs * last


def plan_lines(found: Plan) -> list[str]:
    """A plan for the terminal."""
    chosen = found.chosen
    there = psutil.virtual_memory().total
    lines = [
        f"one candidate     {found.each:.0f} s on average ({found.low:.0f} to {found.high:.0f}), "
        f"{found.epochs:.1f} of {counted(chosen.epochs or 1, 'epoch')}",
        f"the search        {duration(found.seconds)} for {counted(chosen.budget, 'candidate')}, {found.at_once} at a time",
        f"memory, at most   {found.memory / 1e9:.1f} GB of {there / 1e9:.1f} GB",
        f"disk              {found.disk / 1e6:,.0f} MB in the run folder, {found.cache / 1e6:,.0f} MB of decoded pictures",
    ]
    if chosen.time is not None:
        limit = min(chosen.time, found.before + max(0.0, chosen.time - found.before) * search_part(chosen))
        fitting, needed = found.fitting(limit), found.before + found.seconds
        if fitting >= chosen.budget:  # it ends before its time is over
            limit, fitting = min(limit, needed), chosen.budget
        rest = f"; the other {duration(chosen.time - limit)} are for the retraining" if chosen.retrain else ""
        all_fit = "all " if fitting == chosen.budget > 1 else ""
        fits = "fits" if fitting == 1 else "fit"
        lines.append(f"in {duration(limit):<15}{all_fit}{counted(fitting, 'candidate')} {fits}{rest}")
    elif chosen.retrain:
        lines.append(f"the retraining    {duration(found.retraining)} on top of that; --time is for both")
    return lines
