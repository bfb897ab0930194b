"""What comes before the loop, for a new search and for one that goes on: whole paths, hands to work with, the data.

`searching.py` and `resuming.py` use it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.config import Settings
from nas.datasets import DATASETS
from nas.errors import RunFailed
from nas.executors import EXECUTORS, Executor, Work
from nas.jobs import WORKER
from nas.messages import DataCard, DataRequest
from nas.run import disk_trouble
from nas.shipped import shipped
from nas.view import View


def with_whole_paths(chosen: Settings) -> Settings:
    """Relative paths of data, space and plugins made absolute: `nas resume` may be typed in another folder."""
    update: dict[str, Any] = {"plugin": tuple(os.path.realpath(os.path.expanduser(file)) for file in chosen.plugin)}
    for name, known in (("dataset", DATASETS), ("data_dir", ()), ("space", shipped("search_spaces"))):
        value = getattr(chosen, name)
        # What is not there stays as it was typed, for the message.
        if value is not None and value not in known and os.path.exists(os.path.expanduser(value)):
            update[name] = str(Path(os.path.expanduser(value)).absolute())
    return chosen.model_copy(update=update)


def prepare(hands: Executor, chosen: Settings, view: View, deadline: float) -> DataCard:
    """Have the data decoded, or found decoded. Raises DatasetError, or RunFailed if the deadline passes."""
    request = DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size)
    card: DataCard = hands.call(f"{WORKER}:prepare", request, view.preparing, deadline - time.monotonic())
    return card


@contextmanager
def disk_told() -> Iterator[None]:
    """What the disk does not take is told as a sentence."""
    try:
        yield
    except OSError as problem:
        words = disk_trouble(problem)
        if words is None:
            raise
        raise RunFailed(words) from None


@contextmanager
def hands_of(chosen: Settings) -> Iterator[Executor]:
    """An executor for tasks, which run where jobs will. What workers say before there is a run folder goes to a file; it is
    kept and named if they fail unexpectedly."""
    folder = tempfile.mkdtemp(prefix="nas-")
    log = Path(folder) / "log.txt"
    executor: Executor | None = None
    try:
        executor = EXECUTORS[chosen.executor](Work(f"{WORKER}:train", lambda _: True, 1, chosen.plugin, str(log)))
        yield executor
    except RunFailed as problem:
        raise RunFailed(f"{problem}; see {log}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if executor is not None:
            executor.close()
