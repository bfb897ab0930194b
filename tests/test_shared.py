"""Several drivers on one search, by a real PostgreSQL: nothing is trained twice, what one leaves behind another finishes."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.blueprint import Pictures, express
from nas.claims import Claims
from nas.config import Settings
from nas.errors import ConfigError, RunError, RunFailed
from nas.messages import Candidate, Progress, Trained
from nas.run import Run
from nas.searching import search
from nas.shared import SharedLedger, check_shared, engine_of, reader_of
from nas.space import read_space
from nas.view import Silent
from tests import postgres
from tests.helpers import ROOT, SMALL_SEARCH, as_options, nas, until, without_seconds

SPACE = read_space("connected")
FACTS = {"driver": "one", "digests": {"space": SPACE.digest, "data": "of the pictures"}}
IMPATIENT = "from nas import claims, shared\n\nclaims.GRACE, shared.BEAT, shared.LOOK = 5.0, 1.0, 0.5\n"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if postgres.program("postgres") is None:
        assert not os.environ.get("NAS_NO_SKIP"), "PostgreSQL is needed here"
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    with pytest.MonkeyPatch.context() as patch, postgres.server() as address:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield address


@pytest.fixture
def chosen(server: str, request: pytest.FixtureRequest) -> Settings:
    """A study of its own for each test."""
    return Settings(storage=server, study=request.node.name, space="connected")


def open_as(driver: str, chosen: Settings) -> SharedLedger:
    return SharedLedger(chosen, SPACE, {**FACTS, "driver": driver})


def candidate(number: int) -> Candidate:
    genotype = SPACE.sample(random.Random(number))
    blueprint, recipe = express(genotype, Pictures((8, 8, 1), 3, (10.0,), (4.0,)))
    return Candidate(number, genotype, f"digest{number}", blueprint=blueprint, recipe=recipe)


def test_a_candidate_is_claimed_by_one_driver_alone(chosen: Settings) -> None:
    open_as("somebody", chosen).close()
    together, won = threading.Barrier(8), []

    def claim(name: str) -> None:
        engine = engine_of(chosen)
        claims = Claims(engine, chosen.study, name)
        together.wait()
        won.extend((name, digest) for digest in ("a", "b", "c") if claims.take(digest))
        engine.dispose()

    threads = [threading.Thread(target=claim, args=(f"driver {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(digest for _, digest in won) == ["a", "b", "c"]


def test_two_drivers_see_each_other_and_number_their_candidates_together(chosen: Settings, monkeypatch) -> None:
    monkeypatch.setattr("nas.shared.LOOK", 0.0)
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    first = one.add(candidate(0))
    second = other.add(dataclasses.replace(candidate(1), number=0))  # it did not know of the other's yet
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 1)
    assert other.add(dataclasses.replace(candidate(0), number=2)) is None, "the other has it"
    assert [record.digest for record in other.records()] == ["digest0", "digest1"]
    assert not one.refresh()
    one.progress(Progress(0, 1, 0.5, {"val_accuracy": 0.5, "seconds": 1.0}))
    one.tell(0, Trained(0.5), 1.0)
    (ended,) = other.refresh()
    assert (ended.number, ended.value, ended.curve, ended.state) == (0, 0.5, (0.5,), "trained")
    assert [record.number for record in one.own()] == [0]
    assert [record.number for record in other.own()] == [1]
    one.refresh()
    assert one.awaited()
    assert one.abandoned() == [], "the other lives"
    assert other.unfinished() == [second]
    one.close()
    other.close()


def test_what_a_driver_leaves_unfinished_another_goes_on_with(chosen: Settings) -> None:
    one = open_as("one", chosen)
    one.add(candidate(0))
    one.progress(Progress(0, 1, 0.25, {"val_accuracy": 0.25, "seconds": 1.0}))
    other = open_as("other", chosen)
    assert (other.abandoned(), other.unfinished()) == ([], [])
    one.close()  # as at Ctrl-C: nobody has to wait
    assert [each.number for each in other.abandoned()] == [0]
    assert other.record(0).curve == (0.25,)
    other.progress(Progress(0, 1, 0.25, {"val_accuracy": 0.25, "seconds": 1.0}))  # told again, since it begins anew
    other.progress(Progress(0, 2, 0.75, {"val_accuracy": 0.75, "seconds": 1.0}))

    again = open_as("one", chosen)
    assert again.unfinished() == [], "it is the other's now"
    assert not again.holds(0)
    assert other.holds(0)
    other.tell(0, Trained(0.75), 2.0)
    assert [record.number for record in other.own()] == [0]
    assert again.own() == ()
    again.close()
    other.close()


def test_a_driver_that_was_silent_for_long_has_lost_its_candidates(chosen: Settings, monkeypatch) -> None:
    monkeypatch.setattr("nas.claims.GRACE", 0.0)
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    one.add(candidate(0))
    other._read()
    assert [each.number for each in other.abandoned()] == [0]
    assert not one.holds(0)
    assert one.own() == ()
    one.close()
    assert other.holds(0), "what one lets go is not the other's"
    other.close()


def test_a_candidate_that_was_claimed_but_not_entered_is_free_again(chosen: Settings, monkeypatch) -> None:
    ledger = open_as("killed", chosen)
    assert ledger._claims.take("digest5")
    other = open_as("other", chosen)
    assert other.add(candidate(5)) is None, "it may be entered at this moment"
    monkeypatch.setattr("nas.claims.GRACE", 0.0)
    entered = other.add(candidate(5))
    assert entered is not None
    assert entered.number == 0
    ledger.close()
    other.close()


def test_no_more_candidates_are_entered_than_the_budget_allows(chosen: Settings) -> None:
    one, other = (open_as(name, chosen.model_copy(update={"budget": 1})) for name in ("one", "other"))
    assert one.add(candidate(0)) is not None
    assert other.add(candidate(1)) is None
    assert len(other.records()) == 1
    one.close()
    other.close()


def test_another_search_under_the_same_name_is_refused(chosen: Settings) -> None:
    open_as("one", chosen).close()
    open_as("other", chosen.model_copy(update={"budget": 9, "workers": 4})).close()
    for ask in (lambda *it: SharedLedger(it[0], SPACE, it[1]), check_shared):
        with pytest.raises(RunError, match=r"is another search: --seed was 0, is 7; give another --study"):
            ask(chosen.model_copy(update={"seed": 7}), FACTS)
        with pytest.raises(RunError, match=r"digest of the data was of the pictures, is others; give another --study"):
            ask(chosen, {**FACTS, "digests": {**FACTS["digests"], "data": "others"}})
    with pytest.raises(RunError, match="there is no such study"):
        SharedLedger(chosen.model_copy(update={"study": "unheard of"}), SPACE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mysql://me@here/x", r"--storage: an address such as postgresql://user@host/database is expected"),
        ("nonsense", r"an address such as"),
        ("postgresql://me@here", r"an address such as"),
        ("postgresql://me:secret@here/x", r"holds a password, which would be kept in run\.yaml; give it in PGPASSWORD"),
    ],
)
def test_an_address_that_is_none_is_told(address: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_shared(Settings(storage=address))


def test_a_server_that_cannot_be_used_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunFailed, match=r"--storage: the database cannot be used: .*\"nowhere\" does not exist"):
        check_shared(Settings(storage=server.replace("/postgres", "/nowhere")))
    with pytest.raises(RunFailed, match=r"cannot be used: .*refused"):
        check_shared(Settings(storage="postgresql://me@127.0.0.1:9/x"))
    monkeypatch.setenv("PGPASSWORD", "another")
    with pytest.raises(RunFailed, match=r"cannot be used: .*password authentication failed"):
        check_shared(Settings(storage=server))


def test_what_does_not_go_with_it_is_refused(server: str) -> None:
    with pytest.raises(ConfigError, match="--study: is of --storage"):
        search(dataset="digits", study="mine", view=Silent())
    with pytest.raises(ConfigError, match="--inherit: is not possible with --storage"):
        search(dataset="digits", storage=server, inherit=True, view=Silent())
    with pytest.raises(ConfigError, match="--retrain: is not possible with --storage"):
        search(dataset="digits", storage=server, retrain=True, view=Silent())


def driver(server: str, study: str, out: Path, *more: str) -> subprocess.Popen[str]:
    few = as_options({**SMALL_SEARCH, "budget": 6, "threads": 1, "storage": server, "study": study, "out": out})
    command = [sys.executable, "-m", "nas", "search", *few, *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=out.parent, env=environment, text=True, start_new_session=True, **pipes)


@pytest.mark.slow
def test_two_searches_share_the_work(server: str, tmp_path: Path) -> None:
    runs = [Run(tmp_path / name) for name in ("a", "b")]
    drivers = [driver(server, "together", run.folder) for run in runs]
    for each in drivers:
        said, errors = each.communicate(timeout=600)
        assert (each.returncode, errors) == (0, ""), said
    boards = [without_seconds(run.leaderboard) for run in runs]
    assert boards[0] == boards[1]
    assert sorted(int(row["number"]) for row in boards[0]) == list(range(6))
    assert {row["state"] for row in boards[0]} <= {"trained", "stopped"}
    assert len({row["digest"] for row in boards[0]}) == 6
    kept = [{file.stem for file in (run.folder / "models").iterdir()} for run in runs]
    assert not kept[0] & kept[1], "each has the models of its own"
    assert all(run.best.exists() for run in runs if list((run.folder / "models").iterdir()))
    assert not any(run.study.exists() for run in runs)
    assert postgres.PASSWORD not in runs[0].settings.read_text()

    # What reads a run reads this one, and a retraining is the run's own.
    with_it = reader_of(runs[0], runs[0].read_settings())
    assert len(with_it.records()) == 6
    with_it.close()
    assert nas("show", runs[0].folder, 0, cwd=tmp_path).returncode == 0
    found = nas("retrain", runs[1].folder, "--top=1", "--seeds=1", "--epochs=1", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert (runs[1].folder / "final" / "study.db").exists()
    found = nas("resume", runs[0].folder, "--budget=7", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert len(without_seconds(runs[0].leaderboard)) == 7


@pytest.mark.slow
def test_what_a_killed_driver_had_begun_is_finished_by_the_other(server: str, tmp_path: Path) -> None:
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    runs = [Run(tmp_path / name) for name in ("a", "b")]
    drivers = [driver(server, "killed", run.folder, f"--plugin={tmp_path / 'impatient.py'}") for run in runs]
    checkpoints = runs[0].folder / "checkpoints"
    until(lambda: any(checkpoints.glob("[0-9]*.npz")), "the first driver in the middle of a candidate")
    os.killpg(drivers[0].pid, signal.SIGKILL)
    drivers[0].communicate()
    said, errors = drivers[1].communicate(timeout=600)
    assert (drivers[1].returncode, errors) == (0, ""), said
    board = without_seconds(runs[1].leaderboard)
    assert sorted(int(row["number"]) for row in board) == list(range(6))
    assert {row["state"] for row in board} <= {"trained", "stopped"}
    assert "its driver has gone; it is trained here" in said
    found = nas("resume", runs[0].folder, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert without_seconds(runs[0].leaderboard) == board
