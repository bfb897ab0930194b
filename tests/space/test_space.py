"""The space as a whole: walking, sampling, repairing, checking and counting, with conditions and with groups that repeat."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.shipped import shipped
from nas.space import Choice, Ordered, Range, describe, flatten, read_space

SMALL = read_space(
    {
        "name": "small",
        "groups": {
            "blocks": {
                "repeat": [0, 2],
                "genes": {
                    "op": {"choice": ["conv", "pool"]},
                    "width": {"ordered": [8, 16, 32], "when": {"op": "conv"}},
                    "rate": {"range": [0, 1], "when": {"optimizer": "sgd"}},
                },
            }
        },
        "genes": {
            "optimizer": {"choice": ["adam", "sgd"]},
            "momentum": {"choice": [0.8, 0.9], "when": {"optimizer": "sgd"}},
            "nesterov": {"choice": [True, False], "when": {"momentum": 0.9}},
        },
    }
)
SPACES = [SMALL, *(read_space(name) for name in shipped("search_spaces"))]
spaces = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


def test_walk_asks_for_active_genes_only_in_order():
    asked = []
    answers = {"optimizer": "sgd", "momentum": 0.8, "blocks.repeat": 2, "blocks.0.op": "pool", "blocks.1.op": "conv"}

    def pick(path, gene):
        asked.append(path)
        return answers.get(path, gene.extremes()[0])

    genotype = SMALL.walk(pick)
    assert asked == [
        "optimizer",
        "momentum",
        "blocks.repeat",
        "blocks.0.op",
        "blocks.0.rate",
        "blocks.1.op",
        "blocks.1.width",
        "blocks.1.rate",
    ]
    assert genotype == {
        "blocks": [{"op": "pool", "rate": 0}, {"op": "conv", "width": 8, "rate": 0}],
        "optimizer": "sgd",
        "momentum": 0.8,
    }


@spaces
@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_sample_is_plain_json_and_checking_it_changes_nothing(space, seed):
    genotype = space.sample(random.Random(seed))
    assert space.check(genotype) == genotype
    assert space.check(json.loads(json.dumps(genotype))) == genotype


@spaces
@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_repairing_what_is_valid_changes_nothing(space, seed):
    genotype = space.sample(random.Random(seed))
    assert space.repair(genotype, random.Random(seed)) == genotype


@spaces
@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_repairing_a_damaged_genotype_makes_it_valid(space, seed):
    rng = random.Random(seed)
    genotype = space.sample(rng)
    genotype["foreign"] = 1
    for name in rng.sample(list(space.genes), 2):
        genotype[name] = "no such value"
    for name in space.groups:
        genotype[name] = [*genotype[name], {"foreign": 1}, {}] * rng.randint(0, 4)
    repaired = space.repair(genotype, rng)
    assert space.check(repaired) == repaired


def test_repair_keeps_what_is_right_and_cuts_what_is_too_long():
    blocks = [{"op": "conv", "width": 8}, {"op": "pool", "width": 16}, {"op": "pool"}]
    repaired = SMALL.repair({"optimizer": "adam", "momentum": 0.9, "blocks": blocks}, random.Random(0))
    assert repaired == {"blocks": [{"op": "conv", "width": 8}, {"op": "pool"}], "optimizer": "adam"}


def test_a_condition_on_an_inactive_gene_does_not_hold():
    assert all("nesterov" not in genotype for genotype in SMALL.enumerate() if genotype.get("momentum") != 0.9)


def test_the_small_space_has_as_many_genotypes_as_counted_by_hand():
    # A block: 3 convs of some width or 1 pool; with sgd twice as many. Zero to two blocks: 1 + n + n².
    # Outside: adam; sgd with momentum 0.8; sgd with 0.9 and nesterov or not.
    expected = (1 + 4 + 16) + 3 * (1 + 8 + 64)
    genotypes = [json.dumps(genotype, sort_keys=True) for genotype in SMALL.enumerate()]
    assert len(genotypes) == len(set(genotypes)) == SMALL.size() == expected
    assert all(SMALL.check(json.loads(genotype)) for genotype in genotypes)


def test_samples_are_among_the_enumerated_and_reach_them_all():
    everything = {json.dumps(genotype, sort_keys=True) for genotype in SMALL.enumerate()}
    rng = random.Random(3)
    drawn = {json.dumps(SMALL.sample(rng), sort_keys=True) for _ in range(40_000)}
    assert drawn == everything


def test_size_gives_up_above_its_limit_and_for_real_numbers():
    assert SMALL.size(most=239) is None
    assert SMALL.size(most=240) == 240
    assert read_space({"name": "real", "genes": {"x": {"range": [0.0, 1.0]}}}).size() is None
    assert read_space("cnn").size(most=50) is None


def test_a_size_far_above_the_limit_is_not_counted_one_by_one():
    genes = {f"x{index}": {"choice": [1, 2]} for index in range(3_000)}
    assert read_space({"name": "wide", "genes": genes}).size() is None
    assert read_space({"name": "long", "groups": {"g": {"repeat": 100, "genes": {"x": {"choice": [1, 2]}}}}}).size() is None


def test_real_numbers_cannot_be_enumerated():
    space = read_space({"name": "real", "genes": {"x": {"range": [0.0, 1.0]}}})
    with pytest.raises(SpaceError, match="'real' has a range of real numbers and cannot be enumerated"):
        next(space.enumerate())


RIGHT = {"blocks": [{"op": "conv", "width": 8}], "optimizer": "adam"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": "sdg"}, "optimizer: 'sdg' is not a value of this gene: one of adam, sgd"),
        ({"optimizer": "sgd"}, "the gene 'momentum' is missing"),
        ({"momentum": 0.9}, "'momentum' is not an active gene here"),
        ({"optimiser": "adam"}, "'optimiser' is not an active gene here (did you mean 'optimizer'?)"),
        ({"blocks": [{"op": "pool", "width": 8}]}, "'blocks.0.width' is not an active gene here"),
        ({"blocks": [{"op": "conv", "width": 9}]}, "blocks.0.width: 9 is not a value of this gene: one of 8, 16, 32"),
        ({"blocks": [{"op": "conv", "width": 8.0}]}, "blocks.0.width: 8.0 is not a value of this gene"),
        ({"blocks": [{"op": "pool"}] * 3}, "blocks.repeat: 3 is not a value of this gene: 0 to 2"),
        ({"blocks": {"op": "pool"}}, "'blocks' must be a list with one mapping for each repetition"),
        ({"blocks": ["pool"]}, "'blocks' must be a list with one mapping for each repetition"),
        ({"optimizer": ["adam"]}, "the gene 'optimizer' is missing"),
        ({"optimizer": [{"adam": 1}]}, "the gene 'optimizer' is missing"),
        ({"optimizer": {"adam": 1}}, "optimizer: {'adam': 1} is not a value of this gene"),
    ],
)
def test_check_names_the_gene_that_is_wrong(change, told):
    assert SMALL.check(RIGHT) == RIGHT
    with pytest.raises(SpaceError) as caught:
        SMALL.check({**RIGHT, **change}, "candidate 3")
    assert str(caught.value).startswith(f"candidate 3: {told}")


@pytest.mark.parametrize("thing", [None, [], "adam", 3])
def test_what_is_no_mapping_is_no_genotype(thing):
    with pytest.raises(SpaceError, match="a genotype maps gene names to values"):
        SMALL.check(thing)


def test_flatten_gives_the_paths_that_walk_asks_for():
    assert flatten(RIGHT) == {"blocks.repeat": 1, "blocks.0.op": "conv", "blocks.0.width": 8, "optimizer": "adam"}


def test_genes_are_described_in_a_few_words():
    assert describe(Choice(("adam", True, 0.5))) == "one of adam, true, 0.5"
    assert describe(Ordered((1, 2))) == "one of 1, 2"
    assert describe(Range(1e-4, 0.1, log=True)) == "0.0001 to 0.1 (log)"
    assert describe(Range(0, 10, step=5)) == "0 to 10 (step 5)"
