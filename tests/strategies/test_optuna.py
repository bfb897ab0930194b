"""Optuna's samplers: genes in Optuna's words and back, samplers by name, and that each proposal is the sampler's own."""

import importlib.util
import random
import warnings

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.config import settings
from nas.distributions import distribution, from_parameter, parameters, to_parameter
from nas.errors import ConfigError
from nas.messages import Record
from nas.shipped import shipped
from nas.space import Choice, Ordered, Range, read_space
from nas.strategies.optuna import SAMPLERS, START_UP, OptunaStrategy

GENES = [
    (Choice((1, True, 1.5, "1", "a:b")), CategoricalDistribution(["0:1", "1:true", "2:1.5", "3:1", "4:a:b"])),
    (Ordered((16, 32, 64)), IntDistribution(0, 2)),
    (Range(1, 5), IntDistribution(1, 5)),
    (Range(0, 9, step=3), IntDistribution(0, 9, step=3)),
    (Range(0, 10, step=3), IntDistribution(0, 9, step=3)),
    (Range(1, 100, log=True), IntDistribution(1, 100, log=True)),
    (Range(0.0, 1.0), FloatDistribution(0.0, 1.0)),
    (Range(0.0, 1.0, step=0.25), FloatDistribution(0.0, 1.0, step=0.25)),
    (Range(1e-4, 0.1, log=True), FloatDistribution(1e-4, 0.1, log=True)),
]
every_gene = pytest.mark.parametrize(("gene", "expected"), GENES, ids=[str(expected) for _, expected in GENES])


@every_gene
def test_a_gene_becomes_this_distribution(gene, expected):
    assert distribution(gene) == expected


@every_gene
def test_every_value_of_a_gene_survives_the_trip_through_optuna(gene, expected):
    rng = random.Random(1)
    for value in [*gene.extremes(), *(gene.sample(rng) for _ in range(50))]:
        parameter = to_parameter(gene, value)
        assert expected._contains(expected.to_internal_repr(parameter))
        back = from_parameter(gene, parameter)
        assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize("name", shipped("search_spaces"))
def test_all_genes_that_can_change_become_parameters(name):
    space = read_space(name)
    genotype = space.sample(random.Random(1))
    found, distributions = parameters(space, genotype)
    assert found.keys() == distributions.keys()
    own = {"blocks.0.widen", "blocks.0.depth"} if name in ("modern", "large", "wide") else {"blocks.0.filters", "blocks.0.pool"}
    assert {"blocks.repeat", "learning_rate", *own} <= found.keys()
    assert any("loss" in path for path in found) == (name in ("cnn", "wide"))  # fixed in the others


def proposals(sampler, space, count, seed=1):
    strategy = OptunaStrategy(space, seed, settings(strategy="optuna", sampler=sampler))
    records = []
    for number in range(count):
        proposal = strategy.propose(tuple(records), number)
        drawn = sampler == "tpe" and number < START_UP  # it begins with independent draws
        assert (proposal.operator, proposal.parents) == ("random" if drawn else sampler, ())
        value = -abs(proposal.genotype["x"] - 0.3) - abs(proposal.genotype["y"] - 0.8)
        records.append(Record(number, proposal.genotype, "trained", value=value, curve=(value,)))
    return records


SQUARE = read_space({"name": "square", "genes": {"x": {"range": [0.0, 1.0]}, "y": {"range": [0.0, 1.0]}}})


def test_a_quasi_random_sequence_covers_every_part_evenly():
    found = proposals("qmc", SQUARE, 33)[1:]  # the first is drawn before the sampler knows the space
    for gene in ("x", "y"):
        parts = [int(record.genotype[gene] * 8) for record in found]
        assert all(3 <= parts.count(part) <= 5 for part in range(8))


def test_tpe_goes_where_the_scores_are_high():
    found = proposals("tpe", SQUARE, 60)
    early, late = ([record.value for record in part] for part in (found[:10], found[-10:]))
    assert sum(late) / 10 > sum(early) / 10 + 0.2


def test_tpe_draws_what_optunas_own_study_draws_at_first():
    """The adapter hands out the sampler's numbers, not some of its own."""
    from nas.strategies.base import seed_for

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed_for(1, 0, 0), multivariate=True, group=True, constant_liar=True)
    trial = optuna.create_study(sampler=sampler).ask()
    expected = {name: SQUARE.genes[name].canonical(trial.suggest_float(name, 0.0, 1.0)) for name in ("x", "y")}
    assert proposals("tpe", SQUARE, 1)[0].genotype == expected


def test_a_wrong_sampler_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"^--sampler: unknown sampler 'tpee' \(did you mean 'tpe'\?\)"):
        OptunaStrategy(SQUARE, 1, settings(strategy="optuna", sampler="tpee"))


@pytest.mark.parametrize(("sampler", "package"), [("gp", "torch")])
def test_a_sampler_whose_package_is_missing_is_told_how_to_get_it(sampler, package):
    if importlib.util.find_spec(package) is not None:
        assert len(proposals(sampler, SQUARE, 3)) == 3
        return
    with pytest.raises(ConfigError, match=f"--sampler: needs the package '{package}': .*pip install -e '.\\[{sampler}\\]'"):
        OptunaStrategy(SQUARE, 1, settings(strategy="optuna", sampler=sampler))


def test_these_are_the_samplers():
    assert list(SAMPLERS) == ["tpe", "qmc", "gp", "random"]


def test_what_was_refused_is_never_among_the_good_ones_and_does_not_end_the_random_beginning(monkeypatch):
    """Fourteen refusals for each trained candidate, as under a tight limit."""
    from optuna.samplers._tpe import sampler as tpe

    good = []
    split = tpe._split_trials

    def noted(study, trials, n_below, *rest):
        below, above = split(study, trials, n_below, *rest)
        good.append([trial.state for trial in below])
        return below, above

    monkeypatch.setattr(tpe, "_split_trials", noted)
    space = read_space({"name": "s", "genes": {"x": {"range": [0, 1000]}, "y": {"range": [0.0, 1.0]}}})
    rng = random.Random(0)
    records = []
    for number in range(16):
        for _ in range(14):
            records.append(Record(-1 - len(records), space.sample(rng), "refused", reason="over max-flops"))
        records.append(Record(number, space.sample(rng), "trained", value=rng.random(), curve=(0.5,)))
        good.clear()
        OptunaStrategy(space, 1, settings()).propose(records, number + 1)
        assert bool(good) == (number >= 9), "ten useful ones end the random beginning"
        for states in good:
            assert states.count(optuna.trial.TrialState.COMPLETE) == len(states) <= 2
