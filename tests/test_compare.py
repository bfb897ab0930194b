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
            assert int(row["number"]) == place - 1
        assert each.row["best_score"] == f"{best:.4f}"
        assert [float(row["minutes"]) for row in own] == sorted(float(row["minutes"]) for row in own)
    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.width > 800


def test_table_compares_after_equal_numbers(runs: list[Path]) -> None:
    text = list(lines(compare(runs)))
    marks, short, _ = text[text.index("best so far after so many candidates:") + 1 :]
    assert marks.split() == ["run", "1", "5", "10", "12", "20", "30"]
    assert len(short.split()) == 5, "the shorter one has no score after 20 and 30"
    assert "of different" not in "".join(text)


def test_settings_in_which_they_differ_are_named(runs: list[Path], tmp_path: Path) -> None:
    text = list(lines(compare(runs)))
    place = text.index("settings in which they differ:")
    assert [line.split()[1:] for line in text[place + 1 : place + 4]] == [["budget"], ["12"], ["30"]]
    other = Run(shutil.copytree(runs[0], tmp_path / "other"))
    assert "settings in which they differ:" not in lines(compare([runs[0], other.folder]))
    changed = other.settings.read_text().replace("pool: 40", "pool: 20").replace("seed: 1\n", "seed: 7\n")
    other.settings.write_text(changed)
    text = list(lines(compare([runs[0], other.folder])))
    place = text.index("settings in which they differ:")
    assert [line.split()[1:] for line in text[place + 1 : place + 4]] == [["seed", "genetic.pool"], ["1", "40"], ["7", "20"]]


def test_runs_whose_scores_are_no_measure_of_each_other_are_told(runs: list[Path], tmp_path: Path) -> None:
    other = Run(shutil.copytree(runs[0], tmp_path / "other"))
    other.settings.write_text(other.settings.read_text().replace("evaluator: <lambda>", "evaluator: another"))
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
