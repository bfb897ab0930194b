"""Augmentation: one Keras layer for each kind of change a recipe asks for, on raw pixels, in training only.

The layers stand before the network, not in it: what is saved and handed over holds none of them. Each has a seed of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nas.recipe import Recipe
from nas.training.seeds import seed_of

ERASED = (
    0.02,
    0.2,
)  # of the picture, by one rectangle; Zhong et al. 2020 erase up to 0.4, too much of a small one


def augmentation(recipe: Recipe, seed: int) -> list[Any]:
    """Layers in order, from moving pixels to changing them; empty for a recipe without augmentation."""
    flip = {"both": "horizontal_and_vertical"}.get(recipe.flip, recipe.flip)
    makers: list[tuple[Any, Callable[[dict[str, Any]], Any]]] = [
        (recipe.flip != "none", lambda s: keras.layers.RandomFlip(flip, **s)),
        (recipe.shift, lambda s: keras.layers.RandomTranslation(recipe.shift, recipe.shift, **s)),
        (recipe.rotation, lambda s: keras.layers.RandomRotation(recipe.rotation, **s)),
        (recipe.zoom, lambda s: keras.layers.RandomZoom(recipe.zoom, **s)),
        (recipe.shear, lambda s: keras.layers.RandomShear(recipe.shear, recipe.shear, **s)),
        (recipe.stretch, lambda s: keras.layers.RandomZoom(recipe.stretch, recipe.stretch, **s)),
        (recipe.brightness, lambda s: keras.layers.RandomBrightness(recipe.brightness, **s)),
        (recipe.contrast, lambda s: keras.layers.RandomContrast(recipe.contrast, **s)),
        (recipe.erasing, lambda s: keras.layers.RandomErasing(recipe.erasing, ERASED, **s)),
    ]
    return [
        make({"seed": seed_of(seed, "augment", index), "dtype": "float32"})
        for index, (wanted, make) in enumerate(makers)
        if wanted
    ]
