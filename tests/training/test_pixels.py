"""Whole pixels: flips, shifts, erasing and mixtures are what they say, on bytes, and follow from the generator alone."""

from __future__ import annotations

import numpy as np
import pytest

from nas.recipe import Recipe
from nas.training.batches import Batches
from nas.training.pixels import changed, moves

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (40, 9, 8, 3), dtype=np.uint8)
TARGETS = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
KINDS = [{"flip": "horizontal"}, {"flip": "vertical"}, {"flip": "both"}, {"shift": 0.25}, {"erasing": 1.0}]
MIXTURES = [{"cutmix": 1.0}, {"mixup": 1.0}]


def once(seed: int = 1, pictures: np.ndarray = PICTURES, **recipe: object) -> tuple[np.ndarray, np.ndarray]:
    return changed(pictures, TARGETS[: len(pictures)], Recipe(**recipe), np.random.default_rng(seed))  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", [*KINDS, *MIXTURES], ids=str)
def test_bytes_in_their_shape_that_follow_from_the_generator_and_leave_the_input_alone(recipe: dict[str, object]) -> None:
    before = PICTURES.copy()
    pictures, targets = once(**recipe)
    assert (pictures.dtype, pictures.shape) == (np.uint8, PICTURES.shape)
    assert (targets.dtype, targets.shape) == (np.float32, TARGETS.shape)
    np.testing.assert_array_equal(PICTURES, before)
    np.testing.assert_array_equal(once(**recipe)[0], pictures)
    assert (once(2, **recipe)[0] != pictures).any()
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(("flip", "axes"), [("horizontal", [(1,)]), ("vertical", [(0,)]), ("both", [(0,), (1,), (0, 1)])])
def test_a_picture_is_flipped_or_as_it_was_each_about_as_often(flip: str, axes: list[tuple[int, ...]]) -> None:
    ways = [(), *axes]
    counts = dict.fromkeys(ways, 0)
    for before, after in zip(PICTURES, once(flip=flip)[0], strict=True):
        (way,) = [way for way in ways if np.array_equal(np.flip(before, way) if way else before, after)]
        counts[way] += 1
    assert min(counts.values()) >= 40 / len(ways) / 3


def test_a_shift_moves_the_picture_and_mirrors_it_at_its_border() -> None:
    ramp = np.tile(np.arange(8, dtype=np.uint8)[None, None, :, None], (200, 8, 1, 1))
    rows = {tuple(picture[0, :, 0].tolist()) for picture in once(pictures=ramp[:40], shift=0.25)[0]}
    allowed = {
        tuple(abs(each + shift) if each + shift <= 7 else 14 - each - shift for each in range(8)) for shift in range(-2, 3)
    }
    assert rows == allowed


def test_erased_pictures_lose_one_rectangle_of_at_most_a_fifth() -> None:
    for before, after in zip(PICTURES, once(erasing=1.0)[0], strict=True):
        rows, columns = np.nonzero((before != after).any(axis=-1))
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 1 <= area <= 0.2 * 72 * 1.6  # sides are rounded


def test_of_a_cut_picture_the_target_has_the_part_that_was_pasted() -> None:
    own = np.arange(40, dtype=np.uint8)
    flat = np.broadcast_to(own[:, None, None, None], (40, 10, 10, 1)).copy()
    hot = np.eye(40, dtype=np.float32)
    pictures, targets = changed(flat, hot, Recipe(cutmix=1.0), np.random.default_rng(3))
    for picture, target in zip(pictures, targets, strict=True):
        shares = np.bincount(picture.ravel(), minlength=40) / 100
        np.testing.assert_allclose(shares, target, atol=1e-6)
        assert np.count_nonzero(target) <= 2, "of two pictures at most"
    assert 0 < targets.max(axis=1).min() < 1, "some were cut"


def test_of_mixed_pictures_the_targets_are_mixed_alike() -> None:
    black_and_white = np.repeat(np.array([0, 200], np.uint8), 20)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    hot = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    pictures, targets = changed(black_and_white, hot, Recipe(mixup=1.0), np.random.default_rng(5))
    np.testing.assert_allclose(pictures[:, 0, 0, 0] / 200, targets[:, 1], atol=0.005)


def test_a_recipe_without_it_moves_nothing() -> None:
    assert not moves(Recipe())
    assert not moves(Recipe(rotation=0.1, randaugment=0.5))
    assert all(moves(Recipe(**recipe)) for recipe in [*KINDS, *MIXTURES])  # type: ignore[arg-type]


def test_batches_are_changed_in_training_alone_and_anew_in_every_epoch() -> None:
    index = np.arange(40)
    recipe = Recipe(flip="horizontal", shift=0.25)
    training = Batches(PICTURES, TARGETS, index, 20, (1, 2), recipe)
    found = []
    for epoch in (0, 1, 0):
        training.set_epoch(epoch, 2)
        found.append(training[1][0])
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any()
    plain = Batches(PICTURES, TARGETS, index, 20, None, recipe)
    np.testing.assert_array_equal(plain[1][0], PICTURES[20:])
