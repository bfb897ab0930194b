"""What every strategy must hold: valid genotypes, a pure function of the records, and a search that ends well."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from nas.config import settings
from nas.errors import ConfigError
from nas.messages import Record
from nas.searching import search
from nas.shipped import shipped
from nas.space import read_space
from nas.strategies import make_strategy

STRATEGIES = {
    "genetic": {"strategy": "genetic", "genetic": {"assist": False, "population": 8}},
    "assisted": {"strategy": "genetic", "genetic": {"assist": True}},
    "generations": {
        "strategy": "genetic",
        "genetic": {"assist": False, "form": "generational", "population": 8, "adapt": True, "finish": 0.5},
    },
    "tpe": {"strategy": "optuna", "sampler": "tpe"},
    "qmc": {"strategy": "optuna", "sampler": "qmc"},
    "random": {"strategy": "random"},
}
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

# 10 · 11 with `deep` and 10 without: 120 genotypes.
TABLE = {
    "name": "table",
    "genes": {
        "kind": {"choice": ["deep", "flat"]},
        "width": {"ordered": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]},
        "depth": {"range": [0, 10], "when": {"kind": "deep"}},
    },
}
BEST = {"kind": "deep", "width": 7, "depth": 3}
# 3 · 11 and 3: few enough to be asked for to the last.
PART = {**TABLE, "genes": {**TABLE["genes"], "width": {"ordered": [5, 6, 7]}}}

# One gene of each kind, conditions, and a group.
MIXED = {
    "name": "mixed",
    "groups": {
        "blocks": {
            "repeat": [0, 3],
            "genes": {"op": {"choice": ["a", "b"]}, "size": {"ordered": [1, 2, 4], "when": {"op": "a"}}},
        }
    },
    "genes": {
        "kind": {"choice": [2, True, "2", 1.5]},
        "rate": {"range": [1e-4, 0.1], "log": True},
        "part": {"range": [0.0, 1.0]},
        "step": {"range": [0, 9], "step": 3, "when": {"kind": [True, "2"]}},
        "fixed": "word",
    },
}


def score(genotype, report=None):
    """A table with one peak: the further away, the lower."""
    depth = genotype.get("depth", -5)
    return 1 - abs(genotype["width"] - 7) / 20 - abs(depth - 3) / 30


def fresh(strategy, space, seed=1):
    chosen = settings(None, seed=seed, **STRATEGIES[strategy])
    return make_strategy(chosen.strategy, space, seed, chosen)


def outcome(number, genotype, rng):
    """A record of every kind of ending, by turns."""
    value = rng.random()
    facts = {"digest": f"{number:012x}", "strategy": "x"}
    match number % 6:
        case 3:
            return Record(number, genotype, "stopped", value=value, curve=(value,), **facts)
        case 4:
            return Record(number, genotype, "infeasible", reason="out of memory", **facts)
        case 5:
            return Record(number, genotype, "running", **facts)
    return Record(number, genotype, "trained", value=value, curve=(0.0, value), **facts)


def played(proposer, space, count):
    """So many proposals, each recorded with some outcome."""
    rng, records = random.Random(7), []
    for number in range(count):
        genotype = proposer.propose(tuple(records), number).genotype
        records.append(outcome(number, genotype, rng))
    return records


@every_strategy
@pytest.mark.parametrize(
    "space", [MIXED, TABLE, *shipped("search_spaces")], ids=lambda s: s if isinstance(s, str) else s["name"]
)
def test_every_genotype_is_valid_and_canonical(strategy, space):
    space = read_space(space)
    for record in played(fresh(strategy, space), space, 30):
        checked = space.check(record.genotype)
        assert json.dumps(checked) == json.dumps(record.genotype)


@every_strategy
def test_a_proposal_names_its_way_and_only_parents_that_were_there(strategy):
    space = read_space(MIXED)
    proposer = fresh(strategy, space)
    records = played(proposer, space, 30)
    for number in range(31):
        proposal = proposer.propose(records[:number], number)
        assert proposal.operator
        assert all(0 <= parent < number for parent in proposal.parents)


@every_strategy
def test_a_proposal_depends_on_space_seed_number_and_records_alone(strategy):
    space = read_space(MIXED)
    old = fresh(strategy, space)
    records = played(old, space, 30)
    for number in (0, 7, 8, 19, 30, 3):
        expected = fresh(strategy, space).propose(records[:number], number)
        assert old.propose(records[:number], number) == expected
        assert old.propose(tuple(records[:number]), number) == expected


@every_strategy
def test_a_running_candidate_that_has_ended_meanwhile_is_seen_as_ended(strategy):
    space = read_space(MIXED)
    old = fresh(strategy, space)
    records = played(old, space, 24)
    ended = [Record(r.number, r.genotype, "trained", value=5.0, curve=(5.0,)) if r.state == "running" else r for r in records]
    assert old.propose(ended, 24) == fresh(strategy, space).propose(ended, 24)


@every_strategy
def test_a_proposal_leaves_the_records_and_all_global_generators_alone(strategy):
    space = read_space(MIXED)
    records = played(fresh(strategy, space), space, 24)
    before = json.dumps([record.genotype for record in records])
    random.seed(1)
    np.random.seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist()
    proposer = fresh(strategy, space)
    for _ in range(3):
        proposer.propose(records, 24)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert json.dumps([record.genotype for record in records]) == before


@every_strategy
@pytest.mark.parametrize("number", [0, 30])
def test_another_seed_proposes_something_else(strategy, number):
    space = read_space("cnn")
    records = played(fresh(strategy, space), space, number)
    asked = [fresh(strategy, space, seed).propose(records, number).genotype for seed in (1, 2, 3)]
    assert asked[0] != asked[1] != asked[2]


@every_strategy
def test_other_numbers_get_other_proposals(strategy):
    space = read_space("cnn")
    proposer = fresh(strategy, space)
    records = played(proposer, space, 20)
    assert len({json.dumps(record.genotype) for record in records}) == 20


@every_strategy
@pytest.mark.parametrize("number", [0, 5, 20])
def test_refusals_lead_elsewhere(strategy, number):
    space = read_space("connected")
    proposer = fresh(strategy, space)
    records = played(proposer, space, number)
    refused = []
    for index in range(8):
        genotype = proposer.propose([*records, *refused], number).genotype
        refused.append(Record(-1 - index, genotype, "refused", reason="duplicate"))
    assert len({json.dumps(record.genotype) for record in refused}) >= 6


@every_strategy
def test_after_ten_thousand_records_it_still_proposes(strategy):
    space, rng = read_space("connected"), random.Random(1)
    records = [outcome(number, space.sample(rng), rng) for number in range(10_000)]
    genotype = fresh(strategy, space).propose(records, 10_000).genotype
    assert space.check(genotype) == genotype


@pytest.mark.parametrize(("strategy", "budget"), [("genetic", 80), ("assisted", 40), ("tpe", 60)])
def test_the_best_of_a_table_of_120_is_found_within_the_budget(strategy, budget):
    result = search(TABLE, evaluate=score, budget=budget, seed=1, **STRATEGIES[strategy])
    assert result.best.genotype == BEST
    assert result.best.value == 1


@pytest.mark.slow  # Optuna is asked dozens of times for each of the last genotypes
@every_strategy
def test_a_space_of_36_is_evaluated_whole_each_genotype_once_then_the_search_ends(strategy):
    evaluated = Counter()

    def evaluate(genotype, report):
        evaluated[json.dumps(genotype, sort_keys=True)] += 1
        return score(genotype)

    result = search(PART, evaluate=evaluate, budget=200, seed=3, **STRATEGIES[strategy])
    assert evaluated == {json.dumps(genotype, sort_keys=True): 1 for genotype in read_space(PART).enumerate()}
    assert len(evaluated) == 36
    assert (result.ended, result.best.genotype) == ("space", BEST)


@every_strategy
def test_a_space_of_one_genotype_is_evaluated_once(strategy):
    space = {"name": "one", "genes": {"x": 1}}
    result = search(space, evaluate=lambda genotype, report: 0.5, budget=3, seed=1, **STRATEGIES[strategy])
    assert [record.genotype for record in result.records] == [{"x": 1}]


@every_strategy
def test_failures_do_not_end_a_search(strategy):
    def evaluate(genotype, report):
        if genotype["width"] < 6:
            raise ValueError("too narrow")
        return 1.0

    result = search(TABLE, evaluate=evaluate, budget=30, seed=1, **STRATEGIES[strategy])
    assert {record.state for record in result.records} == {"trained", "infeasible"}
    assert len(result.records) == 30


def test_a_strategy_that_is_not_known_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"--strategy: unknown strategy 'gentic' \(did you mean 'genetic'\?\)"):
        make_strategy("gentic", read_space(TABLE), 1, settings())
