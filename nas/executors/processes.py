"""The processes executor: a fresh process for every job, from a server that has loaded Keras already.

Only the end of a process frees all that TensorFlow took, and a crash ends one candidate. The `forkserver` has Keras loaded
but nothing started, so a new worker is there in milliseconds; on macOS and Windows `spawn` takes seconds. `child.py` is what
runs in the process; here it is heard, and ended when it takes too long or falls silent.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import multiprocessing
import multiprocessing.process
import signal
import sys
import time
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from nas import errors
from nas.errors import OverMemory, RunFailed, first_line
from nas.executors.base import Task, Told, Work, over_time, register_executor, task_over_time
from nas.executors.child import OVER_MEMORY, work
from nas.executors.server import await_end, deaf_to_interrupts, end_server, within, without_main
from nas.machine import kills_for_memory, memory_groups
from nas.messages import Blocked, Finished, Infeasible, Lost, Outcome, OutOfMemory

PATIENCE = 5.0  # seconds that a process may take to end after its last word
SERVER_PATIENCE = 300.0  # seconds that the server may take to start a worker; the first time it loads Keras before
LONGEST_LOOK = 5.0  # seconds that may count between two looks at the clock
TICK = 1.0  # seconds between two looks at a task


class _Died(RunFailed):
    """The worker of a task ended without a last word, or fell silent."""


@dataclass
class _Running:
    process: Any
    pipe: Connection
    memory: int | None  # bytes that it may hold
    spent: float = 0.0  # seconds, with those of earlier tries
    silent: float = 0.0  # seconds without a sign of life
    groups: list[Path] = field(default_factory=list)  # that may limit its memory
    kills: int = 0  # processes that the system had ended there for want of memory when this one began


@register_executor("processes")
class Processes:
    """`work.workers` jobs at once, each in a process of its own."""

    def __init__(self, work: Work) -> None:
        self.work = work
        forks = sys.platform == "linux"  # elsewhere forking after TensorFlow was loaded is not safe, or not there
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload([work.preload])
            with without_main(), deaf_to_interrupts():
                forkserver.ensure_running()  # it loads Keras while the driver goes on
            atexit.register(end_server)
        self._running: dict[int, _Running] = {}
        self._looked = time.monotonic()
        self._raised: BaseException | None = None  # by the driver's function, while other outcomes had been received

    @property
    def places(self) -> float:
        return math.inf

    @property
    def free(self) -> int:
        return self.work.workers - len(self._running) if self._raised is None else 0

    def submit(self, number: int, job: Any, spent: float = 0.0) -> None:
        self._count_time()
        self._running[number] = self._start(str(self.work.function), job, self.work.limits.memory, spent)

    def finished(self, timeout: float) -> list[Finished]:
        self._raise()
        by_pipe = {running.pipe: number for number, running in self._running.items()}
        ended: dict[int, Outcome] = {}
        for pipe in wait(list(by_pipe), timeout) if by_pipe else []:
            number = by_pipe[pipe]  # type: ignore[index]  # only our own pipes were waited for
            running = self._running[number]
            running.silent = 0.0
            try:
                outcome = self._hear(running)
            except BaseException as problem:
                self._raised = self._raised or problem  # what the others have said is heard before
                continue
            if outcome is not None:
                ended[number] = outcome
        self._count_time()
        for number, running in self._running.items():
            outcome = ended.get(number) or self._over_limit(running)
            if outcome is not None:
                ended[number] = outcome
        if not ended:
            self._raise()
        return [Finished(number, outcome, self._end(self._running.pop(number))) for number, outcome in ended.items()]

    def stop(self, number: int) -> None:
        if number in self._running:
            self._end(self._running.pop(number))

    def _raise(self) -> None:
        """Raise what the driver's function raised, once all outcomes that came with it were handed on."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def call(self, task: Task, told: Told = lambda done, total: None) -> Any:
        end = time.monotonic() + (float("inf") if task.limits.time is None else task.limits.time)
        try:
            return self._call(task, told, end)
        except _Died:  # like a job, a task is given a second try
            return self._call(task, told, end)

    def close(self) -> None:
        for running in self._running.values():
            running.process.kill()  # checkpoints are whole at any moment
        for running in self._running.values():
            self._end(running)
        self._running.clear()

    def _call(self, task: Task, told: Told, end: float) -> Any:
        running = self._start(task.function, task.argument, task.limits.memory)
        self._looked = time.monotonic()
        try:
            while True:
                if not running.pipe.poll(min(TICK, max(0.0, end - time.monotonic()))):
                    running.silent += self._passed()
                    if time.monotonic() >= end:
                        raise task_over_time(task)
                    if task.limits.silence is not None and running.silent > task.limits.silence:
                        raise _Died(f"{task.what}: {_silent(task.limits.silence)}")
                    continue
                self._passed()
                running.silent = 0.0
                kind, content = _receive(running)
                if kind == "told":
                    told(*content)
                elif kind == "done":
                    return content
                elif kind == "blocked":
                    raise RunFailed(content)
                elif kind == "error":
                    error, words = content
                    raise getattr(errors, error, RunFailed)(words)
                else:
                    outcome = _died(running)
                    raise (_Died if isinstance(outcome, Lost) else OverMemory)(f"{task.what}: {outcome.reason}")
        finally:
            self._end(running)

    def _start(
        self, function: str, argument: Any, memory: int | None = None, spent: float = 0.0, again: bool = True
    ) -> _Running:
        ours, theirs = self._context.Pipe()
        arguments = (function, argument, theirs, self.work.plugins, self.work.log, memory)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        try:
            with without_main(), within(SERVER_PATIENCE):
                process.start()
        except (EOFError, OSError):  # the server died meanwhile, or could not fork: a new one is asked
            ours.close()
            theirs.close()
            if not again:
                raise RunFailed("no worker could be started: the system gives no more processes") from None
            await_end()
            return self._start(function, argument, memory, spent, again=False)
        theirs.close()
        groups = memory_groups(process.pid)
        return _Running(process, ours, memory, spent, groups=groups, kills=kills_for_memory(groups))

    def _hear(self, running: _Running) -> Outcome | None:
        """One message of a worker; its outcome if that was the last."""
        kind, content = _receive(running)
        if kind == "pulse":
            self.work.heard(content)
            return None
        if kind == "progress":
            go_on = self.work.heard(content)
            with contextlib.suppress(OSError):  # it may have died since; the next message will tell
                running.pipe.send(go_on)
            return None
        if kind == "error":  # one bad candidate is one bad row
            name, words = content
            return Infeasible(words if name == RunFailed.__name__ else f"{name}: {first_line(words)}"[:300])
        if kind == "done":
            outcome: Outcome = content
            return outcome
        if kind == "blocked":
            return Blocked(content)
        return _died(running)

    def _passed(self) -> float:
        """Seconds since the last look. While the driver slept (Ctrl-Z, a closed lid) the workers slept as well: of a long
        pause only the beginning counts."""
        now = time.monotonic()
        passed = min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        return passed

    def _count_time(self) -> None:
        """Time passes for all that runs."""
        passed = self._passed()
        for running in self._running.values():
            running.spent += passed
            running.silent += passed

    def _over_limit(self, running: _Running) -> Outcome | None:
        limits = self.work.limits
        if limits.time is not None and running.spent > limits.time:
            return over_time(limits)
        if limits.silence is not None and running.silent > limits.silence:
            return Lost(_silent(limits.silence))
        return None

    def _end(self, running: _Running) -> float:
        """See to it that a process is gone; the seconds it took. It has said its last word, or nobody listens any more."""
        running.process.kill()
        running.pipe.close()
        running.process.join(PATIENCE)
        try:
            running.process.close()
        except ValueError:  # stuck in the system itself, where no signal reaches: it is left to it
            # Python would wait for it when this process ends.
            multiprocessing.process._children.discard(running.process)  # type: ignore[attr-defined]
        return running.spent


def _receive(running: _Running) -> tuple[str, Any]:
    """The next message, or (`lost`, None) if the process died without one."""
    try:
        message: tuple[str, Any] = running.pipe.recv()
        return message
    except (EOFError, OSError):
        return "lost", None


def _died(running: _Running) -> Lost | OutOfMemory:
    """The outcome of a worker that ended without a last word."""
    how = _how_it_ended(running)
    if running.process.exitcode == OVER_MEMORY:
        return OutOfMemory(f"over the limit of {(running.memory or 0) / 1e9:.3g} GB (--trial-memory)")
    if running.process.exitcode == -signal.SIGKILL and kills_for_memory(running.groups) > running.kills:
        return OutOfMemory("the system had no memory left and ended the worker", by_system=True)
    return Lost(f"the worker {how}")


def _silent(seconds: float) -> str:
    return f"the worker gave no sign of life for {seconds:g} s (--hang-time)"


def _how_it_ended(running: _Running) -> str:
    running.process.join(PATIENCE)
    code = running.process.exitcode
    if code is None or code >= 0:
        return f"ended without a result (exit code {code})"
    known = {number.value: number.name for number in signal.Signals}
    return f"was killed by {known.get(-code, f'signal {-code}')}"
