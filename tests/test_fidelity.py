"""The report of `benchmarks/fidelity.py`, by which the presets were chosen, on rows whose ranks are known."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path

import pytest

from tests.helpers import ROOT

LONG = [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85]
FIRST = [0.40, 0.39, 0.38, 0.37, 0.33, 0.34, 0.35, 0.36]  # the worse half above the better one, which is in order


def test_correlations_costs_and_choices_are_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    fidelity = importlib.import_module("fidelity")
    for number, (first, last) in enumerate(zip(FIRST, LONG, strict=True)):
        for way, pictures, curve in ((fidelity.LONG, 1_000, [0.1, last]), ("2 x 50", 100, [first, last - 0.1])):
            facts = ("C8", 10, 100, 64, pictures, 1.0, " ".join(map(str, curve)))
            fidelity.append(tmp_path / "found.csv", fidelity.COLUMNS, (number, way, *facts))
    fidelity.report(tmp_path / "found.csv")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "long scores: mean 0.6750, best 0.8500 of 8"
    one, two = csv.DictReader(printed[1:4])
    assert float(one["spearman"]) == pytest.approx(-0.762, abs=1e-3), "1 - 6 * 148 / (8 * 63)"
    assert -1 <= float(one["low"]) < float(one["spearman"]) < float(one["high"]) <= 1
    assert (float(one["better_half"]), float(two["spearman"]), float(two["better_half"])) == (1, 1, 1)
    assert (float(one["part_of_the_long_cost"]), float(two["part_of_the_long_cost"])) == (0.05, 0.1)
    assert float(one["chosen_of_half"]) < 0.6 < 0.75 < float(two["chosen_of_half"]), "the best of four, by its score"
