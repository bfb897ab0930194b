"""Workers as processes: one that dies, one that will not end, a driver that dies, a script without a main guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nas.errors import RunFailed
from nas.executors import Work
from nas.executors.processes import Processes
from nas.messages import Lost, Trained
from tests.executors.jobs import HERE
from tests.helpers import ROOT, python, until, wait_for, workers


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
    with pytest.raises(RunFailed, match="the worker that ran die was killed by SIGKILL"):
        executor.call(f"{HERE}:die", signal.SIGKILL, lambda done, total: None)


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
    assert executor.call(f"{__name__}:interrupt_myself", None, lambda done, total: None) == "alive"


def interrupt_myself(argument: None, told: object) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "alive"


@pytest.mark.parametrize("executor", ["finish"], indirect=True)
def test_workers_have_keras_from_the_start_and_nothing_of_the_driver(executor: Processes) -> None:
    found = executor.call(f"{HERE}:environment", "keras tensorflow optuna deap sqlalchemy", lambda done, total: None)
    assert found == ["keras", "tensorflow"]


def test_killed_driver_takes_its_busy_worker_with_it(tmp_path: Path) -> None:
    code = f"""
from nas.executors import Work
from nas.executors.processes import Processes
executor = Processes(Work("{HERE}:busy", lambda _: True))
executor.submit(0, {str(tmp_path / "pid")!r})
while True:
    executor.finished(1.0)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "a busy worker")
        family = psutil.Process(driver.pid).children(recursive=True)
        assert int((tmp_path / "pid").read_text()) in [each.pid for each in family]
    finally:
        driver.kill()
        driver.wait()
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
