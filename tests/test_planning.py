"""Plans: what a search would take is foretold without a run folder, and follows from what was rehearsed."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from nas import planning
from nas.config import settings
from nas.errors import ConfigError, ServiceFailed
from nas.executors import Task
from nas.forecast import AROUND, Try, expected_epochs, rehearsed, with_room, within_limits
from nas.jobs import resolved
from nas.machine import workers_with_room
from nas.messages import DataCard, Rehearsed
from nas.planning import plan, plan_lines
from nas.retrainplan import FULL, SEEDS, TOP
from nas.space import read_space
from nas.view import Silent, duration
from tests.helpers import SMALL_SEARCH, make_job, nas


@pytest.mark.slow
def test_a_plan_says_time_memory_and_disk_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "EACH", 0.3)  # seconds of steps of each network; the figures need not be good ones
    small = {**SMALL_SEARCH, "budget": 30, "time": "1h"}
    found = plan(view=Silent(), **small)
    assert 0 < found.low <= found.each <= found.high
    assert found.seconds == pytest.approx(30 * found.each)
    assert found.fitting(found.before + 10 * found.each) in (9, 10)
    assert found.fitting(found.before + found.each / 2) == found.fitting(0.0) == 0
    assert found.retraining == 0
    chosen = found.chosen.model_copy(update={"retrain": True, "time": 100.0})
    before, after = plan_lines(dataclasses.replace(found, before=50.0, chosen=chosen))[-1].split("; ")
    assert before.startswith("in 60 s ")
    assert after == "the other 40 s are for the retraining"
    assert plan_lines(dataclasses.replace(found, before=500.0, chosen=chosen))[-1].endswith(
        "0 candidates fit; the other 0 s are for the retraining"
    )
    chosen = found.chosen.model_copy(update={"retrain": True, "time": 10 * (found.before + found.seconds)})
    before, after = plan_lines(dataclasses.replace(found, chosen=chosen))[-1].split("; ")
    assert before.split()[-4:] == ["all", "30", "candidates", "fit"], "it ends before its part of the time is over"
    assert after == f"the other {duration(9 * (found.before + found.seconds))} are for the retraining"
    chosen = found.chosen.model_copy(update={"retrain": True, "time": None})
    assert plan_lines(dataclasses.replace(found, retraining=600.0, chosen=chosen))[-1].endswith(
        "10 min on top of that; --time is for both"
    )
    assert 2e8 < found.memory < 2e10
    assert found.cache == 1437 * 72
    lines = plan_lines(found)
    needed = f"in {duration(found.before + found.seconds)}"
    assert [line.split("  ")[0] for line in lines] == ["one candidate", "the search", "memory, at most", "disk", needed]
    assert list(tmp_path.iterdir()) == []


def test_a_pruner_leaves_fewer_epochs_and_fewer_still_in_a_longer_search() -> None:
    def epochs(pruner: str, budget: int) -> float:
        return expected_epochs(settings(pruner=pruner, budget=budget, epochs=9))

    assert epochs("none", 10) == 9
    assert 1 < epochs("asha", 200) < epochs("asha", 10) < 9
    assert epochs("asha", 200) == pytest.approx(3 + 6 / 3, rel=0.25), "a third beyond the rung"
    assert 1 < epochs("median", 50) < 9
    assert epochs("asha", 1) == 9


@pytest.mark.parametrize(
    ("on_gpu", "in_memory", "workers"),
    [
        (0.5, 1.0, 8),  # one on each core
        (9.5, 1.0, 6),  # a context takes half a gigabyte more: six times ten
        (0.5, 30.0, 3),
        (200.0, 1.0, 1),
    ],
)
def test_candidates_share_a_gpu_by_what_the_rehearsals_took(
    on_gpu: float, in_memory: float, workers: int, digits: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.forecast.cores", lambda: 8)
    monkeypatch.setattr("nas.forecast.default_memory", lambda workers: 100_000_000_000)
    least = Try(make_job(digits, tmp_path), Rehearsed(9.0, 0.1, 0.01, 10**8, 10**8))
    most = Try(make_job(digits, tmp_path), Rehearsed(9.0, 0.1, 0.01, int(in_memory * 1e9), int(on_gpu * 1e9)))
    machine = {"precision": "bfloat16", "gpu": "a card", "gpu_memory": "63.76 GB"}
    chosen = resolved(settings(workers="auto"), digits, machine)
    assert chosen.workers == "auto"
    assert with_room(chosen, machine, [least, most]).workers == workers
    assert with_room(settings(workers=5), machine, [least, most]).workers == 5
    assert with_room(settings(workers="auto", budget=2), machine, [least]).workers == 2
    assert with_room(chosen, machine, [least], all_told=False).workers == 1, "of the largest nothing is known"
    assert resolved(settings(workers="auto"), digits, {"precision": "float32"}).workers == workers_with_room()


def test_a_retraining_takes_as_many_rounds_as_its_trainings_have_room_for(digits: DataCard, tmp_path: Path) -> None:
    chosen = resolved(settings(dataset="digits", precision="float32", epochs=2, workers=3), digits, {})
    each = Try(make_job(digits, tmp_path), Rehearsed(9.0, 0.5, 0.01, 10**8))
    held = sum(digits.counts) * chosen.validation_part
    start, epoch = AROUND + 9.0, each.epoch_seconds(sum(digits.counts) - held, held)
    last = start + FULL * each.epoch_seconds(sum(digits.counts), 0)
    for room, rounds in ((1, TOP * SEEDS), (2, math.ceil(TOP * SEEDS / 2)), (100, 1)):
        found = planning._retraining_seconds(chosen, digits, [each], room)
        assert found == pytest.approx(rounds * (start + FULL * epoch) + last)


def test_a_plan_knows_the_options_of_a_search(tmp_path: Path) -> None:
    asked, searched = (
        set(re.findall(r"--[a-z][a-z0-9-]+", nas(verb, "--help", cwd=tmp_path).stdout)) for verb in ("plan", "search")
    )
    assert searched - asked == {"--out"}
    assert asked <= searched
    with pytest.raises(ConfigError, match="unknown setting 'budgte'"):
        plan(budgte=3)


def test_a_cluster_that_goes_is_not_taken_for_a_networks_fault(digits: DataCard) -> None:
    asked: list[Task] = []

    class Gone:
        def call(self, task: Task) -> Any:
            asked.append(task)
            raise ServiceFailed("the Ray cluster: the connection to its head has failed")

    chosen = resolved(settings(dataset="digits", space="connected", precision="float32"), digits, {})
    within = within_limits(read_space("connected"), chosen, digits)
    with pytest.raises(ServiceFailed, match=r"^the Ray cluster"):
        rehearsed(within, chosen, digits, Gone(), math.inf)
    assert len(asked) == 1, "no other network is tried"
