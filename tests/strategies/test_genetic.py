"""The genetic algorithm: a random beginning, then children of tournament winners; variation that keeps to the space."""

import dataclasses
import json
import math
import random
from collections import Counter

import pytest

from nas.blueprint import Pictures, express
from nas.config import settings
from nas.messages import Proposal, Record
from nas.shipped import shipped
from nas.space import read_space
from nas.strategies.assistant import Assistant
from nas.strategies.base import Network
from nas.strategies.genetic import Genetic
from nas.strategies.variation import crossed, mutated

WORDS = {"insert", "delete", "duplicate", "swap", "step"}
SPACE = read_space(
    {
        "name": "small",
        "groups": {
            "blocks": {
                "repeat": [1, 3],
                "genes": {"op": {"choice": ["a", "b"]}, "size": {"ordered": [1, 2, 4, 8], "when": {"op": "a"}}},
            }
        },
        "genes": {
            "optimizer": {"choice": ["adam", "sgd"]},
            "momentum": {"choice": [0.8, 0.9], "when": {"optimizer": "sgd"}},
            "rate": {"range": [1e-4, 1.0], "log": True},
        },
    }
)
spaces = pytest.mark.parametrize(
    "space", [SPACE, *(read_space(name) for name in shipped("search_spaces"))], ids=lambda space: space.name
)


def genetic(space=SPACE, seed=1, **options):
    return Genetic(space, seed, settings(genetic={"population": 6, "tournament": 3, "assist": False, **options}))


def assisted(space=SPACE, seed=1, **options):
    return Genetic(space, seed, settings(genetic={"tournament": 3, **options}))


def trained(number, genotype, value):
    return Record(number, genotype, "trained", value=value, curve=(value,))


def population(count, space=SPACE, value=lambda number: number / 100):
    rng = random.Random(1)
    return [trained(number, space.sample(rng), value(number)) for number in range(count)]


def test_the_first_are_random_and_without_parents():
    proposals = [genetic().propose(population(number), number) for number in range(6)]
    assert {(proposal.operator, proposal.parents) for proposal in proposals} == {("random", ())}


def test_after_them_every_child_has_parents_and_words():
    for number in range(6, 60):
        proposal = genetic().propose(population(number), number)
        words = proposal.operator.split("+")
        assert words[0] == "crossover" if len(proposal.parents) == 2 else "crossover" not in words
        assert 1 <= len(proposal.parents) <= 2
        assert set(words) - {"crossover"} <= WORDS
        assert 1 <= len([word for word in words if word != "crossover"]) <= 2


def test_parents_are_two_different_candidates_among_the_youngest():
    records = population(40)
    for number in range(40, 140):
        parents = genetic(crossover=1.0).propose(records, number).parents
        assert len(set(parents)) == len(parents)
        assert all(34 <= parent < 40 for parent in parents)


def test_the_best_of_a_tournament_of_all_is_almost_always_the_parent():
    records = population(6)
    parents = Counter(genetic(tournament=50, crossover=0.0).propose(records, number).parents for number in range(6, 106))
    assert parents.most_common(1)[0][0] == (5,)


def test_trained_beat_stopped_and_stopped_later_beat_stopped_earlier():
    genotypes = [record.genotype for record in population(6)]
    records = [
        Record(0, genotypes[0], "stopped", value=0.99, curve=(0.99,)),
        Record(1, genotypes[1], "stopped", value=0.5, curve=(0.1, 0.2, 0.5)),
        Record(2, genotypes[2], "infeasible", reason="x"),
    ]
    chosen = genetic(tournament=50, crossover=0.0)
    drawn = Counter(chosen.propose([*records, *records[2:] * 3], number).parents for number in range(6, 106))
    assert drawn[(1,)] > drawn[(0,)]
    assert set(drawn) <= {(0,), (1,)}
    drawn = Counter(chosen.propose([*records, trained(3, genotypes[3], 0.01)], number).parents for number in range(6, 106))
    assert drawn.most_common(1)[0][0] == (3,)


def test_of_nothing_but_failures_there_are_no_children():
    records = [Record(number, record.genotype, "infeasible", reason="x") for number, record in enumerate(population(20))]
    assert genetic().propose(records, 20).operator == "random"


def test_without_crossover_there_is_one_parent():
    records = population(20)
    assert all(len(genetic(crossover=0.0).propose(records, number).parents) == 1 for number in range(20, 60))


def test_with_crossover_always_and_mutations_one_there_are_two_words():
    records = population(20)
    operators = [genetic(crossover=1.0, mutations=1).propose(records, number) for number in range(20, 60)]
    assert all(len(each.operator.split("+")) == len(each.parents) for each in operators)
    assert any(len(each.parents) == 2 for each in operators)


@spaces
def test_every_word_occurs_and_every_mutant_is_in_the_space(space):
    rng, words = random.Random(1), Counter()
    genotype = space.sample(rng)
    for _ in range(1_500):
        before = json.dumps(genotype)
        mutant, word = mutated(space, genotype, rng)
        assert json.dumps(genotype) == before
        assert space.check(mutant) == mutant
        words[word] += 1
        genotype = mutant
    assert set(words) == WORDS
    assert 0.4 < words["step"] / 1_500 < 0.6


@spaces
def test_the_words_say_what_was_done(space):
    rng = random.Random(2)
    change = {"insert": 1, "duplicate": 1, "delete": -1, "swap": 0, "step": 0}
    for _ in range(500):
        genotype = space.sample(rng)
        mutant, word = mutated(space, genotype, rng)
        lengths = [len(mutant[name]) - len(genotype[name]) for name in space.groups]
        assert sum(lengths) == change[word]
        for name, group in space.groups.items():
            assert group.repeat.low <= len(mutant[name]) <= group.repeat.high
        if word == "swap":
            assert [sorted(map(json.dumps, mutant[name])) for name in space.groups] == [
                sorted(map(json.dumps, genotype[name])) for name in space.groups
            ]


def test_a_step_of_an_ordered_gene_goes_to_a_neighbour():
    space, rng = read_space({"name": "x", "genes": {"size": {"ordered": [1, 2, 4, 8]}}}), random.Random(1)
    assert {mutated(space, {"size": 2}, rng)[0]["size"] for _ in range(50)} == {1, 4}


@spaces
def test_children_of_two_are_in_the_space_and_the_parents_unchanged(space):
    rng = random.Random(3)
    for _ in range(500):
        parents = space.sample(rng), space.sample(rng)
        before = json.dumps(parents)
        child = crossed(space, *parents, rng)
        assert json.dumps(parents) == before
        assert space.check(child) == child


def test_crossing_keeps_whole_blocks_and_takes_other_genes_from_either_parent():
    space = read_space(
        {
            "name": "x",
            "groups": {"blocks": {"repeat": [1, 8], "genes": {"a": {"range": [0, 99]}, "b": {"range": [0, 99]}}}},
            "genes": {"c": {"range": [0, 9]}, "d": {"range": [0, 9]}},
        }
    )
    first = {"blocks": [{"a": n, "b": n} for n in (1, 2, 3)], "c": 1, "d": 1}
    second = {"blocks": [{"a": n, "b": n} for n in (11, 12, 13, 14)], "c": 2, "d": 2}
    rng, lengths, cuts, outer = random.Random(1), set(), set(), set()
    for _ in range(300):
        child = crossed(space, first, second, rng)
        blocks = [block["a"] for block in child["blocks"]]
        lengths.add(len(blocks))
        outer.add((child["c"], child["d"]))
        if blocks:
            assert all(block["a"] == block["b"] for block in child["blocks"])
            cut = next((index for index, value in enumerate(blocks) if value > 10), len(blocks))
            assert blocks[:cut] == [1, 2, 3][:cut]
            assert blocks[cut:] == [11, 12, 13, 14][cut:]
            cuts.add(cut)
    assert (lengths, cuts) == ({4}, {1, 2})
    assert outer == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_crossing_draws_no_block_that_no_parent_has():
    space, rng = read_space("modern"), random.Random(4)
    for _ in range(300):
        first, second = space.sample(rng), space.sample(rng)
        child = crossed(space, first, second, rng)
        assert all(block in (*first["blocks"], *second["blocks"]) for block in child["blocks"])
        assert len(child["blocks"]) == len(second["blocks"])


def test_of_single_blocks_one_is_taken():
    space = read_space({"name": "x", "groups": {"blocks": {"repeat": [1, 3], "genes": {"a": {"range": [0, 9]}}}}})
    first, second = {"blocks": [{"a": 1}]}, {"blocks": [{"a": 2}, {"a": 3}]}
    found = {json.dumps(crossed(space, first, second, random.Random(seed))) for seed in range(20)}
    assert found == {json.dumps(first), json.dumps(second)}


def test_assisted_the_child_of_many_that_should_improve_most_is_chosen():
    """Of a score that one gene decides: children have it as the best have, or better."""
    space = read_space("cnn")
    records = population(30, space, lambda number: 0.0)
    records = [trained(r.number, r.genotype, r.genotype["learning_rate"] ** 0.5) for r in records]
    rates = sorted((r.genotype["learning_rate"] for r in records), reverse=True)
    chosen = [assisted(space, seed).propose(records, 30) for seed in range(20)]
    assert all(proposal.operator.endswith(", chosen") for proposal in chosen)
    assert sum(proposal.genotype["learning_rate"] >= rates[3] for proposal in chosen) >= 17


def test_assisted_what_was_stopped_is_worth_what_others_made_of_the_same_beginning():
    space = read_space("cnn")
    genotypes = [record.genotype for record in population(5, space)]
    records = [
        Record(0, genotypes[0], "trained", value=0.8, curve=(0.5, 0.8)),
        Record(1, genotypes[1], "trained", value=0.6, curve=(0.4, 0.6)),
        Record(2, genotypes[2], "stopped", value=0.3, curve=(0.3,)),
        Record(3, genotypes[3], "infeasible", reason="x"),
        Record(4, genotypes[4], "running", curve=(0.9,)),
    ]
    told, scores = Assistant(space).told([record for record in records if record.finished])
    assert scores == pytest.approx([0.8, 0.6, 0.55, 0.6]), "of what failed nothing is known: it is in the middle"
    assert [record.number for record in told] == [0, 1, 2, 3]


@pytest.mark.parametrize("sized", [False, True])
def test_assisted_a_value_with_which_all_have_failed_is_left(sized):
    facts = {"parameters": 100, "flops": 1_000} if sized else {}
    records = []
    for number, record in enumerate(population(40)):
        value = record.genotype["rate"] if record.genotype["optimizer"] == "adam" else None
        ended = {"state": "infeasible", "reason": "x"} if value is None else {"state": "trained", "curve": (value,)}
        records.append(dataclasses.replace(record, value=value, digest=str(number), **facts, **ended))
    found = Counter()
    for seed in range(40):
        strategy = assisted(seed=seed)
        if sized:
            strategy.costs = lambda genotype: Network(100, 1_000, lambda: "new")
        found[strategy.propose(records, 40).genotype["optimizer"]] += 1
    assert found["sgd"] <= 1


def test_assisted_the_first_ten_are_random_and_then_a_tenth_of_the_pool():
    assert {assisted(seed=seed).propose(population(9), 9).operator for seed in range(20)} == {"random"}
    assert all(assisted(seed=seed).propose(population(10), 10).operator.endswith(", chosen") for seed in range(20))
    drawn = [assisted(seed=seed, pool=10).propose(population(10), 10).operator for seed in range(60)]
    assert 0 < drawn.count("random, chosen") < 40


def test_assisted_children_have_up_to_three_more_mutations():
    records = population(30)
    counts = Counter()
    for seed in range(120):
        proposal = assisted(seed=seed, mutations=1, crossover=0.0).propose(records, 30)
        if proposal.parents:
            counts[len(proposal.operator.removesuffix(", chosen").split("+"))] += 1
    assert set(counts) == {1, 2, 3, 4}


def test_assisted_beside_what_is_in_training_nothing_is_tried():
    """Two peaks, the higher one in training already, but for a gene that means nothing: then the other is worth more."""
    genes = {"a": {"ordered": list(range(41))}, "nothing": {"ordered": list(range(40))}}
    space = read_space({"name": "x", "genes": genes})
    peaks = lambda a: max(1 - (abs(a - 10) / 20) ** 2, 0.99 - (abs(a - 30) / 20) ** 2)  # noqa: E731
    records = [trained(a // 4, {"a": a, "nothing": (7 * a) % 40}, peaks(a)) for a in range(0, 41, 4)]
    children = [Proposal({"a": a, "nothing": 20}) for a in (10, 30)]
    chosen = Assistant(space).chosen(children, records, records, None)
    assert chosen is not None
    assert chosen.genotype["a"] == 10
    busy = [Record(11 + place, {"a": 10, "nothing": 19 + 2 * place}, "running") for place in range(2)]
    beside = Assistant(space).chosen(children, [*records, *busy], records, None)
    assert beside is not None
    assert beside.genotype["a"] == 30


def test_assisted_the_size_of_networks_is_learned_from_and_what_is_too_large_not_proposed():
    """Of a score that is a network's size: children are as large as may be, whichever genes that takes."""
    space = read_space("modern")
    cost = lambda genotype: express(genotype, Pictures((32, 32, 3), 10, (1.0,) * 3, (1.0,) * 3))[0]  # noqa: E731
    records = []
    for record in population(24, space):
        network = cost(record.genotype)
        value = math.log(network.parameters)
        sizes = {"parameters": network.parameters, "flops": network.flops}
        records.append(dataclasses.replace(record, value=value, curve=(value,), **sizes))
    most = sorted(record.parameters for record in records)[-2]
    strategy = assisted(space, pool=60)

    def costs(genotype):
        network = cost(genotype)
        return Network(network.parameters, network.flops, lambda: network.digest) if network.parameters <= most else None

    strategy.costs = costs
    chosen = [cost(strategy.propose(records, 24 + number).genotype).parameters for number in range(10)]
    assert all(parameters <= most for parameters in chosen)
    known = sorted(record.parameters for record in records if record.parameters <= most)
    assert sorted(chosen)[5] > known[-4], "as large as the largest few"


def test_assisted_no_network_that_is_known_is_chosen_whatever_its_genes():
    """Here one gene means nothing: of the six networks of twelve genotypes five are known."""
    space = read_space({"name": "x", "genes": {"a": {"ordered": [1, 2, 3, 4, 5, 6]}, "nothing": {"choice": ["p", "q"]}}})
    sizes = {"parameters": 1, "flops": 1}
    records = [Record(n, {"a": n + 1, "nothing": "p"}, "trained", n, curve=(n,), digest=f"{n + 1}", **sizes) for n in range(5)]
    records += [dataclasses.replace(records[0], number=number) for number in range(5, 12)]
    strategy = assisted(space)
    strategy.costs = lambda genotype: Network(1, 1, lambda: str(genotype["a"]))
    assert {strategy.propose(records, number).genotype["a"] for number in range(12, 30)} == {6}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300, None])
def test_assisted_a_score_that_none_can_reckon_with_is_no_trouble(odd):
    records = [dataclasses.replace(record, value=record.value if record.number % 3 else odd) for record in population(20)]
    records[-1] = dataclasses.replace(records[-1], state="running", value=None)
    proposal = assisted().propose(records, 20)
    assert proposal.operator.endswith(", chosen")
    assert not any(parent % 3 == 0 for parent in proposal.parents)


def test_a_space_without_anything_to_change_gives_its_only_genotype():
    space = read_space({"name": "x", "genes": {"a": 1}})
    assert mutated(space, {"a": 1}, random.Random(1)) == ({"a": 1}, "random")


def test_refusals_make_a_child_move_further_away():
    records = population(20)
    refused = [Record(-1 - index, records[0].genotype, "refused") for index in range(25)]
    chosen = genetic(mutations=1, crossover=0.0)
    assert "+" not in chosen.propose(records, 20).operator
    assert len(chosen.propose([*records, *refused], 20).operator.split("+")) == 6


def test_generations_come_of_the_best_of_all_before_them():
    records = population(40, value=lambda number: 1 - number / 100)
    for number in (36, 40, 41):
        known = records[:number]
        parents = {p for seed in range(20) for p in genetic(seed=seed, form="generational").propose(known, number).parents}
        assert parents <= set(range(6)), "the first are the best, and none of them dies of age"
    children = population(3, value=lambda number: 9.0)
    late = [*records[:36], *(trained(36 + place, each.genotype, 9.0) for place, each in enumerate(children))]
    parents = {p for seed in range(20) for p in genetic(seed=seed, form="generational").propose(late, 39).parents}
    assert parents <= set(range(6)), "of its own generation none has children yet"


def test_number_of_mutations_follows_what_has_paid():
    beginners = population(6, value=lambda number: 0.5)
    for paying in (1, 2, 3):
        records = list(beginners)
        for number in range(6, 56):
            count = 1 + number % 3
            value = 0.6 if count == paying else 0.4
            records.append(
                Record(number, beginners[0].genotype, "trained", value=value, parents=(0,), operator="+step" * count)
            )
        records = [*records[:6], *(dataclasses.replace(each, operator=each.operator.strip("+")) for each in records[6:])]
        drawn = Counter(
            len([word for word in proposal.operator.split("+") if word != "crossover"])
            for seed in range(60)
            for proposal in [genetic(seed=seed, adapt=True, mutations=3).propose(records, 56)]
        )
        assert drawn.most_common(1)[0][0] == paying
        assert drawn[paying] > 40


def test_in_the_last_part_all_are_neighbours_of_the_best():
    records = population(40, value=lambda number: 1.0 if number == 7 else 0.1)
    chosen = Genetic(SPACE, 1, settings(budget=50, genetic={"population": 6, "finish": 0.2, "assist": False}))
    assert {chosen.propose(records, number).parents for number in range(40, 50)} == {(7,)}
    assert all("+" not in chosen.propose(records, number).operator for number in range(40, 50))
    assert (7,) not in {chosen.propose(records[:39], 39).parents}
