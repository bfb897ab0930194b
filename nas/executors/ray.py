"""The ray executor: jobs on the machines of a Ray cluster, as many as have room.

Each place for a job is an actor (`slot.py`) that Ray puts where the CPUs and GPUs of a candidate are free. Those that find no
room wait there: a machine that joins takes them, and one that leaves takes its slots with it, whose jobs are then lost and
tried again. A job whose slot had gone before it began, or whose machine cannot do it, is not lost: another slot gets it.
The driver alone writes the run folder: what a job needs of it travels along, what it writes comes back with its news
(`parcel.py`). Tasks run on the driver's machine, but for those that ask to be where jobs are.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas import errors
from nas.errors import ConfigError, RunFailed, ServiceFailed
from nas.executors.base import Task, Told, Work, register_executor, task_over_time
from nas.executors.cluster import connected, first_of, is_lost, is_own, places, reached, room, why
from nas.executors.parcel import content_of, packed
from nas.executors.patience import FALSE_STARTS, TRIES, Patience, Running, Unfit
from nas.executors.processes import Processes
from nas.executors.slot import Slot
from nas.messages import Blocked, DataCard, Finished, Lost, News
from nas.run import write_whole

LISTEN = 10.0  # seconds that a slot with nothing to say keeps a call
LEAVING = 5.0  # seconds that slots may take to put their files away, or to be made


@register_executor("ray")
class OnRay:
    """At most `work.workers` jobs at once, as far as the cluster has room for them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.ray = connected(work.cluster, work.note)
        plugins = {f"{place}-{Path(each).name}": Path(each).read_text("utf-8") for place, each in enumerate(work.plugins)}
        self._make: Callable[..., Any] = (
            self.ray.remote(Slot).options(num_cpus=work.cluster.cpus, num_gpus=work.cluster.gpus, max_restarts=0).remote
        )
        shared = work.cluster.cpus if work.cluster.shared_memory else None
        backend = os.environ.get("KERAS_BACKEND", "")
        self._with = (str(work.function), plugins, work.limits, shared, backend, work.cluster.gpus)
        self._asked: dict[Any, Any] = {}  # call in flight → slot that Ray has not placed yet
        self._idle: list[Any] = []
        self._waiting: list[tuple[int, Any, float]] = []  # jobs for which there is no slot at the moment
        self._running: dict[int, Running] = {}
        self._calls: dict[Any, int] = {}  # call in flight → number of the job whose slot it is to
        self._content: dict[str, Any] = {}  # digest of pictures → where Ray keeps them for whoever has none
        self._back: Counter[tuple[int, bool]] = Counter()  # number, whether its slot had gone → how often it was handed back
        self._patience = Patience()
        self._raised: BaseException | None = None  # by the driver's function, while other news had been received
        self._local: Processes | None = None
        with reached(self.ray):
            if is_own(self.ray) and not self.places:  # nobody will join it
                raise ConfigError(f"the Ray that was started on this machine has no room for that: {self._wanted()}")
            self._ask()

    @property
    def places(self) -> float:
        with reached(self.ray):
            return places(self.ray, self.work.cluster)

    @property
    def free(self) -> int:
        if self._raised is not None:
            return 0
        return max(0, max(len(self._idle), 0 if self._running else 1) - len(self._waiting))

    def submit(self, number: int, job: Any, spent: float = 0.0) -> None:
        if not (self._waiting or self._running):
            self._patience.begins()  # a driver may have had nothing to do for long
        self._waiting.append((number, job, spent))
        with reached(self.ray):
            self._hand_out()

    def finished(self, timeout: float) -> list[Finished]:
        with reached(self.ray):
            return self._finished(timeout)

    def stop(self, number: int) -> None:
        self._waiting = [each for each in self._waiting if each[0] != number]
        self._calls = {call: of for call, of in self._calls.items() if of != number}
        if number in self._running:
            with reached(self.ray):
                self.ray.kill(self._running.pop(number).slot)

    def _finished(self, timeout: float) -> list[Finished]:
        self._raise()
        self._ask()
        self._hand_out()
        calls, ended = [*self._asked, *self._calls], []
        ready = first_of(self.ray, calls, timeout) if calls or self._waiting else []
        if ready:
            ready, _ = self.ray.wait(calls, num_returns=len(calls), timeout=0)
        for call in ready:
            if call in self._asked:
                self._placed(call)
            else:
                finished = self._hear(call)
                ended += [finished] if finished is not None else []
        if self._idle or self._running:
            self._patience.begins()
        elif self._waiting:
            self._patience.bears(self._wanted, self.work.note)
        if not ended:
            self._raise()
        return ended

    def call(self, task: Task, told: Told = lambda done, total: None) -> Any:
        if not task.afar:
            here = Work(self.work.function, self.work.heard, 1, self.work.plugins, self.work.log)
            self._local = self._local or Processes(here)
            return self._local.call(task, told)
        end = time.monotonic() + (float("inf") if task.limits.time is None else task.limits.time)
        with reached(self.ray):
            for left in reversed(range(TRIES)):
                try:
                    return self._called(self._some_slot(task, end), task, told, end)
                except (Unfit, ConnectionError, self.ray.exceptions.RayError) as problem:  # like a job, it is tried elsewhere
                    if is_lost(self.ray, problem):
                        raise
                    if not left:
                        raise RunFailed(f"{task.what}: {why(problem)}") from None
        raise AssertionError("it was tried")

    def close(self) -> None:
        with contextlib.suppress(RunFailed), reached(self.ray):  # a cluster that has gone has ended them all
            leaving = [slot.leave.remote() for slot in self._idle]  # others answer only when they have said what they have to
            if leaving:
                self.ray.wait(leaving, num_returns=len(leaving), timeout=LEAVING)
            coming = int(self.places) - len(self._idle) - len(self._running)
            if min(coming, len(self._asked)) > 0:  # Ray 2.60 does not end an actor that it is just making
                self.ray.wait(list(self._asked), num_returns=min(coming, len(self._asked)), timeout=LEAVING)
            for slot in (*self._asked.values(), *self._idle, *(running.slot for running in self._running.values())):
                self.ray.kill(slot)
        for kept in (self._asked, self._idle, self._waiting, self._running, self._calls, self._content):
            kept.clear()
        if self._local is not None:
            self._local.close()

    def _ask(self) -> None:
        """Ask for more slots, as far as there may be more."""
        if not self._patience.asks(others=bool(self._asked or self._idle or self._running)):
            return
        for _ in range(self.work.workers - len(self._idle) - len(self._running) - len(self._asked)):
            slot = self._make(*self._with)
            self._asked[slot.host.remote()] = slot

    def _wanted(self) -> str:
        return room(self.ray, self.work.cluster)

    def _placed(self, call: Any) -> None:
        slot = self._asked.pop(call)
        try:
            self.ray.get(call)
        except self.ray.exceptions.RayError as problem:
            if getattr(problem, "actor_init_failed", False):  # it cannot work there; elsewhere another may
                self._patience.no_use(why(problem))
                if self._patience.at_its_end and not (self._asked or self._idle or self._running):
                    raise ServiceFailed(f"no worker could be started on the cluster: {why(problem)}") from None
            else:
                self._patience.later()
            self.ray.kill(slot)
            return
        self._idle.append(slot)
        self._ask()
        self._hand_out()

    def _hand_out(self) -> None:
        """Give jobs that wait to slots that do nothing."""
        while self._waiting and self._idle:
            number, job, spent = self._waiting.pop(0)
            slot = self._idle.pop()
            self._running[number] = Running(slot, job, spent, [slot.submit.remote(number, packed(job), spent)])
            self._calls[slot.listen.remote(LISTEN)] = number

    def _hear(self, call: Any) -> Finished | None:
        """What the slot of a job has said; the job's end, if that was its last word."""
        number = self._calls.pop(call)
        running = self._running[number]
        try:
            self.ray.get(running.calls)
        except self.ray.exceptions.RayError as problem:
            return self._handed_back(number, why(problem), gone=isinstance(problem, self.ray.exceptions.RayActorError))
        try:
            said = self.ray.get(call)
        except self.ray.exceptions.RayError as problem:
            self.ray.kill(self._running.pop(number).slot)
            return Finished(number, Lost(f"its place on the cluster is gone: {why(problem)}", True), running.seconds)
        for kind, content, files in said:
            if kind == "unfit":
                return self._handed_back(number, content, gone=False)
            for name, data in files.items():
                write_whole(Path(getattr(running.job, name)), data)
            if kind in ("progress", "finished"):
                self._patience.works()
                del self._back[number, True]
            if kind == "finished":
                del self._running[number]
                self._idle.append(running.slot)
                self._hand_out()
                return content  # type: ignore[no-any-return]
            running.calls += self._follow(running.slot, kind, content)
        self._calls[running.slot.listen.remote(LISTEN)] = number
        return None

    def _handed_back(self, number: int, reason: str, gone: bool) -> Finished | None:
        """A job waits again whose slot had `gone` before it began, or whose machine cannot do it: no space, no pictures."""
        running, alone = self._running.pop(number), not (self._running or self._idle)
        self.ray.kill(running.slot)
        self._asked |= {slot.host.remote(): slot for slot in self._idle}  # they may be gone as well
        self._idle.clear()
        self._back[number, gone] += 1
        if not gone:
            self._patience.no_use(reason)
        if self._back[number, True] >= FALSE_STARTS:
            return Finished(number, Lost(f"its places on the cluster go before it begins: {reason}", True), running.seconds)
        if self._back[number, False] >= TRIES and alone:
            return Finished(number, Blocked(f"no machine of the cluster could take its job: {reason}"), running.seconds)
        self._waiting.insert(0, (number, running.job, running.spent))  # it has not been trained
        return None

    def _follow(self, slot: Any, kind: str, content: Any) -> list[Any]:
        """Do what a word of a slot asks for. Returns calls by which pictures are on their way."""
        if kind == "log":
            if self.work.log is not None:
                with Path(self.work.log).open("ab") as log:
                    log.write(content)
        elif kind == "wants":
            return [slot.give.remote(self._pictures(content))]
        else:
            go_on = self._heard(content)
            self._patience.breathes()
            if kind == "progress":
                slot.answer.remote(go_on)
        return []

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

    def _some_slot(self, task: Task, end: float) -> Any:
        """A slot that does nothing, waited for."""
        self._patience.begins()
        while not self._idle or time.monotonic() > end:
            if time.monotonic() > end:
                raise task_over_time(task)
            self._patience.bears(self._wanted, self.work.note)
            self._ask()
            for call in first_of(self.ray, list(self._asked), 1.0):
                self._placed(call)
        return self._idle[-1]

    def _called(self, slot: Any, task: Task, told: Told, end: float) -> Any:
        over = False
        try:
            calls = [slot.call.remote(task, packed(task.argument))]
            while True:
                # The slot ends a task that is over its time; a machine that does not even answer is ended from here.
                most = None if end == float("inf") else max(0.0, end - time.monotonic()) + 2 * LISTEN
                for kind, content, _ in self.ray.get([*calls, slot.listen.remote(LISTEN)], timeout=most)[-1]:
                    if kind == "told":
                        told(*content)
                    elif kind == "unfit":
                        self._patience.no_use(content)
                        raise Unfit(content)
                    elif kind in ("returned", "raised"):
                        over = True
                        self._patience.works()
                        if kind == "returned":
                            return content
                        name, words = content
                        raise getattr(errors, name, RunFailed)(words)
                    else:
                        calls += self._follow(slot, kind, content)
        finally:
            if not over:  # it is still at it, or gone
                self._idle.remove(slot)
                self.ray.kill(slot)

    def _raise(self) -> None:
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
