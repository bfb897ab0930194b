"""Plans: what a search would take is foretold without a run folder, and follows from what was rehearsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas import planning
from nas.config import settings
from nas.errors import ConfigError
from nas.forecast import expected_epochs
from nas.planning import plan, plan_lines
from nas.view import Silent
from tests.helpers import SMALL_SEARCH, nas


@pytest.mark.slow
def test_a_plan_says_time_memory_and_disk_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "EACH", 0.3)  # seconds of steps of each network; the figures need not be good ones
    small = {**SMALL_SEARCH, "budget": 30, "time": "1h"}
    found = plan(view=Silent(), **small)
    assert 0 < found.low <= found.each <= found.high
    assert found.seconds == pytest.approx(30 * found.each)
    assert found.fitting(10 * found.each) in (9, 10)
    assert 2e8 < found.memory < 2e10
    assert found.cache == 1437 * 72
    lines = plan_lines(found)
    assert [line.split("  ")[0] for line in lines] == ["one candidate", "the search", "memory, at most", "disk", "in 60 min"]
    assert list(tmp_path.iterdir()) == []


def test_a_pruner_leaves_fewer_epochs_and_fewer_still_in_a_longer_search() -> None:
    def epochs(pruner: str, budget: int) -> float:
        return expected_epochs(settings(pruner=pruner, budget=budget, epochs=9))

    assert epochs("none", 10) == 9
    assert 1 < epochs("asha", 200) < epochs("asha", 10) < 9
    assert epochs("asha", 200) == pytest.approx(3 + 6 / 3, rel=0.25), "a third beyond the rung"
    assert 1 < epochs("median", 50) < 9
    assert epochs("asha", 1) == 9


def test_a_plan_knows_the_options_of_a_search(tmp_path: Path) -> None:
    shown = nas("plan", "--help", cwd=tmp_path).stdout
    assert "--max-flops" in shown
    assert "How many candidates" in shown
    assert "--out" not in shown
    with pytest.raises(ConfigError, match="unknown setting 'budgte'"):
        plan(budgte=3)
