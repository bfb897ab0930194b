"""Retraining: candidates are compared on validation pictures, the winner alone sees the test part, once, and it resumes."""

from __future__ import annotations

import math
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.blueprint.backbone import digest_of
from nas.compare import compare
from nas.comparison import compared, decided
from nas.database import without_candidates
from nas.errors import ConfigError, DatasetError, NasError, NothingTrained, RunError, RunFailed, TimeOver
from nas.figures import figures
from nas.final import OPENED, SCORED, write_figures
from nas.known import read_genotype
from nas.ledger import Ledger
from nas.messages import LONGEST, Progress, Record, Score
from nas.pace import FORWARD, epoch_seconds
from nas.predict import predict
from nas.provenance import SEARCH
from nas.report.reporting import report
from nas.resuming import reopened, resume
from nas.retraining import SPARE, _Retraining, retrain
from nas.retrainpace import RetrainPace
from nas.retrainparts import COMPARISON, FINAL
from nas.retrainplan import AFTER, ASKED, COMPARING, FULL, PLAN, SLACK, START_UP, RetrainPlan, given_up, planned
from nas.run import Run
from nas.searching import search
from nas.single import train
from nas.space import read_space
from nas.training.handover import load_model
from nas.view import Silent
from nas.yamlfile import dumped
from tests.faults import switch
from tests.faults.switch import Fault
from tests.helpers import NETWORK, ROOT, SMALL_SEARCH, Listening, class_folder, nas, read_final, until, without_seconds

FEW: dict[str, Any] = {"top": 2, "seeds": 2, "epochs": 2}
DIGIT = ROOT / "docs" / "pictures" / "digit-3.png"


@pytest.fixture
def copy(small_run: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(small_run, tmp_path / "run"))


def records(folder: Path) -> list[Record]:
    run = Run(folder)
    facts = run.read_settings()
    ledger = Ledger(run.study, read_space(facts["space"]), facts["settings"]["strategy"], reading=True)
    return list(ledger.records())


@pytest.mark.slow
def test_best_candidates_are_compared_and_the_winner_is_scored_on_the_test_part(copy: Run) -> None:
    view = Listening()
    before = copy.best.read_bytes()
    done = retrain(copy.folder, view, **FEW)
    ranked = [record.number for record in sorted(records(copy.folder), key=lambda record: -(record.value or 0))][:2]
    compared = records(copy.folder / "retrain")
    assert [record.parents for record in compared] == [(number,) for number in ranked] * 2
    assert [record.operator for record in compared] == ["seed 0"] * 2 + ["seed 1"] * 2
    assert all(record.epochs == 2 for record in compared)
    assert len({record.curve for record in compared}) == 4, "other random numbers each time"
    means = {number: sum(r.value or 0 for r in compared if r.parents == (number,)) / 2 for number in ranked}
    assert done.winner == max(means, key=lambda number: means[number])
    assert done.compared == pytest.approx(means[done.winner])
    (last,) = records(copy.folder / "final")
    assert (last.parents, last.metrics.keys()) == ((done.winner,), {"train_accuracy", "train_loss", "seconds"})

    rows = read_final(copy.final)
    assert (rows["winner", ""]["value"], rows["pictures", ""]["value"]) == (str(done.winner), "360")
    assert float(rows["accuracy", ""]["value"]) == done.score.accuracy.value > 0.5
    assert copy.best.read_bytes() != before
    assert predict(copy.folder, [DIGIT])[0].probabilities
    assert view.notes[-1].startswith("on 360 test pictures, which it was not chosen by:\n  accuracy")
    told = [rows[name, ""]["value"] for name in ("candidates", "seeds", "objective")]
    assert told == [" ".join(map(str, ranked)), "2", "accuracy"]
    assert load_model(copy.best).facts["number"] == done.winner
    assert "value" not in load_model(copy.best).facts, "its score is that of training"

    for part, number, own in (("final", "0", "last fit"), ("retrain", "3", "seed 1")):
        shown = nas("show", copy.folder / part, number, cwd=copy.folder.parent)
        assert f"{own} of #{(last if part == 'final' else compared[3]).parents[0]} of the search, no parents" in shown.stdout
        assert ("  best\n" in shown.stdout) == (part == "retrain"), "without validation the last epoch's weights are kept"
        assert nas("report", copy.folder / part, "--no-pictures", cwd=copy.folder.parent).returncode == 0

    # Once: neither a second retraining nor an extended search changes what came out.
    with pytest.raises(RunError, match="was retrained before, and its test part opened"):
        retrain(copy.folder, view, **FEW)
    kept = copy.best.read_bytes()
    found = nas("resume", copy.folder, "--budget=4", cwd=copy.folder.parent)
    assert found.returncode == 0, found.stderr
    assert copy.best.read_bytes() == kept


@pytest.mark.slow
def test_killed_and_repeated_it_ends_as_if_nothing_had_happened(copy: Run, tmp_path: Path) -> None:
    calm = Run(shutil.copytree(copy.folder, tmp_path / "calm"))
    retrain(calm.folder, Silent(), **{**FEW, "seeds": 1})
    words = ["--top=2", "--seeds=1", "--epochs=2"]
    command = [sys.executable, "-m", "nas", "retrain", str(copy.folder), *words]
    for moment in (copy.folder / "retrain" / "checkpoints" / "1.npz", copy.folder / "final" / "checkpoints" / "0.npz"):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until(moment.exists, "the moment of the kill")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    found = nas("retrain", copy.folder, cwd=tmp_path)  # as it was planned when it began
    assert found.returncode == 0, found.stderr
    assert "going on with the retraining that began" in found.stdout
    for part in ("retrain", "final"):
        assert without_seconds(copy.folder / part / "leaderboard.csv") == without_seconds(
            calm.folder / part / "leaderboard.csv"
        )
    assert copy.final.read_text() == calm.final.read_text()
    assert (copy.folder / "confusion.csv").read_text() == (calm.folder / "confusion.csv").read_text()


@pytest.mark.slow
def test_one_candidate_with_one_seed_is_not_compared_and_has_as_many_epochs_as_fit(copy: Run, pace: float) -> None:
    done = retrain(copy.folder, Silent(), number=1, seeds=1, time=20 * pace)
    assert (done.winner, done.compared) == (1, None)
    assert not (copy.folder / "retrain").exists()
    (last,) = records(copy.folder / "final")
    assert last.epochs > 2, "as many as fit; where the machine has become slower since, the time ends them"


@pytest.mark.slow
def test_search_and_retraining_in_one_go(tmp_path: Path, pace: float) -> None:
    view, few = Listening(), {**SMALL_SEARCH, "budget": 2, "epochs": 1}
    own: dict[str, Any] = {"workers": 2, "objective": "f1", "class_weight": "balanced"}
    search(out=tmp_path / "run", view=view, retrain=True, time=30 * pace, **few, **own)  # a fifth of it for the search
    assert view.notes[-1].startswith("on 360 test pictures, which it was not chosen by:")
    assert Run(tmp_path / "run").final.exists()
    kept = Run(tmp_path / "run" / "final").read_settings()["settings"]
    assert (kept["objective"], kept["class_weight"]) == ("f1", "balanced")


@pytest.mark.slow
def test_an_epoch_longer_than_the_time_of_the_search_is_waited_for(tmp_path: Path, pace: float) -> None:
    view = Listening()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.jobs.SEARCHING", 0.001)  # of the time, for the search: not enough for an epoch of anything
        search(out=tmp_path / "run", view=view, retrain=True, time=25 * pace, **{**SMALL_SEARCH, "budget": 1, "epochs": 1})
    assert "no candidate had an epoch in the time of the search; it goes on for half of what is left" in view.notes
    assert Run(tmp_path / "run").final.exists()


def test_what_cannot_be_retrained_is_told(copy: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seeds: a whole number from 1 to 1,000 is expected; found 0"):
        retrain(copy.folder, Silent(), seeds=0)
    with pytest.raises(ConfigError, match="--seeds: a whole number from 1 to 1,000 is expected; found 10000000"):
        retrain(copy.folder, Silent(), seeds=10_000_000)
    with pytest.raises(ConfigError, match="--epochs: a whole number from 1 to 10,000 is expected; found 20000"):
        retrain(copy.folder, Silent(), epochs=20_000)
    with pytest.raises(ConfigError, match="--time: a time such as 90s, 30m or 1h30m is expected; found 'soon'"):
        retrain(copy.folder, Silent(), time="soon")
    with pytest.raises(RunError, match="there is no candidate 99"):
        retrain(copy.folder, Silent(), number=99)
    with pytest.raises(ConfigError, match="--top, --number: give one of them alone"):
        retrain(copy.folder, Silent(), number=0, top=2)
    plan = RetrainPlan(asked=dict.fromkeys(("top", "number", "seeds", "epochs")), candidates=[0, 1], seeds=1, epochs=1)
    for damage, told in (
        ({"asked": {}}, "what was asked, or a candidate, is missing or there twice"),
        ({"asked": {**plan.asked, "top": -3}}, "--top: a whole number from 1 is expected; found -3"),
        ({"time": -5.0}, "Input should be greater than 0"),
        ({"candidates": [1, 1]}, "what was asked, or a candidate, is missing or there twice"),
        ({"winner": 7}, "the winner is none of the candidates"),
        ({"candidates": 3}, "Input should be a valid list"),
    ):
        (copy.folder / PLAN).write_text(dumped({**plan.model_dump(), **damage}))
        words = f"is damaged ({told}); remove retrain.yaml, retrain/ and final/ to begin the retraining anew"
        with pytest.raises(RunError, match=re.escape(words)):
            retrain(copy.folder, Silent())
    (copy.folder / PLAN).write_text(dumped({**plan.model_dump(), "candidates": [99]}))
    with pytest.raises(RunError, match=r"there is no candidate 99; .*; retrain.yaml names it: remove retrain.yaml, retrain/ "):
        retrain(copy.folder, Silent())
    with pytest.raises(RunError, match="is no run folder"):
        retrain(tmp_path, Silent())
    assert not copy.final.exists()


@pytest.mark.slow
def test_one_known_network_is_trained_and_scored(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK)
    found = nas("train", "mine.yaml", "--epochs=1", "--out=one", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "on 360 test pictures" in found.stdout
    rows = read_final(tmp_path / "one" / "final.csv")
    assert (rows["network", ""]["value"], rows["epochs", ""]["value"]) == ("mine", "1")
    assert float(rows["validation_accuracy", ""]["value"]) > 0.1
    (row,) = (each.row for each in compare([tmp_path / "one"]))
    assert (row["strategy"], row["best_score"] != "") == ("training", True)
    seen = Run(shutil.copytree(tmp_path / "one", tmp_path / "seen"))
    facts = seen.read_settings()
    seen.write_settings({**facts, "settings": {**facts["settings"], "validation_part": 0.0}})
    ((row, curve),) = ((each.row, each.curve) for each in compare([seen.folder]))
    assert (row["best_score"], curve) == ("", ()), "a score of training pictures is no measure of others"
    assert "a training of one network in the space connected" in report(seen.folder, pictures=False, view=Silent()).read_text()
    again = nas("train", "mine.yaml", "--out=one", cwd=tmp_path)
    assert again.returncode == 2
    assert "is done; its figures are in final.csv" in again.stderr


def test_test_pictures_that_were_learned_from_are_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    class_folder(data / "train", {"a": 20, "b": 20})
    class_folder(data / "test", {"a": 5, "b": 5}, seed=1)
    shutil.copy(data / "train" / "a" / "003.png", data / "test" / "a" / "again.png")
    (data / "train" / "b" / "damaged.png").write_bytes(b"no picture")
    (data / "test" / "b" / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("digits", str(data)))
    view = Listening()
    done = train(str(tmp_path / "mine.yaml"), view, tmp_path / "one", epochs=1)
    assert (done.score.pictures, read_final(done.folder / "final.csv")["repeated", ""]["value"]) == (11, "1")
    assert any(note.startswith("of the 11 test pictures 1 is among the training pictures") for note in view.notes)
    facts = Run(done.folder).read_settings()
    assert facts[SCORED]["model"] == digest_of(done.folder / "best.keras")


@pytest.mark.parametrize("line", ["retrain: true", "inherit: true", "start_from: baselines", "storage: sqlite:///x"])
def test_what_only_a_search_does_is_refused_in_the_file_of_one_network(line: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{line}{NETWORK}")
    with pytest.raises(ConfigError, match=f"{line.split(':')[0]}: has no meaning for 'nas train': "):
        train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one")
    assert not (tmp_path / "one").exists()


@pytest.mark.slow
def test_a_network_that_was_to_be_scored_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise RuntimeError("here it ends")

    (tmp_path / "mine.yaml").write_text(NETWORK.replace("0.005", "0.0050000000000004"))  # more digits than a space keeps
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="here it ends"):
        patch.setattr("nas.single.last_score", never)
        train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one", epochs=1)
    monkeypatch.setattr("nas.single.fit_listed", never)
    assert train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one").result.records[0].epochs == 1


def test_of_an_option_that_is_given_again_the_last_value_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise RuntimeError("here it ends")

    monkeypatch.setattr("nas.single.fit_listed", never)
    (tmp_path / "mine.yaml").write_text(NETWORK)
    for given, expected in (("10m", 600), ("20m", 1200), ("10m", 600), (None, 600)):
        with pytest.raises(RuntimeError, match="here it ends"):
            train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one", time=given)
        assert Run(tmp_path / "one").read_settings()["settings"]["time"] == expected


@pytest.mark.slow
def test_interrupted_training_of_one_network_goes_on_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("epochs: 2", "epochs: 15"))
    command = [sys.executable, "-m", "nas", "train", "mine.yaml", "--out=one", "--precision=auto"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    until((tmp_path / "one" / "checkpoints" / "0.npz").exists, "the first epoch")
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "nas train" in output
    assert "--out one" in output
    (tmp_path / "other.yaml").write_text(NETWORK.replace("filters: 16", "filters: 24", 1))
    with pytest.raises(RunError, match=r"is no training of .*other\.yaml"):
        train(str(tmp_path / "other.yaml"), Silent(), tmp_path / "one")
    with pytest.raises(ConfigError, match="--seed: cannot change on resume"):
        train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one", seed=9)
    again = {"precision": "auto", "seed": 0, "epochs": 15, "keep": 3}
    done = train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one", **again)
    assert done.result.records[0].epochs == 15
    assert Run(tmp_path / "one").read_settings()["settings"]["keep"] == 3, "it is kept, if it is not said again"
    assert done.score.accuracy.value > 0.8


@pytest.mark.slow
def test_a_time_beside_the_epochs_of_a_file_does_not_change_them(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("epochs: 2", "epochs: 2\ntime: 1h"))
    assert train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one").result.records[0].epochs == 2


def test_pictures_to_be_seen_that_a_file_names_decide_how_many_epochs_there_are(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("epochs: 2", "seen_pictures: 3300"))
    done = train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "run")
    assert done.result.records[0].epochs == 3, "of 1,078 pictures each"


@pytest.mark.slow
def test_one_network_is_trained_for_as_many_epochs_as_fit_into_a_time(tmp_path: Path, pace: float) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("epochs: 2", "epochs: 1000"))
    done = train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one", time=20 * pace)
    assert 1 < done.result.records[0].epochs < 1000
    assert done.score.accuracy.value > 0.5


def test_the_time_of_a_retraining_is_divided_by_what_epochs_took_before(copy: Run) -> None:
    copy.lock()
    try:
        back = reopened(copy, Silent(), SEARCH, time="1000s")
    finally:
        copy.unlock()
    now = time.monotonic()
    work = _Retraining(copy, back, Silent(), "", now + 1000, RetrainPace(copy, back))
    pictures, held = sum(back.card.counts), back.chosen.validation_part or 0.0
    with closing(Ledger(copy.study, back.space, "random", reading=True)) as ledger:
        took = epoch_seconds(ledger.epochs(1))
    assert took is not None
    looked = FORWARD * pictures * held
    whole = pictures * (1 - held)
    one = took / (whole * (back.chosen.train_part or 1.0) + looked)  # seconds for a picture
    assert work.pace.epoch_seconds(1, validated=True) == pytest.approx(one * (whole + looked))
    assert work.pace.epoch_seconds(1, validated=False) == pytest.approx(one * pictures)
    plan = RetrainPlan(asked=dict.fromkeys(ASKED), candidates=[1], seeds=1, epochs=7, winner=1)
    start = work.pace.start_up([1])
    assert start >= START_UP
    fitting = (1000 - start - AFTER) / (one * pictures)
    assert work._last_epochs(plan) == pytest.approx(min(LONGEST, fitting), rel=0.01)
    assert work._compared_by(plan) == pytest.approx(now + 1000 * SPARE * (COMPARING + SLACK), abs=5)
    given = plan.model_copy(update={"asked": {"epochs": 7}})
    assert work._last_epochs(given) == 7
    assert work._compared_by(given) == pytest.approx(now + 1000 - 7 * one * pictures - start - AFTER, abs=5)


def test_a_search_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--validation-part: a search compares candidates on validation pictures"):
        search(dataset="digits", validation_part=0, out=tmp_path / "run", view=Silent())


class EndingBefore(Listening):
    """Its wearer gives up when something is told; by default, when the winner is known."""

    def __init__(self, words: str = "the last fit") -> None:
        super().__init__()
        self.words = words

    def note(self, text: str) -> None:
        super().note(text)
        if text.startswith(self.words):
            raise RuntimeError("here it ends")


@pytest.mark.slow
def test_the_winner_stays_the_winner_whatever_is_repeated(copy: Run) -> None:
    """It is decided once, before the last fit: what is left of the comparison is not trained to its end afterwards."""
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, EndingBefore(), top=2, seeds=1, epochs=1)
    plan = copy.folder / PLAN
    first = int(re.findall(r"winner: (\d+)", plan.read_text())[0])
    (other,) = {int(number) for number in re.findall(r"^- (\d+)$", plan.read_text(), re.MULTILINE)} - {first}
    plan.write_text(plan.read_text().replace(f"winner: {first}", f"winner: {other}"))
    assert retrain(copy.folder, Silent()).winner == other
    assert records(copy.folder / "final")[0].parents == (other,)


@pytest.mark.slow
def test_what_was_asked_is_kept_when_it_is_repeated_and_other_wishes_are_refused(copy: Run) -> None:
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, Ending(), **{**FEW, "seeds": 1})
    with pytest.raises(RunError, match=r"--epochs: this retraining began with another value \(2\); leave it out to go on"):
        retrain(copy.folder, Silent(), epochs=9)
    with pytest.raises(RunError, match=r"--number: this retraining began without it; leave it out to go on"):
        retrain(copy.folder, Silent(), number=0)
    with pytest.raises(RunError, match=r"--top: this retraining began with another value \(2\)"):
        retrain(copy.folder, Silent(), top=3)
    retrain(copy.folder, Silent(), epochs=2)
    assert records(copy.folder / "final")[0].epochs == 2


@pytest.mark.slow
def test_only_what_was_done_before_is_nothing_left_to_do(copy: Run) -> None:
    class EndingInTheMiddle(Silent):
        def progress(self, progress: Progress, curve: Sequence[float]) -> None:
            raise RuntimeError("here it ends")

    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, EndingInTheMiddle(), number=0, epochs=2)
    with pytest.raises(RunError, match="--top: this retraining began without it"):
        retrain(copy.folder, Silent(), top=3)
    with pytest.raises(RunError, match="--seeds: this retraining began without it"):
        retrain(copy.folder, Silent(), seeds=4)
    view = Listening()
    retrain(copy.folder, view)
    assert not any(note.startswith("nothing was left to do") for note in view.notes)
    again = Listening()
    resume(copy.folder, again)
    assert any(note.startswith("nothing was left to do: 3 candidates done") for note in again.notes)


def test_with_another_time_the_last_fit_is_planned_anew_unless_it_has_begun(copy: Run, pace: float) -> None:
    told = []
    best = Run(copy.folder / COMPARISON).best
    best.parent.mkdir()
    best.touch()  # as a comparison leaves it: what it found is kept
    for seconds in (20, 60, math.inf):
        view = EndingBefore()
        with pytest.raises(RuntimeError, match="here it ends"):
            retrain(copy.folder, view, number=1, time=seconds * pace if seconds < math.inf else "none")
        if seconds == math.inf:
            assert view.notes[-1] == f"the last fit: #1, {FULL} epochs"
            continue
        told.append(int(view.notes[-1].partition("about ")[2].split()[0].replace(",", "")))
    assert told[1] > 2 * told[0]
    file = Run(copy.folder / FINAL).checkpoint(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    view = EndingBefore()
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, view, number=1, time=200 * pace)
    assert view.notes[-1].startswith("the last fit: #1, as many more epochs as fit, about ")
    assert f"last_epochs: {FULL}\n" in (copy.folder / PLAN).read_text(), "as its schedule began"


@pytest.mark.slow
def test_a_time_that_was_given_is_given_again_when_it_is_repeated(copy: Run, pace: float) -> None:
    """Without it the last fit would be of another length."""
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, EndingBefore(), number=1, time=20 * pace)
    view = Listening()
    retrain(copy.folder, view)
    assert any("as many epochs as fit" in note for note in view.notes)


@pytest.mark.slow
def test_a_time_that_is_over_before_the_last_fit_decides_nothing_about_it(copy: Run, pace: float) -> None:
    class Slow(Silent):
        def note(self, text: str) -> None:
            time.sleep(8 * pace if text.startswith("retraining: ") else 0)

    with pytest.raises(TimeOver, match=r"before the last fit; nothing is lost; give it more: nas retrain .* --time"):
        retrain(copy.folder, Slow(), number=1, time=8 * pace)
    assert "last_epochs: null" in (copy.folder / PLAN).read_text()
    view = EndingBefore()
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, view, time="none")
    assert view.notes[-1] == f"the last fit: #1, {FULL} epochs", "as many as without any time"


def test_a_retraining_that_a_search_goes_on_with_has_the_time_that_it_was_given(copy: Run) -> None:
    copy.settings.write_text(copy.settings.read_text().replace("  retrain: false", "  retrain: true"))
    for again in (retrain, resume):
        view = EndingBefore()
        with pytest.raises(RuntimeError, match="here it ends"):
            again(copy.folder, view, **({"number": 1, "time": 1000} if again is retrain else {}))
        assert view.notes[-1].startswith("the last fit: #1, as many epochs as fit, about ")


class Ending(Silent):
    """Its wearer gives up when the first training is done."""

    def finished(self, record: Record, best: Record | None) -> None:
        raise RuntimeError("here it ends")


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"number": 1, "epochs": 1}, {"number": 0, "epochs": 2}])
def test_what_an_abandoned_retraining_left_is_not_taken_for_this_one(copy: Run, other: dict[str, int]) -> None:
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, Ending(), number=0, epochs=1)
    (copy.folder / PLAN).unlink()
    with pytest.raises(RunError, match=r"(?s)holds another retraining.*To do this part .* anew, remove .*final"):
        retrain(copy.folder, Silent(), **other)
    shutil.rmtree(copy.folder / "final")
    assert retrain(copy.folder, Silent(), **other).winner == other["number"]


@pytest.mark.slow
def test_resuming_a_search_whose_retraining_has_begun_goes_on_with_the_retraining(copy: Run) -> None:
    copy.settings.write_text(copy.settings.read_text().replace("  retrain: false", "  retrain: true"))
    worst = min((each for each in records(copy.folder) if each.value is not None), key=lambda each: each.value or 0.0).number
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, Ending(), number=worst, seeds=1, epochs=1)
    before = len(records(copy.folder))
    view = Listening()
    resume(copy.folder, view)
    assert "the search is over: its retraining has begun" in view.notes
    assert copy.final.exists()
    assert len(records(copy.folder)) == before
    assert f"look:     nas show {copy.name} {worst}   (the winner;" in nas("resume", copy.folder, cwd=copy.folder).stdout


@pytest.mark.slow
def test_a_retraining_that_was_killed_before_its_first_candidate_goes_on(copy: Run) -> None:
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, Ending(), number=0, seeds=1, epochs=1)
    study = copy.folder / "final" / "study.db"
    assert not without_candidates(study)
    for left in study.parent.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
            left.mkdir()
        elif left.name != "run.yaml":
            left.unlink()
    sqlite3.connect(study).execute("CREATE TABLE begun (at)")
    assert without_candidates(study)
    study.write_bytes(b"")
    assert without_candidates(study)
    retrain(copy.folder, Silent(), number=0, seeds=1, epochs=1)
    assert copy.final.exists()


@pytest.mark.slow
def test_a_comparison_that_comes_to_no_end_leaves_the_choice_to_the_search(copy: Run, pace: float) -> None:
    best = max(records(copy.folder), key=lambda record: record.value or 0).number
    view = Listening()
    done = retrain(copy.folder, view, top=2, seeds=1, epochs=10_000, time=22 * pace)
    words = f"no training of the comparison came to its end in time: #{best}, the best of the search, is taken"
    assert words in view.notes
    assert (done.winner, done.compared) == (best, None)
    assert read_final(copy.final)["candidates", ""]["value"] == str(best), "nothing was compared"
    assert not Run(copy.folder / "retrain").best.exists()


@pytest.mark.slow
def test_a_search_without_any_candidate_that_was_done_can_be_retrained(tmp_path: Path, pace: float) -> None:
    run = Run(tmp_path / "run")
    search(**{**SMALL_SEARCH, "epochs": 10_000, "budget": 2}, time=20 * pace, out=run.folder, view=Silent())
    found = [record for record in records(run.folder) if record.value is not None]
    assert found
    assert all(record.state == "running" for record in found)
    best = max(found, key=lambda record: (record.value or 0, -record.number)).number
    view = Listening()
    assert retrain(run.folder, view, epochs=1).winner == best
    assert f"no candidate was trained to the end: #{best}, the best so far, is taken" in view.notes


def test_the_best_model_is_replaced_only_when_the_figures_are_there(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was fitted on all pictures must not stand where the search's best one is expected."""
    before = copy.best.read_bytes()

    class Unlucky(Silent):
        def preparing(self, done: int, total: int) -> None:
            if (copy.folder / "final" / "best.keras").exists():
                raise RuntimeError("here it ends")

    def no_picture(score: Score, what: str) -> bytes:
        raise RuntimeError("or here")

    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, Unlucky(), number=0, seeds=1, epochs=1)
    last = copy.folder / "final" / "best.keras"
    fitted = last.read_bytes()
    last.write_bytes(fitted[:1000])
    with pytest.raises(RunError, match=r"cannot be read as a model: .*; remove .*final to fit it anew"):
        retrain(copy.folder, Silent())
    last.write_bytes(fitted)
    assert not {SCORED, OPENED} & set(copy.read_settings()), "what could not be read has seen nothing"
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="or here"):
        patched.setattr("nas.final._confusion_png", no_picture)
        retrain(copy.folder, Silent(), number=0, seeds=1, epochs=1)
    assert copy.best.read_bytes() == before
    assert not copy.final.exists()
    last.write_bytes(before)
    with pytest.raises(RunError, match="its model is not what was there when its test part was first opened"):
        retrain(copy.folder, Silent())
    last.write_bytes(fitted)
    facts = copy.read_settings()
    copy.write_settings({**facts, SCORED: {**facts[SCORED], "test": "0123456789abcdef"}})
    with pytest.raises(RunError, match="its test pictures are not what was there when its test part was first opened"):
        retrain(copy.folder, Silent())
    copy.write_settings(facts)
    retrain(copy.folder, Silent(), number=0, seeds=1, epochs=1)
    assert copy.best.read_bytes() == (copy.folder / "final" / "best.keras").read_bytes() != before


@pytest.mark.slow
def test_whose_figures_may_have_been_seen_is_the_only_one_that_is_scored(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RunFailed):
        patch.setattr("nas.final.write_whole", full)
        retrain(copy.folder, Silent(), number=0, seeds=1, epochs=1)
    assert not copy.final.exists()
    plan, other = copy.folder / PLAN, copy.folder.with_name("other")
    shutil.copytree(copy.folder, other)
    (other / PLAN).unlink()
    shutil.rmtree(other / "final")
    with pytest.raises(
        RunError, match=r"its test part was opened for the model of #0, of which retrain.yaml or final/ is gone"
    ):
        retrain(other, Silent(), number=1, seeds=1, epochs=1)
    assert plan.exists()
    assert retrain(copy.folder, Silent()).winner == 0


def test_scores_are_compared_over_the_seeds_that_all_have() -> None:
    assert compared({1: {0: 0.5, 1: 0.75}, 2: {0: 0.625}}) == {1: [0.5], 2: [0.625]}
    assert compared({1: {0: 0.5, 1: 0.75}, 2: {2: 0.9}}) == {1: [0.5, 0.75]}


def test_where_nothing_came_to_its_end_the_best_that_did_not_fail_is_taken() -> None:
    plan = RetrainPlan(asked=dict.fromkeys(("top", "number", "seeds", "epochs")), candidates=[4, 2, 7], seeds=2, epochs=3)
    assert decided(plan, {})[0].winner == 4
    assert decided(plan, {4: {0: None}})[0].winner == 2
    found, lines = decided(plan, {number: {0: None} for number in (2, 4, 7)})
    failed, taken = "trainings failed (see retrain/leaderboard.csv)", ": #4, the best of the search, is taken"
    assert found.winner == 4
    assert lines == [f"of the comparison 3 {failed}, and the time was over before the others came to their end{taken}"]
    _, lines = decided(plan, {number: {0: None, 1: None} for number in (2, 4, 7)})
    assert lines == [f"of the comparison 6 {failed}{taken}"]
    found, lines = decided(plan, {4: {0: 0.5, 1: None}, 2: {0: 0.25, 1: 0.5}, 7: {0: 0.75, 1: 0.25}})
    assert (found.winner, found.compared, found.over) == (7, 0.5, {2: 2, 7: 2})
    assert "#4 is left out: more of its trainings failed, or fewer came to their end in time" in lines


def test_for_a_time_a_network_whose_epochs_are_short_may_win_with_a_lower_score() -> None:
    asked = dict.fromkeys(("top", "number", "seeds", "epochs"))
    plan = RetrainPlan(asked=asked, candidates=[4, 2], seeds=1, epochs=1)
    ended = {4: {0: 0.80}, 2: {0: 0.78}}  # errors of 0.20 and 0.22: a tenth more
    assert decided(plan, ended)[0].winner == 4
    assert decided(plan, ended, {4: 30.0, 2: 30.0})[0].winner == 4
    found, lines = decided(plan, ended, {4: 10.0, 2: 160.0})
    assert (found.winner, found.compared) == (2, 0.78)
    assert lines[0] == "#4: 0.8000 over 1 seed; about 10 epochs fit"
    assert lines[-1] == "now the winner, #2, which should reach most in the time, is fitted on all training pictures"
    losses = {4: {0: -0.5}, 2: {0: -0.9}}
    assert decided(plan, losses, {4: 1.0, 2: 16.0}, "loss")[0].winner == 2
    assert decided(plan, losses, {4: 10.0, 2: 160.0}, "loss")[0].winner == 4


def test_a_candidate_whose_trainings_fail_is_no_winner() -> None:
    assert compared({1: {0: 0.9, 1: None, 2: None}, 2: {0: 0.875, 1: 0.75, 2: 0.625}}) == {2: [0.875, 0.75, 0.625]}
    assert compared({1: {0: 0.9, 1: None}, 2: {0: 0.8, 1: None}}) == {1: [0.9], 2: [0.8]}
    assert compared({1: {0: None}, 2: {0: None, 1: None, 2: 0.5}}) == {2: [0.5]}
    assert compared({1: {0: None}}) == compared({}) == {}


@pytest.mark.slow
def test_full_length_is_not_limited_by_what_a_candidate_of_the_search_might_take(copy: Run) -> None:
    copy.settings.write_text(copy.settings.read_text().replace("trial_time: null", "trial_time: 0.01"))
    retrain(copy.folder, Silent(), number=0, seeds=1, epochs=1)
    assert records(copy.folder / "final")[0].state == "trained"


def test_a_run_of_another_kind_is_refused(small_run: Path, tmp_path: Path) -> None:
    for kind in ("training", "part of a retraining"):
        run = Run(shutil.copytree(small_run, tmp_path / kind.split()[0]))
        run.settings.write_text(run.settings.read_text().replace("kind: search", f"kind: {kind}"))
        for verb in (retrain, resume):
            with pytest.raises(RunError, match=f"is no search but a {kind}"):
                verb(run.folder, Silent())
    (tmp_path / "mine.yaml").write_text(NETWORK)
    genotype = read_genotype(str(tmp_path / "mine.yaml"))[1]
    searched = Run(shutil.copytree(small_run, tmp_path / "searched"))
    searched.write_settings({**searched.read_settings(), "start": [genotype]})
    with pytest.raises(RunError, match="is no training but a search"):
        train(str(tmp_path / "mine.yaml"), Silent(), searched.folder)


def test_a_test_part_that_is_wrong_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    class_folder(tmp_path / "data" / "train", {"a": 20, "b": 20})
    class_folder(tmp_path / "data" / "test", {"a": 5, "c": 5})
    (tmp_path / "mine.yaml").write_text(NETWORK.replace("dataset: digits", f"dataset: {tmp_path / 'data'}"))
    with pytest.raises(DatasetError, match="its test part has other classes than its training part: a, c"):
        train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "one")
    assert not (tmp_path / "one").exists()
    with pytest.raises(DatasetError, match="its test part has other classes than its training part: a, c"):
        search(dataset=tmp_path / "data", retrain=True, budget=1, out=tmp_path / "two", view=Silent())
    assert not (tmp_path / "two").exists()


def test_a_test_part_of_a_known_data_set_that_is_wrong_is_told_as_early(tmp_path: Path) -> None:
    class_folder(tmp_path / "data" / "cats_dogs" / "training_set", {"cats": 20, "dogs": 20})
    class_folder(tmp_path / "data" / "cats_dogs" / "test_set", {"cat": 5, "dog": 5})
    with pytest.raises(DatasetError, match="its test part has other classes than its training part: cat, dog"):
        search(dataset="cats_dogs", data_dir=tmp_path / "data", retrain=True, budget=1, out=tmp_path / "run", view=Silent())
    assert not (tmp_path / "run").exists()


def test_a_network_that_does_not_fit_the_pictures_leaves_no_folder(small_run: Path, tmp_path: Path) -> None:
    """They are known when they were prepared, but for what a backbone was trained on."""
    class_folder(tmp_path / "data" / "train", {"a": 20, "b": 20})
    class_folder(tmp_path / "data" / "test", {"a": 5, "b": 5})
    genes = f"{{backbone: {small_run}, head: average}}"
    (tmp_path / "space.yaml").write_text(
        f"name: transfer\ngroups: {{blocks: {{repeat: 0, genes: {{filters: 4}}}}}}\ngenes: {genes}\n"
    )
    (tmp_path / "mine.yaml").write_text(f"space: space.yaml\ndataset: data\ngenotype: {{blocks: [], {genes[1:]}\n")
    found = nas("train", "mine.yaml", "--out=one", cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert "is for pictures of 1 channel, these have 3" in found.stderr
    assert not (tmp_path / "one").exists()


def test_a_plan_for_a_time_in_which_nothing_was_trained_is_made_anew_for_another(copy: Run) -> None:
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, EndingBefore(), top=2, time=20)
    assert re.search(r"^candidates:\n- \d\n[a-z]", (copy.folder / PLAN).read_text(), re.MULTILINE), "no time to compare two"
    planned = (copy.folder / PLAN).read_text()
    with pytest.raises(ConfigError, match="--time: a time such as 90s"):
        retrain(copy.folder, EndingBefore(), time="soon")
    with pytest.raises(NasError):
        retrain(copy.folder, EndingBefore(), time=10_000, data_dir=str(copy.folder / "nowhere"), executor="nobody's")
    assert (copy.folder / PLAN).read_text() == planned, "what was asked then is kept until there is another plan"
    view = EndingBefore("retraining: ")
    with pytest.raises(RuntimeError, match="here it ends"):
        retrain(copy.folder, view, time=10_000)
    assert re.match(r"retraining: #\d, #\d, 3 seeds each, ", view.notes[-1]), "two, as was asked then"


@pytest.mark.slow
def test_a_last_fit_that_cannot_come_to_its_end_is_told_with_what_to_do(tmp_path: Path) -> None:
    faults = switch.plugin(tmp_path, {0: Fault(switch.NOT_A_NUMBER, epoch=2)})
    search(out=tmp_path / "run", view=Silent(), plugin=(faults,), **{**SMALL_SEARCH, "budget": 1})
    for _ in range(2):
        with pytest.raises(NothingTrained, match=r"the loss became infinite or no number in epoch 3") as told:
            retrain(tmp_path / "run", Silent(), number=0, epochs=4)
        assert f"unless you remove {tmp_path / 'run' / FINAL}; to take another one, remove {PLAN}, " in str(told.value)
        assert str(told.value).endswith(f"and name it: nas retrain {tmp_path / 'run'} --number …")


def test_classes_whose_letters_the_font_lacks_are_numbers_in_the_picture(
    recwarn: pytest.WarningsRecorder, tmp_path: Path
) -> None:
    score = figures(np.asarray([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.asarray([0, 1, 1]), ("猫", "chien à poil très long"))
    run = Run.create(tmp_path / "run", "run")
    write_figures(run.final, score, {})
    assert (run.folder / "confusion.png").stat().st_size > 1000
    assert not recwarn.list
    assert "猫" in (run.folder / "confusion.csv").read_text(encoding="utf-8")


def test_a_plan_gives_up_seeds_then_candidates_before_it_says_no_more_than_the_search() -> None:
    asked: dict[str, int | None] = {"top": None, "number": None, "seeds": None, "epochs": None}

    def made(left: float | None, workers: int = 1, **changes: int) -> tuple[list[int], int, int]:
        plan = planned({**asked, **changes}, [4, 5, 6], workers, 3, left, lambda number: 1.0)
        return plan.candidates, plan.seeds, plan.epochs

    assert made(None) == ([4, 5, 6], 3, 30)
    assert made(None, epochs=5) == ([4, 5, 6], 3, 5)
    assert planned(asked, [4], 1, 50, None, lambda number: 1.0).epochs == 50, "not shorter than in the search"
    assert made(24_000) == ([4, 5, 6], 3, 327)
    assert made(100_000) == ([4, 5, 6], 3, LONGEST)
    assert made(1_200) == ([4, 5, 6], 3, 10)
    assert made(960) == ([4, 5, 6], 2, 14)
    assert made(960, workers=2) == ([4, 5, 6], 3, 18), "nine by twos are five rounds, the last one of one"
    assert made(1_200, workers=8) == ([4, 5, 6], 3, 69)
    assert made(264) == ([4, 5], 1, 10)
    assert planned(asked, [4, 5, 6], 1, 1.5, 264, lambda number: 1.0).candidates == [4, 5, 6], "a short search asks for less"
    one = planned({**asked, "number": 4}, [4], 1, 3, 1_200, lambda number: 1.0)
    assert one.trainings == 0, "there is nothing to compare it with"
    assert planned({**asked, "number": 4, "seeds": 3}, [4], 1, 3, 1_200, lambda number: 1.0).trainings == 3
    assert made(30)[:2] == ([4], 1)

    def told(left: float | None, numbers: list[int], **changes: int) -> str:
        return given_up(planned({**asked, **changes}, numbers, 1, 3, left, lambda number: 1.0), numbers)

    assert told(None, [4, 5, 6]) == told(1_200, [4, 5, 6]) == told(1_200, [4], number=4) == told(30, [4]) == ""
    assert told(264, [4, 5, 6]) == "; the time is too short to compare #4, #5, #6 over 3 seeds"
    assert told(30, [4, 5], seeds=1) == "; the time is too short to compare #4, #5 over 1 seed, or even two of them once"


def test_all_candidates_are_compared_after_as_many_epochs_whatever_each_takes() -> None:
    asked: dict[str, int | None] = {"top": None, "number": None, "seeds": None, "epochs": None}
    plan = planned(asked, [4, 5, 6], 1, 3, 1_200, lambda number: {4: 0.5, 5: 1.0, 6: 1.5}[number])
    assert (plan.candidates, plan.seeds, plan.epochs) == ([4, 5, 6], 3, 10)
    assert "10 epochs" in plan.words()
    assert planned({**asked, "epochs": 7}, [4, 5], 1, 3, 500, lambda number: float(number)).epochs == 7
