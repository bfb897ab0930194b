"""Batches of raw pixels from the memory-mapped cache, in an order, and with changes, that follow from (seed, candidate, epoch)
alone."""

from __future__ import annotations

import keras
import numpy as np

from nas.recipe import Recipe
from nas.training import pixels


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras ships no types
    """uint8 pictures [b, height, width, channels] and float32 targets [b, outputs].

    In training the order changes with `epoch`, the last, smaller batch is left out, and what `recipe` asks of `pixels.py` is
    done; without a `seed` all pictures come as they are, in their own order.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        index: np.ndarray,
        batch_size: int,
        seed: tuple[int, ...] | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        super().__init__()
        self.images, self.targets, self.index, self.seed = images, targets, index, seed
        self.batch_size = min(batch_size, len(index))
        self.order, self.epoch = index, 0
        self.asked = recipe if seed is not None else None
        self.recipe: Recipe | None = None

    def set_epoch(self, epoch: int, epochs: int = 1) -> None:
        """Draw the order of one epoch, counted from 0, of a training of `epochs` as planned at the moment."""
        self.epoch = epoch
        planned = self.asked.planned(epochs) if self.asked is not None else None
        self.recipe = planned if planned is not None and pixels.moves(planned) else None
        if self.seed is not None:
            self.order = np.random.default_rng([*self.seed, epoch]).permutation(self.index)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.index), self.batch_size)
        return whole + bool(rest and self.seed is None)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        pictures, targets = self.images[rows], self.targets[rows]
        if self.recipe is None or self.seed is None:
            return pictures, targets
        return pixels.changed(pictures, targets, self.recipe, np.random.default_rng([*self.seed, self.epoch, number]))


def targets(labels: np.ndarray, outputs: int) -> np.ndarray:
    """float32 [n, outputs]: one-hot, or the label itself for a single sigmoid unit. Rows of unusable pictures are zero."""
    if outputs == 1:
        single: np.ndarray = np.maximum(labels, 0).astype(np.float32)[:, None]
        return single
    hot = np.zeros((len(labels), outputs), np.float32)
    usable = np.flatnonzero(labels >= 0)
    hot[usable, labels[usable]] = 1
    return hot
