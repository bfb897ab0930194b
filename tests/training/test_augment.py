"""Augmentation: every layer changes the picture, keeps its shape, and stays within the range of pixels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from nas.recipe import STRENGTHS, Recipe
from nas.training.augment import augmentation

pytestmark = pytest.mark.backend
WHOLE_PIXELS = ("shift", "erasing", "cutmix", "mixup")  # in `pixels.py`
LAYERS = tuple(name for name in STRENGTHS if name not in WHOLE_PIXELS)
KINDS: list[dict[str, Any]] = [*({name: 0.5} for name in LAYERS), *({name: 1.0} for name in LAYERS)]
PICTURES = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3)).astype("float32")


def changed(recipe: Recipe, seed: int = 1, pictures: np.ndarray = PICTURES) -> np.ndarray:
    found: Any = pictures
    for layer in augmentation(recipe, seed):
        found = layer(found, training=True)
    return np.asarray(found)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, *kind.items())))
def test_layer_changes_pictures_within_their_shape_and_range(kind: dict[str, Any]) -> None:
    assert len(augmentation(Recipe(**kind), 1)) == 1
    found = changed(Recipe(**kind))
    assert found.shape == PICTURES.shape
    assert np.abs(found - PICTURES).max() > 1
    if not ("randaugment" in kind and keras.backend.backend() == "torch"):  # there Keras 3.15 does not keep to the range
        assert found.min() >= -1e-3
        assert found.max() <= 255 + 1e-3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, *kind.items())))
def test_layer_does_nothing_outside_training(kind: dict[str, Any]) -> None:
    (layer,) = augmentation(Recipe(**kind), 1)
    np.testing.assert_array_equal(np.asarray(layer(PICTURES, training=False)), PICTURES)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_layers_together_follow_their_seed(channels: int) -> None:
    recipe = Recipe(**dict.fromkeys(LAYERS, 0.2))
    pictures = PICTURES[..., :channels]
    np.testing.assert_array_equal(changed(recipe, 3, pictures), changed(recipe, 3, pictures))
    assert np.abs(changed(recipe, 4, pictures) - changed(recipe, 3, pictures)).max() > 1


@pytest.mark.parametrize("kind", ["brightness", "contrast", "shear"])
def test_changes_go_both_ways(kind: str) -> None:
    """Brighter and darker, flatter and harder, to the left and to the right: half of the pictures each, about."""
    halves = np.zeros((200, 12, 12, 1), "float32")
    halves[:, :, :6] = 100
    halves[:, :, 6:] = 150
    found = changed(Recipe(**{kind: 0.2}), pictures=halves)
    what = {
        "brightness": found.mean((1, 2, 3)) > halves.mean(),
        "contrast": np.ptp(found, (1, 2, 3)) > 50,
        "shear": found[:, 11].mean((1, 2)) > 125,
    }[kind]
    assert 60 < what.sum() < 140


def test_recipe_without_augmentation_has_no_layers() -> None:
    assert augmentation(Recipe(), 1) == []
