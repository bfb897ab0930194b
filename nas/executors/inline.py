"""The inline executor: one job at a time in the driver's own process.

For somebody's own evaluator, for notebooks and for debugging. A crash of the job is a crash of the driver, and a job that
says nothing cannot be ended: limits are looked at whenever it reports.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError, RunFailed
from nas.executors.base import Task, Told, Work, by_name, over_time, reason_of, register_executor, task_over_time
from nas.messages import Finished, Infeasible, News, Outcome


class _OverTime(BaseException):
    """Passes through the job, whatever it catches."""


@register_executor("inline")
class Inline:
    """Runs the job inside `finished`, so that the driver's loop is the same as with workers."""

    def __init__(self, work: Work) -> None:
        if work.workers != 1:
            raise ConfigError(f"the inline executor runs one candidate at a time; found {work.workers}", "--workers")
        self.work = work
        self._waiting: list[tuple[int, Any, float]] = []

    @property
    def places(self) -> float:
        return 1

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, number: int, job: Any, spent: float = 0.0) -> None:
        self._waiting.append((number, job, spent))

    def stop(self, number: int) -> None:
        self._waiting = [each for each in self._waiting if each[0] != number]

    def finished(self, timeout: float) -> list[Finished]:
        if not self._waiting:
            return []
        number, job, spent = self._waiting[0]  # taken off only at the end: an interrupt leaves the job unfinished
        started = time.monotonic() - spent

        def heard(news: News) -> bool:
            if self.work.limits.time is not None and time.monotonic() - started > self.work.limits.time:
                raise _OverTime
            return self.work.heard(news)

        try:
            outcome: Outcome = by_name(self.work.function)(job, heard)
        except _OverTime:
            outcome = over_time(self.work.limits)
        except Exception as problem:  # one bad candidate is one bad row
            self._note(f"candidate {number}")
            outcome = Infeasible(reason_of(problem))
        self._waiting.pop(0)
        return [Finished(number, outcome, time.monotonic() - started)]

    def call(self, task: Task, told: Told = lambda done, total: None) -> Any:
        started = time.monotonic()

        def heard(done: int, total: int) -> None:
            if task.limits.time is not None and time.monotonic() - started > task.limits.time:
                raise task_over_time(task)
            told(done, total)

        try:
            return by_name(task.function)(task.argument, heard)
        except NasError:
            raise
        except Exception as problem:
            self._note(task.what)
            raise RunFailed(reason_of(problem)) from None

    def close(self) -> None:
        self._waiting.clear()

    def _note(self, what: str) -> None:
        """The traceback, for who wants to know, in the log."""
        if self.work.log is not None:
            with Path(self.work.log).open("a", encoding="utf-8") as log:
                log.write(f"{what}:\n{traceback.format_exc()}\n")
