"""A model that can be asked what is in a picture, and one probability for each class from whatever it answers.

`training/handover.py` reads a `.keras` file into one, `export/opened.py` any format; neither Keras nor any other runtime is
needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nas.errors import RunError, first_line

Answer: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From raw pixels 0–255, float32 [n, height, width, channels], to what the last layer gives, float32 [n, outputs]."""

LARGEST = 4_096  # pixels of a side
TOGETHER = 64  # pictures that go through a network at once
LEAST = 1e-30  # of which several sigmoids together say something


@dataclass(frozen=True)
class HandedOver:
    """A loaded model with what it needs to look at a picture. `model` is its Keras network, if it is one."""

    answer: Answer
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    facts: dict[str, Any]
    file: Path
    model: Any = None

    def probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """float32 [n, classes] from raw pixels [n, height, width, channels]: each row sums to 1, whatever the output layer.
        Raises RunError."""
        starts = range(0, len(pictures), TOGETHER)
        try:
            outputs = np.concatenate(
                [np.asarray(self.answer(pictures[start : start + TOGETHER].astype(np.float32))) for start in starts]
            )
        except Exception as problem:  # a damaged network can be one that loads and fails at its first picture
            raise RunError(f"its network fails: {first_line(problem)}", str(self.file)) from None
        if not np.isfinite(outputs).all():
            raise RunError("its network answers with what is no number", str(self.file))
        return class_probabilities(outputs)


def class_probabilities(outputs: np.ndarray) -> np.ndarray:
    """One probability for each class from any head: softmax, a sigmoid for each class, or one sigmoid for two classes."""
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    total = outputs.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.where(total > LEAST, outputs / np.maximum(total, LEAST), 1 / outputs.shape[1])
    return shares


def classes_and_shape(facts: Any, where: str) -> tuple[tuple[str, ...], tuple[int, int, int]]:
    """What `facts` say of a model's classes and pictures; `where` they stand is for the message. Raises ValueError."""
    lacking = [name for name in ("classes", "shape") if not isinstance(facts, dict) or not isinstance(facts.get(name), list)]
    if lacking:
        raise ValueError(f"{where} has no list '{lacking[0]}'")
    classes, sides = tuple(str(name) for name in facts["classes"]), facts["shape"]
    whole = all(type(side) is int for side in sides) and len(sides) == 3
    if not whole or not all(1 <= side <= LARGEST for side in sides[:2]) or sides[2] not in (1, 3):
        raise ValueError(f"{where} has a shape that no picture has: {sides}"[:200])
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(f"{where} has no two classes, or one twice")
    return classes, (sides[0], sides[1], sides[2])
