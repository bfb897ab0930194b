"""The ray executor: jobs on the machines of a Ray cluster, as many as have room.

Each place for a job is an actor (`slot.py`) that Ray puts where the CPUs and GPUs of a candidate are free. Those that find no
room wait there: a machine that joins takes them, and one that leaves takes its slots with it, whose jobs are then lost and
tried again. The driver alone writes the run folder: what a job needs of it travels along, what it writes comes back with its
news (`parcel.py`). Tasks run on the driver's machine, but for those that ask to be where jobs are.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas import errors
from nas.errors import ConfigError, RunFailed, first_line, to_install
from nas.executors.base import Task, Told, Work, register_executor
from nas.executors.parcel import content_of, packed
from nas.executors.processes import Processes
from nas.executors.slot import Slot
from nas.messages import Cluster, DataCard, Finished, Lost, News
from nas.run import write_whole

OWN = "local"  # Ray's word for a cluster that is started here, whatever else runs on this machine
LISTEN = 10.0  # seconds that a slot with nothing to say keeps a call
LEAVING = 5.0  # seconds that slots may take to put their files away
PATIENCE = 300.0  # seconds without any slot after which the cluster is taken to have no room


@dataclass
class _Running:
    slot: Any
    job: Any
    spent: float
    submitted: Any  # the call that gave it the job
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.began


@register_executor("ray")
class OnRay:
    """At most `work.workers` jobs at once, as far as the cluster has room for them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.ray = connected(work.cluster)
        files = [Path(file) for file in work.plugins]
        plugins = {f"{place}-{file.name}": file.read_text(encoding="utf-8") for place, file in enumerate(files)}
        self._make: Callable[..., Any] = (
            self.ray.remote(Slot).options(num_cpus=work.cluster.cpus, num_gpus=work.cluster.gpus, max_restarts=0).remote
        )
        self._with = (str(work.function), plugins, work.limits)
        self._asked: dict[Any, Any] = {}  # call in flight → slot that Ray has not placed yet
        self._idle: list[Any] = []
        self._waiting: list[tuple[int, Any, float]] = []  # jobs for which there is no slot at the moment
        self._running: dict[int, _Running] = {}
        self._calls: dict[Any, int] = {}  # call in flight → number of the job whose slot it is to
        self._content: dict[str, Any] = {}  # digest of pictures → where Ray keeps them for whoever has none
        self._raised: BaseException | None = None  # by the driver's function, while other news had been received
        self._since = time.monotonic()  # when there was a slot last
        self._local: Processes | None = None
        self._ask()

    @property
    def free(self) -> int:
        if self._raised is not None:
            return 0
        return max(len(self._idle), 0 if self._running else 1) - len(self._waiting)

    def submit(self, number: int, job: Any, spent: float = 0.0) -> None:
        self._waiting.append((number, job, spent))
        self._hand_out()

    def finished(self, timeout: float) -> list[Finished]:
        self._raise()
        self._ask()
        self._hand_out()
        calls = [*self._asked, *self._calls]
        ready, _ = self.ray.wait(calls, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self.ray.wait(calls, num_returns=len(calls), timeout=0)
        ended = []
        for call in ready:
            if call in self._asked:
                self._placed(call)
            else:
                finished = self._hear(call)
                ended += [finished] if finished is not None else []
        if self._idle or self._running:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > PATIENCE:
            raise RunFailed(f"the Ray cluster has had no room for {PATIENCE:.0f} s: {self._room()}")
        if not ended:
            self._raise()
        return ended

    def call(self, task: Task, told: Told = lambda done, total: None) -> Any:
        if not task.afar:
            self._local = self._local or Processes(
                Work(self.work.function, self.work.heard, 1, self.work.plugins, self.work.log)
            )
            return self._local.call(task, told)
        for tried in (1, 2):
            slot = self._some_slot()
            try:
                return self._called(slot, task, told)
            except self.ray.exceptions.RayError as problem:  # like a job, a task is given a second try
                if tried == 2:
                    raise RunFailed(f"{task.what}: {_why(problem)}") from None
        raise AssertionError("tried twice")

    def close(self) -> None:
        leaving = [slot.leave.remote() for slot in self._idle]  # others would answer only when they have said what they have to
        if leaving:
            self.ray.wait(leaving, num_returns=len(leaving), timeout=LEAVING)
        for slot in (*self._asked.values(), *self._idle, *(running.slot for running in self._running.values())):
            self.ray.kill(slot)
        for kept in (self._asked, self._idle, self._waiting, self._running, self._calls, self._content):
            kept.clear()
        if self._local is not None:
            self._local.close()

    def _ask(self) -> None:
        """Ask for more slots, as far as there may be more."""
        for _ in range(self.work.workers - len(self._idle) - len(self._running) - len(self._asked)):
            slot = self._make(*self._with)
            self._asked[slot.host.remote()] = slot

    def _placed(self, call: Any) -> None:
        slot = self._asked.pop(call)
        try:
            self.ray.get(call)
        except self.ray.exceptions.RayError as problem:
            if "creation task" in str(problem):  # it cannot work there; another would fail as well
                raise RunFailed(f"no worker could be started on the cluster: {_why(problem)}") from None
            return  # its machine has left; another is asked for
        self._idle.append(slot)
        self._ask()
        self._hand_out()

    def _hand_out(self) -> None:
        """Give jobs that wait to slots that do nothing."""
        while self._waiting and self._idle:
            number, job, spent = self._waiting.pop(0)
            slot = self._idle.pop()
            self._running[number] = _Running(slot, job, spent, slot.submit.remote(number, packed(job), spent))
            self._calls[slot.listen.remote(LISTEN)] = number

    def _hear(self, call: Any) -> Finished | None:
        """What the slot of a job has said; the job's end, if that was its last word."""
        number = self._calls.pop(call)
        running = self._running[number]
        try:
            said = self.ray.get([running.submitted, call])[1]  # it may not even have got its job
        except self.ray.exceptions.RayError as problem:
            del self._running[number]
            return Finished(number, Lost(f"its place on the cluster is gone: {_why(problem)}"), running.seconds)
        for kind, content, files in said:
            for name, data in files.items():
                write_whole(Path(getattr(running.job, name)), data)
            if kind == "finished":
                del self._running[number]
                self._idle.append(running.slot)
                self._hand_out()
                return content  # type: ignore[no-any-return]
            self._follow(running.slot, kind, content)
        self._calls[running.slot.listen.remote(LISTEN)] = number
        return None

    def _follow(self, slot: Any, kind: str, content: Any) -> None:
        """Do what a word of a slot asks for."""
        if kind == "log":
            if self.work.log is not None:
                with Path(self.work.log).open("ab") as log:
                    log.write(content)
        elif kind == "wants":
            slot.give.remote(self._pictures(content))
        else:
            go_on = self._heard(content)
            if kind == "progress":
                slot.answer.remote(go_on)

    def _heard(self, news: News) -> bool:
        """The driver's answer; what it raises is raised once all that came with it is heard."""
        try:
            return self.work.heard(news)
        except BaseException as problem:
            self._raised = self._raised or problem
            return True

    def _pictures(self, card: DataCard) -> Any:
        """Pictures in Ray's store, put there when the first machine wants them."""
        if card.digest not in self._content:
            self._content[card.digest] = self.ray.put(content_of(card.cache))
        return self._content[card.digest]

    def _some_slot(self) -> Any:
        """A slot that does nothing, waited for."""
        end = time.monotonic() + PATIENCE
        while not self._idle:
            if time.monotonic() > end:
                raise RunFailed(f"the Ray cluster has had no room for {PATIENCE:.0f} s: {self._room()}")
            self._ask()
            ready, _ = self.ray.wait(list(self._asked), num_returns=1, timeout=1.0)
            for call in ready:
                self._placed(call)
        return self._idle[-1]

    def _called(self, slot: Any, task: Task, told: Told) -> Any:
        try:
            submitted = slot.call.remote(task, packed(task.argument))
            while True:
                for kind, content, _ in self.ray.get([submitted, slot.listen.remote(LISTEN)])[1]:
                    if kind == "told":
                        told(*content)
                    elif kind == "returned":
                        return content
                    elif kind == "raised":
                        name, words = content
                        raise getattr(errors, name, RunFailed)(words)
                    else:
                        self._follow(slot, kind, content)
        except BaseException as problem:
            if not isinstance(problem, errors.NasError):  # it is still at it, or gone
                self._idle.remove(slot)
                self.ray.kill(slot)
            raise

    def _raise(self) -> None:
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def _room(self) -> str:
        cluster, there = self.work.cluster, self.ray.cluster_resources()
        return (
            f"a candidate takes {cluster.cpus:g} CPUs and {cluster.gpus:g} GPUs, all of the cluster together has "
            f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g} (--cpus-per-trial, --gpus-per-trial)"
        )


def connected(cluster: Cluster) -> Any:
    """Ray, connected to a cluster, or to one that it starts on this machine. Raises ConfigError if that cannot be."""
    try:
        import ray as found  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ConfigError(f"needs the package 'ray': {to_install('ray')}", "--executor") from None
    ray: Any = found
    if not ray.is_initialized():
        address = cluster.address or os.environ.get("RAY_ADDRESS") or OWN
        options = {"include_dashboard": False} if address == OWN else {}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError, RuntimeError) as problem:
            raise ConfigError(f"no Ray cluster can be reached: {first_line(problem)}", "--ray-address") from None
    return ray


def _why(problem: Exception) -> str:
    return first_line(getattr(problem, "cause", None) or problem)[:200]
