"""The inline executor: one job at a time in the driver's own process.

For somebody's own evaluator, for notebooks and for debugging. A crash of the job is a crash of the driver.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.executors.base import Told, Work, by_name, reason_of, register_executor
from nas.messages import Finished, Infeasible, Outcome


@register_executor("inline")
class Inline:
    """Runs the job inside `finished`, so that the driver's loop is the same as with workers."""

    def __init__(self, work: Work) -> None:
        if work.workers != 1:
            raise ConfigError(f"the inline executor runs one candidate at a time; found {work.workers}", "--workers")
        self.work = work
        self._waiting: list[tuple[int, Any]] = []

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, number: int, job: Any) -> None:
        self._waiting.append((number, job))

    def finished(self, timeout: float) -> list[Finished]:
        if not self._waiting:
            return []
        number, job = self._waiting[0]  # taken off only at the end: an interrupt leaves the job unfinished
        started = time.perf_counter()
        try:
            outcome: Outcome = by_name(self.work.function)(job, self.work.progress)
        except Exception as problem:  # one bad candidate is one bad row
            self._note(number)
            outcome = Infeasible(reason_of(problem))
        self._waiting.pop(0)
        return [Finished(number, outcome, time.perf_counter() - started)]

    def call(self, function: str, argument: Any, told: Told) -> Any:
        return by_name(function)(argument, told)

    def close(self) -> None:
        self._waiting.clear()

    def _note(self, number: int) -> None:
        """The traceback, for who wants to know, in the log."""
        if self.work.log is not None:
            with Path(self.work.log).open("a", encoding="utf-8") as log:
                log.write(f"candidate {number}:\n{traceback.format_exc()}\n")
