"""Files are never half-written: a full disk stops a search and loses nothing, a damaged ledger is told and read as far as
it goes, and nothing grows with the number of candidates but ledger, leaderboard and log."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nas.errors import RunFailed
from nas.leaderboard import read_csv
from nas.resuming import resume
from nas.run import Run
from nas.salvage import salvage
from nas.searching import search
from nas.view import Silent
from tests.helpers import SMALL_SEARCH, as_options, nas, without_seconds

ROOM = 8 << 20  # bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be made by root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("room", [4, 200, 900])
def test_full_disk_stops_the_search_and_loses_nothing(small_run: Path, small_disk: Path, room: int) -> None:
    """With this many kilobytes left: for run.yaml, the ledger, a checkpoint, an outcome, a model."""
    filler, folder = small_disk / "filler", small_disk / "run"
    filler.write_bytes(bytes(ROOM - (room << 10)))
    with pytest.raises(RunFailed) as caught:
        search(out=folder, view=Silent(), **SMALL_SEARCH)
    assert "No space left on device" in str(caught.value)
    assert str(folder) in str(caught.value), "the message says where"
    del caught  # it holds what was open when it was raised
    recorded = without_seconds(folder / "leaderboard.csv") if (folder / "leaderboard.csv").exists() else []
    filler.unlink()
    if room == 4:  # there was nothing yet
        search(out=folder, view=Silent(), **{**SMALL_SEARCH, "budget": 1})
        assert len(without_seconds(folder / "leaderboard.csv")) == 1
        return
    resume(folder, view=Silent())
    after = without_seconds(folder / "leaderboard.csv")
    assert after == without_seconds(small_run / "leaderboard.csv")
    finished = [{**row, "rank": ""} for row in recorded if row["state"] == "trained"]
    assert all(row in [{**each, "rank": ""} for each in after] for row in finished)


@pytest.mark.slow
def test_full_disk_is_one_message_on_the_command_line(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(ROOM - (250 << 10)))
    folder = small_disk / "run"
    found = nas("search", *as_options(SMALL_SEARCH), f"--out={folder}", cwd=small_disk.parent)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: {folder}")
    assert (
        f"No space left on device\n       every result so far is kept; when that is mended, go on with: nas resume {folder}"
        in (found.stderr)
    )
    assert "Traceback" not in found.stderr


def test_no_room_for_decoded_pictures_is_one_message(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written through a map of memory, where a full disk is a signal and no error."""
    (small_disk / "filler").write_bytes(bytes(ROOM - (40 << 10)))
    monkeypatch.setenv("NAS_CACHE_DIR", str(small_disk / "cache"))
    found = nas("search", *as_options(SMALL_SEARCH), "--out=run", cwd=small_disk.parent)
    assert found.returncode == 2, found.stderr
    assert "the cache cannot be written: No space left on device; set NAS_CACHE_DIR to another folder" in found.stderr
    assert not [each for each in (small_disk / "cache").iterdir() if each.is_dir()], "what was begun is removed"


@pytest.fixture
def copy(small_run: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(small_run, tmp_path / "run"))


def refused(run: Run) -> str:
    found = nas("resume", run.folder, "--budget=9", cwd=run.folder.parent)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: {run.study}: is damaged: ")
    assert "Traceback" not in found.stderr
    return found.stderr


def test_damaged_ledger_is_told_and_the_leaderboard_rebuilt_from_what_can_be_read(copy: Run) -> None:
    whole = read_csv(copy.leaderboard)
    damaged = bytearray(copy.study.read_bytes())
    with closing(sqlite3.connect(copy.study)) as connection:
        (root,) = connection.execute("select rootpage from sqlite_master where name = 'trial_heartbeats'").fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    damaged[(root - 1) * size : root * size] = b"\xff" * size  # a page that holds no candidate
    copy.study.write_bytes(damaged)
    copy.leaderboard.unlink()
    assert "3 candidates can still be read of it; the leaderboard has 3 rows" in refused(copy)
    assert [{**row, "state": ""} for row in read_csv(copy.leaderboard)] == [{**row, "state": ""} for row in whole]
    assert copy.study.read_bytes() == bytes(damaged), "what is left of it is not touched"


def test_candidates_of_which_a_part_is_lost_keep_the_rows_they_had(copy: Run) -> None:
    whole = copy.leaderboard.read_text()
    damaged = bytearray(copy.study.read_bytes())
    with closing(sqlite3.connect(copy.study)) as connection:
        words = "select rootpage from sqlite_master where name = 'trial_intermediate_values'"
        (root,) = connection.execute(words).fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    damaged[(root - 1) * size : root * size] = b"\xff" * size
    copy.study.write_bytes(damaged)
    assert "0 candidates can still be read of it; the leaderboard has 3 rows" in refused(copy)
    assert copy.leaderboard.read_text() == whole


def test_models_of_candidates_that_the_ledger_does_not_know_are_not_removed(copy: Run) -> None:
    copy.model(77).write_bytes(b"of a ledger that was lost")
    assert nas("resume", copy.folder, cwd=copy.folder.parent).returncode == 0
    assert copy.model(77).exists()


def test_plugin_in_a_run_folder_is_not_run(copy: Run) -> None:
    evil = copy.folder / "evil.py"
    evil.write_text("open('exploded', 'w').close()\n")
    copy.settings.write_text(copy.settings.read_text().replace("plugin: []", f"plugin: [{evil}]"))
    for words in (("resume", "--budget=9"), ("retrain",), ("export",), ("report",)):
        found = nas(words[0], copy.folder, *words[1:], cwd=copy.folder.parent)
        assert "names a plugin in a place that it may not have" in found.stdout + found.stderr
        assert found.returncode == (0 if words[0] == "report" else 2), "a report is worth having without pictures"
        assert not (copy.folder.parent / "exploded").exists()


@pytest.mark.parametrize("damage", ["no database", "cut", "nothing left"])
def test_rows_that_cannot_be_read_any_more_keep_what_the_leaderboard_had(copy: Run, damage: str) -> None:
    whole = copy.leaderboard.read_text()
    content = copy.study.read_bytes()
    copy.study.write_bytes({"no database": b"x" * 5000, "cut": content[: len(content) // 2], "nothing left": b"SQLite"}[damage])
    assert "the leaderboard has 3 rows" in refused(copy)
    assert copy.leaderboard.read_text() == whole


@pytest.mark.parametrize("lost", ["gone", "empty", "without a candidate"])
def test_ledger_that_has_lost_its_candidates_is_told_and_nothing_is_begun_anew(copy: Run, lost: str) -> None:
    before = {file: file.read_bytes() for file in (copy.leaderboard, copy.best, *(copy.folder / "models").iterdir())}
    if lost == "without a candidate":
        with closing(sqlite3.connect(copy.study)) as connection:
            connection.execute("delete from trials where number = 1")
            connection.commit()
    else:
        copy.study.unlink() if lost == "gone" else copy.study.write_bytes(b"")
    found = nas("resume", copy.folder, "--budget=9", cwd=copy.folder.parent)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: {copy.study}: is ")
    assert "the leaderboard has 3 rows" in found.stderr
    assert {file: file.read_bytes() for file in before} == before


def test_ledger_damaged_anywhere_never_hinders_the_reading_of_the_rest(copy: Run) -> None:
    content = copy.study.read_bytes()
    rng, most = random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(content)
        start = rng.randrange(len(damaged))
        damaged[start : start + 1024] = rng.randbytes(len(damaged[start : start + 1024]))
        copy.study.write_bytes(damaged)
        records = salvage(copy.study)
        assert [record.number for record in records] == sorted({record.number for record in records})
        most = max(most, len(records))
    assert most == 3


@pytest.mark.slow
def test_nothing_grows_with_the_candidates_but_ledger_leaderboard_and_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    few = {**SMALL_SEARCH, "strategy": "random", "epochs": 1, "budget": 5, "keep": 2, "train_part": 0.1}
    search(out=folder, view=Silent(), **few)
    kept = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    models = {name for name in kept if name.startswith("models/")}
    assert len(models) == 2
    assert kept - models == {"best.keras", "leaderboard.csv", "log.txt", "run.yaml", "study.db", ".lock"}


def test_killed_driver_leaves_no_folder_that_cannot_be_used_again(tmp_path: Path) -> None:
    """Killed between making the folder and writing run.yaml."""
    run = Run.create(tmp_path / "run", "x")
    run.lock()
    (run.folder / ".run.yaml.123").write_text("half")
    run.unlock()
    again = Run.create(tmp_path / "run", "x")
    again.lock()
    assert sorted(file.name for file in again.folder.iterdir()) == [".driver", ".lock", "checkpoints", "models"]
    again.unlock()


def test_names_cannot_climb_out_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("../../up", "/etc/x", "..", "a/b", "x" * 300, "猫", "a\nb"):
        folder = Run.create(None, label).folder
        assert folder.resolve().parent == tmp_path / "results"
