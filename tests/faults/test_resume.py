"""Killed at any moment and resumed, a search ends as if nothing had happened, and trains at most one epoch again per kill."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from nas.config import CHANGEABLE, OF_RAY, settings
from nas.errors import ConfigError, RunError
from nas.resuming import resume
from nas.run import Run
from nas.salvage import check_ledger, salvage
from nas.searching import search
from nas.view import Silent
from tests.faults import switch
from tests.helpers import SMALL_SEARCH, class_folder, nas, started, until, without_seconds


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def go_on(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nas", "resume", str(folder)]
    return subprocess.Popen(
        command, cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def killed(driver: subprocess.Popen[str]) -> None:
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    for stream in (driver.stdout, driver.stderr):
        if stream is not None:
            stream.close()
    assert psutil.wait_procs(family, timeout=30)[1] == []


@pytest.mark.slow
def test_driver_killed_in_the_middle_and_at_the_edges_of_epochs(small_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    part, notes = switch.counter(tmp_path)
    moments = [
        lambda: (folder / "study.db").exists(),  # before the first candidate
        lambda: lines(notes) >= 1,  # in the first epoch of candidate 0
        (folder / "checkpoints" / "1.npz").exists,  # when an epoch of candidate 1 is saved and may not be entered yet
        (folder / "models" / "1.keras").exists,  # when its model is written and its outcome may not be heard yet
        lambda: lines(notes) >= 6,  # in an epoch of the last candidate
    ]
    driver = started(folder, plugin=part)
    for moment in moments:
        until(moment, "the moment of a kill")
        killed(driver)
        if (folder / "leaderboard.csv").exists():
            assert "running" not in nas("leaderboard", folder, cwd=tmp_path).stdout, "nobody drives it now"
        driver = go_on(folder)
    assert driver.stderr is not None
    with driver.stderr:
        assert driver.stderr.read() == ""
    assert driver.wait(timeout=120) == 0
    assert without_seconds(folder / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")
    trained = Counter(notes.read_text().splitlines())
    assert set(trained) == {f"{number}/{epoch}" for number, epoch in itertools.product(range(3), range(2))}
    assert sum(trained.values()) - len(trained) <= len(moments), "at most one epoch was trained again for each kill"
    assert [file for name in ("models", "checkpoints") for file in (folder / name).glob(".*")] == []


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A run of one candidate on a folder of pictures, in a space of its own file."""
    class_folder(tmp_path / "data", {"a": 30, "b": 30})
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ngroups:\n  blocks:\n    repeat: 1\n    genes: {filters: {ordered: [4, 8]}}\n"
        "genes: {learning_rate: {range: [0.001, 0.1], log: true}, batch_size: 16}\n"
    )
    few = {**SMALL_SEARCH, "dataset": tmp_path / "data", "epochs": 1, "budget": 1, "strategy": "random"}
    search(out=tmp_path / "run", view=Silent(), **{**few, "space": tmp_path / "mine.yaml"})
    return tmp_path


@pytest.mark.slow
def test_what_has_changed_since_is_told_and_refused(done: Path) -> None:
    run, data, space = done / "run", done / "data", done / "mine.yaml"
    before = space.read_text()
    space.write_text(before.replace("[4, 8]", "[4, 8, 16]").replace("0.1]", "0.2]"))
    with pytest.raises(RunError) as caught:
        resume(run, budget=2, view=Silent())
    assert "mine.yaml has changed since this run began: groups.blocks.genes.filters.ordered was [4, 8], is [4, 8, 16]; " in str(
        caught.value
    )
    assert "genes.learning_rate.range was [0.001, 0.1], is [0.001, 0.2]" in str(caught.value)
    space.unlink()  # the run has its own copy

    first = (data / "a" / "000.png").read_bytes()
    (data / "a" / "000.png").unlink()
    with pytest.raises(RunError, match=r"the data 'data' has changed since this run began: 'a' had 26 usable pictures, has"):
        resume(run, budget=2, view=Silent())
    (data / "a" / "000.png").write_bytes((data / "b" / "001.png").read_bytes())
    with pytest.raises(RunError, match=r"as many pictures of each class as before, but not the same ones"):
        resume(run, budget=2, view=Silent())
    (data / "a" / "000.png").write_bytes(first)
    (data / "c").mkdir()
    (data / "c" / "0.png").write_bytes(first)
    (data / "c" / "1.png").write_bytes(first)
    with pytest.raises(RunError, match=r"the class 'c' is new"):
        resume(run, budget=2, view=Silent())
    for file in (data / "c").iterdir():
        file.unlink()
    (data / "c").rmdir()
    assert len(resume(run, budget=2, view=Silent()).records) == 2


def test_space_that_was_changed_in_the_run_file_is_refused(small_run: Path, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", "x")
    run.settings.write_text((small_run / "run.yaml").read_text().replace("- 32\n", "- 33\n", 1))
    with pytest.raises(RunError, match=r"the space in its run\.yaml is not the one it began with"):
        resume(run.folder, view=Silent())


def test_limits_budget_and_workers_may_change(small_run: Path, tmp_path: Path) -> None:
    help_of_resume = nas("resume", "--help", cwd=tmp_path).stdout
    for name in CHANGEABLE:
        assert f"--{name.replace('_', '-')}" in help_of_resume
        assert name in type(settings()).model_fields


@pytest.mark.slow
def test_what_may_change_is_what_the_run_goes_on_with(small_run: Path, tmp_path: Path) -> None:
    """Each of them is given; the run says so from then on, and obeys."""
    run = Run(shutil.copytree(small_run, tmp_path / "run"))
    given = {
        "budget": 5,
        "time": "1h",
        "workers": 2,
        "threads": 1,
        "keep": 2,
        "max_params": 200_000,
        "max_flops": 2_000_000,
        "max_memory": "1G",
        "trial_time": 60,
        "trial_memory": "3G",
        "hang_time": 50,
        "data_dir": str(tmp_path),
        "executor": "processes",
    }
    of_ray = {"ray_address": "auto", "cpus_per_trial": 2.0, "gpus_per_trial": 0.25}
    assert {*given, *of_ray} == set(CHANGEABLE)
    before = run.settings.read_text()
    for name, value in of_ray.items():
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: is for --executor=ray; this search has"):
            resume(run.folder, view=Silent(), **{name: value})
    with pytest.raises(ConfigError, match="--workers=auto: is as many as this machine has room for"):
        resume(run.folder, view=Silent(), executor="ray", workers="auto")
    assert run.settings.read_text() == before
    result = resume(run.folder, view=Silent(), **given)
    kept = run.read_settings()["settings"]
    read = {"time": 3600, "max_memory": 10**9, "trial_memory": 3 * 10**9}
    assert {name: kept[name] for name in given} == {**given, **read}
    assert len(result.records) == 5
    assert all(record.flops is not None and record.flops <= 2_000_000 for record in result.records[3:])
    assert len(list((run.folder / "models").iterdir())) == 2


@pytest.mark.slow
def test_a_run_is_brought_home_from_a_cluster(small_run: Path, tmp_path: Path) -> None:
    """What was said of Ray is forgotten with it."""
    run = Run(shutil.copytree(small_run, tmp_path / "run"))
    facts = run.read_settings()
    of_ray = {"executor": "ray", "ray_address": "10.0.0.1:6379", "cpus_per_trial": 2.0, "gpus_per_trial": 0.25}
    run.write_settings({**facts, "settings": {**facts["settings"], **of_ray}})
    resume(run.folder, view=Silent(), executor="processes")
    kept = run.read_settings()["settings"]
    assert (kept["executor"], kept["ray_address"], kept["cpus_per_trial"], kept["gpus_per_trial"]) == (
        "processes",
        *(facts["settings"][name] for name in OF_RAY),
    )


def test_limit_that_cannot_be_kept_is_refused_and_not_written(small_run: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(small_run, tmp_path / "run"))
    before = run.settings.read_text()
    with pytest.raises(ConfigError, match=r"a worker takes .* GB before it trains anything"):
        resume(run.folder, view=Silent(), trial_memory="1M")
    assert run.settings.read_text() == before


def test_driver_killed_between_an_epochs_metrics_and_its_score_leaves_a_sound_ledger(small_run: Path, tmp_path: Path) -> None:
    """Metrics are written before the score: there may be those of one epoch more."""
    run = Run(shutil.copytree(small_run, tmp_path / "run"))
    with closing(sqlite3.connect(run.study)) as connection:
        connection.execute("delete from trial_intermediate_values where trial_id = 3 and step = 2")
        connection.execute("delete from trial_user_attributes where trial_id = 3 and key = 'outcome'")
        connection.execute("delete from trial_values where trial_id = 3")
        connection.execute("update trials set state = 'RUNNING' where trial_id = 3")
        connection.commit()
    assert [(record.number, record.epochs) for record in salvage(run.study)] == [(0, 2), (1, 2), (2, 1)]
    check_ledger(run)
    resume(run.folder, view=Silent())
    assert without_seconds(run.leaderboard) == without_seconds(small_run / "leaderboard.csv")


def test_second_driver_is_refused_with_process_and_host_of_the_first(small_run: Path, tmp_path: Path) -> None:
    import os
    import socket

    run = Run(small_run)
    run.lock()
    try:
        found = nas("resume", small_run, "--budget", 9, cwd=tmp_path)
    finally:
        run.unlock()
    assert found.returncode == 2
    assert f"is in use by process {os.getpid()} on {socket.gethostname()}" in found.stderr
