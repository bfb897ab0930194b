"""However a search ends (time, Ctrl-C, a closed terminal, `kill -9`), its books are in order and nobody is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nas.interrupts import EXIT_CODE, Interrupts
from nas.searching import search
from nas.view import Silent
from tests.faults import switch
from tests.faults.switch import Fault
from tests.helpers import ROOT, SMALL_SEARCH, as_options, nas, python, started, until, without_seconds

# Python itself ends `-m` modules by the signal where the interrupt, though caught, came in code that was run from a string, as
# that of a data class is while it is imported. A shell says 130 of both.
INTERRUPTED = (130, -signal.SIGINT)
LONG = {"epochs": 500, "pruner": "none"}  # more than any test waits for


def family_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """A driver and all that it has started."""
    own = psutil.Process(driver.pid)
    return [own, *own.children(recursive=True)]


def second_epoch(folder: Path) -> None:
    """Wait until candidate 0 is in its third epoch or later: the first two were entered."""
    checkpoint = folder / "checkpoints" / "0.npz"
    until(checkpoint.exists, "candidate 0 to be trained")
    first = checkpoint.stat().st_mtime_ns
    until(lambda: checkpoint.stat().st_mtime_ns > first, "a second epoch")


@pytest.mark.slow
def test_interrupted_search_keeps_its_books_says_how_to_go_on_and_leaves_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    driver = started(folder, **LONG)
    second_epoch(folder)
    family = family_of(driver)
    os.killpg(driver.pid, signal.SIGINT)
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert f"nas resume {folder}" in output
    assert "Traceback" not in errors
    assert psutil.wait_procs(family, timeout=30)[1] == []
    (row,) = without_seconds(folder / "leaderboard.csv")
    assert row["state"] == "interrupted"
    assert int(row["epochs"]) >= 1
    assert (folder / "checkpoints" / "0.npz").exists()
    assert not (folder / ".driver").exists()


HELD = """
import sys, time
from nas import interrupts
if sys.argv[1:] == ["leaving"]:
    interrupts.second = interrupts.leave
with interrupts.Interrupts() as each:
    try:
        with each.held():
            print("writing", flush=True)
            end = time.monotonic() + {seconds}
            while time.monotonic() < end:
                time.sleep(0.01)
            print("written", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise SystemExit(3)
"""


def holding(tmp_path: Path, seconds: float, *words: str) -> subprocess.Popen[str]:
    (tmp_path / "held.py").write_text(HELD.format(seconds=seconds))
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "held.py"), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_is_being_written_is_finished_before_an_interrupt_is_obeyed(tmp_path: Path, name: str) -> None:
    process = holding(tmp_path, 1)
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=60)[0] == "written\ninterrupted\n"
    assert process.returncode == 3


def test_error_while_something_is_written_is_not_hidden_by_an_interrupt() -> None:
    with pytest.raises(OSError, match="no room"), Interrupts() as interrupts:
        try:
            with interrupts.held():
                os.kill(os.getpid(), signal.SIGINT)
                raise OSError("no room")
        finally:
            with interrupts.held():
                pass


def test_second_interrupt_ends_the_command_line_at_once(tmp_path: Path) -> None:
    process = holding(tmp_path, 600, "leaving")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130


def test_second_interrupt_of_a_script_is_raised_at_once(tmp_path: Path) -> None:
    process = holding(tmp_path, 600)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "interrupted\n"


@pytest.mark.slow
def test_killed_driver_takes_even_workers_that_cannot_act_with_it(tmp_path: Path) -> None:
    """One hangs in a library with Python's lock in its hand, one was stopped."""
    part = switch.plugin(tmp_path, {0: Fault(switch.HANGS_DEEP), 1: Fault("os.kill(os.getpid(), signal.SIGSTOP)")})
    driver = started(tmp_path / "run", plugin=part, workers=2)
    try:
        until(lambda: all((tmp_path / f"fault-{number}").exists() for number in (0, 1)), "both to hang")
        family = family_of(driver)
        assert len(family) >= 4, "driver, server and two workers"
    finally:
        driver.kill()
        driver.wait()
        for stream in (driver.stdout, driver.stderr):
            assert stream is not None
            stream.close()
    assert psutil.wait_procs(family, timeout=30)[1] == []


@pytest.mark.slow
def test_search_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    driver = started(tmp_path / "run", budget=1, epochs=1, pruner="none")
    assert driver.stdout is not None
    assert driver.stderr is not None
    driver.stdout.readline()
    driver.stdout.close()
    with driver.stderr:
        assert driver.stderr.read() == ""
    assert driver.wait(timeout=120) == 0
    assert [row["state"] for row in without_seconds(tmp_path / "run" / "leaderboard.csv")] == ["trained"]


@pytest.mark.slow
def test_time_that_is_over_leaves_a_model_and_a_run_that_can_be_resumed(tmp_path: Path, pace: float) -> None:
    """Half a minute after the time that was given, at the latest; else `nas` here would be ended and fail. And in a terminal
    that does not know the characters of which curves are drawn."""
    seconds = round(24 * pace)
    words = as_options({**SMALL_SEARCH, "budget": 1000, "epochs": 1, "time": seconds, "workers": 2})
    found = nas("search", *words, "--out=run", cwd=tmp_path, timeout=seconds + 30, env={"PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0, found.stderr
    rows = without_seconds(tmp_path / "run" / "leaderboard.csv")
    states = [row["state"] for row in rows]
    assert "trained" in states
    assert len(states) - states.count("interrupted") >= 1
    assert (tmp_path / "run" / "best.keras").exists()
    assert {f"{row['number']}" for row in rows if row["state"] == "interrupted"} >= {
        file.stem for file in (tmp_path / "run" / "checkpoints").iterdir()
    }


@pytest.mark.slow
def test_time_that_is_over_before_any_candidate_is_done_leaves_the_best_there_is(tmp_path: Path, pace: float) -> None:
    seconds = round(20 * pace)
    for _ in range(3):  # a machine that is busy with something else may not come to an epoch
        words = as_options({**SMALL_SEARCH, **LONG, "time": seconds})
        found = nas("search", *words, "--out=run", cwd=tmp_path, timeout=seconds + 30)
        if "before any candidate had been trained for an epoch" not in found.stderr:
            break
        shutil.rmtree(tmp_path / "run")
        seconds *= 2
    assert found.returncode == 0, found.stderr
    assert "no candidate was done; best.keras is made of #0 after" in found.stdout
    (row,) = without_seconds(tmp_path / "run" / "leaderboard.csv")
    assert (row["state"], row["number"]) == ("interrupted", "0")
    assert (tmp_path / "run" / "checkpoints" / "0.npz").exists()
    assert "go on:    nas resume run --time none" in found.stdout
    looked = nas("predict", "run", ROOT / "docs" / "pictures" / "digit-3.png", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr


def test_time_that_is_over_ends_the_preparation_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time, nas\n\n\n@nas.register_dataset('slow')\ndef slow(part, folder):\n"
        "    'Never there.'\n    time.sleep(100_000)\n"
    )
    found = nas("search", "--dataset=slow", "--plugin=slow.py", "--time=3", "--out=run", cwd=tmp_path, timeout=3 + 30)
    assert found.returncode == 1
    assert found.stderr.startswith("error: preparing the data was not done in the")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_time_that_is_over_before_anything_was_trained_is_a_failed_run_that_can_go_on(tmp_path: Path, pace: float) -> None:
    part = switch.plugin(tmp_path, {0: Fault(switch.HANGS)})
    seconds = round(12 * pace)
    words = as_options({**SMALL_SEARCH, "time": seconds, "plugin": part})
    found = nas("search", *words, "--out=run", cwd=tmp_path, timeout=seconds + 30)
    assert found.returncode == 1
    assert "error: the time was over before any candidate had been trained for an epoch; nothing is lost" in found.stderr
    assert "nas resume run --time" in found.stderr


SLOW = (
    "import time, nas\n\n\n@nas.register_dataset('slow')\ndef slow(part, folder):\n"
    "    'Never there.'\n    open('begun', 'w').close()\n    time.sleep(100_000)\n"
)


def test_interrupt_while_the_data_are_prepared_says_that_nothing_was_begun(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "nas", "search", "--dataset=slow", "--plugin=slow.py", "--out=run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    driver = subprocess.Popen(command, cwd=tmp_path, text=True, start_new_session=True, **pipes)
    until((tmp_path / "begun").exists, "the preparation")
    family = family_of(driver)
    os.killpg(driver.pid, signal.SIGINT)
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode in INTERRUPTED
    assert errors == ""
    assert output == "interrupted while the search was prepared; nothing was begun yet\n"
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("file", ["run.yaml", "study.db"])
def test_interrupt_before_the_first_candidate_says_how_to_go_on(tmp_path: Path, file: str) -> None:
    driver = started(tmp_path / "run", **LONG)
    until((tmp_path / "run" / file).exists, "the run to begin")
    os.killpg(driver.pid, signal.SIGINT)
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode in INTERRUPTED
    assert errors == ""
    assert output.endswith(f"interrupted; every result is kept. Go on with: nas resume {tmp_path / 'run'}\n")


@pytest.mark.slow
def test_search_goes_on_with_nothing_to_write_to(tmp_path: Path) -> None:
    words = as_options({**SMALL_SEARCH, "budget": 1, "epochs": 1})
    command = f"{sys.executable} -m nas search {' '.join(words)} --out=run >&- 2>&- <&-"
    assert subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, timeout=120, check=False).returncode == 0
    assert [row["state"] for row in without_seconds(tmp_path / "run" / "leaderboard.csv")] == ["trained"]


@pytest.mark.parametrize("moment", [0.1, 0.2, 0.4, 0.8])
def test_interrupt_in_the_first_moments_is_no_traceback_of_ours(tmp_path: Path, moment: float) -> None:
    command = [sys.executable, "-m", "nas", "search", "--dataset=digits", "--out=run"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    driver = subprocess.Popen(command, cwd=tmp_path, text=True, start_new_session=True, **pipes)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(moment)
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode in (*INTERRUPTED, 1)  # 1: before a line of ours is run, Python has its say
    places = errors.replace(str(ROOT / "nas" / "__init__.py"), "").replace(str(ROOT / "nas" / "__main__.py"), "")
    assert str(ROOT / "nas") not in places


def test_second_interrupt_while_the_first_is_dealt_with_is_no_traceback(tmp_path: Path) -> None:
    script = """
import os, signal
from nas import interrupts

interrupts.second = interrupts.leave
signal.signal(signal.SIGINT, interrupts.raise_interrupt)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("the first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
"""
    found = python(script, tmp_path, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (EXIT_CODE, "the first\n", "")


def test_evaluator_is_ended_when_it_reports_after_the_time(tmp_path: Path) -> None:
    found = python(
        """
import time, nas

def slow(genotype, report):
    for epoch in range(100_000):
        try:
            report(epoch + 1, epoch)
        except Exception:
            pass
        time.sleep(0.05)
    return 1.0

space = {"name": "x", "genes": {"x": {"range": [0, 9]}}}
result = nas.search(space, evaluate=slow, budget=3, time=2, pruner="none")
print(result.ended, [record.state for record in result.records])
result = nas.search(space, evaluate=lambda genotype, report: slow(genotype, report) if genotype["x"] > 7 else 0.5,
                    budget=10, trial_time=1, pruner="none")
print(result.ended, sorted({record.reason for record in result.records}))
""",
        tmp_path,
        timeout=60,
    )
    first, second = found.stdout.splitlines()
    assert first == "time ['running']", found.stderr
    assert "over the limit of 1 s (--trial-time)" in second
    assert second.startswith("budget")


@pytest.mark.slow
def test_search_in_a_thread_hears_no_interrupts_but_works(tmp_path: Path) -> None:
    from threading import Thread

    results = []
    options = {**SMALL_SEARCH, "budget": 1, "epochs": 1}
    thread = Thread(target=lambda: results.append(search(out=tmp_path / "run", view=Silent(), **options)))
    thread.start()
    thread.join()
    assert [record.state for record in results[0].records] == ["trained"]
