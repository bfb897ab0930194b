"""The surrogate: it guesses what it can know, says how sure it is, and repeats itself."""

from __future__ import annotations

import numpy as np
import pytest

from nas.shipped import shipped
from nas.space import read_space
from nas.strategies.surrogate import Encoder, Sizes, Surrogate, expected_improvement, tempered

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 2, (60, 12)).astype(float)
WEIGHTS = RNG.normal(size=12)


def test_what_adds_up_is_guessed_nearly_exactly() -> None:
    others = RNG.integers(0, 2, (40, 12)).astype(float)
    mean, _ = Surrogate(CODES, list(CODES @ WEIGHTS)).guess(others)
    assert np.corrcoef(mean, others @ WEIGHTS)[0, 1] > 0.99


def test_what_genes_do_together_is_guessed_better_than_a_line_can() -> None:
    codes = RNG.uniform(-1, 1, (150, 2))
    scores = codes[:, 0] * codes[:, 1]
    others = RNG.uniform(-1, 1, (50, 2))
    mean, _ = Surrogate(codes, list(scores)).guess(others)
    assert np.corrcoef(mean, others[:, 0] * others[:, 1])[0, 1] > 0.95


def test_it_is_surer_of_what_was_tried_than_of_what_is_far_away() -> None:
    codes = RNG.uniform(0, 1, (40, 3))
    _, spread = Surrogate(codes, list(np.sin(6 * codes[:, 0]))).guess(np.array([codes[0], [9.0, 9.0, 9.0]]))
    assert spread[0] < spread[1] / 3


def test_noise_is_not_taken_for_knowledge() -> None:
    """Of scores that follow from nothing it guesses their mean, not each of them."""
    scores = RNG.normal(5, 1, 60)
    mean, _ = Surrogate(CODES, list(scores)).guess(CODES)
    assert np.std(mean) < 0.7 * np.std(scores)
    assert np.mean(mean) == pytest.approx(np.mean(scores), abs=0.3)


@pytest.mark.parametrize("scores", [[0.5] * 60, [0.5] * 59 + [0.6]])
def test_scores_that_hardly_differ_are_no_trouble(scores: list[float]) -> None:
    mean, spread = Surrogate(CODES, scores).guess(CODES)
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()
    assert mean[0] == pytest.approx(0.5, abs=0.05)


def test_a_failure_counts_for_no_less_than_twice_as_far_below_as_the_best_is_above() -> None:
    assert list(tempered([0.1, 0.9, 0.8, 0.7, 0.85])) == pytest.approx([0.6, 0.9, 0.8, 0.7, 0.85])
    assert list(tempered([0.1, 0.9, 0.9, 0.9])) == [0.1, 0.9, 0.9, 0.9], "of most that are the best nothing is known but that"


def test_the_best_is_the_highest_of_its_own_guesses() -> None:
    scores = list(CODES @ WEIGHTS + RNG.normal(size=60))
    surrogate = Surrogate(CODES, scores)
    assert surrogate.best == pytest.approx(surrogate.guess(CODES)[0].max())
    assert surrogate.best < max(scores), "the best score was lucky as well"


def test_with_kernels_that_cannot_be_divided_by_there_is_an_answer() -> None:
    mean, _ = Surrogate(np.zeros((40, 3)), list(RNG.normal(size=40)), [(1.0, 0.5, -1e-9)]).guess(np.zeros((1, 3)))
    assert np.isfinite(mean).all()


def test_equal_sizes_are_no_measure() -> None:
    found = Sizes(np.array([[50_000, 7]] * 11)).beside(np.zeros((1, 1)), np.array([[100_000, 7]]))
    assert found[0] == pytest.approx([0.0, np.log(2), 0.0])


def test_expected_improvement_is_that_of_many_draws() -> None:
    mean, spread = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.1, 3.0])
    draws = np.maximum(RNG.normal(mean, spread, (400_000, 3)) - 0.5, 0).mean(axis=0)
    np.testing.assert_allclose(expected_improvement(mean, spread, 0.5), draws, atol=0.01)


SPACE = read_space(
    {
        "name": "x",
        "groups": {"blocks": {"repeat": [1, 2], "genes": {"op": {"choice": ["a", "b"]}, "fixed": 3}}},
        "genes": {"rate": {"range": [1e-4, 1.0], "log": True}, "size": {"ordered": [1, 2, 4]}},
    }
)


def test_a_code_says_what_is_chosen_and_how_large_numbers_are() -> None:
    encoder = Encoder(SPACE)

    def distance(one: dict[str, object], other: dict[str, object]) -> float:
        base = {"blocks": [{"op": "a", "fixed": 3}], "rate": 0.01, "size": 1}
        return float(np.linalg.norm(encoder.code({**base, **one}) - encoder.code({**base, **other})))

    assert distance({}, {}) == 0
    assert distance({"rate": 1e-4}, {"rate": 1.0}) == pytest.approx(1)
    assert distance({"rate": 1e-4}, {"rate": 1e-2}) == pytest.approx(0.5)
    assert distance({"size": 1}, {"size": 2}) == pytest.approx(0.5)
    assert distance({}, {"blocks": [{"op": "b", "fixed": 3}]}) > 1
    one, two = {"op": "a", "fixed": 3}, {"op": "b", "fixed": 3}
    swapped = distance({"blocks": [one, two]}, {"blocks": [two, one]})
    other = distance({"blocks": [one, one]}, {"blocks": [two, two]})
    assert 0 < swapped < other / 2, "a block that has moved is no stranger"


@pytest.mark.parametrize("name", shipped("search_spaces"))
def test_every_genotype_of_our_spaces_has_a_code(name: str) -> None:
    import random

    space, rng = read_space(name), random.Random(1)
    encoder = Encoder(space)
    codes = np.array([encoder.code(space.sample(rng)) for _ in range(50)])
    assert codes.shape == (50, encoder.size)
    assert np.isfinite(codes).all()
    assert len(np.unique(codes, axis=0)) >= 49
