"""The rehearsal: two networks of the space are trained for a moment, so that mistakes show now and the time is foretold."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import time

from nas import pruners
from nas.config import Settings
from nas.errors import BlueprintError, ConfigError, OverMemory, RunFailed, counted
from nas.executors import Executor, Task
from nas.jobs import WORKER, job_for, limits_of, networks_of, training_pictures
from nas.messages import Candidate, DataCard, Job, Limits, Proposal
from nas.preparing import time_left
from nas.space import SearchSpace
from nas.strategies.asking import make_candidate, over_limit
from nas.view import duration

START_UP = 3.0  # seconds until a candidate's first step: process, building, tracing
WANTED = 60  # random networks within the limits: the largest and the middle one are rehearsed
DRAWN = 3_000  # draws to find them


def forecast(space: SearchSpace, chosen: Settings, card: DataCard, hands: Executor, deadline: float = math.inf) -> str:
    """Rehearse, and say how long the search will take.

    Raises ConfigError if no network of the space is within the limits, RunFailed if none of the two could be trained.
    """
    within = sorted(_within_limits(space, chosen, card), key=_flops)
    jobs = [job_for(each, chosen, card) for each in (within[-1], within[len(within) // 2])]
    rehearsed: list[tuple[Job, float]] = []
    failed = ""
    for job in jobs:
        try:
            rehearsed.append(_rehearsed(job, hands, chosen, deadline))
        except RunFailed as problem:
            if time.monotonic() >= deadline:
                raise
            # Too large for this machine, or a mistake in a part of the user's own
            failed = f"a network of {job.blueprint.flops / 1e6:,.1f} MFLOPs could not be trained here: {problem}"
    if not rehearsed:
        raise RunFailed(failed)
    # Seconds for one FLOP of one picture, from whichever of the two networks uses the machine less well.
    each_flop = max(s / (job.recipe.batch_size * job.blueprint.flops) for job, s in rehearsed)
    usual = statistics.mean(map(_flops, within))
    pictures = training_pictures(card, chosen)
    candidate = START_UP + each_flop * usual * pictures * expected_epochs(chosen)
    total = candidate * chosen.budget / chosen.workers
    words = f"about {duration(total)} for {counted(chosen.budget, 'candidate')}"
    if chosen.time is not None and chosen.time < total:
        enough = max(1, round(chosen.budget * chosen.time / total))
        words = f"{duration(chosen.time)}, enough for about {counted(enough, 'candidate')}"
    words += f": {pictures:,.0f} pictures for up to {counted(chosen.epochs, 'epoch')} each, {chosen.workers} at a time"
    return f"{words}\n{failed}; such candidates may be infeasible" if failed else words


def _rehearsed(job: Job, hands: Executor, chosen: Settings, deadline: float) -> tuple[Job, float]:
    """A job and the seconds of one of its steps; where the memory is too small, with half its batch, as in the search."""
    limits = Limits(time_left(deadline), limits_of(chosen).memory, chosen.hang_time)
    try:
        return job, hands.call(Task(f"{WORKER}:rehearse", job, "the rehearsal", limits))
    except OverMemory:
        half = dataclasses.replace(job.recipe, batch_size=max(1, job.recipe.batch_size // 2))
        job = dataclasses.replace(job, recipe=half)
        return job, hands.call(Task(f"{WORKER}:rehearse", job, "the rehearsal", limits))


def _within_limits(space: SearchSpace, chosen: Settings, card: DataCard) -> list[Candidate]:
    rng, network = random.Random(chosen.seed), networks_of(card, chosen)
    within: list[Candidate] = []
    least = [math.inf] * 3
    for _ in range(DRAWN):
        proposal = Proposal(space.sample(rng))
        try:
            candidate = make_candidate(space, proposal, 0, network)
        except BlueprintError:  # a block may refuse a combination of genes that are each fine
            continue
        if over_limit(candidate, chosen) is None:
            within.append(candidate)
        if candidate.blueprint is not None and candidate.recipe is not None:
            blueprint = candidate.blueprint
            costs = (blueprint.parameters, blueprint.flops, blueprint.memory(candidate.recipe.batch_size))
            least = [min(pair) for pair in zip(least, costs, strict=True)]
        if len(within) == WANTED:
            break
    if not within:
        limits = (("max-params", chosen.max_params), ("max-flops", chosen.max_flops), ("max-memory", chosen.max_memory))
        found = [f"{name} {most:,}, the least {low:,.0f}" for (name, most), low in zip(limits, least, strict=True) if most]
        words = f"none of {DRAWN:,} random networks of '{space.name}' is within the limits: {'; '.join(found)}"
        raise ConfigError(words, "--space")
    return within


def _flops(candidate: Candidate) -> int:
    return candidate.blueprint.flops if candidate.blueprint else 0


def expected_epochs(chosen: Settings) -> float:
    """Epochs that a candidate is trained on average: with ASHA a third goes on at each rung, with the median a half."""
    if chosen.pruner == "none":
        return chosen.epochs
    if chosen.pruner == "median":
        return 1 + (chosen.epochs - 1) / 2
    expected, going_on, rung = float(pruners.FIRST_RUNG), 1.0, pruners.FIRST_RUNG
    while rung < chosen.epochs:
        going_on /= pruners.REDUCTION
        following = min(rung * pruners.REDUCTION, chosen.epochs)
        expected += going_on * (following - rung)
        rung = following
    return expected
