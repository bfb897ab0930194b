"""Batches: an order that follows from seed, candidate and epoch alone, and targets for every head."""

from __future__ import annotations

import numpy as np
import pytest

from nas.training.batches import Batches, Targets, fed, targets

IMAGES = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
INDEX = np.arange(0, 50, 2)


def rows(batches: Batches) -> list[int]:
    return [int(value) for number in range(len(batches)) for value in batches[number][0].ravel()]


def shuffled(epoch: int, seed: tuple[int, ...] = (1, 2)) -> list[int]:
    batches = Batches(IMAGES, targets(np.zeros(50, int), 2), INDEX, 5, seed)
    batches.set_epoch(epoch, 9)
    return rows(batches)


def test_an_epoch_holds_every_picture_once() -> None:
    assert sorted(shuffled(0)) == INDEX.tolist()


def test_order_follows_from_seed_and_epoch() -> None:
    assert shuffled(3) == shuffled(3)
    assert shuffled(3) != shuffled(4)
    assert shuffled(3) != shuffled(3, (1, 3))


def test_without_a_seed_pictures_keep_their_order_and_none_is_left_out() -> None:
    batches = Batches(IMAGES, targets(np.zeros(50, int), 2), INDEX, 7)
    batches.set_epoch(4, 9)
    assert rows(batches) == INDEX.tolist()


def test_smaller_last_batch_is_left_out_in_training() -> None:
    assert len(Batches(IMAGES, IMAGES, INDEX, 7, (1,))) == 3
    assert len(Batches(IMAGES, IMAGES, INDEX, 7)) == 4


def test_batch_larger_than_the_data_is_the_data() -> None:
    assert len(Batches(IMAGES, IMAGES, INDEX, 1000, (1,))) == 1


def test_pictures_stay_bytes() -> None:
    assert Batches(IMAGES, targets(np.zeros(50, int), 2), INDEX, 7)[0][0].dtype == np.uint8


def test_targets_are_one_hot() -> None:
    found = targets(np.array([2, 0, -1]), 3)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert Targets(np.array([2, 0, -1]), 3)[np.array([1, 0])].tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("weights", [None, np.ones(2)])
def test_fit_is_fed_each_epoch_as_it_is_drawn(weights: np.ndarray | None) -> None:
    tf = pytest.importorskip("tensorflow")
    batches = Batches(IMAGES, targets(np.arange(50) // 25, 2), INDEX, 7, (1, 2), None, weights)
    found = fed(batches)
    if not isinstance(found, tf.data.Dataset):
        assert found is batches, "by another backend"
        return
    assert len(found) == 3
    assert not found.options().autotune.enabled, "its thread would keep an epoch from ending"
    for epoch in range(2):
        batches.set_epoch(epoch, 2)
        for place, parts in enumerate(found):
            assert len(parts) == (2 if weights is None else 3)
            for part, own in zip(parts, batches[place], strict=True):
                np.testing.assert_array_equal(part.numpy(), own)
                assert part.dtype == own.dtype


@pytest.mark.parametrize("label", [0, 1])
def test_single_unit_has_the_label_itself(label: int) -> None:
    assert targets(np.array([label]), 1).tolist() == [[label]]
