"""Several drivers on one search, by a real PostgreSQL: nothing is trained twice, what one leaves behind another finishes."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import DuplicatedStudyError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from nas import claims
from nas.blueprint import Pictures, express
from nas.config import Settings
from nas.driving import drive
from nas.errors import ConfigError, NoAnswer, RunError, RunFailed, ServiceFailed
from nas.executors import EXECUTORS
from nas.executors.inline import Inline
from nas.export.exporting import export
from nas.joint import check_shared, claim_retraining
from nas.ledger import Ledger
from nas.messages import Candidate, Progress, Trained
from nas.resuming import resume
from nas.retraining import retrain
from nas.run import Run
from nas.searching import search
from nas.server import alone, check_server, engine_of, failure_of, storage_at
from nas.shared import SharedLedger, reader_of
from nas.space import read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import Silent
from tests import postgres
from tests.helpers import ROOT, SMALL_SEARCH, as_options, nas, needed, until, without_seconds

SPACE = read_space("connected")
FACTS = {"driver": "one", "digests": {"space": SPACE.digest, "data": "of the pictures"}}
IMPATIENT = "from nas import claims, shared\n\nclaims.GRACE, shared.BEAT, shared.LOOK = 15.0, 1.0, 0.5\n"


@pytest.fixture(scope="module")
def running() -> Iterator[postgres.Server]:
    if postgres.program("postgres") is None:
        assert not os.environ.get("NAS_NO_SKIP"), "PostgreSQL is needed here"
        pytest.skip("PostgreSQL is not installed")
    needed("psycopg", "psycopg")
    with pytest.MonkeyPatch.context() as patch, postgres.server() as server:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield server


@pytest.fixture
def server(running: postgres.Server) -> str:
    return running.address


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


def asking_of(chosen: Settings) -> Asking:
    return Asking(SPACE, make_strategy(chosen.strategy, SPACE, 0, chosen), chosen)


def test_many_drivers_enter_a_candidate_once(chosen: Settings) -> None:
    together, entered = threading.Barrier(6), []

    def enter(name: str) -> None:
        ledger = open_as(name, chosen)
        together.wait()
        for number in range(4):
            found = ledger.add(candidate(number))
            entered.extend([(found.number, found.digest)] if found is not None else [])
        ledger.close()

    threads = [threading.Thread(target=enter, args=(f"driver {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in entered) == [0, 1, 2, 3]
    assert sorted(digest for _, digest in entered) == ["digest0", "digest1", "digest2", "digest3"]


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
    assert one.awaited() == [1]
    assert one.abandoned(9) == [], "the other lives"
    assert other.unfinished() == [second]
    one.close()
    other.close()


def test_a_driver_that_says_that_it_lives_keeps_its_candidates(chosen: Settings, monkeypatch) -> None:
    monkeypatch.setattr("nas.claims.GRACE", 4.0)
    monkeypatch.setattr("nas.shared.BEAT", 0.2)
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    one.add(candidate(0))
    other._read()
    end = time.monotonic() + 6
    while time.monotonic() < end:
        time.sleep(0.1)
        one.beat()
        assert other.abandoned(9) == []
    until(lambda: other.abandoned(9), "one to be taken to have gone")
    assert other.holds(0, surely=True)
    one.close()
    other.close()


def test_what_a_driver_leaves_unfinished_another_goes_on_with(chosen: Settings) -> None:
    one = open_as("one", chosen)
    one.add(candidate(0))
    one.progress(Progress(0, 1, 0.25, {"val_accuracy": 0.25, "seconds": 1.0}))
    other = open_as("other", chosen)
    assert (other.abandoned(9), other.unfinished()) == ([], [])
    one.close()  # as at Ctrl-C: nobody has to wait
    assert [each.number for each in other.abandoned(9)] == [0]
    assert other.record(0).curve == (0.25,)
    other.progress(Progress(0, 1, 0.25, {"val_accuracy": 0.25, "seconds": 1.0}))  # told again, since it begins anew
    other.progress(Progress(0, 2, 0.75, {"val_accuracy": 0.75, "seconds": 1.0}))

    again = open_as("one", chosen)
    assert again.unfinished() == [], "it is the other's now"
    assert not again.holds(0)
    assert other.holds(0, surely=True)
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
    assert [each.number for each in other.abandoned(9)] == [0]
    assert not one.holds(0, surely=True)
    assert (one.lost(), one.lost()) == ([0], []), "told once"
    assert one.own() == ()
    one.close()
    assert other.holds(0, surely=True), "what one lets go is not the other's"
    other.close()


def test_a_candidate_that_was_claimed_but_not_entered_is_free(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, other = open_as("killed", chosen), open_as("other", chosen)
    killed._claims.make("digest5")
    monkeypatch.setattr(claims, "GRACE", 0.0)  # its driver has been silent for so long
    entered = other.add(candidate(5))
    assert entered is not None
    assert entered.number == 0
    killed.close()
    other.close()


def test_an_answer_that_never_came_is_no_candidate_lost(chosen: Settings) -> None:
    """The connection broke when the candidate had been entered: asked again, it is this driver's."""
    ledger = open_as("one", chosen)
    ledger.add(candidate(0))
    ledger._begun.clear()
    again = ledger.add(candidate(0))
    assert again is not None
    assert again.number == 0
    assert ledger.holds(0, surely=True)
    assert len(ledger.records()) == 1
    ledger.close()


def test_a_claim_of_another_driver_that_lives_is_respected(chosen: Settings) -> None:
    """As where the lock under which candidates are entered was lost on the way."""
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    assert one._claims.make("digest0")
    assert one._claims.make("digest0"), "its own"
    assert other.add(candidate(0)) is None
    one._claims.release(["digest0"])
    assert other.add(candidate(0)) is not None
    one.close()
    other.close()


def test_a_driver_that_is_suspended_while_it_enters_a_candidate_stops_nobody(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.server.HELD", 2.0)
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    with alone(one._engine, chosen.study):  # and it does not go on
        assert other.add(candidate(0)) is not None
    assert one.add(candidate(1)) is not None, "as soon as it does"
    one.close()
    other.close()


class OfTwo(Inline):
    """An executor that has room for two, and runs them by turns."""

    @property
    def free(self) -> int:
        return 1 + super().free


def test_a_claim_that_is_never_entered_keeps_no_worker_waiting(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver is killed in between, and this one has the same thought while a worker of its own trains."""
    monkeypatch.setitem(EXECUTORS._parts, "of-two", OfTwo)
    chosen = chosen.model_copy(update={"strategy": "random", "pruner": "none", "executor": "of-two", "budget": 2})
    own = Ledger(None, SPACE, "random")
    killed, ledger = (open_as(name, chosen) for name in ("killed", "other"))
    for number in range(2):
        own.add(asking_of(chosen).next(own.records(), number))
    digest = own.record(1).digest
    killed._claims.make(digest)
    there: list[int] = []

    def run(candidate: Candidate, heard: Callable[[Progress], bool]) -> Trained:
        there.append(len(ledger.records()))
        killed._claims.release([digest])
        return Trained(0.5)

    drive(chosen, ledger, asking_of(chosen), Silent(), lambda one: one, run)
    assert there == [1, 2]
    assert [record.digest for record in ledger.records()] == [record.digest for record in own.records()]
    killed.close()
    ledger.close()


def test_a_driver_with_nothing_else_to_do_waits_for_a_claim(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first candidate, by a driver that has not entered it; it ends while this one waits."""
    chosen = chosen.model_copy(update={"strategy": "random", "pruner": "none", "executor": "inline", "budget": 2})
    killed, ledger = (open_as(name, chosen) for name in ("killed", "other"))
    first = asking_of(chosen).next((), 0)
    assert first is not None
    digest = first.digest
    killed._claims.make(digest)
    tries: list[Candidate | None] = []
    add = ledger.add

    def counted(each: Candidate) -> Candidate | None:
        tries.append(add(each))
        if len(tries) == 3:
            killed._claims.release([digest])
        return tries[-1]

    monkeypatch.setattr(ledger, "add", counted)
    result = drive(chosen, ledger, asking_of(chosen), Silent(), lambda one: one, lambda one, heard: Trained(0.5))
    assert result.ended == "budget"
    assert [each and each.number for each in tries] == [None, None, None, 0, 1]
    assert result.records[0].digest == digest
    killed.close()
    ledger.close()


def test_a_driver_that_ends_leaves_no_claim_that_it_has_not_entered(chosen: Settings) -> None:
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    one._claims.make("digest0")
    one._mine.add("digest0")
    one.close()
    assert other.add(candidate(0)) is not None
    other.close()


def test_a_driver_that_is_suspended_between_claiming_and_entering_trains_nothing_twice(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    make = one._claims.make

    def make_and_sleep(digest: str) -> bool:
        """So long that the server has given the other its turn, and taken this one's driver to have gone."""
        made = make(digest)
        with monkeypatch.context() as patch:
            patch.setattr(claims, "GRACE", 0.0)
            assert other._claims.make(digest)
            assert Ledger.add(other, candidate(0)) is not None
        return made

    monkeypatch.setattr(one._claims, "make", make_and_sleep)
    assert one.add(candidate(0)) is None
    assert one.unfinished() == []
    one._read()
    assert [(record.number, record.state) for record in one.records()] == [(0, "running"), (1, "infeasible")]
    assert (one.awaited(), [record.number for record in one.own()]) == ([0], [])
    one.close()
    other.close()


def test_what_was_taken_over_without_an_answer_is_taken_over(chosen: Settings, monkeypatch) -> None:
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    one.add(candidate(0))
    one.close()
    monkeypatch.setattr("nas.shared.LOOK", 0.0)
    other.refresh()
    assert other._claims.take_over(["digest0"], 9) == {"digest0"}  # entered, but the answer never came
    assert [each.number for each in other.abandoned(9)] == [0]
    assert other.abandoned(9) == []
    other.close()


def test_an_end_whose_answer_never_came_is_entered_once(chosen: Settings) -> None:
    ledger = open_as("one", chosen)
    ledger.add(candidate(0))
    Ledger.tell(ledger, 0, Trained(0.5), 1.0)
    ledger._begun.add(0)
    assert ledger.tell(0, Trained(0.5), 1.0) == ledger.record(0)
    assert (ledger.record(0).state, ledger.record(0).value, ledger.unfinished()) == ("trained", 0.5, [])
    ledger.close()


def test_of_what_was_left_behind_no_more_is_taken_than_the_own_budget_allows(chosen: Settings) -> None:
    one, other = open_as("one", chosen), open_as("other", chosen.model_copy(update={"budget": 2}))
    for number in range(3):
        one.add(candidate(number))
    one.close()
    other._read()
    assert [each.number for each in other.abandoned(9)] == [0, 1]
    other.close()


def test_as_many_are_taken_over_as_there_is_room_for(chosen: Settings) -> None:
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    for number in range(3):
        one.add(candidate(number))
    one.close()
    other._read()
    assert other.abandoned(0) == []
    assert len(other.abandoned(2)) == 2
    assert len(other.abandoned(2)) == 1
    other.close()


def test_what_was_finished_meanwhile_is_not_taken_over(chosen: Settings) -> None:
    one, other = (open_as(name, chosen) for name in ("one", "other"))
    one.add(candidate(0))
    other._read()
    one.tell(0, Trained(0.5), 1.0)
    one._claims.release(["digest0"])
    assert other.abandoned(9) == []
    assert other.record(0).value == 0.5
    one.close()
    other.close()


def test_a_server_that_is_started_again_is_waited_for(running: postgres.Server, chosen: Settings) -> None:
    notes: list[str] = []
    ledger = SharedLedger(chosen, SPACE, {**FACTS, "driver": "one"}, notes.append)
    ledger.add(candidate(0))
    running.stop()
    later = threading.Timer(2.0, running.start)
    later.start()
    try:
        ledger.progress(Progress(0, 1, 0.5, {"val_accuracy": 0.5, "seconds": 1.0}))
    finally:
        later.join()
    assert len(notes) == 3
    assert notes[0] == f"study '{chosen.study}': 0 candidates so far"
    assert re.search(r"; it is tried again for 1[12]\d s$", notes[1])
    assert notes[2] == "the database answers again"
    left = open_as("other", chosen)
    left.add(candidate(7))
    left.close()
    ledger._read()
    assert ledger.awaited() == [1]
    assert ledger.abandoned(9) == [], "after a server was away, claims that look old may not be"
    ledger._troubled -= claims.GRACE
    taken = ledger.abandoned(9)
    assert [each.number for each in taken] == [1]
    ledger.tell(0, Trained(0.5), 1.0)
    entered = ledger.add(candidate(1))
    ledger.close()
    again = open_as("one", chosen)
    assert (again.record(0).curve, again.record(0).state) == ((0.5,), "trained")
    assert again.unfinished() == [*taken, entered]
    again.close()


def test_a_server_that_stays_silent_ends_the_search_with_a_sentence(running, chosen, monkeypatch) -> None:
    monkeypatch.setattr("nas.shared.PATIENCE", 0.5)
    ledger = open_as("one", chosen)
    ledger.add(candidate(0))
    running.stop()
    try:
        with pytest.raises(RunFailed, match=r"study '.*' cannot be written: .*(refused|terminating|closed)"):
            ledger.tell(0, Trained(0.5), 1.0)
    finally:
        running.start()
    ledger.close()


def test_a_server_that_goes_before_the_study_is_open_is_told(
    running: postgres.Server, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    running.stop()
    later = threading.Timer(2.0, running.start)
    later.start()
    try:
        SharedLedger(chosen, SPACE, {**FACTS, "driver": "one"}, notes.append).close()
    finally:
        later.join()
    assert notes[0].startswith("--storage: the database cannot be used: ")
    assert re.search(r"; it is tried again for 1[12]\d s$", notes[0])
    assert notes[1:] == ["the database answers again", f"study '{chosen.study}': 0 candidates so far"]
    monkeypatch.setattr("nas.shared.PATIENCE", 0.5)
    running.stop()
    try:
        with pytest.raises(RunFailed, match="--storage: the database cannot be used"):
            open_as("one", chosen)
    finally:
        running.start()
    open_as("one", chosen).close()
    engine = engine_of(chosen.storage)
    with storage_at(engine) as storage:
        optuna.load_study(storage=storage, study_name=chosen.study).add_trial(optuna.create_trial(value=0.5))
    engine.dispose()
    with pytest.raises(RunError, match=f"study '{chosen.study}'.*is damaged"):
        open_as("one", chosen)


def test_a_study_that_was_removed_is_told_on_resume(chosen: Settings) -> None:
    ledger = open_as("one", chosen)
    ledger.add(candidate(0))
    ledger.close()
    check_shared(chosen, FACTS, known=1)
    with pytest.raises(RunError, match="has 1 candidates, the leaderboard 3: it was removed, or put back from an older copy"):
        check_shared(chosen, FACTS, known=3)


def test_the_test_part_is_opened_in_one_run_folder_of_a_study(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    open_as("one", chosen).close()
    other, here, there = {**FACTS, "driver": "other"}, Path("here"), Path("there")
    claim_retraining(chosen, FACTS, here)
    claim_retraining(chosen, FACTS, here)
    with pytest.raises(
        RunError, match=r"is being retrained elsewhere \(.*/here, since 20.*\); go on there, or here a day later"
    ):
        claim_retraining(chosen, other, there)
    claim_retraining(chosen, FACTS, here, opening=True)
    claim_retraining(chosen, FACTS, here, opening=True)
    monkeypatch.setattr("nas.joint.STALE", 0.0)
    for opening in (False, True):
        with pytest.raises(RunError, match=r"was retrained elsewhere before \(.*/here\), and its test part opened"):
            claim_retraining(chosen, other, there, opening)


def test_a_retraining_that_has_gone_is_done_elsewhere(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.joint.STALE", 0.0)
    open_as("one", chosen).close()
    claim_retraining(chosen, FACTS, Path("here"))
    claim_retraining(chosen, {**FACTS, "driver": "other"}, Path("there"))
    claim_retraining(chosen, {**FACTS, "driver": "other"}, Path("there"), opening=True)
    with pytest.raises(RunError, match="its test part opened"):
        claim_retraining(chosen, FACTS, Path("here"), opening=True)


def test_a_study_that_was_removed_is_not_retrained(chosen: Settings) -> None:
    with pytest.raises(RunError, match="there is no study 'test_a_study_that_was_removed_is_not_retrained'"):
        claim_retraining(chosen, FACTS, Path("here"))


def test_who_may_not_make_tables_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        connection.execute("CREATE DATABASE theirs")
    monkeypatch.setenv("PGPASSWORD", "guest")
    with pytest.raises(RunFailed, match="cannot be used: permission denied for schema public"):
        check_server(server.replace("someone@", "guest@").replace("/postgres", "/theirs"))


def test_what_a_server_refuses_is_not_tried_again(chosen: Settings, server: str) -> None:
    import psycopg

    notes: list[str] = []
    ledger = SharedLedger(chosen, SPACE, FACTS, notes.append)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER TABLE nas_claims RENAME TO elsewhere")
        try:
            with pytest.raises(
                ServiceFailed, match=r"cannot be (used|written): relation \"nas_claims\" does not exist"
            ) as told:
                ledger.add(candidate(0))
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO nas_claims")
    assert not isinstance(told.value, NoAnswer)
    assert notes == [f"study '{chosen.study}': 0 candidates so far"]
    ledger.close()


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
        with pytest.raises(
            RunError, match=r"is another search: --seed was 0, is 7; give what it began with, or another --study"
        ):
            ask(chosen.model_copy(update={"seed": 7}), FACTS)
        with pytest.raises(RunError, match=r"digest of the data was of the pictures, is others; give what it began with"):
            ask(chosen, {**FACTS, "digests": {**FACTS["digests"], "data": "others"}})
        with pytest.raises(RunError, match=r"digests of the plugins was \[\], is \['abc'\]"):
            ask(chosen, {**FACTS, "plugins": {"mine.py": "abc"}})
        with pytest.raises(RunError, match=r"digest of --start-from was None, is"):
            ask(chosen, {**FACTS, "start": [candidate(0).genotype]})
    with pytest.raises(RunError, match="there is no such study"):
        SharedLedger(chosen.model_copy(update={"study": "unheard of"}), SPACE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "mysql://me@here/x",
            r"--storage: what was given is none of PostgreSQL: an address such as postgresql://user@host:5432/database",
        ),
        ("nonsense", r"is none of PostgreSQL"),
        (
            "postgresql+psycopg2://me@server/nas",
            r"names a library other than psycopg, which is the one that is used: an address",
        ),
        ("postgresql://me@here", r"names no database"),
        ("postgresql://me@here:port/x", r"has a port that is no number"),
        ("postgresql://me@here/x?password=secret", r"holds a password"),
        ("postgresql://me:secret@here/x", r"holds a password, which would be kept in run\.yaml; give it in PGPASSWORD"),
    ],
)
def test_an_address_that_is_none_is_told(address: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_server(address)


@pytest.mark.parametrize(
    ("before", "after", "password", "words", "later"),
    [
        ("/postgres", "/nowhere", postgres.PASSWORD, r"\"nowhere\" does not exist; 'createdb' with its name", False),
        ("/postgres", "/postgres", "another", r"password authentication failed", False),
        ("someone@127.0.0.1:", "me@127.0.0.1:9/x?application_name=", postgres.PASSWORD, r"refused", True),
    ],
)
def test_a_server_that_cannot_be_used_is_told(
    server: str, monkeypatch: pytest.MonkeyPatch, before: str, after: str, password: str, words: str, later: bool
) -> None:
    monkeypatch.setenv("PGPASSWORD", password)
    with pytest.raises(ServiceFailed, match=rf"--storage: the database cannot be used: .*{words}") as told:
        check_server(server.replace(before, after))
    assert isinstance(told.value, NoAnswer) == later


def test_what_may_go_well_later_is_told_from_what_may_not(chosen: Settings) -> None:
    engine = engine_of(chosen.storage)
    open_as("one", chosen).close()
    with pytest.raises(DBAPIError) as silent, engine.connect() as connection:
        connection.execute(text("SET idle_in_transaction_session_timeout = 50"))
        time.sleep(1)
        connection.execute(text("SELECT 1"))
    with pytest.raises(DBAPIError) as wrong, engine.connect() as connection:
        connection.execute(text("SELECT nothing"))
    with storage_at(engine) as storage, pytest.raises(DuplicatedStudyError) as twice:
        storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], chosen.study)
    assert [failure_of(each.value) for each in (silent, wrong, twice)] == [NoAnswer, ServiceFailed, NoAnswer]
    engine.dispose()


def test_what_does_not_go_with_it_is_refused(server: str) -> None:
    with pytest.raises(ConfigError, match="--study: is for --storage, which was not given"):
        search(dataset="digits", study="mine", view=Silent())
    with pytest.raises(ConfigError, match="--inherit: is not possible with --storage"):
        search(dataset="digits", storage=server, inherit=True, view=Silent())
    with pytest.raises(ConfigError, match="--executor inline: trains in the driver itself"):
        search(dataset="digits", storage=server, executor="inline", view=Silent())
    with pytest.raises(ConfigError, match="--retrain: is not possible with --storage"):
        search(dataset="digits", storage=server, retrain=True, view=Silent())


Driver = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def driver(server: str) -> Iterator[Driver]:
    """A search as a process of its own, which does not outlive the test."""
    made: list[subprocess.Popen[str]] = []

    def begin(study: str, out: Path, *more: str) -> subprocess.Popen[str]:
        few = as_options({**SMALL_SEARCH, "budget": 4, "storage": server, "study": study, "out": out})
        command = [sys.executable, "-m", "nas", "search", *few, *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        made.append(subprocess.Popen(command, cwd=out.parent, env=environment, text=True, start_new_session=True, **pipes))
        return made[-1]

    yield begin
    for each in made:
        if each.poll() is None:
            os.killpg(each.pid, signal.SIGKILL)
            each.communicate()


@pytest.mark.slow
def test_two_searches_share_the_work(driver: Driver, tmp_path: Path) -> None:
    runs = [Run(tmp_path / name) for name in ("a", "b")]
    drivers = [driver("together", run.folder) for run in runs]
    for each in drivers:
        said, errors = each.communicate(timeout=600)
        assert (each.returncode, errors) == (0, ""), said
    boards = [without_seconds(run.leaderboard) for run in runs]
    assert boards[0] == boards[1]
    assert sorted(int(row["number"]) for row in boards[0]) == list(range(4))
    assert {row["state"] for row in boards[0]} <= {"trained", "stopped"}
    assert len({row["digest"] for row in boards[0]}) == 4
    kept = [{file.stem for file in (run.folder / "models").iterdir()} for run in runs]
    assert not kept[0] & kept[1], "each has the models of its own"
    assert kept[0]
    assert kept[1]
    assert all(run.best.exists() for run in runs)
    assert not any(run.study.exists() for run in runs)
    assert postgres.PASSWORD not in runs[0].settings.read_text()

    third = driver("together", tmp_path / "c", "--seed=9")
    said, errors = third.communicate(timeout=600)
    assert third.returncode == 2, errors
    assert "is another search: --seed was" in " ".join(errors.split())
    assert "at a time" not in said, "told before anything is rehearsed"
    assert not (tmp_path / "c").exists()
    with pytest.raises(RunError, match=r"was not kept here \(or another driver trained it\)"):
        export(runs[0].folder, number=min(map(int, kept[1])))

    # What reads a run reads this one, and a retraining is the run's own.
    with_it = reader_of(runs[0], runs[0].read_settings())
    assert len(with_it.records()) == 4
    with_it.close()
    assert nas("show", runs[0].folder, 0, cwd=tmp_path).returncode == 0
    retrain(runs[1].folder, Silent(), top=1, seeds=1, epochs=1)
    assert (runs[1].folder / "final" / "study.db").exists()
    with pytest.raises(RunError, match="was retrained elsewhere before"):
        retrain(runs[0].folder, Silent())
    resume(runs[0].folder, Silent(), budget=5)
    assert len(without_seconds(runs[0].leaderboard)) == 5


@pytest.mark.slow
def test_what_a_killed_driver_had_begun_is_finished_by_the_other(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    runs = [Run(tmp_path / name) for name in ("a", "b")]
    drivers = [driver("killed", run.folder, f"--plugin={tmp_path / 'impatient.py'}") for run in runs]
    checkpoints = runs[0].folder / "checkpoints"
    until(lambda: any(checkpoints.glob("[0-9]*.npz")), "the first driver in the middle of a candidate", 300)
    os.killpg(drivers[0].pid, signal.SIGKILL)
    drivers[0].communicate()
    said, errors = drivers[1].communicate(timeout=600)
    assert (drivers[1].returncode, errors) == (0, ""), said
    board = without_seconds(runs[1].leaderboard)
    assert sorted(int(row["number"]) for row in board) == list(range(4))
    assert {row["state"] for row in board} <= {"trained", "stopped"}
    assert "its driver has gone; it is trained here" in said
    found = nas("resume", runs[0].folder, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert without_seconds(runs[0].leaderboard) == board
    assert not any(checkpoints.iterdir()), "of what the other took over nothing is left"
