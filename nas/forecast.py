"""The rehearsal: some networks of the space are trained for a moment, so that mistakes show now and the time is foretold.

Before a search two networks are rehearsed, the largest and the middle one of sixty (before a short one the largest alone:
each takes as long as training a candidate there); for `nas plan` (`planning.py`) more, and longer.
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nas.config import Settings
from nas.errors import BlueprintError, ConfigError, OverMemory, RunFailed, ServiceFailed, counted
from nas.executors import Executor, Task
from nas.jobs import WORKER, job_for, limits_of, networks_of, search_deadline, training_pictures
from nas.machine import cores, default_memory
from nas.messages import Candidate, DataCard, Job, Limits, Record, Rehearsal, Rehearsed
from nas.preparing import time_left
from nas.pruners import PRUNERS
from nas.space import SearchSpace
from nas.strategies.asking import over_limit
from nas.view import duration

MEASURES = {"balanced_accuracy": "balanced accuracy", "f1": "macro F1", "auc": "AUC", "accuracy": "accuracy", "loss": "loss"}
CONTEXT = 500_000_000  # bytes of a GPU that a process takes beside what it computes with
AROUND = 1.5  # seconds of a candidate before and after its training: its process, its model's file
WANTED = 60  # random networks within the limits, from which those to be rehearsed are taken
DRAWN = 3_000  # draws to find them
SHORT = 1e11  # FLOPs of all forward passes of a search in which trainings take less than what comes before and after them
PLAYED = 8  # searches that are played through to see how many epochs a pruner leaves
MOST_PLAYED = 200  # candidates of such a search


@dataclass(frozen=True)
class Try:
    """A job that was rehearsed, and what that has shown."""

    job: Job
    found: Rehearsed

    def epoch_seconds(self, pictures: float, validation: float) -> float:
        """Of one epoch on so many training and validation pictures."""
        return pictures / self.job.recipe.batch_size * self.found.step + validation * self.found.look


def forecast(
    space: SearchSpace,
    chosen: Settings,
    card: DataCard,
    hands: Executor,
    machine: dict[str, str],
    deadline: float = math.inf,
) -> tuple[Settings, str]:
    """Rehearse, and say how long the search will take; the settings with so many workers as were found to have room.

    Raises ConfigError if no network of the space is within the limits, RunFailed if none of those could be trained.
    """
    within = within_limits(space, chosen, card)
    pictures, validation = training_pictures(card, chosen), validation_pictures(card, chosen)
    tried, enough = [within[-1], within[len(within) // 2]], rehearsals(chosen, pictures, within)
    largest = max(within, key=_memory)  # with its batch it may take more than the one with most FLOPs
    if chosen.workers == "auto" and largest is not within[-1]:  # on a GPU, by memory
        tried, enough = [largest, *tried], enough + 1
    tries, failed = rehearsed(tried, chosen, card, hands, deadline, enough=enough)
    chosen = with_room(chosen, machine, tries, all_told=not failed)
    at_once = candidates_at_once(chosen, hands)
    # Seconds for one FLOP of one picture, from whichever of the networks uses the machine less well.
    each_flop = max(each.epoch_seconds(pictures, validation) / each.job.blueprint.flops for each in tries)
    epoch = each_flop * statistics.mean(map(_flops, within))
    start = max(each.found.start for each in tries)
    total = total_seconds(chosen, at_once, AROUND + start + epoch * expected_epochs(chosen))
    words = f"about {duration(total)} for {counted(chosen.budget, 'candidate')}"
    left = search_deadline(chosen, deadline) - time.monotonic()
    if left < total:
        enough = int(chosen.budget * left / total)
        what = f"enough for about {counted(enough, 'candidate')}" if enough else "too little for one candidate"
        words = f"{duration(left)}, {what}"
    words += f": {pictures:,.0f} pictures for up to {counted(chosen.epochs or 1, 'epoch')} each, {at_once} at a time,"
    words += f" scored by {MEASURES[chosen.objective]} on {validation:,.0f} others"
    return chosen, f"{words}\n{failed}; such candidates may be infeasible" if failed else words


def rehearsals(chosen: Settings, pictures: float, within: Sequence[Candidate]) -> int:
    """How many networks a search rehearses."""
    return 1 if chosen.budget * (chosen.epochs or 1) * pictures * statistics.mean(map(_flops, within)) < SHORT else 2


def with_room(chosen: Settings, machine: dict[str, str], tries: Sequence[Try], all_told: bool = True) -> Settings:
    """Of `--workers=auto` on a GPU: as many as have room there, and in this machine's memory, with what the rehearsals took
    at most; one on each core, and no more than there are candidates. One alone where not `all_told`: the largest network could
    not even be rehearsed."""
    if chosen.workers != "auto":
        return chosen
    if not all_told:
        return chosen.model_copy(update={"workers": 1})
    there = float(machine["gpu_memory"].split()[0]) * 1e9
    on_gpu = there // max(each.found.gpu_memory + CONTEXT for each in tries)
    in_memory = default_memory(1) // max(each.found.memory for each in tries)
    workers = max(1, int(min(on_gpu, in_memory, cores(), chosen.budget)))
    return chosen.model_copy(update={"workers": workers})


def rehearsed(
    candidates: Sequence[Candidate],
    chosen: Settings,
    card: DataCard,
    hands: Executor,
    deadline: float,
    seconds: float = 0.0,
    enough: int | None = None,
) -> tuple[list[Try], str]:
    """Rehearse candidates, all or until `enough` of them are, and say which (the last one) could not be trained. Raises
    RunFailed if none could."""
    tries: list[Try] = []
    failed = ""
    for candidate in candidates:
        if len(tries) == enough:
            break
        job = job_for(candidate, chosen, card)
        try:
            tries.append(_try(job, chosen, hands, deadline, seconds))
        except RunFailed as problem:
            if isinstance(problem, ServiceFailed) or time.monotonic() >= deadline:
                raise
            # Too large for this machine, or a mistake in a part of the user's own
            failed = f"a network of {job.blueprint.flops / 1e6:,.1f} MFLOPs could not be trained here: {problem}"
    if not tries:
        raise RunFailed(failed)
    return tries, failed


def _try(job: Job, chosen: Settings, hands: Executor, deadline: float, seconds: float) -> Try:
    """One rehearsal; where the memory is too small, with half the batch, as in the search."""
    # On a GPU `--workers=auto` is what the rehearsals show to have room: one at a time, they have all of the memory.
    alone = chosen.model_copy(update={"workers": 1}) if chosen.workers == "auto" else chosen
    limits = Limits(time_left(deadline), limits_of(alone).memory, chosen.hang_time)

    def rehearse(job: Job) -> Try:
        words = (Rehearsal(job, seconds), "the rehearsal", limits)
        return Try(job, hands.call(Task(f"{WORKER}:rehearse", *words, afar=True, as_job=True)))

    try:
        return rehearse(job)
    except OverMemory:
        half = dataclasses.replace(job.recipe, batch_size=max(1, job.recipe.batch_size // 2))
        return rehearse(dataclasses.replace(job, recipe=half))


def within_limits(space: SearchSpace, chosen: Settings, card: DataCard) -> list[Candidate]:
    """Random networks within the limits, the cheapest first. Raises ConfigError if there is none."""
    rng, network = random.Random(chosen.seed), networks_of(card)
    within: list[Candidate] = []
    least = [math.inf] * 3
    for _ in range(DRAWN):
        genotype = space.sample(rng)
        try:
            blueprint, recipe = network(genotype)
        except BlueprintError:  # a block may refuse a combination of genes that are each fine
            continue
        candidate = Candidate(0, genotype, "", blueprint=blueprint, recipe=recipe)
        if over_limit(candidate, chosen) is None:
            within.append(candidate)
        costs = (blueprint.parameters, blueprint.flops, blueprint.memory(recipe.batch_size))
        least = [min(pair) for pair in zip(least, costs, strict=True)]
        if len(within) == WANTED:
            break
    if not within:
        limits = (("max-params", chosen.max_params), ("max-flops", chosen.max_flops), ("max-memory", chosen.max_memory))
        pairs = [(name, most, low) for (name, most), low in zip(limits, least, strict=True) if most]
        over = [each for each in pairs if each[2] > each[1]] or pairs  # or only together
        found = [f"{name} {most:,}, the least {low:,.0f}" for name, most, low in over]
        words = f"none of {DRAWN:,} random networks of '{space.name}' is within the limits: {'; '.join(found)}"
        raise ConfigError(words, "--space")
    return sorted(within, key=_flops)


def _flops(candidate: Candidate) -> int:
    return candidate.blueprint.flops if candidate.blueprint else 0


def _memory(candidate: Candidate) -> int:
    assert candidate.blueprint is not None and candidate.recipe is not None
    return candidate.blueprint.memory(candidate.recipe.batch_size)


def validation_pictures(card: DataCard, chosen: Settings) -> float:
    """Pictures that are looked at after each epoch."""
    return sum(card.counts) * (chosen.validation_part or 0)


def candidates_at_once(chosen: Settings, hands: Executor) -> int:
    """How many will be trained at once: no more than there are."""
    return min(room_for(chosen, hands), chosen.budget)


def room_for(chosen: Settings, hands: Executor) -> int:
    """How many trainings at once are allowed and have room; one at least, for something was rehearsed."""
    return int(max(1, min(chosen.at_once, hands.places)))


def total_seconds(chosen: Settings, at_once: int, each: float) -> float:
    """Of a search whose candidates take `each` on average."""
    return each * chosen.budget / at_once


def expected_epochs(chosen: Settings) -> float:
    """Epochs that a candidate is trained on average: the pruner is played through with random scores.

    The first candidates, which have nobody to be worse than, are trained longer, so the average depends on the budget.
    """
    epochs = chosen.epochs or 1
    if chosen.pruner == "none":
        return epochs
    prune, rng = PRUNERS[chosen.pruner], random.Random(0)
    budget = min(chosen.budget, MOST_PLAYED)
    trained = 0
    for _ in range(PLAYED):
        records: list[Record] = []
        for number in range(budget):
            score = rng.random()
            for epoch in range(1, epochs + 1):
                records[number:] = [Record(number, {}, "running", curve=(score,) * epoch)]
                if epoch == epochs or prune(records, number, epoch, epochs):
                    break
            trained += records[number].epochs
    return trained / (budget * PLAYED)
