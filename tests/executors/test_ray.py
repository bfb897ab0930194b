"""The ray executor on real clusters: the contract of all executors, what limits do there, and machines that come and go."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nas.executors import EXECUTORS, Executor, Task, Work
from nas.messages import Cluster, Infeasible, Limits, Lost, OutOfMemory, Trained
from tests.executors.jobs import HERE
from tests.executors.test_contract import (  # noqa: F401  the cases of all executors
    Make,
    test_answer_no_stops_the_job,
    test_error_of_ours_raised_in_a_job_is_one_infeasible_candidate,
    test_error_of_ours_raised_in_a_task_arrives_as_itself,
    test_finished_job_gives_its_outcome,
    test_free_counts_what_still_fits,
    test_job_that_raises_is_one_infeasible_candidate,
    test_one_after_the_other,
    test_plugins_are_loaded_before_the_work,
    test_progress_is_heard_in_order,
    test_task_tells_and_returns,
    test_traceback_of_a_job_is_in_the_log,
    test_without_a_job_nothing_finishes,
)
from tests.helpers import SMALL_SEARCH, nas, python, wait_for, without_seconds

pytest.importorskip("ray", reason="Ray is not installed: it is part of the extra 'dev'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """One for all tests of this file, of two CPUs."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Executor] = []

    def executor(function: str = "finish", progress: Any = lambda _: True, **work: Any) -> Executor:
        made.append(EXECUTORS["ray"](Work(f"{HERE}:{function}", progress, **work)))
        return made[-1]

    yield executor
    for each in made:
        each.close()


def test_killed_worker_is_lost_and_its_slot_goes_on(make: Make) -> None:
    executor = make("die")
    for number in range(2):
        executor.submit(number, signal.SIGKILL)
        assert wait_for(executor) == Lost("the worker was killed by SIGKILL")


def test_killed_slot_is_lost_and_another_takes_its_place(make: Make, tmp_path: Path) -> None:
    executor = make("busy")
    executor.submit(0, str(tmp_path / "pid"))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        executor.finished(0.2)
    worker = psutil.Process(int((tmp_path / "pid").read_text()))
    slot = next(each for each in worker.parents() if "ray::Slot" in " ".join(each.cmdline()))
    slot.kill()
    outcome = wait_for(executor)
    assert isinstance(outcome, Lost)
    assert outcome.reason.startswith("its place on the cluster is gone")
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running(), "a worker ends with its slot"
    other = make("finish")
    other.submit(1, 0.5)
    assert wait_for(other) == Trained(0.5)


def test_limits_hold_there_too(make: Make, tmp_path: Path) -> None:
    executor = make("busy", limits=Limits(time=3.0))
    executor.submit(0, str(tmp_path / "pid"))
    assert wait_for(executor) == Infeasible("over the limit of 3 s (--trial-time)")
    executor = make("grow", limits=Limits(memory=2_000_000_000))
    executor.submit(0, 4_000)
    assert isinstance(wait_for(executor), OutOfMemory)


def test_a_task_runs_here_unless_it_asks_to_be_where_jobs_are(make: Make) -> None:
    executor = make()
    assert executor.call(Task(f"{HERE}:environment", "ray", "a test")) == []
    assert executor.call(Task(f"{HERE}:count", 3, "a test", afar=True)) == 6


def test_no_more_at_once_than_the_cluster_has_room_for(make: Make, tmp_path: Path) -> None:
    executor = make("breathe", workers=5, cluster=Cluster(cpus=1.0))
    end = time.monotonic() + 60
    number = 0
    while time.monotonic() < end and number < 2:
        while executor.free:
            executor.submit(number, 0.2)
            number += 1
        executor.finished(0.5)
    assert number == 2


def test_the_same_search_as_on_this_machine(tmp_path: Path) -> None:
    words = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL_SEARCH.items()]
    for name, more in (("here", ()), ("there", ("--executor=ray",))):
        found = nas("search", *words, *more, "--threads=1", f"--out={name}", cwd=tmp_path, timeout=300)
        assert found.returncode == 0, found.stderr
    here, there = (without_seconds(tmp_path / name / "leaderboard.csv") for name in ("here", "there"))
    assert here == there
    assert (tmp_path / "there" / "best.keras").exists()


TWO_NODES = """
import sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
from nas.searching import search
from nas.view import Silent

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)

class Watching(Silent):
    def __init__(self):
        self.notes, self.done = [], 0
    def note(self, text):
        self.notes.append(text)
    def progress(self, news, curve):
        if self.done == 0:
            cluster.remove_node(second, allow_graceful=False)
            self.done = 1
    def finished(self, record, best):
        if self.done == 1:
            cluster.add_node(num_cpus=1)
            self.done = 2

view = Watching()
result = search(executor="ray", ray_address=cluster.address, workers=2, out="run", view=view, **OPTIONS)
lost = sum("its place on the cluster is gone" in note for note in view.notes)
import ray

ray.shutdown()
cluster.shutdown()
Path("told.txt").write_text(f"{[record.state for record in result.records]} {lost} {view.done}")  # Ray prints as well
"""


def test_a_node_that_leaves_and_one_that_joins(tmp_path: Path) -> None:
    few = {**SMALL_SEARCH, "budget": 5, "pruner": "none"}
    found = python(TWO_NODES.replace("OPTIONS", repr(few)), tmp_path, timeout=400)
    assert found.returncode == 0, found.stderr
    states, lost, done = (tmp_path / "told.txt").read_text().rsplit(" ", 2)
    assert states == str(["trained"] * 5)
    assert (lost, done) == ("1", "2"), "the candidate on the machine that left was lost, and one joined"
