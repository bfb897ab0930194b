"""A place for one job on a machine of a cluster: the processes executor there, and what it has to say.

A slot does one thing at a time and is asked again and again what there is to hear (`listen`); so a driver that waits for all
of them needs one call in flight to each. Limits of time, memory and silence are kept here, beside the worker, as on a
single machine. It knows nothing of Ray, which only carries its methods' calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from nas.errors import NasError, RunFailed
from nas.executors.base import Task, Work, by_name, reason_of
from nas.executors.parcel import Parcel, Written, unpacked
from nas.executors.processes import Processes
from nas.machine import PATIENCE, cores, default_memory, wait_for_memory
from nas.messages import Blocked, Content, DataCard, Finished, Limits, News, OutOfMemory, Progress

GPUS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")  # by which a process knows what it may use
AT_HAND = "nas.datasets.fetched:at_hand"  # by name: an executor knows no worker
LOOK = 1.0  # seconds between two looks at the worker
PULSE = 5.0  # seconds between two signs of life that are passed on: each costs the driver a call
ARRIVING = 1_800.0  # seconds that pictures may take to arrive
LOCK = "lives"  # in a slot's home, held as long as it lives
HOME = "nas-slot-"  # with the number of the process, so that the next one sees whose owner has gone


class Slot:
    """`plugins` are their content by file name; what is said is (kind, content, content of files by field).

    Kinds: `progress` (waits for `answer`), `pulse`, `told` (of a task), `log`, `wants` (the pictures of a card; waits for
    `give`), and the last word: `finished` of a job, `returned` or `raised` of a task, `unfit` of either, if this machine
    cannot do it: no space, no pictures, no process. With `cpus`, and no limit of memory, a job may have as large a part
    of the memory as it has of the cores: so it is ended here, with a word, before the system or Ray ends any of them.
    `backend` is the driver's, since a cluster that ran before has another environment; with 0 `gpus` none is seen, which Ray
    does not see to. Both are left as they are where they are None.
    """

    def __init__(
        self,
        function: str,
        plugins: dict[str, str],
        limits: Limits,
        cpus: float | None,
        backend: str | None = None,
        gpus: float | None = None,
    ) -> None:
        _tidy()
        if gpus == 0:
            os.environ |= dict.fromkeys(GPUS, "")
        if backend is not None:
            os.environ.pop("KERAS_BACKEND", None)
            os.environ |= {"KERAS_BACKEND": backend} if backend else {}
        self._home = Path(tempfile.mkdtemp(prefix=f"{HOME}{os.getpid()}-"))
        self._lives = FileLock(self._home / LOCK)
        self._lives.acquire()
        if cpus is not None and limits.memory is None:
            limits = dataclasses.replace(limits, memory=default_memory(int(cores() // cpus)))
        files = [self._home / name for name in plugins]
        for file in files:
            file.write_text(plugins[file.name], encoding="utf-8")
        self._log = self._home / "log.txt"
        self._pulsed = -math.inf  # by time.monotonic
        self._told = 0  # bytes of the log that the driver has
        self._said: queue.SimpleQueue[tuple[str, Any, dict[str, bytes]]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._given: queue.SimpleQueue[Content] = queue.SimpleQueue()
        self._written = Written(None)
        loads = function.partition(":")[0]  # what its workers find loaded
        self._hands = Processes(Work(function, self._heard, 1, tuple(map(str, files)), str(self._log), limits, preload=loads))

    def leave(self) -> None:
        """Nothing more will be asked: end what runs, and take the own files away."""
        self._hands.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def host(self) -> str:
        """Where it is."""
        return socket.gethostname()

    def submit(self, number: int, parcel: Parcel, spent: float) -> None:
        """Begin a job."""

        def work(argument: Any) -> None:
            self._hands.submit(number, argument, spent)
            ended: list[Finished] = []
            while not ended:
                ended = self._hands.finished(LOOK)
            outcome = ended[0].outcome
            if isinstance(outcome, OutOfMemory) and outcome.by_system:
                wait_for_memory(PATIENCE)
            if isinstance(outcome, Blocked):  # by what is here: elsewhere there may be space, and sound pictures
                raise RunFailed(outcome.reason)
            self._say("finished", ended[0])

        self._begin(parcel, work)

    def call(self, task: Task, parcel: Parcel) -> None:
        """Begin a task; its argument is in the parcel."""

        def work(argument: Any) -> None:
            most = task.limits.memory or (self._hands.work.limits.memory if task.as_job else None)
            there = Task(task.function, argument, task.what, dataclasses.replace(task.limits, memory=most))
            try:
                said = self._hands.call(there, lambda done, total: self._say("told", (done, total)))
            except NasError as problem:
                self._say("raised", (type(problem).__name__, str(problem)))
            else:
                self._say("returned", said)

        self._begin(parcel, work)

    def listen(self, seconds: float) -> list[tuple[str, Any, dict[str, bytes]]]:
        """What was said; waits so long for a first word."""
        try:
            said = [self._said.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._said.empty():
            said.append(self._said.get())
        return said

    def answer(self, go_on: bool) -> None:
        """Whether the job goes on."""
        self._answers.put(go_on)

    def give(self, content: Content) -> None:
        """The pictures that it wanted."""
        self._given.put(content)

    def _begin(self, parcel: Parcel, work: Callable[[Any], None]) -> None:
        def run() -> None:
            try:
                with tempfile.TemporaryDirectory(dir=self._home, ignore_cleanup_errors=True) as folder:
                    argument = unpacked(parcel, Path(folder), self._cache_of)
                    self._written = Written(argument)
                    work(argument)
            except Exception as problem:
                self._say("unfit", f"on {self.host()}: {reason_of(problem)}")

        threading.Thread(target=run, daemon=True).start()

    def _cache_of(self, card: DataCard) -> str:
        def fetch() -> Content:
            self._say("wants", card)
            try:
                return self._given.get(timeout=ARRIVING)
            except queue.Empty:
                raise RunFailed(f"the pictures of {card.name} did not arrive in {ARRIVING:.0f} s") from None

        found: str = by_name(AT_HAND)(card, fetch)
        return found

    def _heard(self, news: News) -> bool:
        if not isinstance(news, Progress):
            if time.monotonic() >= self._pulsed + PULSE:
                self._say("pulse", news)
                self._pulsed = time.monotonic()
            return True
        self._say("progress", news)
        return self._answers.get()

    def _say(self, kind: str, content: Any) -> None:
        """With what the log and the files have got since."""
        if self._log.exists():
            with self._log.open("rb") as stream:
                stream.seek(self._told)
                fresh = stream.read()
            if fresh:
                self._told += len(fresh)
                self._said.put(("log", fresh, {}))
        self._said.put((kind, content, self._written.fresh() if kind in ("progress", "finished") else {}))


def _tidy() -> None:
    """Take away what slots have left that were killed: their locks went with them. In containers with a common folder for
    temporary files one does not see the other's processes."""
    for folder in Path(tempfile.gettempdir()).glob(f"{HOME}*"):
        owner = folder.name.removeprefix(HOME).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            with contextlib.suppress(Timeout, OSError), FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
