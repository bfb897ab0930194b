"""Runs side by side: the best so far of each, in a table, as CSV and as a picture."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nas.compare import compare, lines
from nas.errors import InputError, RunError
from nas.run import Run
from nas.searching import search
from nas.view import Silent

SPACE = {"name": "toy", "genes": {"x": {"range": [0.0, 1.0]}}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("compare")
    for name, budget in (("random", 12), ("genetic", 30)):
        words = {"space": SPACE, "strategy": name, "budget": budget, "seed": 1, "out": folder / name}
        search(evaluate=lambda genes, _: genes["x"], view=Silent(), **words)  # type: ignore[arg-type]
    return [folder / "random", folder / "genetic"]


def test_curves_are_the_best_so_far(runs: list[Path], tmp_path: Path) -> None:
    found = compare(runs, tmp_path / "out")
    with (tmp_path / "out" / "compare.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [len(each.curve) for each in found] == [12, 30]
    assert len(rows) == 42
    for run, each in zip(runs, found, strict=True):
        own = [row for row in rows if row["run"] == str(run)]
        best = 0.0
        for place, row in enumerate(own, start=1):
            best = max(best, float(row["score"]))
            assert (int(row["candidates"]), float(row["best_so_far"])) == (place, best)
        assert each.row["best_score"] == f"{best:.4f}"
        assert [float(row["minutes"]) for row in own] == sorted(float(row["minutes"]) for row in own)
    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.width > 800


def test_table_compares_after_equal_numbers(runs: list[Path]) -> None:
    text = "\n".join(lines(compare(runs)))
    (marks,) = [line.split() for line in text.splitlines() if line.startswith("run") and "20" in line]
    assert marks == ["run", "1", "5", "10", "20", "30"]
    (short,) = [line for line in text.splitlines() if line.startswith(str(runs[0])) and " toy " not in line]
    assert len(short.split()) == 4, "the shorter one has no score after 20 and 30"
    assert "of different" not in text


def test_runs_whose_scores_are_no_measure_of_each_other_are_told(runs: list[Path], tmp_path: Path) -> None:
    other = Run(shutil.copytree(runs[0], tmp_path / "other"))
    other.settings.write_text(other.settings.read_text().replace("objective: accuracy", "objective: f1"))
    assert "of different objectives: their scores are no measure of each other" in lines(compare([runs[1], other.folder]))


def test_a_last_candidate_that_failed_counts_as_done(runs: list[Path], tmp_path: Path) -> None:
    def fails_at_last(genes: dict[str, float], _: object) -> float:
        fails_at_last.calls += 1  # type: ignore[attr-defined]
        if fails_at_last.calls == 12:  # type: ignore[attr-defined]
            raise ValueError("a bad one")
        return genes["x"]

    fails_at_last.calls = 0  # type: ignore[attr-defined]
    search(SPACE, evaluate=fails_at_last, strategy="random", budget=12, out=tmp_path / "failed", view=Silent())
    text = list(lines(compare([runs[0], tmp_path / "failed"])))
    assert [len(line.split()) for line in text[-2:]] == [5, 5], "the run, and its best after 1, 5, 10 and 12"


def test_what_cannot_be_compared_is_told(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is named twice"):
        compare([runs[0], runs[0]])
    with pytest.raises(RunError, match="is no run folder"):
        compare([runs[0], tmp_path])
