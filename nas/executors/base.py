"""What an executor is: where jobs run. It knows neither strategies nor the ledger, and of the work only a function's name.

`submit` starts a job, `stop` ends it, `finished` waits for outcomes; meanwhile the executor passes each `Progress` to the
driver's function `heard`, whose answer (go on or stop) goes back to the job. `call` runs a task and waits for it. `inline.py`,
`processes.py` and `ray.py` ship.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from nas.errors import ConfigError, RunFailed, first_line
from nas.messages import Cluster, Finished, Infeasible, Limits, News
from nas.registry import Registry

Heard: TypeAlias = Callable[[News], bool]
Told: TypeAlias = Callable[[int, int], None]
"""Hears how far a task is, and of how much."""
Note: TypeAlias = Callable[[str], None]
"""Hears what the user should know."""


@dataclass(frozen=True)
class Work:
    """What an executor is made from: `function` runs one job, named `module:function` (or given, for an inline one)."""

    function: str | Callable[[Any, Heard], Any]
    heard: Heard
    workers: int = 1
    plugins: tuple[str, ...] = ()
    log: str | None = None  # file to which workers' standard error goes
    limits: Limits = field(default_factory=Limits)  # of each job
    cluster: Cluster = field(default_factory=Cluster)  # for an executor that has one
    note: Note = lambda words: None
    preload: str = "nas.training.worker"  # module that workers find loaded, where they are forked; by name


@dataclass(frozen=True)
class Task:
    """One piece of work that is waited for: `function(argument, told)`, named `module:function`.

    `what` it does stands in messages, such as `preparing the data`. `afar`: where jobs run, if that is another machine; the
    others read and write files that lie here. `as_job`: with as much memory as a job has there, where its limits name none.
    """

    function: str
    argument: Any
    what: str
    limits: Limits = field(default_factory=Limits)
    afar: bool = False
    as_job: bool = False


class Executor(Protocol):
    @property
    def places(self) -> float:
        """How many jobs there is room for where they run, whatever `Work.workers` allows; infinity if that is the limit."""

    @property
    def free(self) -> int:
        """How many more jobs fit now; never less than none."""

    def submit(self, number: int, job: Any, spent: float = 0.0) -> None:
        """Start a job. `spent` are the seconds that earlier tries took: the limit of time is for all of them."""

    def finished(self, timeout: float) -> list[Finished]:
        """Outcomes that came within `timeout` seconds; answers progress and keeps the limits meanwhile."""

    def stop(self, number: int) -> None:
        """End a job that is no longer wanted, at once, without an outcome; nothing if there is none of this number."""

    def call(self, task: Task, told: Told = lambda done, total: None) -> Any:
        """Run a task where jobs run, and wait for what it returns. Raises what it raises, RunFailed if it dies or falls
        silent (twice) or is over its time, and OverMemory."""

    def close(self) -> None:
        """End all jobs at once; their checkpoints stay."""


EXECUTORS: Registry[Callable[[Work], Executor]] = Registry("executor", ConfigError)
register_executor = EXECUTORS.register


def reason_of(problem: BaseException) -> str:
    """An exception as the reason of an infeasible candidate: its kind and the first line of its message."""
    return f"{type(problem).__name__}: {first_line(str(problem))}"[:300]


def over_time(limits: Limits) -> Infeasible:
    """The outcome of a candidate that took longer than it may."""
    return Infeasible(f"over the limit of {limits.time:g} s (--trial-time)")


def task_over_time(task: Task) -> RunFailed:
    """The error of a task that took longer than it may."""
    return RunFailed(f"{task.what} was not done in the {task.limits.time or 0:.3g} s that were left of --time; give it more")


def by_name(function: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function for `module:function`."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
