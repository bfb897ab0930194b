"""A search whose candidates begin with their parents' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.errors import ConfigError
from nas.resuming import resume
from nas.searching import search
from nas.view import Silent
from tests.helpers import without_seconds

# One network, and rates at which two epochs are not enough from random weights
SPACE: dict[str, Any] = {
    "name": "rates",
    "groups": {"blocks": {"repeat": 1, "genes": {"block": "conv", "filters": 16, "norm": "batch"}}},
    "genes": {"learning_rate": {"range": [2e-4, 2e-3], "log": True}, "head": "flatten", "batch_size": 64},
}
FEW: dict[str, Any] = {"dataset": "digits", "epochs": 2, "pruner": "none", "seed": 1, "view": Silent()}
SMALL: dict[str, Any] = {"assist": False, "population": 3, "tournament": 2, "crossover": 0}


@pytest.mark.slow
def test_children_go_on_where_their_parents_ended(tmp_path: Path) -> None:
    result = search(SPACE, strategy="genetic", budget=6, inherit=True, keep=1, genetic=SMALL, out=tmp_path / "run", **FEW)
    records = {record.number: record for record in result.records}
    children = [record for record in records.values() if record.parents]
    assert len(children) == 3
    for child in children:
        parent = records[child.parents[0]]
        assert child.curve[0] > (parent.value or 0) - 0.05, f"#{child.number} did not begin where #{parent.number} was"
    strangers = [record for record in records.values() if not record.parents]
    assert min(child.curve[0] for child in children) > max(record.curve[0] for record in strangers)
    kept = {int(file.stem) for file in (tmp_path / "run" / "models").iterdir()}
    assert kept >= {3, 4, 5}, "the population's, of which the next children would come"
    parts = tmp_path / "parts"
    search(SPACE, strategy="genetic", budget=4, inherit=True, keep=1, genetic=SMALL, out=parts, **FEW)
    resume(parts, budget=6, view=Silent())
    assert without_seconds(parts / "leaderboard.csv") == without_seconds(tmp_path / "run" / "leaderboard.csv")


def test_to_shrink_what_nobody_inherits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="genetic: shrink has no effect without --inherit"):
        search(SPACE, strategy="genetic", budget=2, genetic={"shrink": 0.4}, out=tmp_path / "run", **FEW)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("strategy", ["random", "optuna"])
def test_without_parents_there_is_nothing_to_inherit(strategy: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--inherit: needs parents: '{strategy}' has none, 'genetic' has"):
        search(SPACE, strategy=strategy, budget=2, inherit=True, out=tmp_path / "run", **FEW)
    assert not (tmp_path / "run").exists()
