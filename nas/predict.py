"""Predictions with a handed-over model: a picture in, one probability for each class out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.datasets import images
from nas.errors import InputError, RunError


@dataclass(frozen=True)
class Prediction:
    """Of one file: class → probability, the likeliest first; empty with a `reason` for a file that is no picture."""

    file: str
    probabilities: dict[str, float]
    reason: str = ""


def predict(model: str | Path, files: Sequence[str | Path]) -> list[Prediction]:
    """Look at pictures with the model of a run folder (its best so far) or of a `.keras` file. Raises InputError."""
    from nas.training.handover import load_model

    loaded = load_model(model_file(Path(model)))
    height, width, channels = loaded.shape
    found: list[Prediction] = []
    for file in files:
        path = Path(file)
        if not path.exists():
            raise InputError("there is no such picture", str(file))
        try:
            picture = images.decode(path, height, width, channels)
        except Exception as problem:  # a damaged file can make a codec raise anything
            found.append(Prediction(str(file), {}, images.why(problem)))
            continue
        row = loaded.probabilities(picture[np.newaxis])[0]
        order = np.argsort(-row, kind="stable")
        found.append(Prediction(str(file), {loaded.classes[index]: float(row[index]) for index in order}))
    return found


def model_file(model: Path) -> Path:
    """The `.keras` file meant by a run folder or a file. Raises RunError."""
    if not model.is_dir():
        if model.exists():
            return model
        raise RunError("there is no such run folder or model", str(model))
    if not (model / "best.keras").exists():
        if (model / "run.yaml").exists():
            raise RunError("has no trained model yet: no candidate was trained to the end", str(model))
        raise RunError("is no run folder", str(model))
    return model / "best.keras"
