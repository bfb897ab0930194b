"""The split into training and validation pictures."""

import numpy as np
import pytest

from nas.datasets.split import default_train_part, default_validation_part, split

IMBALANCED = np.repeat([0, 1, 2], [200, 30, 2])


def test_parts_are_disjoint_and_leave_nothing_out() -> None:
    train, validation = split(IMBALANCED, 1, 0.2, 1.0)
    assert sorted([*train, *validation]) == list(range(len(IMBALANCED)))


def test_every_class_is_in_both_parts() -> None:
    for part in split(IMBALANCED, 1, 0.2, 0.01):
        assert set(IMBALANCED[part]) == {0, 1, 2}


def test_validation_part_is_stratified() -> None:
    _, validation = split(IMBALANCED, 1, 0.2, 1.0)
    assert np.bincount(IMBALANCED[validation]).tolist() == [40, 6, 1]


def test_train_part_thins_the_training_pictures_only() -> None:
    whole, validation = split(IMBALANCED, 1, 0.2, 1.0)
    half, same_validation = split(IMBALANCED, 1, 0.2, 0.5)
    np.testing.assert_array_equal(validation, same_validation)
    assert set(half) < set(whole)
    assert np.bincount(IMBALANCED[half]).tolist() == [80, 12, 1]


def test_same_seed_same_split_and_another_seed_another() -> None:
    first, again, other = (split(IMBALANCED, seed, 0.2, 1.0)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def test_unusable_pictures_are_in_no_part() -> None:
    labels = IMBALANCED.copy()
    labels[::7] = -1
    for part in split(labels, 1, 0.2, 1.0):
        assert (labels[part] >= 0).all()


@pytest.mark.parametrize(("pictures", "part"), [(100, 0.25), (5_000, 0.2), (50_000, 0.1)])
def test_default_validation_part(pictures: int, part: float) -> None:
    assert default_validation_part(pictures) == part


@pytest.mark.parametrize(("pictures", "used"), [(500, 500), (40_000, 10_000)])
def test_default_train_part(pictures: int, used: int) -> None:
    assert default_train_part(pictures, 10_000) * pictures == used


@pytest.mark.parametrize(("pictures", "most"), [(45_000, 2), (1_153_050, 10_000), (3_000_000, 1)])
def test_default_train_part_of_many_is_never_more_and_never_nothing(pictures: int, most: int) -> None:
    part = default_train_part(pictures, most)
    assert 0 < part <= max(most / pictures, 1e-6)
