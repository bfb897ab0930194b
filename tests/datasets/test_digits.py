"""Digits: real scans without a download, with a test part that never changes."""

import numpy as np

from nas.datasets.prepare import load, prepare


def test_training_part_has_its_shapes() -> None:
    part = load("digits", None, "train")
    assert part.images.shape == (1437, 8, 8, 1)
    assert part.images.dtype == np.uint8
    assert part.images.max() == 255
    assert part.classes == tuple("0123456789")


def test_test_part_is_fixed_and_stratified() -> None:
    first, second = load("digits", None, "test"), load("digits", None, "test")
    assert len(first.labels) == 360
    np.testing.assert_array_equal(first.images, second.images)
    counts = np.bincount(first.labels)
    assert counts.min() >= 35
    assert counts.max() <= 37


def test_train_and_test_are_disjoint() -> None:
    train = {scan.tobytes() for scan in load("digits", None, "train").images}
    test = [scan.tobytes() for scan in load("digits", None, "test").images]
    assert len(train) == 1437, "the scans all differ, so equal bytes would be an equal scan"
    assert not train.intersection(test)


def test_card_says_what_the_data_is() -> None:
    card = prepare("digits")
    assert card.shape == (8, 8, 1)
    assert sum(card.counts) == 1437
    assert "360" in card.test


def test_image_size_scales_arrays() -> None:
    assert prepare("digits", image_size=16).shape == (16, 16, 1)
