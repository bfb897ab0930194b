"""Workers as processes: one that dies, one that will not end, a driver that dies, a script without a main guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nas.errors import RunFailed
from nas.executors import Task, Work
from nas.executors.processes import Processes
from nas.messages import Blocked, Infeasible, Limits, Lost, OutOfMemory, Trained
from tests.executors.jobs import HERE
from tests.helpers import busy_driver, command_of, python, until, wait_for, workers


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Two at once, doing the job named by the test."""
    made = Processes(Work(f"{HERE}:{request.param}", lambda _: True, workers=2))
    yield made
    made.close()


@pytest.mark.parametrize("executor", ["die"], indirect=True)
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_killed_worker_is_lost_and_the_signal_is_named(executor: Processes, name: str) -> None:
    executor.submit(0, getattr(signal, name))
    outcome = wait_for(executor)
    assert outcome == Lost(f"the worker was killed by {name}")
    assert executor.free == 2


@pytest.mark.parametrize("executor", ["leave"], indirect=True)
def test_worker_that_leaves_without_a_word_is_lost(executor: Processes) -> None:
    executor.submit(0, 3)
    assert wait_for(executor) == Lost("the worker ended without a result (exit code 3)")


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_killed_task_is_a_failed_run(executor: Processes) -> None:
    with pytest.raises(RunFailed, match="a test: the worker was killed by SIGKILL"):
        executor.call(Task(f"{HERE}:die", signal.SIGKILL, "a test"))


@pytest.mark.parametrize("executor", ["busy"], indirect=True)
def test_one_killed_worker_leaves_the_other_alone(executor: Processes, tmp_path: Path) -> None:
    for number in (0, 1):
        executor.submit(number, str(tmp_path / str(number)))
    assert executor.free == 0
    until(lambda: len(list(tmp_path.iterdir())) == 2 and (tmp_path / "1").read_text(), "two busy workers")
    psutil.Process(int((tmp_path / "0").read_text())).kill()
    assert isinstance(wait_for(executor), Lost)
    assert executor.free == 1
    assert psutil.pid_exists(int((tmp_path / "1").read_text()))


@pytest.mark.parametrize("executor", ["busy"], indirect=True)
def test_close_ends_a_worker_that_ignores_requests(executor: Processes, tmp_path: Path) -> None:
    executor.submit(0, str(tmp_path / "pid"))
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "a busy worker")
    assert len(workers()) == 1
    executor.close()
    assert workers() == []
    assert executor.free == 2


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_interrupt_does_not_reach_a_worker(executor: Processes) -> None:
    """Ctrl-C goes to the whole group; the driver decides what it means."""
    assert executor.call(Task(f"{__name__}:interrupt_myself", None, "a test")) == "alive"


def interrupt_myself(argument: None, told: object) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "alive"


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_workers_have_keras_from_the_start_and_nothing_of_the_driver(executor: Processes) -> None:
    found = executor.call(
        Task(f"{HERE}:environment", "keras tensorflow optuna deap sqlalchemy sklearn pandas matplotlib", "a test")
    )
    assert found == ["keras", "tensorflow"]


def test_killed_driver_takes_its_busy_worker_with_it(tmp_path: Path) -> None:
    with busy_driver("processes", tmp_path) as (driver, busy):
        family = psutil.Process(driver).children(recursive=True)
        assert busy in [each.pid for each in family]
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def test_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    found = python(
        f"""
with open("runs.txt", "a") as file:
    file.write("once\\n")
from nas.executors import Work
from nas.executors.processes import Processes
executor = Processes(Work("{HERE}:finish", lambda _: True))
executor.submit(0, 0.5)
print([each.outcome for _ in range(60) for each in executor.finished(1.0)])
executor.close()
""",
        tmp_path,
    )
    assert str([Trained(0.5)]) in found.stdout
    assert (tmp_path / "runs.txt").read_text() == "once\n"


def test_interrupt_while_keras_is_loading_leaves_no_traceback_of_the_server(tmp_path: Path) -> None:
    """Ctrl-C in the first seconds of a search: the server that preloads Keras is in the same group."""
    code = "import time\nfrom nas.executors import Work\nfrom nas.executors.processes import Processes\n"
    code += "Processes(Work('x:y', lambda _: True))\nprint('ready', flush=True)\n"
    code += "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    pass\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    server = psutil.Process(process.pid).children()
    until(lambda: any(each.is_running() and each.cpu_times().user > 0.5 for each in server), "the server at its work")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors


def limited(function: str, **limits: Any) -> Processes:
    return Processes(Work(f"{HERE}:{function}", lambda _: True, limits=Limits(**limits)))


def test_worker_over_its_time_is_ended_and_what_earlier_tries_took_counts() -> None:
    executor = limited("breathe", time=100)
    executor.submit(0, 0.05, spent=98.0)
    assert wait_for(executor) == Infeasible("over the limit of 100 s (--trial-time)")
    assert workers() == []
    executor.close()


def test_worker_that_falls_silent_is_lost_and_one_that_breathes_is_not() -> None:
    executor = limited("breathe", silence=6, time=12)
    executor.submit(0, 0.05)
    assert isinstance(wait_for(executor), Infeasible), "over its time: it was never silent"
    executor.submit(1, 1000.0)
    assert wait_for(executor) == Lost("the worker gave no sign of life for 6 s (--hang-time)")
    assert workers() == []
    executor.close()


def test_worker_over_its_memory_is_out_of_memory_and_one_below_is_not() -> None:
    executor = limited("grow", memory=1_500_000_000)
    executor.submit(0, 100)
    assert wait_for(executor) == Trained(100.0)
    executor.submit(1, 100_000)
    assert wait_for(executor) == OutOfMemory("over the limit of 1.5 GB (--trial-memory)")
    executor.close()


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_killed_task_is_tried_again_once(executor: Processes, tmp_path: Path) -> None:
    assert executor.call(Task(f"{HERE}:die_once", str(tmp_path / "mark"), "a test")) == "done"


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_task_that_takes_too_long_is_ended(executor: Processes) -> None:
    with pytest.raises(RunFailed, match=r"sleeping was not done in the 1 s that were left of --time; give it more"):
        executor.call(Task(f"{HERE}:sleep", 10_000.0, "sleeping", Limits(time=1)))
    assert workers() == []


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_task_that_falls_silent_is_ended(executor: Processes) -> None:
    with pytest.raises(RunFailed, match=r"sleeping: the worker gave no sign of life for 2 s \(--hang-time\)"):
        executor.call(Task(f"{HERE}:sleep", 10_000.0, "sleeping", Limits(silence=2)))
    assert workers() == []


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_task_over_its_memory_is_ended(executor: Processes) -> None:
    with pytest.raises(RunFailed, match=r"growing: over the limit of 1\.5 GB \(--trial-memory\)"):
        executor.call(Task(f"{HERE}:grow", 100_000, "growing", Limits(memory=1_500_000_000)))
    assert workers() == []


def test_interrupt_while_the_server_is_started_is_for_the_driver_alone(tmp_path: Path) -> None:
    script = """
import os, signal, subprocess, sys
from nas.executors.server import deaf_to_interrupts

ask = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('child', flush=True)"
try:
    with deaf_to_interrupts():
        subprocess.run([sys.executable, "-c", ask], check=True)
        os.kill(os.getpid(), signal.SIGINT)
        print("still here", flush=True)
except KeyboardInterrupt:
    print("heard", flush=True)
"""
    found = python(script, tmp_path, timeout=60)
    assert (found.returncode, found.stdout) == (0, "child\nstill here\nheard\n"), found.stderr


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_server_that_was_stopped_is_replaced(executor: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    executor.submit(0, 0.5)
    assert wait_for(executor) == Trained(0.5)
    server = the_server()
    server.suspend()
    monkeypatch.setattr("nas.executors.processes.SERVER_PATIENCE", 3.0)
    timer = threading.Timer(0.2, lambda: monkeypatch.setattr("nas.executors.processes.SERVER_PATIENCE", 300.0))
    timer.start()  # the new one has to load Keras
    executor.submit(1, 0.25)
    assert wait_for(executor) == Trained(0.25)
    assert the_server().pid != server.pid
    timer.cancel()


@pytest.mark.parametrize("executor", ["epochs"], indirect=True)
@pytest.mark.parametrize("done", [0, 1])
def test_outcome_is_not_lost_when_the_news_of_another_worker_end_the_search(executor: Processes, done: int) -> None:
    """Both have spoken when the driver listens: one is done, the other's epoch makes the driver stop. In either order."""

    def over(news: object) -> bool:
        raise TimeoutError

    object.__setattr__(executor.work, "heard", over)
    for number in (0, 1):
        executor.submit(number, 0 if number == done else 5)
    until(lambda: all(each.pipe.poll() for each in executor._running.values()), "both to speak")
    assert [(each.number, each.outcome) for each in executor.finished(1.0)] == [(done, Trained(1.0))]
    assert executor.free == 0, "nothing is begun that would be ended at once"
    with pytest.raises(TimeoutError):
        executor.finished(1.0)


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_system_that_runs_out_of_memory_ends_workers_first(executor: Processes) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux can be told")
    assert executor.call(Task(f"{HERE}:content_of", "/proc/self/oom_score_adj", "a test")).strip() == "1000"
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


def test_time_in_which_the_driver_slept_is_no_silence() -> None:
    """A closed lid, Ctrl-Z: of a pause of nine seconds five count."""
    executor = limited("breathe", silence=7)
    executor.submit(0, 0.05)
    until(lambda: executor.finished(0.1) == [] and executor._running[0].pipe.poll(1), "a sign of life")
    (worker,) = workers()
    worker.suspend()
    while executor._running[0].pipe.poll():
        executor.finished(0.0)
    time.sleep(9)
    assert executor.finished(0.1) == []
    worker.resume()
    until(lambda: executor._running[0].pipe.poll(1), "a sign of life")
    assert executor.finished(1.0) == []
    assert executor._running[0].silent == pytest.approx(0, abs=5.5)
    executor.close()


def the_server() -> psutil.Process:
    (server,) = [each for each in psutil.Process().children() if "forkserver" in command_of(each)]
    return server


def test_plugin_that_is_gone_is_no_fault_of_a_candidate(tmp_path: Path) -> None:
    executor = Processes(Work(f"{HERE}:finish", lambda _: True, plugins=(str(tmp_path / "gone.py"),)))
    executor.submit(0, 1.0)
    assert wait_for(executor) == Blocked(f"--plugin: there is no Python file '{tmp_path / 'gone.py'}'")
    executor.close()


CGROUPS = Path("/sys/fs/cgroup/memory")


@pytest.mark.parametrize("executor", ["grow"], indirect=True)
def test_worker_that_the_system_ends_for_want_of_memory_is_out_of_memory_and_the_driver_lives(
    executor: Processes, request: pytest.FixtureRequest
) -> None:
    """A control group with little memory, into which the server of the workers is put."""
    group = CGROUPS / f"nas-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(2 << 30))
    except OSError:
        pytest.skip("control groups of memory (version 1) cannot be made here")
    request.addfinalizer(group.rmdir)
    executor.submit(0, 5)
    assert wait_for(executor) == Trained(5.0)  # the server is there now
    server = the_server()
    request.addfinalizer(lambda: (CGROUPS / "tasks").write_text(str(server.pid)))
    (group / "tasks").write_text(str(server.pid))
    executor.submit(1, 100_000)
    assert wait_for(executor) == OutOfMemory("the system had no memory left and ended the worker", by_system=True)
    assert server.is_running()
