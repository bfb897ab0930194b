"""Predictions with a handed-over model: a picture in, one probability for each class out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.datasets import images
from nas.errors import InputError, RunError
from nas.run import BEST

if TYPE_CHECKING:
    from nas.training.handover import HandedOver

TOGETHER = 64  # pictures that go through the network at once


@dataclass(frozen=True)
class Prediction:
    """Of one file: class → probability, the likeliest first; empty with a `reason` for a file that is no picture."""

    file: str
    probabilities: dict[str, float]
    reason: str = ""


def predict(model: str | Path, files: Sequence[str | Path]) -> list[Prediction]:
    """Look at pictures with the model of a run folder (its best so far) or of a `.keras` file. Raises InputError."""
    file_of_model = model_file(Path(model))
    for file in files:
        if not os.path.exists(file):  # unlike `Path.exists`, it takes any name, however long
            raise InputError("there is no such picture", str(file))
    from nas.training.handover import load_model  # loads Keras: only when everything named is there

    loaded = load_model(file_of_model)
    found: list[Prediction] = []
    for start in range(0, len(files), TOGETHER):
        found += _look(loaded, [str(file) for file in files[start : start + TOGETHER]])
    return found


def _look(loaded: HandedOver, files: list[str]) -> list[Prediction]:
    """Predictions for a few files, in their order."""
    height, width, channels = loaded.shape
    pictures: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for file in files:
        try:
            pictures[file] = images.decode(Path(file), height, width, channels)
        except Exception as problem:  # a damaged file can make a codec raise anything
            reasons[file] = images.why(problem)
    rows = loaded.probabilities(np.stack(list(pictures.values()))) if pictures else ()
    likely: dict[str, dict[str, float]] = {}
    for file, row in zip(pictures, rows, strict=True):
        order = np.argsort(-row, kind="stable")
        likely[file] = {loaded.classes[index]: float(row[index]) for index in order}
    return [Prediction(file, likely.get(file, {}), reasons.get(file, "")) for file in files]


def model_file(model: Path) -> Path:
    """The `.keras` file meant by a run folder or a file. Raises RunError."""
    if not os.path.isdir(model):
        if os.path.exists(model):
            return model
        raise RunError("there is no such run folder or model", str(model))
    if not (model / BEST).exists():
        if (model / "run.yaml").exists():
            raise RunError("has no trained model yet: no candidate was trained to the end", str(model))
        raise RunError("is no run folder", str(model))
    return model / BEST
