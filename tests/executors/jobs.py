"""Jobs and tasks for the executors' tests: workers find them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from nas.errors import DatasetError
from nas.messages import Blocked, Outcome, Progress, Pulse, Stopped, Trained

HERE = "tests.executors.jobs"


def finish(job: float, report: Any) -> Outcome:
    return Trained(job)


def fail(job: str, report: Any) -> Outcome:
    raise ValueError(f"{job}\nand more")


def fail_with_ours(job: str, report: Any) -> Outcome:
    raise DatasetError(job)


def epochs(job: int, report: Any) -> Outcome:
    """Up to `job` epochs, as long as it may."""
    for epoch in range(1, job + 1):
        if not report(Progress(0, epoch, epoch / 10, {"val_accuracy": epoch / 10})):
            return Stopped()
    return Trained(1.0)


def die(job: int, report: Any) -> Outcome:
    os.kill(os.getpid(), job)
    raise AssertionError("still alive")


def leave(job: int, report: Any) -> Outcome:
    os._exit(job)


def busy(job: str, report: Any) -> Outcome:
    """Writes its process id to the file `job` and computes without end; a polite request does not reach it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(job).write_text(str(os.getpid()))
    while True:
        sum(range(10_000))


def busy_or_done(job: str, report: Any) -> Outcome:
    """As `busy`; a second one with the same file is done at once."""
    return Trained(1.0) if Path(job).exists() else busy(job, report)


def blocked_once(job: str, report: Any) -> Outcome:
    """As on a machine whose disk is full; a second one with the same file is done."""
    if Path(job).exists():
        return Trained(1.0)
    Path(job).touch()
    return Blocked("the disk is full")


def blocked(job: float, report: Any) -> Outcome:
    """As on a machine whose disk is full and stays so."""
    return Blocked("the disk is full")


def ancestors(argument: None, told: Any) -> list[str]:
    """The command lines of the processes above this one."""
    return [" ".join(each.cmdline()) for each in psutil.Process().parents()]


def count(argument: int, told: Any) -> int:
    for done in range(argument):
        told(done + 1, argument)
    return 2 * argument


def wrong(argument: str, told: Any) -> None:
    raise DatasetError(argument, "pictures")


def sleep(argument: float, told: Any) -> None:
    time.sleep(argument)


def environment(argument: str, told: Any) -> list[str]:
    """Which of the modules named in `argument` are loaded here."""
    import sys

    return [name for name in argument.split() if name in sys.modules]


def backend(argument: None, told: Any) -> str | None:
    """The backend that Keras would take here."""
    return os.environ.get("KERAS_BACKEND")


def gpus(argument: None, told: Any) -> str | None:
    """The GPUs that JAX would see here."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def breathe(job: float, report: Any) -> Outcome:
    """Gives a sign of life every so many seconds, without end."""
    while True:
        report(Pulse(0, 0.5))
        time.sleep(job)


def grow(job: int, report: Any) -> Outcome:
    """Takes up to `job` mebibytes, little by little."""
    held = []
    for _ in range(job):
        held.append(bytearray(os.urandom(1 << 16) * 16))
        time.sleep(0.002)
    return Trained(float(len(held)))


def die_once(argument: str, told: Any) -> str:
    """A task whose first worker is killed."""
    mark = Path(argument)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def content_of(argument: str, told: Any) -> str:
    return Path(argument).read_text()
