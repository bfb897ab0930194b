"""The driver's loop on real workers: lost candidates, killed drivers, Ctrl-C, and books that are always in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from nas.messages import Candidate, Progress
from nas.searching import resume, search
from nas.view import Silent
from tests.helpers import SMALL_SEARCH, as_options, nas, until, without_seconds, workers


class Killer(Silent):
    """Kills the worker of candidate 1: once after its first epoch, or whenever it is started."""

    def __init__(self, whenever: bool = False) -> None:
        self.whenever = whenever
        self.kills = 0
        self.notes: list[str] = []

    def _kill(self) -> None:
        self.kills += 1
        for worker in workers():
            worker.kill()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def started(self, candidate: Candidate, label: str) -> None:
        if self.whenever and candidate.number == 1:
            self._kill()

    def progress(self, progress: Progress, curve: Any) -> None:
        if not self.whenever and progress.number == 1 and not self.kills:
            self._kill()


@pytest.mark.slow
def test_lost_candidate_goes_on_under_its_own_number(small_run: Path, tmp_path: Path) -> None:
    killer = Killer()
    result = search(out=tmp_path / "run", view=killer, **SMALL_SEARCH)
    assert killer.kills == 1
    assert "#1: the worker was killed by SIGKILL; it goes on after epoch 1" in killer.notes
    assert [record.number for record in result.records] == [0, 1, 2]
    assert without_seconds(tmp_path / "run" / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")


@pytest.mark.slow
def test_candidate_lost_twice_at_the_same_epoch_is_infeasible(tmp_path: Path) -> None:
    killer = Killer(whenever=True)
    result = search(out=tmp_path / "run", view=killer, **{**SMALL_SEARCH, "budget": 3, "epochs": 1})
    assert killer.kills == 2
    assert [record.state for record in result.records] == ["trained", "infeasible", "trained"]
    assert result.records[1].reason == "the worker was killed by SIGKILL, twice after epoch 0"
    assert without_seconds(tmp_path / "run" / "leaderboard.csv")[-1]["state"] == "infeasible"


def started(folder: Path, **changes: object) -> subprocess.Popen[str]:
    """A search as a process that leads a group of its own, as a terminal would start it."""
    command = [sys.executable, "-m", "nas", "search", *as_options({**SMALL_SEARCH, **changes}), f"--out={folder}"]
    return subprocess.Popen(
        command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_killed_driver_and_resumed_run_is_as_if_never_disturbed(small_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    driver = started(folder)
    try:
        until((folder / "checkpoints" / "1.npz").exists, "candidate 1 to be trained")
    finally:
        family = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.communicate()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    result = resume(folder, view=Silent())
    assert result.ended == "budget"
    assert without_seconds(folder / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_search_keeps_its_books_says_how_to_go_on_and_leaves_nobody(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    driver = started(folder, epochs=500, pruner="none")
    checkpoint = folder / "checkpoints" / "0.npz"
    until(checkpoint.exists, "candidate 0 to be trained")
    first = checkpoint.stat().st_mtime_ns
    until(lambda: checkpoint.stat().st_mtime_ns > first, "a second epoch, which begins when the first was entered")
    family = psutil.Process(driver.pid).children(recursive=True)
    (os.killpg if name == "SIGINT" else os.kill)(driver.pid, getattr(signal, name))
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


@pytest.mark.slow
def test_time_that_is_over_ends_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = search(out=folder, view=Silent(), **{**SMALL_SEARCH, "budget": 1000, "epochs": 1, "time": 20})
    assert result.ended == "time"
    assert 0 < len(result.records) < 1000
    assert without_seconds(folder / "leaderboard.csv")[-1]["state"] in ("interrupted", "trained")


def test_second_driver_is_refused(small_run: Path, tmp_path: Path) -> None:
    from nas.run import Run

    run = Run(small_run)
    run.lock()
    try:
        found = nas("resume", small_run, "--budget", 9, cwd=tmp_path)
    finally:
        run.unlock()
    assert found.returncode == 2
    assert f"is in use by process {os.getpid()}" in found.stderr
