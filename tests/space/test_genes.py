"""Genes: samples and neighbours lie in the gene, canonical values stay as they are, values of different kinds apart."""

import math
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.space import Choice, Ordered, Range
from nas.space.read import LEAST_STEP

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@st.composite
def ranges(draw):
    """Any range that a file may hold."""
    kind = draw(st.sampled_from(["integer", "integer step", "integer log", "real", "real step", "real log"]))
    if kind.startswith("integer"):
        low = draw(st.integers(1 if "log" in kind else -10_000, 10_000))
        high = low + draw(st.integers(1, 10_000))
        step = draw(st.integers(1, high - low)) if "step" in kind else None
        return Range(low, high, "log" in kind, step)
    low = draw(st.floats(1e-8, 1e3) if "log" in kind else NUMBERS)
    high = draw(st.floats(1e-8, 1e4) if "log" in kind else NUMBERS)
    assume(low < high)
    step = draw(st.floats(0.01, 1)) * (high - low) if "step" in kind else None
    assume(step is None or step >= LEAST_STEP)
    return Range(float(low), float(high), "log" in kind, step)


GENES = st.one_of(
    ranges(),
    st.lists(st.integers(), min_size=1, max_size=9, unique=True).map(lambda values: Choice(tuple(values))),
    st.lists(st.floats(-9, 9), min_size=1, max_size=9, unique=True).map(lambda values: Ordered(tuple(values))),
)


@settings(deadline=None)
@given(GENES, st.integers(0, 2**32))
def test_a_sample_is_a_canonical_value_of_the_gene(gene, seed):
    value = gene.sample(random.Random(seed))
    assert gene.contains(value)
    assert gene.canonical(value) == value


@settings(deadline=None)
@given(GENES, st.integers(0, 2**32))
def test_neighbours_are_other_values_of_the_gene_each_once(gene, seed):
    value = gene.sample(random.Random(seed))
    near = gene.neighbours(value)
    assert all(gene.contains(each) and each != value for each in near)
    assert len(set(near)) == len(near)


@settings(deadline=None)
@given(ranges(), NUMBERS)
def test_canonical_is_idempotent_and_stays_between_the_ends(gene, number):
    value = gene.canonical(number)
    assert gene.low <= value <= gene.high
    assert gene.canonical(value) == value
    assert type(value) is (int if gene.integer else float)


@settings(deadline=None)
@given(ranges())
def test_the_extremes_are_values_of_the_gene(gene):
    assert all(gene.contains(value) for value in gene.extremes())


@settings(deadline=None)
@given(ranges().filter(lambda gene: gene.count() is not None and gene.count() <= 2_000))
def test_a_range_that_can_be_counted_has_so_many_rising_values(gene):
    values = [gene.at(index) for index in range(gene.count())]
    assert values == sorted(set(values))
    assert all(gene.contains(value) for value in values)


@pytest.mark.parametrize(
    ("gene", "values"),
    [
        (Range(1, 5), [1, 2, 3, 4, 5]),
        (Range(0, 10, step=3), [0, 3, 6, 9]),
        (Range(0.0, 1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Range(-0.9, 0.9, step=0.3), [-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9]),
        (Range(1, 4, log=True), [1, 2, 3, 4]),
    ],
)
def test_these_are_all_values_of_a_range(gene, values):
    assert [gene.at(index) for index in range(gene.count())] == values
    rng = random.Random(1)
    assert {gene.sample(rng) for _ in range(500)} == set(values)


def test_a_range_of_real_numbers_is_not_counted():
    assert Range(0.0, 1.0).count() is None
    assert Range(1e-4, 0.1, log=True).count() is None


def test_a_logarithmic_range_is_uniform_in_its_logarithm():
    gene, rng = Range(1e-4, 1.0, log=True), random.Random(1)
    decades = [math.floor(math.log10(gene.sample(rng))) for _ in range(4_000)]
    assert all(900 < decades.count(decade) < 1_100 for decade in (-4, -3, -2, -1))


def test_a_real_number_is_kept_with_four_digits():
    assert Range(0.0, 1.0).canonical(0.123456) == 0.1235
    assert Range(1e-5, 1.0, log=True).canonical(0.000123456) == 0.0001235


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.99999), (0.12344, 0.2), (1.23456, 1.23457), (-0.99999, 0.0)])
def test_rounding_never_leaves_the_range(low, high):
    gene, rng = Range(low, high), random.Random(1)
    values = [*gene.extremes(), *(gene.sample(rng) for _ in range(200))]
    assert all(low <= value <= high and gene.contains(value) for value in values)


@pytest.mark.parametrize(
    ("gene", "value", "near"),
    [
        (Choice(("a", "b", "c")), "b", ["a", "c"]),
        (Ordered((16, 32, 64)), 32, [16, 64]),
        (Ordered((16, 32, 64)), 16, [32]),
        (Ordered((16,)), 16, []),
        (Range(1, 5), 5, [4]),
        (Range(0, 10, step=3), 9, [6]),
        (Range(16, 256, step=8), 128, [104, 152, 120, 136]),
        (Range(1, 1001), 500, [400, 600, 475, 525, 499, 501]),
        (Range(0, 10**9), 5 * 10**8, [4 * 10**8, 6 * 10**8, 475 * 10**6, 525 * 10**6]),
        (Range(1e-300, 1e14, log=True), 1.0, [3.981e-32, 1e14, 1.413e-08, 7.079e07]),
        (Range(0.0, 1.0), 0.5, [0.4, 0.6, 0.475, 0.525]),
        (Range(1e-4, 1.0, log=True), 1e-4, [0.0002512, 0.0001259]),
        (Range(1, 1000, log=True), 1, [2]),
    ],
)
def test_these_are_the_neighbours(gene, value, near):
    assert gene.neighbours(value) == near


def test_one_true_and_one_point_zero_are_three_values():
    assert not Choice((1,)).contains(True)
    assert not Choice((1,)).contains(1.0)
    assert not Choice((True,)).contains(1)
    assert not Range(0, 5).contains(True)
    assert not Range(0, 5).contains(1.0)
    assert Range(0.0, 5.0).contains(1)


@pytest.mark.parametrize("value", ["1", None, [1], float("nan"), float("inf"), 6, -1])
def test_a_foreign_value_is_not_in_a_range(value):
    assert not Range(0, 5).contains(value)
    assert not Range(0.0, 5.0).contains(value)


def test_the_index_of_a_foreign_value_is_an_error():
    with pytest.raises(ValueError, match="is not one of"):
        Choice((1, 2)).index(True)
