"""Limits before training: refused before anything is built, learned from, and never an endless loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.blueprint import Pictures, express
from nas.config import settings
from nas.ledger import Ledger
from nas.messages import Record, Trained
from nas.searching import search
from nas.space import read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from tests.helpers import SMALL_SEARCH, Listening, nas

CONNECTED = read_space("connected")
PICTURES = Pictures((8, 8, 1), 3, (10.0,), (4.0,))


PLAIN = {"assist": False, "population": 4, "tournament": 2}


@pytest.mark.parametrize(
    ("strategy", "genetic", "count"), [("genetic", {}, 22), ("genetic", PLAIN, 14), ("optuna", {}, 14), ("random", {}, 14)]
)
def test_what_was_refused_is_kept_shown_again_and_not_proposed_again(
    strategy: str, genetic: dict[str, Any], count: int, tmp_path: Path
) -> None:
    """With a restart before each candidate as without any; one of them is in training when the next is proposed."""
    chosen = settings(strategy=strategy, max_flops="2M", genetic=genetic)
    proposed: list[str] = []

    def opened(file: Path) -> tuple[Ledger, Asking]:
        asked = make_strategy(strategy, CONNECTED, 1, chosen)
        propose = asked.propose

        def noting(records: Any, number: int) -> Any:
            proposal = propose(records, number)
            proposed.append(json.dumps(proposal.genotype))
            return proposal

        asked.propose = noting  # type: ignore[method-assign]
        return Ledger(file, CONNECTED, strategy), Asking(CONNECTED, asked, chosen, lambda g: express(g, PICTURES))

    def played(file: Path, restart: bool) -> tuple[list[Record], list[str]]:
        proposed.clear()
        ledger, asking = opened(file)
        for number in range(count):
            if restart:
                ledger.close()
                ledger, asking = opened(file)
            candidate = asking.next(ledger.records(), number)
            assert candidate is not None
            assert candidate.blueprint is not None
            assert candidate.blueprint.flops <= 2_000_000
            ledger.add(candidate)
            if number:
                ledger.tell(number - 1, Trained((number - 1) % 5 / 5), 1.0)
        return list(ledger.records()), list(proposed)

    records, proposed = played(tmp_path / "one.db", restart=False)
    refused = [json.dumps(genotype) for record in records for genotype, _ in record.refused]
    assert refused, "the limit is tight"
    assert all(why == "over max-flops" for record in records for _, why in record.refused)
    assert all(proposed.count(genotype) == 1 for genotype in refused)
    assert played(tmp_path / "two.db", restart=True) == (records, proposed), "after a restart it knows the same"


@pytest.mark.parametrize("strategy", ["genetic", "optuna", "random"])
def test_space_with_next_to_nothing_within_the_limits_ends_with_the_numbers(strategy: str) -> None:
    """Two of eight networks are small enough."""
    space = read_space(
        {
            "name": "tight",
            "groups": {"blocks": {"repeat": 1, "genes": {"filters": {"ordered": [4, 64, 96, 128]}, "norm": "none"}}},
            "genes": {"optimizer": {"choice": ["adam", "sgd"]}},
        }
    )
    chosen = settings(strategy=strategy, max_params=500)
    asking = Asking(space, make_strategy(strategy, space, 1, chosen), chosen, lambda g: express(g, PICTURES))
    ledger = Ledger(None, space, strategy)
    while (candidate := asking.next(ledger.records(), len(ledger.records()))) is not None:
        ledger.add(candidate)
        ledger.tell(candidate.number, Trained(0.5), 1.0)
    assert len(ledger.records()) == 2
    assert asking.exhausted.startswith("of 2,038 proposals for candidate 2 none was new and within the limits: ")
    assert "over max-params (500)" in asking.exhausted
    assert "duplicate" in asking.exhausted


@pytest.mark.slow
def test_search_of_a_space_that_is_used_up_says_so_and_ends_well(tmp_path: Path) -> None:
    space = {
        "name": "tight",
        "groups": {"blocks": {"repeat": 1, "genes": {"filters": {"ordered": [4, 128]}, "norm": "none"}}},
        "genes": {"batch_size": 64},
    }
    options = {**SMALL_SEARCH, "space": space, "budget": 9, "epochs": 1, "max_params": 500}
    result = search(out=tmp_path / "run", view=(view := Listening()), **options)
    assert (len(result.records), result.ended) == (1, "space")
    assert "the space has nothing new within the limits after 1 candidate; the search ends" in view.notes
    assert any("over max-params (500)" in note for note in view.notes)


def test_space_with_nothing_within_the_limits_is_told_before_it_begins(tmp_path: Path) -> None:
    found = nas("search", "--dataset=digits", "--space=connected", "--max-params=10", "--out=run", cwd=tmp_path)
    assert found.returncode == 2
    assert "is within the limits: max-params 10, the least " in found.stderr
    assert not (tmp_path / "run").exists()
