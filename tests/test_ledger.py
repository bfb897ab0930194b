"""The ledger: candidates are whole after reopening, outcomes map to states (and to Optuna's), a damaged file is told."""

import dataclasses
import random
import sqlite3
import subprocess
import sys

import optuna
import pytest

from nas.blueprint import Pictures, express, summary
from nas.errors import RunError
from nas.ledger import Ledger
from nas.messages import Candidate, Infeasible, Progress, Stopped, Trained
from nas.space import read_space

SPACE = read_space("connected")


def candidate(number, **facts):
    genotype = SPACE.sample(random.Random(number))
    blueprint, recipe = express(genotype, Pictures((8, 8, 1), 3, (10.0,), (4.0,)))
    return Candidate(number, genotype, f"digest{number}", blueprint=blueprint, recipe=recipe, **facts)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "study.db"


def told(ledger, number, *scores):
    for epoch, score in enumerate(scores, start=1):
        ledger.progress(Progress(number, epoch, score, {"val_accuracy": score, "val_loss": 1 - score, "seconds": 0.5}))


def test_a_candidate_is_whole_after_reopening(file):
    proposed = candidate(0, parents=(4, 2), operator="crossover+step")
    Ledger(file, SPACE, "genetic").add(proposed)
    ledger = Ledger(file, SPACE, "genetic")
    assert ledger.candidate(0) == proposed
    (record,) = ledger.records()
    assert record.genotype == SPACE.check(record.genotype) == proposed.genotype
    assert (record.state, record.parents, record.operator, record.strategy) == ("running", (4, 2), "crossover+step", "genetic")
    assert (record.digest, record.architecture) == ("digest0", summary(proposed.blueprint))
    assert (record.parameters, record.flops) == (proposed.blueprint.parameters, proposed.blueprint.flops)
    assert record.recipe == proposed.recipe.to_dict()


def test_without_validation_a_record_is_of_the_last_epoch(file):
    ledger = Ledger(file, SPACE, "random")
    ledger.add(candidate(0))
    for epoch, accuracy in enumerate((0.5, 0.9, 0.7), start=1):
        ledger.progress(Progress(0, epoch, accuracy, {"train_accuracy": accuracy, "train_loss": 1.0, "seconds": 0.5}))
    (before,) = ledger.records()
    assert (before.value, before.metrics["train_accuracy"], before.curve) == (0.7, 0.7, (0.5, 0.9, 0.7))
    ledger.close()
    assert list(Ledger(file, SPACE, "random").records()) == [before]


def test_what_was_interrupted_began_as_late_as_its_seconds_allow(file):
    ledger = Ledger(file, SPACE, "random")
    for number in range(2):
        ledger.add(candidate(number))
    with sqlite3.connect(file) as connection:  # a night before
        connection.execute("UPDATE trials SET datetime_start = datetime('now', '-10 hours') WHERE number = 1")
    ledger.close()
    ledger = Ledger(file, SPACE, "random")
    for number in range(2):
        ledger.tell(number, Trained(0.5), 0.0 if number == 0 else 20.0)
    start, end = ledger.spans()[1]
    assert end - start == pytest.approx(20)


def test_every_record_is_the_same_before_and_after_reopening(file):
    ledger = Ledger(file, SPACE, "random")
    outcomes = [Trained(0.75), Stopped(), Infeasible("out of memory"), Infeasible(""), None, Trained(0.75), Stopped()]
    for number, outcome in enumerate(outcomes):
        ledger.add(candidate(number))
        if number != 6:
            told(ledger, number, 0.5, 0.75, 0.25)
        if outcome is not None:
            ledger.tell(number, outcome, 1.23456)
    before = ledger.records()
    assert [record.number for record in before] == list(range(7))
    assert tuple(Ledger(file, SPACE, "random").records()) == tuple(before)


def test_outcomes_become_states_ours_and_optunas(file):
    ledger = Ledger(file, SPACE, "random")
    for number, outcome in enumerate([Trained(0.75), Stopped(), Infeasible("out of memory"), None]):
        ledger.add(candidate(number))
        told(ledger, number, 0.5, 0.75)
        if outcome is not None:
            ledger.tell(number, outcome, 2.0)
    found = ledger.records()
    assert [record.state for record in found] == ["trained", "stopped", "infeasible", "running"]
    assert [record.value for record in found] == [0.75, 0.75, None, 0.75]
    assert [record.reason for record in found] == ["", "", "out of memory", ""]
    assert [record.seconds for record in found] == [2.0, 2.0, 2.0, 1.0], "of one that runs, what its epochs took"

    study = optuna.load_study(study_name="nas", storage=f"sqlite:///{file}")
    states = optuna.trial.TrialState
    assert [trial.state for trial in study.trials] == [states.COMPLETE, states.PRUNED, states.PRUNED, states.RUNNING]
    assert study.best_value == 0.75
    assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.75}
    assert {"blocks.repeat", "blocks.0.filters", "learning_rate"} <= set(study.trials[0].params)


def test_the_best_epoch_gives_value_and_metrics(file):
    ledger = Ledger(file, SPACE, "random")
    ledger.add(candidate(0))
    assert ledger.record(0).value is None
    told(ledger, 0, 0.5, 0.75, 0.75, 0.25)
    record = ledger.record(0)
    assert (record.value, record.curve, record.epochs) == (0.75, (0.5, 0.75, 0.75, 0.25), 4)
    assert record.metrics["val_loss"] == 0.25
    assert [metrics["val_accuracy"] for metrics in ledger.epochs(0)] == [0.5, 0.75, 0.75, 0.25]


def test_progress_that_is_told_twice_is_kept_once(file):
    ledger = Ledger(file, SPACE, "random")
    ledger.add(candidate(0))
    told(ledger, 0, 0.5, 0.75)
    again = Ledger(file, SPACE, "random")
    told(again, 0, 0.1, 0.2, 0.6)
    assert again.record(0).curve == (0.5, 0.75, 0.6)
    assert Ledger(file, SPACE, "random").record(0) == again.record(0)


def test_what_was_running_is_found_again_whole_and_can_be_finished(file):
    proposed = [candidate(number, parents=(number,)) for number in range(3)]
    ledger = Ledger(file, SPACE, "random")
    for each in proposed:
        ledger.add(each)
    ledger.tell(1, Trained(0.5), 1.0)
    again = Ledger(file, SPACE, "random")
    assert again.unfinished() == [proposed[0], proposed[2]]
    told(again, 2, 0.9)
    again.tell(2, Trained(0.9), 1.0)
    assert again.unfinished() == [proposed[0]]
    again.add(candidate(3))
    assert Ledger(file, SPACE, "random").unfinished() == [proposed[0], candidate(3)]


def test_what_has_ended_is_not_among_the_unfinished():
    ledger = Ledger(None, SPACE, "random")
    ledger.add(candidate(0))
    assert [each.number for each in ledger.unfinished()] == [0]
    ledger.tell(0, Infeasible("killed twice"), 1.0)
    assert ledger.unfinished() == []


def test_a_genotype_for_ones_own_evaluator_has_no_network(file):
    space = read_space({"name": "own", "genes": {"x": {"range": [0.0, 1.0]}, "y": {"choice": [2, True, "2"]}}})
    proposed = Candidate(0, {"x": 0.5, "y": True}, "digest")
    Ledger(file, space, "random").add(proposed)
    ledger = Ledger(file, space, "random")
    assert ledger.candidate(0) == proposed
    assert ledger.record(0).genotype["y"] is True
    assert (ledger.record(0).parameters, ledger.record(0).architecture) == (None, "")


def test_a_range_whose_steps_do_not_meet_its_end_is_kept_without_a_word(file):
    space = read_space({"name": "own", "genes": {"x": {"range": [0, 10], "step": 3}, "y": {"range": [0.0, 1.0], "step": 0.3}}})
    ledger = Ledger(file, space, "random")
    ledger.add(Candidate(0, {"x": 9, "y": 0.9}, "digest"))
    assert Ledger(file, space, "random").record(0).genotype == {"x": 9, "y": 0.9}


def test_half_the_batch_is_kept_once_and_is_what_a_retraining_uses(file):
    ledger = Ledger(file, SPACE, "random")
    ledger.add(candidate(0))
    proposed = ledger.candidate(0)
    batch = proposed.recipe.batch_size
    halved = ledger.halve(0, "too much")
    words = f"out of memory with batch size {batch}: too much; tried with {batch // 2}"
    assert (halved.state, halved.reason, halved.recipe["batch_size"]) == ("running", words, batch // 2)
    assert ledger.halve(0, "still too much") is None
    again = Ledger(file, SPACE, "random")
    assert again.halve(0, "after a restart") is None
    (unfinished,) = again.unfinished()
    assert unfinished == dataclasses.replace(proposed, recipe=dataclasses.replace(proposed.recipe, batch_size=batch // 2))
    assert again.tell(0, Trained(0.5), 1.0).reason == words
    assert Ledger(file, SPACE, "random").record(0) == again.record(0)


def test_batch_of_one_and_a_genotype_without_a_network_have_no_half(file):
    one = candidate(0)
    ledger = Ledger(file, SPACE, "random")
    ledger.add(dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, batch_size=1)))
    assert ledger.halve(0, "too much") is None
    own = read_space({"name": "own", "genes": {"x": {"range": [0.0, 1.0]}}})
    ledger = Ledger(None, own, "random")
    ledger.add(Candidate(0, {"x": 0.5}, "digest"))
    assert ledger.halve(0, "too much") is None


def test_what_was_refused_before_a_candidate_is_kept_with_it(file):
    other = SPACE.sample(random.Random(7))
    proposed = candidate(0, refused=((other, "over max-flops"),))
    Ledger(file, SPACE, "random").add(proposed)
    ledger = Ledger(file, SPACE, "random")
    assert ledger.candidate(0) == proposed
    assert ledger.record(0).refused == ((other, "over max-flops"),)


def test_records_are_frozen_and_an_old_snapshot_stays_as_it_was():
    ledger = Ledger(None, SPACE, "random")
    ledger.add(candidate(0))
    old = ledger.records()
    assert ledger.records() is old
    told(ledger, 0, 0.5)
    assert old[0].curve == ()
    with pytest.raises(AttributeError):
        old[0].value = 1.0


def test_a_database_that_another_program_has_locked_for_a_while_is_waited_for(file):
    ledger = Ledger(file, SPACE, "random")
    code = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\nc.execute('begin exclusive')\n"
    code += "print('locked', flush=True)\ntime.sleep(7)\nc.execute('rollback')\n"
    with subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        ledger.add(candidate(0))
    assert Ledger(file, SPACE, "random").unfinished() == [candidate(0)]


def test_a_number_that_is_not_there_is_told(file):
    ledger = Ledger(file, SPACE, "random")
    ledger.add(candidate(0))
    with pytest.raises(RunError, match="there is no candidate 7; they are numbered from 0 to 0"):
        ledger.record(7)
    with pytest.raises(RunError, match="there is no candidate 7"):
        ledger.candidate(7)


def test_in_an_empty_ledger_no_number_is_there():
    with pytest.raises(RunError, match="there is no candidate 0") as caught:
        Ledger(None, SPACE, "random").record(0)
    assert "-1" not in str(caught.value)


def filled(file):
    ledger = Ledger(file, SPACE, "random")
    for number in range(5):
        ledger.add(candidate(number))
        told(ledger, number, 0.5)
    return file.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database at all" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:5000] + b"\xff" * 20_000 + data[25_000:],
    ],
    ids=["other file", "cut off", "overwritten"],
)
def test_a_damaged_file_is_told_by_its_name(file, damage):
    file.write_bytes(damage(filled(file)))
    with pytest.raises(RunError, match=r"study\.db: is damaged"):
        Ledger(file, SPACE, "random")


def test_a_database_of_something_else_is_told(file):
    with sqlite3.connect(file) as connection:
        connection.execute("create table studies (name text)")
    connection.close()
    with pytest.raises(RunError, match=r"study\.db"):
        Ledger(file, SPACE, "random")


@pytest.mark.parametrize("folder", ["with space", "50%20", "what?", "a#b", "ü"])
def test_a_folder_may_be_called_anything(tmp_path, folder):
    (tmp_path / folder).mkdir()
    file = tmp_path / folder / "study.db"
    Ledger(file, SPACE, "random").add(candidate(0))
    assert file.is_file()
    assert Ledger(file, SPACE, "random").unfinished() == [candidate(0)]


def test_optuna_is_quiet_about_a_new_study(file, capfd):
    Ledger(file, SPACE, "random").add(candidate(0))
    assert capfd.readouterr() == ("", "")
