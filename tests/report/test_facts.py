"""What a report says in numbers: each against what one can count by hand, or by drawing very often."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from nas.messages import Record
from nas.report import facts, plots
from nas.space import read_space

SPACE = read_space(
    {
        "name": "toy",
        "genes": {"kind": {"choice": ["a", "b"]}, "size": {"range": [1, 9]}, "idle": {"range": [0.0, 1.0]}},
    }
)


def record(number: int, value: float | None, state: str = "trained", **more: Any) -> Record:
    return Record(number, more.pop("genotype", {}), state, value, **more)


def test_best_so_far_never_falls() -> None:
    assert facts.best_so_far([0.2, 0.1, 0.5, 0.4]) == [0.2, 0.2, 0.5, 0.5]
    assert facts.best_so_far([]) == []


def test_expected_best_is_what_drawing_gives() -> None:
    scores, rng = [0.1, 0.4, 0.5, 0.9, 0.7], random.Random(0)
    told = facts.expected_best(scores, 6)
    assert told[0] == pytest.approx(statistics.mean(scores))
    drawn = statistics.mean(max(rng.choices(scores, k=6)) for _ in range(20_000))
    assert told[5] == pytest.approx(drawn, abs=0.01)
    assert told == sorted(told)
    assert facts.expected_best([], 3) == []


def test_front_has_only_what_nothing_beats_in_both() -> None:
    costs, values = [3.0, 1.0, 2.0, 2.0, 4.0, 5.0], [0.5, 0.2, 0.4, 0.6, 0.6, 0.9]
    assert facts.front(costs, values) == [1, 3, 5]


def test_moments_leave_out_pauses_and_know_workers_side_by_side() -> None:
    spans = {0: (1000.0, 1010.0), 1: (1001.0, 1021.0), 2: (1030.0, 1040.0), 3: (5000.0, 5010.0), 4: (5005.0, None)}
    assert facts.moments(spans) == pytest.approx({0: 10, 1: 21, 2: 40, 3: 50})
    assert facts.moments({}) == {}


def test_stopped_draws_are_draws_as_well_and_children_are_none() -> None:
    found = [
        record(0, 0.5, operator="random"),
        record(1, 0.3, "stopped", operator="random"),
        record(2, 0.9, operator="step", parents=(0,)),
        record(3, None, "infeasible", operator="random"),
    ]
    assert [each.number for each in facts.drawn(found)] == [0, 1]
    assert facts.drawn(found[:1]) == []


def test_importance_finds_the_gene_that_decides() -> None:
    rng = random.Random(1)
    records = []
    for number in range(60):
        genotype = SPACE.sample(rng)
        value = (genotype["kind"] == "a") * 1.0 + 0.05 * genotype["size"]
        records.append(record(number, value, genotype=genotype))
    shares = facts.importance(SPACE, records)
    assert [name for name, _ in shares][:2] == ["kind", "size"]
    assert sum(share for _, share in shares) == pytest.approx(1)
    assert dict(shares)["idle"] < 0.05
    assert facts.importance(SPACE, records[:5]) == [], "too few to say anything"


def test_genes_of_a_group_stand_for_all_its_blocks() -> None:
    assert facts.gene_of("blocks.12.filters") == facts.gene_of("blocks.mean.filters") == "blocks.filters"
    assert facts.gene_of("blocks.repeat") == "blocks.repeat"
    one = record(0, 0.5, genotype={"blocks": [{"filters": 8}, {"filters": 16}], "head": "flatten"})
    assert facts.values_of("blocks.filters", [one]) == [(8, 0.5), (16, 0.5)]


def test_generations_count_the_longest_line_of_ancestors() -> None:
    records = [
        record(0, 1),
        record(1, 1),
        record(2, 1, parents=(0,)),
        record(3, 1, parents=(1, 2)),
        record(4, 1, parents=(99,)),
    ]
    assert facts.generations(records) == {0: 0, 1: 0, 2: 1, 3: 2, 4: 0}


def test_logarithmic_genes_are_found_in_groups_too() -> None:
    space = read_space(
        {
            "name": "toy",
            "groups": {"blocks": {"repeat": [1, 2], "genes": {"rate": {"range": [1e-3, 1.0], "log": True}, "width": 8}}},
            "genes": {"x": {"range": [0.0, 1.0]}, "y": {"range": [1, 100], "log": True}},
        }
    )
    assert facts.logarithmic(space) == {"blocks.rate", "y"}


def test_plots_of_trainings_without_validation_say_so() -> None:
    records = [record(0, 0.5, curve=(0.4, 0.5), parameters=10, flops=20, seconds=1.0)]
    for drawing in (plots.progress(records, {0: (0.0, 1.0)}), plots.costs(records, {0}), plots.curves(records, 0)):
        assert "score (validation)" in str(drawing)
        assert "score (in training)" in str(plots.of_training(drawing))
        assert "score (validation)" not in str(plots.of_training(drawing))
