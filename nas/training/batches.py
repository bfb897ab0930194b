"""Batches of raw pixels from the memory-mapped cache, in an order, and with changes, that follow from (seed, candidate, epoch,
epochs in all) alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nas.recipe import Recipe
from nas.training import pixels

READY = 2  # batches that are made before they are asked for


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras ships no types
    """uint8 pictures [b, height, width, channels] and float32 targets [b, outputs].

    In training the order changes with `epoch`, the last, smaller batch is left out, and what `recipe` asks of `pixels.py` is
    done; without a `seed` all pictures come as they are, in their own order. With `weights` of the classes, float [classes],
    float32 [b] of the pictures come third.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray | Targets,
        index: np.ndarray,
        batch_size: int,
        seed: tuple[int, ...] | None = None,
        recipe: Recipe | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.images, self.targets, self.index, self.seed = images, targets, index, seed
        self.batch_size = min(batch_size, len(index))
        self.asked = recipe if seed is not None else None
        self.recipe: Recipe | None = None
        self.weights = weights
        self.set_epoch(0, 1)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Draw the order of one epoch, counted from 0, of a training of `epochs` as planned at the moment."""
        self.epoch = epoch
        planned = self.asked.planned(epochs) if self.asked is not None else None
        self.recipe = planned if planned is not None and pixels.moves(planned) else None
        self.order = self.index
        if self.seed is not None:
            self.order = np.random.default_rng([*self.seed, epoch]).permutation(self.index)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.index), self.batch_size)
        return whole + bool(rest and self.seed is None)

    def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        pictures, targets = self.images[rows], self.targets[rows]
        if self.recipe is not None and self.seed is not None:
            rng = np.random.default_rng([*self.seed, self.epoch, number])
            pictures, targets = pixels.changed(pictures, targets, self.recipe, rng)
        if self.weights is None:
            return pictures, targets
        return pictures, *weighed(targets, self.weights)


def fed(batches: Batches) -> Any:
    """What `fit` reads: the batches, on TensorFlow as a `tf.data.Dataset` that is not tuned while it runs.

    Keras makes one with tuning, whose thread sleeps for 10 ms, then for 20, 40, 80 and so on; where it is not woken at the end
    of an epoch, as happened to every third, the epoch ends when its sleep does, up to twice as late (docs/measurements.md).
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    spec = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in batches[0])
    made = tf.data.Dataset.from_generator(lambda: (batches[number] for number in range(len(batches))), output_signature=spec)
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    cardinality = tf.data.experimental.assert_cardinality(len(batches))
    return made.apply(cardinality).prefetch(READY).with_options(untuned)


def weighed(targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets float32 [b, outputs] and what each picture weighs, float32 [b], so that every class has its weight; `weights`
    float [classes]. Of a picture that is mixed of two, the target leans to the class that weighs more."""
    single = targets.shape[1] == 1
    parts = (np.hstack([1 - targets, targets]) if single else targets) * weights
    whole = parts.sum(axis=1, keepdims=True)
    shares = parts / np.maximum(whole, 1e-12)
    return (shares[:, 1:] if single else shares).astype(np.float32), whole[:, 0].astype(np.float32)


class Targets:
    """Targets of all pictures, made for the rows that are asked for: of a million pictures of a thousand classes they would
    take gigabytes."""

    def __init__(self, labels: np.ndarray, outputs: int) -> None:
        self.labels, self.outputs = labels, outputs

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return targets(self.labels[rows], self.outputs)


def targets(labels: np.ndarray, outputs: int) -> np.ndarray:
    """float32 [n, outputs]: one-hot, or the label itself for a single sigmoid unit. Rows of unusable pictures are zero."""
    if outputs == 1:
        single: np.ndarray = np.maximum(labels, 0).astype(np.float32)[:, None]
        return single
    hot = np.zeros((len(labels), outputs), np.float32)
    usable = np.flatnonzero(labels >= 0)
    hot[usable, labels[usable]] = 1
    return hot
