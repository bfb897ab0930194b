"""The last score: a finished model looks at the test part of the data, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.datasets import open_cache
from nas.datasets.cache import repeated
from nas.datasets.prepare import prepare_test
from nas.figures import figures
from nas.messages import DataCard, Score, ScoreRequest
from nas.training.handover import load_model

TOGETHER = 500  # pictures that are read at once


def open_test(request: ScoreRequest, told: Callable[[int, int], None]) -> tuple[DataCard, int]:
    """Decode the test part, with no model's answer to it: its card, and how many of its pictures are training pictures too.
    Raises DatasetError, or RunError for a model that cannot be read, which must not cost the look."""
    load_model(Path(request.model))
    card = prepare_test(request.data.name, request.data.folder, request.card, told)
    told(0, 0)
    return card, repeated(card, request.card, lambda: told(0, 0))


def score(request: ScoreRequest, told: Callable[[int, int], None]) -> Score:
    """Score a model on the test part that was opened. Raises DatasetError or RunError."""
    loaded = load_model(Path(request.model))
    images, labels = open_cache(request.card)
    usable = np.flatnonzero(labels >= 0)
    rows = []
    for start in range(0, len(usable), TOGETHER):
        told(0, 0)  # a sign of life, for a large set takes its time; nothing is decoded any more
        rows.append(loaded.probabilities(images[usable[start : start + TOGETHER]]))
    return figures(np.concatenate(rows), labels[usable], request.card.classes)
