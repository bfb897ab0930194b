"""From settings to jobs: what a candidate's worker is told, and what settings left open mean for this data and machine."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from nas.blueprint import Blueprint, express
from nas.config import Settings
from nas.datasets.split import default_train_part, default_validation_part
from nas.errors import ConfigError
from nas.machine import default_memory, default_threads
from nas.messages import Candidate, DataCard, Job, Limits
from nas.pace import FORWARD
from nas.recipe import Recipe
from nas.run import Run
from nas.space import Genotype
from nas.strategies.asking import Express

WORKER = "nas.training.worker"  # by name: the driver never imports it
MOST_EPOCHS = 100  # where they follow from the pictures to be seen: of few pictures a network has seen enough by then
SEARCHING = 0.2  # part of the time that the search has, where a retraining follows (why so little: docs/results.md)


def search_part(chosen: Settings) -> float:
    """Of `--time`, the part that the search has."""
    return SEARCHING if chosen.retrain else 1.0


def search_deadline(chosen: Settings, whole: float) -> float:
    """When a search has to end that begins now, with data and forecast behind it, if all has to be done by `whole` (both by
    time.monotonic)."""
    now = time.monotonic()
    return now + max(0.0, whole - now) * search_part(chosen)


def job_for(candidate: Candidate, chosen: Settings, card: DataCard, run: Run | None = None) -> Job:
    """The job of a candidate that has a network, with resolved settings; without a run it leaves no files."""
    assert candidate.blueprint is not None and candidate.recipe is not None
    assert chosen.epochs and chosen.train_part and chosen.validation_part is not None and chosen.threads
    return Job(
        number=candidate.number,
        blueprint=candidate.blueprint,
        recipe=candidate.recipe,
        data=card,
        epochs=chosen.epochs,
        train_part=chosen.train_part,
        validation_part=chosen.validation_part,
        seed=chosen.seed,
        threads=chosen.threads,
        precision=chosen.precision,
        patience=chosen.patience,
        objective=chosen.objective,
        class_weight=chosen.class_weight,
        checkpoint=str(run.checkpoint(candidate.number).absolute()) if run else "",
        model=str(run.model(candidate.number).absolute()) if run else "",
        inherits=str(run.model(candidate.parents[0]).absolute()) if run and chosen.inherit and candidate.parents else "",
        shrink=chosen.genetic.shrink,
        heirs=chosen.inherit,
    )


def networks_of(card: DataCard) -> Express:
    """Genotype → network and recipe, for these data: a batch is at most all of their pictures (of those that an epoch of a
    search has, where they are fewer: `Batches`)."""
    most = sum(card.counts)

    def network(genotype: Genotype) -> tuple[Blueprint, Recipe]:
        blueprint, recipe = express(genotype, card.pictures)
        return blueprint, dataclasses.replace(recipe, batch_size=min(recipe.batch_size, most))

    return network


def training_pictures(card: DataCard, chosen: Settings) -> float:
    """Pictures in one epoch, nearly: each class is rounded for itself."""
    return sum(card.counts) * (1 - (chosen.validation_part or 0)) * (1 if chosen.train_part is None else chosen.train_part)


def whole_epochs(chosen: Settings) -> float:
    """Epochs of a candidate, counted in all training pictures."""
    return (chosen.epochs or 1) * (chosen.train_part or 1.0)


def in_epochs_of_a_search(seconds: float, chosen: Settings, card: DataCard) -> float:
    """Seconds of a training on all pictures, none held out, told in those of a search: divided by what an epoch of a candidate
    takes there, they are its epochs that fit."""
    return seconds * epoch_cost(card, chosen.validation_part or 0.0, chosen.train_part or 1.0) / sum(card.counts)


def epoch_cost(card: DataCard, held: float, part: float = 1.0) -> float:
    """What an epoch costs, told in pictures that are trained on: a part of those that are not `held` out, and a look at those
    that are."""
    return sum(card.counts) * ((1 - held) * part + FORWARD * held)


def resolved(chosen: Settings, card: DataCard, machine: dict[str, str]) -> Settings:
    """Settings with nothing left open: what `auto` and `None` mean for this data and this machine."""
    pictures = sum(card.counts)
    part = default_validation_part(pictures) if chosen.validation_part is None else chosen.validation_part
    update: dict[str, Any] = {
        "validation_part": part,
        "train_part": chosen.train_part or default_train_part(max(1, round(pictures * (1 - part))), chosen.train_pictures),
        "threads": chosen.threads or threads_of(chosen),
    }
    if chosen.epochs is None:
        each = pictures * (1 - part) * update["train_part"]
        update["epochs"] = min(MOST_EPOCHS, max(1, round(chosen.seen_pictures / max(1.0, each))))
    if chosen.precision == "auto":
        update["precision"] = machine["precision"]
    if "gpu" not in machine:  # else a rehearsal says how many have room on it
        update["workers"] = chosen.at_once
    return chosen.model_copy(update=update)


def threads_of(chosen: Settings) -> int:
    """Threads of one candidate, where they were not given."""
    return max(1, int(chosen.cpus_per_trial)) if chosen.executor == "ray" else default_threads(chosen.at_once)


def limits_of(chosen: Settings) -> Limits:
    """What one candidate may take. Raises ConfigError where the executor cannot keep a limit that was asked for."""
    memory = default_memory(chosen.at_once) if chosen.trial_memory == "auto" else chosen.trial_memory
    if chosen.executor == "ray" and chosen.trial_memory == "auto":
        memory = None  # its machines are not this one: each says for itself
    if chosen.executor == "inline":
        if isinstance(chosen.trial_memory, int):
            raise ConfigError("needs workers of their own, by the executor 'processes'", "--trial-memory")
        memory = None
    return Limits(chosen.trial_time, memory, chosen.hang_time)


def check_memory(chosen: Settings, machine: dict[str, str]) -> None:
    """Raise ConfigError if a worker is over its limit before it has trained anything."""
    most, needed = limits_of(chosen).memory, str(machine["worker_memory"])
    if most is not None and most < float(needed.split()[0]) * 1e9:
        words = f"a worker takes {needed} before it trains anything; found {most / 1e9:.2f} GB"
        if chosen.trial_memory == "auto":
            raise ConfigError(f"{words} for each of {chosen.at_once}; use fewer, or give --trial-memory", "--workers")
        raise ConfigError(words, "--trial-memory")
