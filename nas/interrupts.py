"""Ctrl-C and polite requests to end (SIGTERM, SIGHUP), while a search runs.

The first raises KeyboardInterrupt, but not while something is being written: then it waits for that. A second one does not
wait: it raises at once, or, on the command line, ends the process as it stands. Nothing is lost by it: files and database are
whole at any moment, and workers end with the driver.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
EXIT_CODE = 130
_SHOW_CURSOR = b"\x1b[?25h"


came = False  # whether an interrupt was heard in this process


def _raise() -> NoReturn:
    raise KeyboardInterrupt


def raise_interrupt(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    """Obey an interrupt; where one was heard before, as `second` says: while the first is dealt with, Python would print a
    traceback of both."""
    global came
    if came:
        second()
    came = True
    raise KeyboardInterrupt


def leave() -> NoReturn:
    """End this process as it stands."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # a live display hides it
    os._exit(EXIT_CODE)


second: Callable[[], Any] = _raise
"""What a second interrupt does; the command line sets it to `leave`."""


class Interrupts:
    """A context in which interrupts wait for `held` sections to end. Outside the main thread it does nothing."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._holding = self._waiting = False
        self._came = 0

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Who has asked not to hear of a signal (nohup does) goes on not hearing of it.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is inside is done to its end before a first interrupt is obeyed."""
        outer, self._holding = self._holding, True
        try:
            yield
        except BaseException:
            self._waiting = False  # what ends the search says more than that somebody wanted it ended
            raise
        finally:
            self._holding = outer
        if self._waiting and not outer:
            self._waiting = False
            raise KeyboardInterrupt

    def _heard(self, number: int, frame: FrameType | None) -> None:
        global came
        came = True
        self._came += 1
        if self._came > 1:
            second()
        elif self._holding:
            self._waiting = True
        else:
            raise KeyboardInterrupt
