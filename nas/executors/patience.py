"""How patient the driver is with a cluster: when places for jobs are asked for again, and until when they are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas.errors import ServiceFailed
from nas.executors.base import Note

SILENT = 10.0  # seconds without any slot after which that is told
PATIENCE = 300.0  # seconds without any slot after which the cluster is taken to have no room
LONGER = 3_600.0  # the same, where it had: machines that were taken away may come back
PAUSE = 30.0  # seconds until another slot is asked for, after some whose machines were no use
TRIES = 3  # times that work is handed to such machines, where no other works
FALSE_STARTS = 20  # times that a job's place goes before it has begun


@dataclass
class Running:
    """A job that a slot has."""

    slot: Any
    job: Any
    spent: float
    calls: list[Any]  # that gave it the job, and pictures
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.began


class Unfit(Exception):
    """A machine cannot take a task."""


@dataclass
class Patience:
    """When slots are asked for again, and until when they are waited for."""

    trouble: str = ""  # of the last slot that could not work where it was
    useless: int = 0  # such slots since one has done something
    _vain: int = 0  # times that slots were asked for, and some came to nothing, since then
    _counted: bool = False  # the last time among them
    _since: float = field(default_factory=time.monotonic)  # when there was a slot last, or a first use for one
    _later: float = 0.0  # when slots are asked for again
    _worked: bool = False  # some slot, at some time
    _told: bool = False  # that there is no slot

    def no_use(self, trouble: str) -> None:
        """A slot could not work where it was; the next may be put there again."""
        self.trouble, self.useless = trouble, self.useless + 1
        self.later()

    def asks(self, others: bool) -> bool:
        """Whether slots are asked for now; `others`: some are there, or on their way. Where none is, what came to nothing is
        replaced at once the first time."""
        now = time.monotonic() >= self._later or not (others or self._vain > 1)
        self._counted = self._counted and not now
        return now

    def begins(self) -> None:
        """There is a slot, or from now on a use for one."""
        self._since, self._told = time.monotonic(), False

    def breathes(self) -> None:
        """A slot is at work, whatever comes of it."""
        self._worked = True

    def works(self) -> None:
        """A slot has done something."""
        self.useless, self._vain, self._counted, self._worked = 0, 0, False, True

    def later(self) -> None:
        """A slot was gone before it could be used: its machine may have left, or may have no room for a process."""
        self._vain, self._counted = self._vain + (not self._counted), True
        self._later = time.monotonic() + PAUSE

    def bears(self, wanted: Callable[[], str], note: Note) -> None:
        """There is no slot: noted once, with what is `wanted`, after a while. Raises ServiceFailed after too long."""
        silent = time.monotonic() - self._since
        if silent <= self.most and (self._told or silent <= SILENT):
            return
        words = f"{wanted()}; on a machine that it had: {self.trouble}" if self.trouble else wanted()
        if silent > self.most:
            raise ServiceFailed(f"the Ray cluster has had no room for {self.most:.0f} s: {words}")
        self._told = True
        note(
            f"waiting for a place on the Ray cluster, for {self.most:.0f} s at most, or until --time or Ctrl-C ends it: {words}"
        )

    @property
    def most(self) -> float:
        """Seconds without any slot that are too long."""
        return LONGER if self._worked else PATIENCE

    @property
    def at_its_end(self) -> bool:
        """Whether so many slots were no use that the next would be none either."""
        return self.useless >= TRIES
