"""What comes before any work: whole paths, hands to work with, the data, what is said at an interrupt."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.blueprint import BACKBONE, check_networks
from nas.blueprint.backbone import application_file, is_application, learned_from
from nas.config import OF_RAY, Settings
from nas.datasets import DATASETS
from nas.datasets.prepare import describe
from nas.errors import ConfigError, RunFailed, ServiceFailed, listing
from nas.executors import EXECUTORS, Executor, Task, Work
from nas.jobs import WORKER, check_memory, resolved
from nas.messages import Cluster, DataCard, DataRequest, Limits
from nas.paths import expanded
from nas.run import Run, write_whole
from nas.shipped import shipped
from nas.space import SearchSpace
from nas.view import View

NOTHING_BEGUN = "interrupted while the search was prepared; nothing was begun yet"
LONGEST_SILENCE = 3600.0  # seconds that a preparation may say nothing: a download does not


def with_whole_paths(chosen: Settings) -> Settings:
    """Relative paths of data, space and plugins made absolute: `nas resume` may be typed in another folder."""
    update: dict[str, Any] = {"plugin": tuple(os.path.realpath(expanded(file)) for file in chosen.plugin)}
    for name, known in (("dataset", DATASETS), ("data_dir", ()), ("space", shipped("search_spaces"))):
        value = getattr(chosen, name)
        # What is not there stays as it was typed, for the message.
        if value is not None and value not in known and os.path.exists(expanded(value)):
            update[name] = str(expanded(value).absolute())
    return chosen.model_copy(update=update)


def check_executor(chosen: Settings) -> None:
    """Check that what is said of the executor goes together. Raises ConfigError."""
    if chosen.executor != "ray" and dataclasses.replace(chosen.cluster, shared_memory=True) != Cluster():
        given = [name for name in OF_RAY if getattr(chosen, name) != Settings.model_fields[name].default]
        options = listing(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"is for --executor=ray; this search has --executor={chosen.executor}", options)
    if chosen.executor == "ray" and chosen.workers == "auto":
        words = (
            "is as many as this machine has room for; with --executor=ray give how many at most, the cluster's room is found"
        )
        raise ConfigError(words, "--workers=auto")
    if chosen.executor == "inline" and chosen.at_once != 1:
        raise ConfigError(f"the executor 'inline' trains one candidate at a time; found {chosen.at_once}", "--workers")
    if chosen.storage is not None and chosen.executor == "inline":
        raise ConfigError("trains in the driver itself, which could not say then that it lives", "--executor inline")


def check_space(space: SearchSpace, chosen: Settings, view: View, deadline: float = math.inf) -> None:
    """Check that a space describes networks, when the backbones that it calls by name are at hand. Raises SpaceError, or
    DatasetError for a backbone that cannot be had, or RunFailed if the deadline passes."""
    named = space.genes[BACKBONE].extremes() if BACKBONE in space.genes else []
    lacking = [str(name) for name in named if is_application(name) and not application_file(str(name)).exists()]
    if lacking:
        with hands_of(chosen, view) as hands:
            for name in lacking:
                view.note(f"fetching the backbone {name}")
                limits = Limits(time_left(deadline), None, LONGEST_SILENCE)
                hands.call(Task(f"{WORKER}:fetch_backbone", name, f"fetching {name}", limits))
    check_networks(space)


def note_backbones(space: SearchSpace, card: DataCard, view: View) -> None:
    """Tell of backbones that were trained on the same pictures, or maybe on some of them, or in another size."""
    for name in space.genes[BACKBONE].extremes() if BACKBONE in space.genes else []:
        of, digest = (None, None) if is_application(name) else learned_from(str(name))
        if digest == card.digest or of == card.name:
            what = "these pictures" if digest == card.digest else f"pictures of the same name, {card.name}"
            are = "are" if digest == card.digest else "may be"
            words = f"unless that held out the same validation part, scores {are} too good"
            view.note(f"the backbone {name} was trained on {what}: {words}")


def prepare(hands: Executor, chosen: Settings, view: View, deadline: float) -> DataCard:
    """Have the data decoded, or found decoded. Raises DatasetError, or RunFailed if the deadline passes."""
    request = DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size)
    limits = Limits(time_left(deadline), None, LONGEST_SILENCE)
    card: DataCard = hands.call(Task(f"{WORKER}:prepare", request, "preparing the data", limits), view.preparing)
    return card


def readied(hands: Executor, chosen: Settings, view: View, deadline: float) -> tuple[DataCard, dict[str, str], Settings]:
    """The data prepared and told, the facts of this machine, and the settings with nothing left open.

    Raises DatasetError, ConfigError if the memory is too little for a worker, or RunFailed if the deadline passes.
    """
    card = prepare(hands, chosen, view, deadline)
    view.note(describe(card))
    limits = Limits(time_left(deadline), None, chosen.hang_time)
    machine: dict[str, str] = hands.call(Task(f"{WORKER}:machine", None, "finding out what the machine has", limits, afar=True))
    chosen = resolved(chosen, card, machine)
    check_memory(chosen, machine)
    return card, machine, chosen


def begin(run: Run, facts: dict[str, Any], card: DataCard, view: View) -> None:
    """Write the first files of a new run, whose lock is held."""
    run.write_settings(facts)
    view.note(f"run: {run.folder}")
    if card.skipped:
        write_whole(run.folder / "skipped.txt", "".join(f"{file}: {reason}\n" for file, reason in card.skipped))


def time_left(deadline: float) -> float | None:
    """Seconds until `deadline` (by time.monotonic), None for one that never comes."""
    return max(0.0, deadline - time.monotonic()) if math.isfinite(deadline) else None


@contextmanager
def interrupts_told(view: View, words: str = NOTHING_BEGUN) -> Iterator[None]:
    """An interrupt is told in `words`, and passes through."""
    try:
        yield
    except KeyboardInterrupt:
        view.end()
        view.note(words)
        raise


def kept(again: str) -> str:
    """The words for an interrupt of what has begun; `again` is the command that goes on with it."""
    return f"interrupted; every result is kept. Go on with: {again}"


@contextmanager
def hands_of(chosen: Settings, view: View) -> Iterator[Executor]:
    """An executor for tasks, which run where jobs will. What workers say before there is a run folder goes to a file; it is
    kept and named if they fail unexpectedly."""
    folder = tempfile.mkdtemp(prefix="nas-")
    log = Path(folder) / "log.txt"
    executor: Executor | None = None
    try:
        work = Work(f"{WORKER}:train", lambda _: True, 1, chosen.plugin, str(log), cluster=chosen.cluster, note=view.note)
        executor = EXECUTORS[chosen.executor](work)
        yield executor
    except RunFailed as problem:
        if log.exists() and log.stat().st_size and not isinstance(problem, ServiceFailed):  # workers know nothing of that
            raise RunFailed(f"{problem}; see {log}") from None
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if executor is not None:
            executor.close()
