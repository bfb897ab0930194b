"""Augmentation: one Keras layer for each kind of change that interpolates or changes colours, on raw pixels, in training only.

What moves whole pixels is in `pixels.py`.

The layers stand before the network, not in it: what is saved and handed over holds none of them. Each has a seed of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nas.recipe import Recipe
from nas.training.seeds import seed_of


def augmentation(recipe: Recipe, seed: int) -> list[Any]:
    """Layers in order, from moving pixels to changing them; empty for a recipe without augmentation."""
    contrast = (recipe.contrast, recipe.contrast)  # of a number alone Keras takes the upper half only
    makers: list[tuple[float, Callable[[dict[str, Any]], Any]]] = [
        (recipe.rotation, lambda s: keras.layers.RandomRotation(recipe.rotation, **s)),
        (recipe.zoom, lambda s: keras.layers.RandomZoom(recipe.zoom, **s)),
        (recipe.shear, lambda s: keras.layers.RandomShear(recipe.shear, recipe.shear, **s)),
        (recipe.stretch, lambda s: keras.layers.RandomZoom(recipe.stretch, recipe.stretch, **s)),
        (recipe.brightness, lambda s: keras.layers.RandomBrightness(recipe.brightness, **s)),
        (recipe.contrast, lambda s: keras.layers.RandomContrast(contrast, **s)),
        (recipe.randaugment, lambda s: keras.layers.RandAugment(factor=recipe.randaugment, **s)),
    ]
    return [
        make({"seed": seed_of(seed, "augment", index), "dtype": "float32"})
        for index, (wanted, make) in enumerate(makers)
        if wanted
    ]
