"""The processes executor: a fresh process for every job, from a server that has loaded Keras already.

Only the end of a process frees all that TensorFlow took, and a crash ends one candidate. The `forkserver` has Keras loaded
but nothing started, so a new worker is there in milliseconds; on macOS and Windows `spawn` takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from nas import errors
from nas.errors import NasError, RunFailed
from nas.executors.base import Told, Work, by_name, reason_of, register_executor
from nas.messages import Finished, Infeasible, Lost, Outcome, Progress

PRELOAD = "nas.training.worker"
PATIENCE = 5.0  # seconds that a process may take to end after its last word


@dataclass
class _Running:
    process: Any
    pipe: Connection
    started: float


@register_executor("processes")
class Processes:
    """`work.workers` jobs at once, each in a process of its own."""

    def __init__(self, work: Work) -> None:
        self.work = work
        forks = sys.platform == "linux"  # elsewhere forking after TensorFlow was loaded is not safe, or not there
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload([PRELOAD])
            with _without_main(), _deaf_to_interrupts():
                forkserver.ensure_running()  # it loads Keras while the driver goes on
        self._running: dict[int, _Running] = {}

    @property
    def free(self) -> int:
        return self.work.workers - len(self._running)

    def submit(self, number: int, job: Any) -> None:
        self._running[number] = self._start(str(self.work.function), job)

    def finished(self, timeout: float) -> list[Finished]:
        by_pipe = {running.pipe: number for number, running in self._running.items()}
        done: list[Finished] = []
        for pipe in wait(list(by_pipe), timeout) if by_pipe else []:
            number = by_pipe[pipe]  # type: ignore[index]  # only our own pipes were waited for
            outcome = self._hear(self._running[number])
            if outcome is not None:
                running = self._running.pop(number)
                _end(running)
                done.append(Finished(number, outcome, time.perf_counter() - running.started))
        return done

    def call(self, function: str, argument: Any, told: Told) -> Any:
        running = self._start(function, argument)
        try:
            while True:
                kind, content = _receive(running)
                if kind == "told":
                    told(*content)
                elif kind == "done":
                    return content
                elif kind == "error":
                    name, words = content
                    raise getattr(errors, name, RunFailed)(words)
                else:
                    raise RunFailed(f"the worker that ran {function.rpartition(':')[2]} {content}")
        finally:
            running.process.kill()  # it has said its last word, or nobody listens any more
            _end(running)

    def close(self) -> None:
        for running in self._running.values():
            running.process.kill()  # checkpoints are whole at any moment
        for running in self._running.values():
            _end(running)
        self._running.clear()

    def _start(self, function: str, argument: Any) -> _Running:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(function, argument, theirs, self.work.plugins, self.work.log), daemon=True
        )
        with _without_main():
            process.start()
        theirs.close()
        return _Running(process, ours, time.perf_counter())

    def _hear(self, running: _Running) -> Outcome | None:
        """One message of a worker; its outcome if that was the last."""
        kind, content = _receive(running)
        if kind == "progress":
            go_on = self.work.progress(content)
            with contextlib.suppress(OSError):  # it may have died since; the next message will tell
                running.pipe.send(go_on)
            return None
        if kind == "error":  # one bad candidate is one bad row
            name, words = content
            return Infeasible(words if name == RunFailed.__name__ else f"{name}: {words.splitlines()[0]}"[:300])
        outcome: Outcome = content if kind == "done" else Lost(f"the worker {content}")
        return outcome


def _receive(running: _Running) -> tuple[str, Any]:
    """The next message, or (`lost`, why) if the process died without one."""
    try:
        message: tuple[str, Any] = running.pipe.recv()
        return message
    except (EOFError, OSError):
        running.process.join(PATIENCE)
        code = running.process.exitcode
        if code is None or code >= 0:
            return "lost", f"ended without a result (exit code {code})"
        known = {number.value: number.name for number in signal.Signals}
        return "lost", f"was killed by {known.get(-code, f'signal {-code}')}"


def _end(running: _Running) -> None:
    running.pipe.close()
    running.process.join(PATIENCE)
    if running.process.is_alive():
        running.process.kill()
        running.process.join()
    running.process.close()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script from the new process: it would be run there again, and a script without a main guard would
    search in every worker. Workers need nothing of it; plugins are loaded by path."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let a process that is started now ignore Ctrl-C from its first moment: the driver decides."""
    if threading.current_thread() is not threading.main_thread():  # only there can a handler be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(function: str, argument: Any, pipe: Connection, plugins: tuple[str, ...], log: str | None) -> None:
    """In the worker: run one function and send what it returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    _die_with_the_driver()
    if log is not None:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(descriptor, 2)

    def told(*content: Any) -> bool:
        """Progress of a job waits for the driver's answer; that of a task does not."""
        try:
            if isinstance(content[0], Progress):
                pipe.send(("progress", content[0]))
                return bool(pipe.recv())
            pipe.send(("told", content))
            return True
        except (EOFError, OSError):
            os._exit(1)  # the driver is gone

    try:
        for plugin in plugins:
            importlib.import_module("nas.plugins").load(plugin)
        pipe.send(("done", by_name(function)(argument, told)))
    except NasError as problem:
        # As words: an error class of a plugin may not survive the journey.
        pipe.send(("error", (type(problem).__name__, str(problem))))
    except Exception as problem:
        traceback.print_exc()
        pipe.send(("error", (RunFailed.__name__, reason_of(problem))))


def _die_with_the_driver() -> None:
    """End this process when the driver ends, however that happens: a busy worker would train on for nobody."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
