"""Augmentation that moves whole pixels, in numpy on bytes: flip, shift, erasing, CutMix and MixUp.

The layers of `augment.py` compute with floats inside the training step; what needs no interpolation is done here, while the
step before is computed (docs/measurements.md says what either costs). Everything follows from the generator that is given.
"""

from __future__ import annotations

import numpy as np

from nas.recipe import Recipe

ERASED = (0.02, 0.2)  # of the picture, by one rectangle; Zhong et al. 2020 erase up to 0.4, too much of a small one
ASPECT = (0.5, 2.0)  # of that rectangle

Batch = tuple[np.ndarray, np.ndarray]


def moves(recipe: Recipe) -> bool:
    """Whether a recipe asks for any of this."""
    return recipe.flip != "none" or any((recipe.shift, recipe.erasing, recipe.mixup, recipe.cutmix))


def changed(pictures: np.ndarray, targets: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> Batch:
    """A batch as it is trained on: uint8 [b, height, width, channels] and float32 [b, outputs]; the input is not touched."""
    pictures = _moved(pictures, recipe, rng)
    if recipe.erasing:
        _erase(pictures, recipe.erasing, rng)
    # Of the two mixtures one is drawn for each batch, each with its own chance.
    kind = rng.random()
    if kind < recipe.cutmix:
        return _cut(pictures, targets, rng)
    if kind < recipe.cutmix + recipe.mixup:
        return _mix(pictures, targets, rng)
    return pictures, targets


def _moved(pictures: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Flipped and shifted, in one copy. What a shift uncovers is the picture mirrored at its border."""
    count, height, width = pictures.shape[:3]
    rows = _indices(count, height, recipe.shift, recipe.flip in ("vertical", "both"), rng)
    columns = _indices(count, width, recipe.shift, recipe.flip in ("horizontal", "both"), rng)
    # By one index of whole pixels: a quarter of the time of one index for each axis.
    source = (np.arange(count)[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    moved: np.ndarray = pictures.reshape(-1, pictures.shape[3]).take(source, axis=0)
    return moved


def _indices(count: int, side: int, shift: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Which row (or column) of a picture stands in which place: int [count, side]."""
    most = round(shift * side)
    found = np.arange(side)[None, :] + rng.integers(-most, most + 1, (count, 1))
    period = max(1, 2 * (side - 1))
    found = np.abs(found) % period  # mirrored without repeating the border itself
    found = np.where(found >= side, period - found, found)
    turned = rng.random((count, 1)) < (0.5 if flip else 0.0)
    places: np.ndarray = np.where(turned, side - 1 - found, found)
    return places


def _erase(pictures: np.ndarray, chance: float, rng: np.random.Generator) -> None:
    """One rectangle of some pictures becomes noise (Zhong et al. 2020), in place."""
    height, width = pictures.shape[1:3]
    for index in np.flatnonzero(rng.random(len(pictures)) < chance):
        area = rng.uniform(*ERASED) * height * width
        aspect = np.exp(rng.uniform(*np.log(ASPECT)))
        tall = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
        wide = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
        top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
        hole = pictures[index, top : top + tall, left : left + wide]
        hole[...] = rng.integers(0, 256, hole.shape, dtype=np.uint8)


def _cut(pictures: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> Batch:
    """CutMix (Yun et al. 2019, section 3.1): a rectangle of each picture comes from another, and so much of its target."""
    height, width = pictures.shape[1:3]
    other, part = rng.permutation(len(pictures)), rng.random()
    tall, wide = round(height * np.sqrt(part)), round(width * np.sqrt(part))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    found = pictures.copy()
    found[:, top : top + tall, left : left + wide] = pictures[other, top : top + tall, left : left + wide]
    return found, _blend(targets, other, tall * wide / (height * width))


def _mix(pictures: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> Batch:
    """MixUp (Zhang et al. 2018, section 2) with 0.2, from their range for ImageNet: each laid over another, targets too."""
    other, parts = rng.permutation(len(pictures)), round(256 * rng.beta(0.2, 0.2))  # of 256: floats take ten times as long
    weight, rest = np.uint16(parts), np.uint16(256 - parts)
    mixed = ((rest * pictures + weight * pictures[other] + np.uint16(128)) // np.uint16(256)).astype(np.uint8)
    return mixed, _blend(targets, other, parts / 256)


def _blend(targets: np.ndarray, other: np.ndarray, part: float) -> np.ndarray:
    blended: np.ndarray = ((1 - part) * targets + part * targets[other]).astype(np.float32)
    return blended
