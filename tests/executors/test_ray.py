"""The ray executor on a real cluster: the contract of all executors, slots that go, what limits do there, what is told."""

from __future__ import annotations

import dataclasses
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from nas.config import settings
from nas.errors import ConfigError, OverMemory, RunFailed
from nas.executors import EXECUTORS, Executor, Task, Work
from nas.executors.cluster import connected, places, why
from nas.executors.patience import TRIES, Patience
from nas.executors.slot import Slot
from nas.forecast import candidates_at_once
from nas.machine import cores, default_memory
from nas.messages import Blocked, Cluster, DataCard, Infeasible, Limits, Lost, Outcome, OutOfMemory, Trained
from nas.paths import cache_root
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
    test_stopped_job_makes_room_and_has_no_outcome,
    test_task_tells_and_returns,
    test_traceback_of_a_job_is_in_the_log,
    test_without_a_job_nothing_finishes,
)
from tests.helpers import (
    SMALL_SEARCH,
    as_options,
    busy_driver,
    command_of,
    make_job,
    nas,
    needed,
    until,
    wait_for,
    without_seconds,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """One for all tests of this file, of two CPUs, and a GPU that is only counted."""
    needed("ray", "Ray")
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray sets it, for what comes after as well
        ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
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


def slots() -> list[psutil.Process]:
    """Processes of this cluster in which a slot is."""
    return [each for each in psutil.Process().children(recursive=True) if "ray::Slot" in command_of(each)]


def busy_worker(executor: Executor, file: Path) -> psutil.Process:
    """The process of a job `busy` that was submitted with `file`."""
    while not file.exists() or not file.read_text():
        executor.finished(0.2)
    return psutil.Process(int(file.read_text()))


def test_killed_worker_is_lost_and_its_slot_goes_on(make: Make) -> None:
    executor = make("die")
    for number in range(2):
        executor.submit(number, signal.SIGKILL)
        assert wait_for(executor) == Lost("the worker was killed by SIGKILL")


def test_killed_slot_is_lost_and_another_takes_its_place(make: Make, tmp_path: Path) -> None:
    executor = make("busy_or_done")
    executor.submit(0, str(tmp_path / "pid"))
    worker = busy_worker(executor, tmp_path / "pid")
    slot = next(each for each in worker.parents() if "ray::Slot" in command_of(each))
    slot.kill()
    outcome = wait_for(executor)
    assert isinstance(outcome, Lost)
    assert outcome.reason.startswith("its place on the cluster is gone")
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running(), "a worker ends with its slot"
    executor.submit(1, str(tmp_path / "pid"))
    assert wait_for(executor) == Trained(1.0)


def test_a_job_that_is_given_to_a_slot_which_has_gone_is_not_lost(make: Make) -> None:
    executor = make("finish", workers=2)
    executor.submit(0, 0.0)
    wait_for(executor)
    until(lambda: executor.finished(0.2) == [] and len(executor._idle) == 2, "two slots that do nothing")
    gone = slots()
    for each in gone:
        each.kill()
    psutil.wait_procs(gone, timeout=30)
    executor.submit(1, 0.5)
    assert wait_for(executor) == Trained(0.5)


def test_a_machine_that_cannot_take_a_job_does_not_have_the_candidate_fail(make: Make) -> None:
    executor = make("finish")
    executor.submit(0, 0.0)
    wait_for(executor)
    (slot,) = slots()
    (home,) = Path(tempfile.gettempdir()).glob(f"nas-slot-{slot.pid}-*")
    shutil.rmtree(home)  # as if its disk were full
    executor.submit(1, 0.5)
    assert wait_for(executor) == Trained(0.5)
    assert not slot.is_running(), "another slot has done it"
    assert "No such file" in executor._patience.trouble


def test_jobs_that_wait_again_make_no_room_for_others(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.executors.patience.PAUSE", 0.5)
    executor = make("finish", workers=2)
    until(lambda: executor.finished(0.2) == [] and len(executor._idle) == 2, "two slots that do nothing")
    for slot in slots():
        (home,) = Path(tempfile.gettempdir()).glob(f"nas-slot-{slot.pid}-*")
        shutil.rmtree(home)
    for number in range(2):
        executor.submit(number, 0.5)
    room, ended = [], 0
    while ended < 2:
        ended += len(executor.finished(0.2))
        room.append((executor.free, len(executor._waiting)))
    assert max(waiting for _, waiting in room) == 2, "both were handed back"
    assert {free for free, waiting in room if waiting} == {0}


def test_a_machine_whose_disk_is_full_does_not_end_the_search(make: Make, tmp_path: Path) -> None:
    executor = make("blocked_once")
    executor.submit(0, str(tmp_path / "mark"))
    assert wait_for(executor) == Trained(1.0)
    assert "the disk is full" in executor._patience.trouble


def test_a_cluster_without_room_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.executors.patience.PATIENCE", 10.0)
    monkeypatch.setattr("nas.executors.patience.SILENT", 0.5)
    lacking = r"a candidate takes --cpus-per-trial=64 and --gpus-per-trial=0, and there are in all 2 CPUs and 1 GPUs"
    notes: list[str] = []
    executor = make("finish", cluster=Cluster(cpus=64.0), note=notes.append)
    assert executor.places == 0
    executor.submit(0, 0.5)
    with pytest.raises(RunFailed, match=rf"no room for 10 s: {lacking}, 2 CPUs and 1 GPUs of them free"):
        wait_for(executor)
    assert [note[:52] for note in notes] == ["waiting for a place on the Ray cluster, for 10 s at "], "once"


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [(1.0, 0.0, 2), (0.3, 0.0, 10), (0.1, 2.0, 2), (0.1, 0.4, 12), (0.1, 0.1, 30), (1.5, 0.25, 2), (2.0, 0.0, 0)],
)
def test_places_are_counted_machine_by_machine(cpus: float, gpus: float, expected: int) -> None:
    machines = [{"Alive": alive, "Resources": {"CPU": 1.5, "GPU": 3.0}} for alive in (True, False, True)]
    assert places(SimpleNamespace(nodes=lambda: machines), Cluster(cpus=cpus, gpus=gpus)) == expected


def test_slots_that_come_to_nothing_are_asked_for_again_at_once_only_the_first_time() -> None:
    patience = Patience()
    for _ in range(2):  # anew when a slot has worked
        assert patience.asks(others=False)
        patience.later()
        patience.later()  # of the same asking
        assert not patience.asks(others=True)
        assert patience.asks(others=False)
        patience.later()
        assert not patience.asks(others=False)
        patience.works()


def test_what_grpc_says_in_the_middle_of_a_page_is_the_reason() -> None:
    page = '<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "Socket closed"\n>'
    assert why(ConnectionError(f"GRPC connection failed: {page}")) == "Socket closed"


def test_what_a_killed_slot_has_left_the_next_one_takes_away(make: Make, tmp_path: Path) -> None:
    executor = make("busy")
    executor.submit(0, str(tmp_path / "pid"))
    busy_worker(executor, tmp_path / "pid")
    (slot,) = slots()
    (home,) = Path(tempfile.gettempdir()).glob(f"nas-slot-{slot.pid}-*")
    slot.kill()
    assert isinstance(wait_for(executor), Lost)
    executor.submit(1, str(tmp_path / "pid"))
    until(lambda: executor.finished(0.2) == [] and not home.exists(), "the files of the slot that was killed to be gone")


def test_pictures_that_a_machine_has_not_are_fetched_once(
    make: Callable[..., Executor], two_classes: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is meant from the folder in which the driver is; slots are in another, as if on another machine."""
    shutil.copytree(two_classes.cache, tmp_path / "pictures")
    own = cache_root() / "fetched" / two_classes.digest
    shutil.rmtree(own, ignore_errors=True)  # of another test
    monkeypatch.chdir(tmp_path)
    executor = EXECUTORS["ray"](Work("nas.training.worker:train", lambda _: True, 2))
    given: list[str] = []
    pictures = executor._pictures
    monkeypatch.setattr(executor, "_pictures", lambda card: given.append(card.digest) or pictures(card))
    jobs = [make_job(dataclasses.replace(two_classes, cache="pictures"), tmp_path / f"{at}", epochs=1) for at in (0, 1)]
    outcomes: list[Outcome] = []
    try:
        for number, job in enumerate(jobs):
            Path(job.model).parent.mkdir()
            executor.submit(number, job)
        while len(outcomes) < 2:
            outcomes += [each.outcome for each in executor.finished(1.0)]
    finally:
        executor.close()
    assert [type(each) for each in outcomes] == [Trained, Trained]
    assert outcomes[0] == outcomes[1]
    assert given == [two_classes.digest], "asked for once, by one of two slots"
    assert {file.name: file.read_bytes() for file in own.iterdir()} == {
        file.name: file.read_bytes() for file in Path(two_classes.cache).iterdir()
    }
    assert all(Path(job.model).exists() for job in jobs)


def test_what_a_cluster_cannot_give_is_told(tmp_path: Path) -> None:
    import ray

    there = ray.get_runtime_context().gcs_address
    with pytest.raises(ConfigError, match=rf"--ray-address: this process is connected to the cluster at {there}"):
        connected(Cluster("127.0.0.1:1"))
    assert connected(Cluster(there)) is ray
    for words, told in (
        (("--workers=auto",), "--workers=auto: is as many as this machine has room for"),
        (("--gpus-per-trial=1.5",), "--gpus-per-trial: a part of one, or a whole number, is expected"),
        (("--ray-address=",), "--ray-address: '' is no address of a cluster: auto, HOST:PORT or ray://HOST:PORT is expected"),
        (("--ray-address=head",), "--ray-address: 'head' is no address of a cluster"),
        (("--ray-address=://127.0.0.1:8265",), "--ray-address: '://127.0.0.1:8265' is no address of a cluster"),
        (("--ray-address=http://127.0.0.1:8265",), "--ray-address: 'http://127.0.0.1:8265' is no address of a cluster"),
        (
            ("--cpus-per-trial=64",),
            "the Ray that was started on this machine has no room for that: a candidate takes ",
        ),
        (("--ray-address=127.0.0.1:1",), "--ray-address: the Ray cluster at 127.0.0.1:1 cannot be reached: "),
        (("--executor=processes", "--cpus-per-trial=2"), "--cpus-per-trial: is for --executor=ray; this search has"),
    ):
        found = nas("search", "--dataset=digits", "--executor=ray", *words, cwd=tmp_path, timeout=120)
        assert found.returncode == (1 if words[0].endswith(":1") else 2), found.stderr
        assert told in " ".join(found.stderr.split())


def test_killed_driver_takes_its_slots_and_workers_with_it(tmp_path: Path) -> None:
    with busy_driver("ray", tmp_path) as (driver, busy):
        above = psutil.Process(busy).parents()
        slot = next(each for each in above if "ray::Slot" in command_of(each))
        assert driver in [each.pid for each in above]
        family = [slot, *slot.children(recursive=True)]
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def test_limits_hold_there_too(make: Make, tmp_path: Path) -> None:
    executor = make("busy", limits=Limits(time=3.0))
    executor.submit(0, str(tmp_path / "pid"))
    assert wait_for(executor) == Infeasible("over the limit of 3 s (--trial-time)")
    executor.close()
    executor = make("breathe", limits=Limits(silence=6.0))
    executor.submit(0, 600.0)
    assert wait_for(executor) == Lost("the worker gave no sign of life for 6 s (--hang-time)")
    executor.close()
    executor = make("grow", limits=Limits(memory=2_000_000_000))
    executor.submit(0, 4_000)
    assert isinstance(wait_for(executor), OutOfMemory)


def test_a_job_has_as_much_memory_as_it_has_cores_unless_it_is_told_otherwise() -> None:
    for limit, cpus, memory in ((None, 1.0, default_memory(cores())), (None, None, None), (5, 1.0, 5)):
        slot = Slot(f"{HERE}:finish", {}, Limits(memory=limit), cpus)
        assert slot._hands.work.limits.memory == memory
        slot.leave()
    alone, shared = settings(executor="ray", trial_memory="none").cluster, settings(executor="ray").cluster
    assert (alone.shared_memory, shared.shared_memory) == (False, True)


def test_a_task_runs_here_unless_it_asks_to_be_where_jobs_are(make: Make) -> None:
    executor = make()
    assert executor.call(Task(f"{HERE}:environment", "ray", "a test")) == []
    below = executor.call(Task(f"{HERE}:ancestors", None, "a test"))
    assert not any("ray::Slot" in each for each in below)
    afar = executor.call(Task(f"{HERE}:ancestors", None, "a test", afar=True))
    assert any("ray::Slot" in each for each in afar)


def test_a_task_afar_has_the_memory_of_a_job_and_the_backend_of_the_driver(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "of the driver")  # the cluster has run for long
    executor = make(limits=Limits(memory=2_000_000_000))
    assert executor.call(Task(f"{HERE}:backend", None, "a test", afar=True)) == "of the driver"
    with pytest.raises(OverMemory):
        executor.call(Task(f"{HERE}:grow", 4_000, "a test", afar=True, as_job=True))


@pytest.mark.parametrize(("gpus", "seen"), [(0.0, ""), (0.5, "0")])
def test_a_candidate_sees_the_gpus_that_it_was_given(make: Make, gpus: float, seen: str) -> None:
    executor = make(cluster=Cluster(gpus=gpus))
    assert executor.call(Task(f"{HERE}:gpus", None, "a test", afar=True)) == seen


def test_why_no_slot_can_be_started_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: Any) -> None:
            raise ModuleNotFoundError("No module named 'nas'")

        def host(self) -> str:
            raise AssertionError("it was not made")

    monkeypatch.setattr("nas.executors.patience.PAUSE", 0.5)
    monkeypatch.setattr("nas.executors.ray.Slot", Broken)
    executor = make()
    executor.submit(0, 0.5)
    with pytest.raises(RunFailed, match=r"could be started on the cluster: ModuleNotFoundError: No module named 'nas'"):
        wait_for(executor)


def test_a_job_that_no_machine_can_take_ends_the_search_with_its_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.executors.patience.PAUSE", 0.5)
    executor = make("blocked")
    executor.submit(0, 0.5)
    outcome = wait_for(executor)
    assert isinstance(outcome, Blocked)
    assert re.search(r"no machine of the cluster could take its job: on .*: the disk is full", outcome.reason)
    assert executor._back[0, False] == TRIES


def test_a_task_afar_keeps_its_time(make: Make) -> None:
    executor = make()
    with pytest.raises(RunFailed, match=r"a test was not done in the 2 s that were left of --time; give it more"):
        executor.call(Task(f"{HERE}:sleep", 600.0, "a test", Limits(2.0), afar=True))
    assert executor.call(Task(f"{HERE}:count", 3, "a test", afar=True)) == 6
    second, other = make("busy"), make()
    second.submit(0, "/dev/null")
    until(lambda: second.finished(0.2) == [] and len(second._running) == 1, "the whole cluster to be taken")
    with pytest.raises(RunFailed, match=r"a test was not done in the 2 s"):
        other.call(Task(f"{HERE}:count", 3, "a test", Limits(2.0), afar=True))


def test_no_more_at_once_than_the_cluster_has_room_for(make: Make, tmp_path: Path) -> None:
    executor = make("breathe", workers=5, cluster=Cluster(cpus=1.0))
    assert executor.places == 2
    for workers, budget, expected in ((5, 50, 2), (1, 50, 1), (5, 1, 1)):
        assert candidates_at_once(settings(workers=workers, budget=budget), executor) == expected
    number, most, end = 0, 0, time.monotonic() + 60
    while time.monotonic() < end:
        while executor.free:
            executor.submit(number, 600.0)
            number += 1
        executor.finished(0.5)
        if len(executor._running) > most:
            most, end = len(executor._running), time.monotonic() + 5.0  # time for a third, if it were let
    assert most == 2


def test_the_same_search_as_on_this_machine(small_run: Path, tmp_path: Path) -> None:
    found = nas("search", *as_options(SMALL_SEARCH), "--executor=ray", "--out=there", cwd=tmp_path, timeout=300)
    assert found.returncode == 0, found.stderr
    assert without_seconds(tmp_path / "there" / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")
    assert (tmp_path / "there" / "best.keras").exists()
