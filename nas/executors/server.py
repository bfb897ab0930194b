"""The server from which workers are forked: how it is started, reached in time, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

import psutil

DYING = 2.0  # seconds that a process may take to end after its last word


def end_server() -> None:
    """End the server of the workers at once: asked politely it would first load Keras to the end."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


def await_end() -> None:
    """Wait a moment for a server that is dying to be dead: until then multiprocessing would ask it once more."""
    server, end = forkserver._forkserver._forkserver_pid, time.monotonic() + DYING  # type: ignore[attr-defined]
    with contextlib.suppress(psutil.NoSuchProcess):
        while server is not None and psutil.Process(server).status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.01)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """A server of the workers that does not answer in time (one that was stopped) is killed, so that a new one is asked."""

    timer = threading.Timer(seconds, end_server)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide the user's script from the new process: it would be run there again, and a script without a main guard would
    search in every worker. Workers need nothing of it; plugins are loaded by path."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Let a process that is started now be deaf to Ctrl-C from its first moment: the driver decides, and hears of one that
    comes meanwhile afterwards."""
    resource_tracker.ensure_running()  # started by the server's start, it would let interrupts through for both
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    # Other threads, such as those of numpy, take the signal all the same; then it is this handler that keeps it.
    heard: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number)) if here else None
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in heard[:1]:
            signal.raise_signal(number)
