"""Inside a worker's process: runs one function, says what it returns, and never outlives its use.

The process ends when the driver ends, however that happens, and when it holds more memory than it may. `processes.py` starts
it and listens.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from nas.errors import NasError, RunFailed, print_traceback
from nas.executors.base import by_name, reason_of
from nas.machine import own_memory
from nas.messages import Progress, Pulse

OVER_MEMORY = 75  # exit code of a worker that held more memory than it may
LOOK = 0.1  # seconds between two looks at its memory: a network takes a tenth of a gigabyte in that time


def work(function: str, argument: Any, pipe: Connection, plugins: tuple[str, ...], log: str | None, memory: int | None) -> None:
    """Run one function and send what it returns, or the words of what it raises."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    _end_with_the_driver(memory)
    _be_the_first_to_go()
    if log is not None:
        try:
            errors = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError:  # a full disk, a folder that was removed: the work has more to say of that
            errors = os.open(os.devnull, os.O_WRONLY)
        os.dup2(errors, 2)

    def told(*content: Any) -> bool:
        """Progress of a job waits for the driver's answer; a pulse and what a task tells do not."""
        try:
            if isinstance(content[0], Progress):
                pipe.send(("progress", content[0]))
                return bool(pipe.recv())
            pipe.send(("pulse", content[0]) if isinstance(content[0], Pulse) else ("told", content))
            return True
        except (EOFError, OSError):
            os._exit(1)  # the driver is gone

    try:
        for plugin in plugins:
            importlib.import_module("nas.plugins").load(plugin)
    except NasError as problem:  # no fault of a candidate's: the next one would meet it too
        pipe.send(("blocked", str(problem)))
        return
    try:
        pipe.send(("done", by_name(function)(argument, told)))
    except NasError as problem:
        # As words: an error class of a plugin may not survive the journey.
        pipe.send(("error", (type(problem).__name__, str(problem))))
    except Exception as problem:
        print_traceback()
        pipe.send(("error", (RunFailed.__name__, reason_of(problem))))


def _end_with_the_driver(memory: int | None) -> None:
    """End this process when the driver has ended (a busy worker would train on for nobody), or when it is over its memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        import fcntl  # not there on Windows

        # The pipe closes when the driver ends. The kernel is told to kill this process then, since its threads may be unable
        # to run: a library that hangs with Python's lock in its hand, or a process that was stopped.
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        while not wait([parent.sentinel], LOOK if memory is not None else None):
            if memory is not None and own_memory() > memory:
                os._exit(OVER_MEMORY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _be_the_first_to_go() -> None:
    """Where the system runs out of memory, it shall end this process and not the driver."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
