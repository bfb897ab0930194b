"""Searches from Python: with a user's own evaluator, on real digits, and on an imbalanced folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nas.errors import ConfigError, RunError, RunFailed
from nas.leaderboard import read_csv
from nas.resuming import resume
from nas.run import Run
from nas.searching import search
from nas.shared import reader_of
from nas.space import read_space
from nas.view import Plain, Silent
from tests.helpers import SMALL_SEARCH, class_folder, python, without_seconds

SPACE: dict[str, Any] = {
    "name": "table",
    "genes": {"x": {"range": [0, 9]}, "kind": {"choice": ["a", "b", "c"]}},
}


def score(genotype: dict[str, Any], report: Any) -> float:
    return float(genotype["x"] + 10 * (genotype["kind"] == "b"))


# ---- a user's own evaluator


@pytest.mark.parametrize("strategy", ["genetic", "optuna", "random"])
def test_evaluator_is_maximised(strategy: str) -> None:
    result = search(SPACE, evaluate=score, strategy=strategy, budget=30, seed=1)
    assert len(result.records) == 30
    assert result.ended == "budget"
    assert result.folder is None
    assert result.best is not None
    assert result.best.value == max(score(record.genotype, None) for record in result.records)


def test_known_genotypes_are_scored_first(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("genotype: {x: 4, kind: c}\n")
    result = search(SPACE, evaluate=score, budget=3, seed=1, start_from=(str(tmp_path / "mine.yaml"),))
    assert [(record.genotype, record.operator) for record in result.records[:1]] == [({"x": 4, "kind": "c"}, "known")]
    assert len(result.records) == 3


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"retrain": True}, "retrain: with an evaluator nothing is trained"),
        ({"inherit": True}, "inherit: with an evaluator nothing is trained"),
        ({"objective": "loss"}, "objective: with an evaluator its own score counts"),
        ({"genetic": {"shrink": 0.5}}, "--genetic: shrink has no effect without --inherit"),
        ({"max_params": 5}, "max_params: with an evaluator this has no effect"),
        ({"patience": 3}, "patience: with an evaluator this has no effect, for nothing is trained"),
        ({"workers": 2}, "workers: an evaluator runs in this process, one candidate at a time; found 2"),
        ({"sampler": "qmc"}, "--sampler: is for --strategy=optuna, and this is 'genetic'"),
        ({"strategy": "random", "genetic": {"pool": 5}}, "--genetic: is for --strategy=genetic, and this is 'random'"),
    ],
)
def test_what_would_have_no_effect_on_an_evaluator_is_refused(option: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        search(SPACE, evaluate=score, budget=3, **option)
    assert str(caught.value).startswith(told)


def test_rows_hold_what_is_promised_and_are_frozen() -> None:
    result = search(SPACE, evaluate=score, budget=25, seed=1, genetic={"assist": False, "population": 5, "tournament": 2})
    assert [record.number for record in result.records] == list(range(25))
    for record in result.records:
        assert (record.state, record.reason, record.value) == ("trained", "", score(record.genotype, None))
        assert all(parent < record.number for parent in record.parents)
    assert len({record.digest for record in result.records}) == 25, "equal genotypes are asked once"
    assert any(record.parents for record in result.records)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.records[0].value = 1.0  # type: ignore[misc]


def test_same_seed_same_search_and_another_seed_another() -> None:
    def drawn(seed: int) -> list[dict[str, Any]]:
        return [record.genotype for record in search(SPACE, evaluate=score, budget=12, seed=seed).records]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_table_is_the_leaderboard_best_first() -> None:
    result = search(SPACE, evaluate=score, budget=8, seed=1, strategy="random")
    table = result.to_pandas()
    assert result.best is not None
    assert list(table["rank"]) == list(range(1, 9))
    assert table["number"].iloc[0] == result.best.number
    assert table["val_accuracy"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (float("nan"), "the evaluator returned nan"),
        (float("inf"), "the evaluator returned inf"),
        ("0.5", "the evaluator returned '0.5', which is no number"),
        (None, "the evaluator returned None, which is no number"),
        (ValueError("not\nhere"), "ValueError: not"),
        (MemoryError(), "MemoryError:"),
    ],
)
def test_what_is_no_number_is_an_infeasible_row(answer: Any, reason: str) -> None:
    def partly(genotype: dict[str, Any], report: Any) -> Any:
        if genotype["kind"] == "a":
            if isinstance(answer, Exception):
                raise answer
            return answer
        return 1.0

    result = search(SPACE, evaluate=partly, budget=30, seed=1)
    bad = [record for record in result.records if record.genotype["kind"] == "a"]
    assert bad
    assert {(record.state, record.value, record.reason.strip()) for record in bad} == {("infeasible", None, reason)}
    assert all(record.state == "trained" for record in result.records if record not in bad)
    assert [row for row in result.to_pandas()["state"]][-len(bad) :] == ["infeasible"] * len(bad)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda genotype: 1.0, "does not take that: too many positional arguments"),
        (lambda genotype, report, more: 1.0, "does not take that: missing a required argument: 'more'"),
        (3, "does not take that: 3 is not a callable object"),
    ],
)
def test_evaluator_that_can_never_be_called_is_told_at_once(function: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        search(SPACE, evaluate=function, budget=4)


def test_a_search_that_never_came_to_its_strategy_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for budget in (4, 12):
        search(SPACE, evaluate=lambda genes, _: genes["x"], budget=budget, view=Plain())
    said = [line for line in capsys.readouterr().out.splitlines() if "random" in line and "drawn" in line]
    assert said == ["all 4 candidates were drawn at random: 'genetic' needs some to learn from before it proposes its own"]


def test_run_without_a_single_good_candidate_fails() -> None:
    with pytest.raises(RunFailed, match=r"no candidate could be trained; the last one: .*nan"):
        search(SPACE, evaluate=lambda genotype, report: float("nan"), budget=3)


def climbing(epochs: list[int]) -> Any:
    """An evaluator that reports at these epochs and gives up when told."""

    def evaluate(genotype: dict[str, Any], report: Any) -> float:
        for epoch in epochs:
            if not report(epoch, genotype["x"] * epoch):
                return 0.0
        return float(genotype["x"])

    return evaluate


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_pruner_stops_what_reports_badly(pruner: str) -> None:
    result = search(SPACE, evaluate=climbing([1, 2, 3]), budget=30, seed=1, strategy="random", pruner=pruner)
    stopped = [record for record in result.records if record.state == "stopped"]
    assert stopped
    assert {record.state for record in result.records} == {"trained", "stopped"}
    assert all(record.value == max(record.curve) for record in stopped)
    best = max(record.genotype["x"] for record in result.records)
    assert result.best is not None
    assert result.best.genotype["x"] == best


@pytest.mark.parametrize("pruner", ["none", "asha", "median"])
@pytest.mark.parametrize("epochs", [[0, 1, 2], [3, 6, 9], [5], [2, 1], [1, 1, 2]], ids=str)
def test_any_epochs_may_be_reported(pruner: str, epochs: list[int]) -> None:
    result = search(SPACE, evaluate=climbing(epochs), budget=30, seed=1, strategy="random", pruner=pruner)
    assert {record.reason for record in result.records} == {""}


def test_no_pruner_decides_after_the_last_report_where_their_number_is_told() -> None:
    whole: dict[str | None, int] = {}
    for epochs in (None, 3):
        result = search(
            SPACE, evaluate=climbing([1, 2, 3]), budget=40, seed=1, strategy="random", pruner="median", epochs=epochs
        )
        whole[epochs] = sum(record.state == "stopped" and len(record.curve) == 3 for record in result.records)
    assert whole[None] > whole[3] == 0


def test_without_a_pruner_nothing_is_stopped() -> None:
    result = search(SPACE, evaluate=climbing([1, 2, 3]), budget=20, seed=1)
    assert {record.state for record in result.records} == {"trained"}


def test_time_that_is_over_ends_an_evaluators_search() -> None:
    result = search("cnn", evaluate=lambda genotype, report: time.sleep(0.05) or 1.0, budget=100_000, strategy="random", time=1)
    assert result.ended == "time"
    assert 0 < len(result.records) < 100_000


def test_exhausted_space_ends_the_search() -> None:
    result = search(SPACE, evaluate=score, budget=99, seed=1)
    assert result.ended == "space"
    assert len(result.records) == 30


def test_evaluator_with_a_folder_keeps_everything(tmp_path: Path) -> None:
    result = search(SPACE, evaluate=score, budget=5, out=tmp_path / "run")
    assert result.folder == tmp_path / "run"
    assert len(without_seconds(tmp_path / "run" / "leaderboard.csv")) == 5
    with pytest.raises(RunError, match="scored by a Python function"):
        resume(tmp_path / "run", budget=9)
    with pytest.raises(RunError, match="holds scores of the function 'score', and this is '<lambda>'; give another folder"):
        search(SPACE, evaluate=lambda genes, _: 0.0, budget=9, out=tmp_path / "run")
    for option, words in (("seed", "seed 0, here 1"), ("pruner", "pruner 'none', here 'asha'")):
        with pytest.raises(RunError, match=f"holds another search \\({words}\\); give another folder"):
            search(SPACE, evaluate=score, budget=9, out=tmp_path / "run", **{option: {"seed": 1, "pruner": "asha"}[option]})
    assert len(search(SPACE, evaluate=score, budget=9, workers=1, out=tmp_path / "run").records) == 9


def test_what_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    for wrong in ({"start_from": ("nowhere",)}, {"workers": 2}, {"trial_memory": "1G"}):
        with pytest.raises(ConfigError):
            search(SPACE, evaluate=score, budget=3, out=tmp_path / "run", **wrong)  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()


def test_evaluator_may_go_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()

    def wanders(genotype: dict[str, Any], report: Any) -> float:
        os.chdir(tmp_path / "other")
        return score(genotype, report)

    search(SPACE, evaluate=wanders, budget=3, out="run")
    assert [row["state"] for row in without_seconds(tmp_path / "run" / "leaderboard.csv")] == ["trained"] * 3


@pytest.mark.parametrize("strategy", ["random", "genetic", "optuna"])
@pytest.mark.parametrize(
    "gene",
    [
        {"range": [0.0, 100.0], "step": 1e-6},
        {"range": [1e7, 1.1e7], "step": 0.01},
        {"range": [1, 10**14]},
        {"range": [1e-300, 1e14], "log": True},
        {"choice": list(np.linspace(0, 1, 3))},
        {"ordered": np.array([1, 2, 3])},
        {"range": [np.float64(0), np.float64(2)]},
        {"choice": ["a\x85b", "\u2028", "ü"]},
    ],
    ids=str,
)
def test_odd_genes_are_searched_written_and_read_again(gene: dict[str, Any], strategy: str, tmp_path: Path) -> None:
    space = {"name": "odd", "genes": {"x": gene, "y": {"range": [0.0, 1.0]}}}
    result = search(space, evaluate=lambda genes, _: genes["y"], strategy=strategy, budget=13, out=tmp_path / "run")
    again = Run.open(tmp_path / "run")
    assert read_space(again.read_settings()["space"]) == read_space(space)
    with closing(reader_of(again, again.read_settings())) as ledger:
        assert [record.genotype for record in ledger.records()] == [record.genotype for record in result.records]


def test_thousands_of_genes_are_written_and_read_again(tmp_path: Path) -> None:
    space = {"name": "wide", "genes": {f"x{each}": {"range": [0.0, 1.0]} for each in range(5_000)}}
    result = search(space, evaluate=lambda genes, _: genes["x0"], strategy="random", budget=2, out=tmp_path / "run")
    rows = {row["number"]: json.loads(row["genotype"]) for row in read_csv(tmp_path / "run" / "leaderboard.csv")}
    assert [rows[record.number] for record in result.records] == [record.genotype for record in result.records]


def test_evaluator_and_data_set_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        search(SPACE, evaluate=score, dataset="digits")


def test_evaluator_runs_in_this_process_only() -> None:
    """A function cannot be sent to a worker by name, and a search that tries must say so."""
    with pytest.raises(ConfigError, match="executor"):
        search(SPACE, evaluate=score, budget=2, executor="processes")


def test_interrupt_in_an_evaluator_passes_through() -> None:
    def interrupted(genotype: dict[str, Any], report: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(SPACE, evaluate=interrupted, budget=2)


@pytest.mark.parametrize(
    "code",
    [
        "import nas\nnas.resume\nprint(callable(nas.search))",
        "import nas\nnas.Result\nprint(callable(nas.search))",
        "import nas\nfrom nas.searching import Result\nprint(callable(nas.search))",
        "import nas\nnas.search\nfrom nas.searching import Result\nprint(callable(nas.search))",
    ],
)
def test_search_is_a_function_whatever_was_used_before(tmp_path: Path, code: str) -> None:
    found = python(code, tmp_path)
    assert found.stdout == "True\n", found.stderr


def test_every_public_name_is_there(tmp_path: Path) -> None:
    found = python("import nas\nprint([name for name in nas.__all__ if getattr(nas, name) is None])", tmp_path)
    assert found.stdout == "[]\n", found.stderr


# ---- networks


def test_run_folder_holds_what_is_promised(small_run: Path) -> None:
    assert {each.name for each in small_run.iterdir() if not each.name.startswith(".")} == {
        *("study.db", "leaderboard.csv", "run.yaml", "models", "best.keras", "log.txt", "checkpoints")
    }
    assert list((small_run / "checkpoints").iterdir()) == []


def test_run_file_says_how_to_do_it_again(small_run: Path) -> None:
    facts = yaml.safe_load((small_run / "run.yaml").read_text())
    assert {key: facts["settings"][key] for key in SMALL_SEARCH} == SMALL_SEARCH
    assert facts["settings"]["precision"] in ("float32", "bfloat16")
    assert facts["settings"]["threads"] >= 1
    assert facts["settings"]["train_part"] == 1.0
    assert facts["settings"]["validation_part"] == 0.25
    assert {"python", "nas", "keras", "optuna", "deap", "numpy"} <= set(facts["versions"])
    assert facts["machine"]["backend"] == "tensorflow"
    assert all(isinstance(facts["digests"][part], str) for part in ("space", "data"))
    assert facts["data"]["classes"] == list("0123456789")
    assert facts["space"]["name"] == "connected"


def test_leaderboard_is_in_order_and_within_the_limits(small_run: Path) -> None:
    with (small_run / "leaderboard.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["rank"]) for row in rows] == [1, 2, 3]
    trained = [float(row["val_accuracy"]) for row in rows if row["state"] == "trained"]
    assert trained == sorted(trained, reverse=True)
    assert {row["state"] for row in rows} <= {"trained", "stopped"}
    assert all(int(row["flops"]) <= SMALL_SEARCH["max_flops"] for row in rows)
    assert all(len(row["curve"].split()) == int(row["epochs"]) for row in rows)


def test_best_model_is_the_first_row(small_run: Path) -> None:
    from nas.training.handover import load_model

    best = without_seconds(small_run / "leaderboard.csv")[0]
    facts = load_model(small_run / "best.keras").facts
    assert facts["number"] == int(best["number"])
    assert facts["value"] == float(best["val_accuracy"])
    assert (small_run / "models" / f"{best['number']}.keras").read_bytes() == (small_run / "best.keras").read_bytes()


@pytest.mark.slow
def test_few_models_are_kept_and_a_run_can_be_extended(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    few = {**SMALL_SEARCH, "epochs": 1, "keep": 1}
    search(out=folder, view=Silent(), **{**few, "budget": 2})
    assert len(list((folder / "models").iterdir())) == 1
    before = without_seconds(folder / "leaderboard.csv")
    result = resume(folder, budget=3, view=Silent())
    assert [record.number for record in result.records] == [0, 1, 2]
    after = {row["number"]: row for row in without_seconds(folder / "leaderboard.csv")}
    assert all({**after[row["number"]], "rank": ""} == {**row, "rank": ""} for row in before)
    assert result.best is not None
    assert [file.name for file in (folder / "models").iterdir()] == [f"{result.best.number}.keras"]
    assert yaml.safe_load((folder / "run.yaml").read_text())["settings"]["budget"] == 3


def test_resume_refuses_what_would_be_another_search(small_run: Path) -> None:
    with pytest.raises(ConfigError, match="--seed: cannot change on resume"):
        resume(small_run, seed=4)


def test_workers_that_the_inline_executor_has_not_are_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--workers: the executor 'inline' trains one candidate at a time; found 2"):
        search("connected", "digits", executor="inline", workers=2, out=tmp_path / "run", view=Silent())
    assert not (tmp_path / "run").exists()


def test_resume_to_fewer_candidates_than_there_are_is_refused(small_run: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(small_run, tmp_path / "run"))
    before = run.settings.read_text()
    with pytest.raises(ConfigError, match=r"--budget 2: there are \d+ candidates already; give as many or more"):
        resume(run.folder, budget=2, view=Silent())
    assert run.settings.read_text() == before


def test_resume_of_a_finished_run_changes_nothing(small_run: Path) -> None:
    before = (small_run / "leaderboard.csv").read_bytes()
    assert resume(small_run, view=Silent()).ended == "budget"
    assert (small_run / "leaderboard.csv").read_bytes() == before


@pytest.mark.slow
def test_imbalanced_folder_of_three_classes_is_searched_without_opening_the_test_part(tmp_path: Path) -> None:
    """An audit hook in driver and workers writes down every file that is opened."""
    data, opened = tmp_path / "data", tmp_path / "opened.txt"
    class_folder(data / "train", {"many": 60, "some": 20, "few": 6})
    class_folder(data / "test", {"many": 4, "some": 4, "few": 4}, seed=1)
    (tmp_path / "audit.py").write_text(
        f"""
import os, sys
log = os.open({str(opened)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        os.write(log, (arguments[0] + "\\n").encode())
sys.addaudithook(hook)
"""
    )
    found = python(
        f"""
import nas
result = nas.search("connected", {str(data)!r}, "optuna", 2, epochs=2, seed=1, max_flops="2M", pruner="none",
                    plugin=({str(tmp_path / "audit.py")!r},), out={str(tmp_path / "run")!r})
print([record.state for record in result.records])
""",
        tmp_path,
    )
    assert "['trained', 'trained']" in found.stdout, found.stderr
    assert "86 training pictures, 3 classes of 6 to 60" in found.stdout
    touched = opened.read_text().splitlines()
    assert len({path for path in touched if path.startswith(str(data / "train"))}) == 86
    assert not [path for path in touched if path.startswith(str(data / "test"))]
    facts = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert facts["data"]["counts"] == [6, 60, 20]
    assert json.loads(json.dumps(facts["data"]["classes"])) == ["few", "many", "some"]


@pytest.mark.slow
def test_with_two_workers_the_best_model_is_handed_over_and_none_is_lost(tmp_path: Path) -> None:
    few: dict[str, Any] = {"epochs": 1, "pruner": "none", "max_flops": "2M", "workers": 2, "keep": 2}
    result = search("connected", "digits", "random", 4, out=tmp_path / "run", **few)
    assert result.best is not None
    with zipfile.ZipFile(tmp_path / "run" / "best.keras") as archive:
        assert json.loads(archive.read("nas.json"))["number"] == result.best.number
    trained = sorted((r for r in result.records if r.state == "trained"), key=lambda r: -(r.value or 0))
    kept = {int(file.stem) for file in (tmp_path / "run" / "models").iterdir()}
    assert len(kept) == 2
    assert all(record.value >= trained[1].value for record in trained if record.number in kept)
