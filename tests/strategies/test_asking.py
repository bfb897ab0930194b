"""Asking: duplicates and networks over a limit are refused and counted, and only a whole count declares a space exhausted."""

import dataclasses
import json
import random
import time

import pytest

from nas.blueprint import Pictures, express
from nas.config import settings
from nas.errors import SpaceError
from nas.messages import Proposal, Record
from nas.space import read_space
from nas.strategies import make_strategy
from nas.strategies.asking import ASKED, Asking, make_candidate, over_limit
from nas.timed import TimedScores, timed

SMALL = read_space({"name": "small", "genes": {"x": {"range": [0, 9]}, "y": {"range": [0, 9]}}})
CONNECTED = read_space("connected")
PICTURES = Pictures((8, 8, 1), 3, (10.0,), (4.0,))


class Stubborn:
    """A strategy that has one idea, and notes what it is shown."""

    def __init__(self, genotype):
        self.genotype, self.shown = genotype, []

    def propose(self, records, number):
        self.shown.append(list(records))
        return Proposal(self.genotype, (1, 2), "idea")


def express_small(genotype):
    return express(genotype, PICTURES)


def recorded(candidate):
    return Record(candidate.number, candidate.genotype, "trained", value=0.5, digest=candidate.digest)


def test_what_is_new_is_taken_as_it_is_proposed():
    asking = Asking(SMALL, Stubborn({"x": 1, "y": 2}), settings())
    candidate = asking.next([], 0)
    assert (candidate.genotype, candidate.parents, candidate.operator) == ({"x": 1, "y": 2}, (1, 2), "idea")
    assert (candidate.blueprint, candidate.recipe) == (None, None)
    assert not asking.refused


def test_a_duplicate_is_refused_shown_and_at_last_replaced_by_a_random_draw():
    strategy = Stubborn({"x": 1, "y": 2})
    asking = Asking(SMALL, strategy, settings())
    first = recorded(asking.next([], 0))
    candidate = asking.next([first], 1)
    assert candidate.genotype != first.genotype
    assert candidate.operator == "random"
    assert asking.refused["duplicate"] >= ASKED
    last = strategy.shown[-1]
    assert last[0] == first
    assert [record.state for record in last[1:]] == ["refused"] * (ASKED - 1)
    assert len({record.number for record in last}) == ASKED


def test_a_strategy_is_told_scores_for_a_time():
    strategy = Stubborn({"x": 3, "y": 4})
    asking = Asking(SMALL, strategy, settings())
    first = dataclasses.replace(recorded(asking.next([], 0)), metrics={"seconds": 16.0})
    asking.told = TimedScores("accuracy", 32.0).of  # two epochs of 16 seconds
    strategy.genotype = {"x": 5, "y": 6}
    asking.next([first], 1)
    (shown,) = strategy.shown[-1]
    assert shown.value == timed(0.5, 2.0, "accuracy") < first.value


def test_what_was_refused_for_a_limit_is_turned_away_without_being_drawn_again():
    """Few networks are within the limit, so every strategy comes back to those that are not."""
    space = read_space(
        {
            "name": "few",
            "groups": {"blocks": {"repeat": 1, "genes": {"filters": {"ordered": [4, 8, 64, 96]}, "norm": "none"}}},
            "genes": {"optimizer": {"choice": ["adam", "sgd", "rmsprop"]}},
        }
    )
    for name in ("genetic", "optuna", "random"):
        chosen = settings(strategy=name, max_params=1000)
        records, drawn = [], []

        def express_noted(genotype, drawn=drawn):
            drawn.append(json.dumps(genotype))
            return express(genotype, PICTURES)

        for restart in (False, True):
            asking = Asking(space, make_strategy(name, space, 3, chosen), chosen, express_noted)
            for number in range(len(records), len(records) + 2):
                candidate = asking.next(records, number)
                records.append(dataclasses.replace(recorded(candidate), refused=candidate.refused))
            refused = [json.dumps(genotype) for record in records for genotype, _ in record.refused]
            assert len(refused) == len(set(refused)), "kept once"
            most = 2 if restart else 1  # a new driver looks once whether the limits still refuse it
            assert all(drawn.count(genotype) <= most for genotype in refused)


def test_what_was_refused_is_remembered_for_the_candidates_that_follow():
    genotype, drawn = CONNECTED.sample(random.Random(0)), []
    most = 10_000

    def express_noted(genotype):
        drawn.append(genotype)
        return express_small(genotype)

    assert express_small(genotype)[0].parameters > most
    asking, records = Asking(CONNECTED, Stubborn(genotype), settings(max_params=most, max_flops="none"), express_noted), []
    for number in range(3):
        candidate = asking.next(records, number)
        assert candidate.operator == "random"
        records.append(dataclasses.replace(recorded(candidate), refused=candidate.refused))
    assert drawn.count(genotype) == 1
    assert asking.refused["over max-params"] >= 3 * ASKED


def test_what_was_refused_for_a_candidate_that_is_not_kept_is_kept_with_the_next():
    """As where another driver was quicker with it."""
    chosen = settings(strategy="random", max_flops=2_000_000)
    asking = Asking(CONNECTED, make_strategy("random", CONNECTED, 1, chosen), chosen, express_small)
    records = []
    for number in range(3):
        lost, candidate = asking.next(records, number), asking.next(records, number)
        assert candidate == lost
        records.append(dataclasses.replace(recorded(candidate), refused=candidate.refused))
    refused = [json.dumps(genotype) for record in records for genotype, _ in record.refused]
    assert len(refused) == len(set(refused)) > 0


def test_limits_that_were_widened_since_are_the_ones_that_hold():
    """What a narrower limit refused is not shown as refused any more, and may be a candidate."""
    genotype = CONNECTED.sample(random.Random(0))
    first = recorded(make_candidate(CONNECTED, Proposal(CONNECTED.sample(random.Random(1))), 0, express_small))
    first = dataclasses.replace(first, refused=((genotype, "over max-params"),))
    for most, shown in ((1, ["refused", "trained"]), (None, ["trained"])):
        strategy = Stubborn(genotype)
        asking = Asking(CONNECTED, strategy, settings(max_params=most, max_flops="none"), express_small)
        candidate = asking.next([first], 1)
        assert [record.state for record in strategy.shown[0]] == shown
        assert (candidate is not None and candidate.genotype == genotype) == (most is None)


def test_what_another_driver_refuses_is_judged_by_the_limits_that_hold_here():
    """Drivers of one search may have other limits; theirs show in records that come while this one runs."""
    genotype = CONNECTED.sample(random.Random(0))
    asking = Asking(CONNECTED, Stubborn(genotype), settings(max_flops="none"), express_small)
    first = recorded(asking.next([], 0))
    theirs = make_candidate(CONNECTED, Proposal(CONNECTED.sample(random.Random(1))), 1, express_small)
    other = dataclasses.replace(recorded(theirs), refused=((CONNECTED.sample(random.Random(2)), "over max-params"),))
    asking.strategy = Stubborn(CONNECTED.sample(random.Random(2)))
    candidate = asking.next([first, other], 2)
    assert candidate.operator == "idea"
    assert [record.state for record in asking.strategy.shown[0]] == ["trained", "trained"]


def test_proposing_ends_with_the_time():
    asking = Asking(SMALL, Stubborn({"x": 1, "y": 2}), settings(), deadline=time.monotonic())
    assert asking.next([], 0) is None


def test_the_last_of_a_space_is_found_and_then_there_is_none():
    asking = Asking(SMALL, Stubborn({"x": 1, "y": 2}), settings())
    records = []
    while candidate := asking.next(records, len(records)):
        records.append(recorded(candidate))
    assert len({json.dumps(record.genotype) for record in records}) == len(records) == 100


def test_equal_networks_with_equal_recipes_are_one_candidate():
    genes = {"filters": 4, "pool": {"choice": ["max", "none"]}}
    space = read_space(
        {
            "name": "pools",
            "groups": {"blocks": {"repeat": 1, "genes": genes}},
            "genes": {"learning_rate": {"range": [0.001, 0.1], "log": True}},
        }
    )

    def express_a_point(genotype):  # a picture of one pixel is not pooled, so both genes mean the same network
        return express(genotype, Pictures((1, 1, 1), 2, (127.0,), (64.0,)))

    def made(pool, rate):
        genotype = {"blocks": [{"filters": 4, "pool": pool}], "learning_rate": rate}
        return make_candidate(space, Proposal(genotype), 0, express_a_point)

    one, other, faster = made("max", 0.01), made("none", 0.01), made("max", 0.02)
    assert one.digest == other.digest
    assert faster.digest != one.digest
    assert faster.blueprint.digest == one.blueprint.digest


def test_a_proposal_outside_the_space_is_an_error():
    with pytest.raises(SpaceError, match="the strategy's proposal: x: 99 is not a value"):
        make_candidate(SMALL, Proposal({"x": 99, "y": 2}), 0, None)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"max_params": 1}, "over max-params"),
        ({"max_flops": 1}, "over max-flops"),
        ({"max_memory": 1}, "over max-memory"),
        ({"max_flops": None, "max_memory": None}, None),
    ],
)
def test_a_limit_that_is_broken_is_named(limits, why):
    chosen = settings().model_copy(update=limits)
    candidate = make_candidate(CONNECTED, Proposal(CONNECTED.sample(random.Random(1))), 0, express_small)
    assert over_limit(candidate, chosen) == why


def test_a_network_exactly_at_its_limits_is_within():
    genotype = CONNECTED.sample(random.Random(1))
    candidate = make_candidate(CONNECTED, Proposal(genotype), 0, express_small)
    blueprint, recipe = candidate.blueprint, candidate.recipe
    exact = {
        "max_params": blueprint.parameters,
        "max_flops": blueprint.flops,
        "max_memory": blueprint.memory(recipe.batch_size),
    }
    assert over_limit(candidate, settings(**exact)) is None
    for name, value in exact.items():
        assert over_limit(candidate, settings(**{**exact, name: value - 1})) == f"over {name.replace('_', '-')}"


@pytest.mark.parametrize("strategy", ["genetic", "random"])
def test_candidates_under_a_tight_limit_keep_it(strategy):
    own = {"genetic": {"population": 5, "assist": False}} if strategy == "genetic" else {}
    chosen = settings(strategy=strategy, max_flops=2_000_000, **own)
    asking = Asking(CONNECTED, make_strategy(strategy, CONNECTED, 1, chosen), chosen, express_small)
    records = []
    for number in range(15):
        candidate = asking.next(records, number)
        assert candidate.number == number
        assert candidate.blueprint.flops <= 2_000_000
        records.append(recorded(candidate))
    assert asking.refused["over max-flops"] > 0


def test_a_large_space_without_anything_within_the_limits_has_no_candidate():
    chosen = settings(strategy="random", max_params=1)
    asking = Asking(CONNECTED, make_strategy("random", CONNECTED, 1, chosen), chosen, express_small)
    assert asking.next([], 0) is None
    assert set(asking.refused) == {"over max-params"}


def test_the_same_records_lead_to_the_same_candidate():
    first = recorded(Asking(SMALL, Stubborn({"x": 1, "y": 2}), settings()).next([], 0))
    candidates = [Asking(SMALL, Stubborn({"x": 1, "y": 2}), settings()).next([first], 1) for _ in range(2)]
    assert candidates[0] == candidates[1]


def test_a_strategy_that_asks_what_networks_cost_is_told_before_they_are_proposed():
    class Curious(Stubborn):
        costs = None

    asking = Asking(CONNECTED, Curious({}), settings(max_flops="none"), express_small)
    genotype = CONNECTED.sample(random.Random(1))
    blueprint, _ = express_small(genotype)
    digest = make_candidate(CONNECTED, Proposal(genotype), 7, express_small).digest
    found = asking.strategy.costs(genotype)
    assert (found.parameters, found.flops, found.digest()) == (blueprint.parameters, blueprint.flops, digest)
    few = Asking(CONNECTED, Curious({}), settings(max_params=blueprint.parameters - 1), express_small)
    assert few.strategy.costs(genotype) is None, "it would be refused"
    assert Asking(SMALL, Curious({}), settings()).strategy.costs is None, "nothing there has a size"
    assert not hasattr(Asking(CONNECTED, Stubborn({}), settings(), express_small).strategy, "costs")
