"""Figures of a model from its probabilities and the true classes.

They are those of scikit-learn; the interval is Wilson's, the calibration error that of Guo et al. (2017).
"""

from __future__ import annotations

import math

import numpy as np

from nas.messages import Figure, Score

BINS = 15  # of confidence, for the calibration error
Z = 1.96  # standard deviations: an interval of 95%


def figures(probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Score:
    """All figures from probabilities float [n, classes] and labels int [n]. What is not defined for these data is left out."""
    from sklearn import metrics

    found = probabilities.argmax(axis=1)
    every = list(range(len(classes)))
    confusion = metrics.confusion_matrix(labels, found, labels=every)
    hits, totals = confusion.diagonal(), confusion.sum(axis=1)
    there = totals > 0  # a class without a picture has no accuracy; without an answer either, no F1
    rows = [
        Figure("accuracy", "", hits.sum() / len(labels), *wilson(int(hits.sum()), len(labels))),
        Figure("balanced_accuracy", "", float((hits[there] / totals[there]).mean())),
        Figure("f1", "", float(metrics.f1_score(labels, found, labels=every, average="macro", zero_division=np.nan))),
    ]
    # Each class that is there against the rest; of two classes both say the same.
    told = [each for each in ([1] if len(classes) == 2 else every) if 0 < totals[each] < len(labels)]
    areas = [metrics.roc_auc_score(labels == each, probabilities[:, each]) for each in told]
    if areas:
        rows.append(Figure("auc", "", float(np.mean(areas))))
    chosen = probabilities[np.arange(len(labels)), labels]
    rows.append(Figure("loss", "", float(-np.log(np.clip(chosen, 1e-7, 1)).mean())))
    rows.append(Figure("calibration_error", "", calibration_error(probabilities, labels)))
    for name, hit, total in zip(classes, hits, totals, strict=True):
        if total:
            rows.append(Figure("accuracy", name, float(hit / total), *wilson(int(hit), int(total))))
    table = tuple(tuple(int(count) for count in row) for row in confusion)
    return Score(classes, len(labels), tuple(_plain(row) for row in rows), table)


def _plain(row: Figure) -> Figure:
    low, high = (None if each is None else round(float(each), 6) for each in (row.low, row.high))
    return Figure(row.name, row.of, round(float(row.value), 6), low, high)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95% interval of a part that was counted (Wilson 1927)."""
    part, square = hits / total, Z**2 / total
    middle = part + square / 2
    reach = Z * math.sqrt(part * (1 - part) / total + square / (4 * total))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """How far confidence and accuracy are apart, on average over the pictures (Guo et al. 2017, equation 3)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == each].sum() - right[bins == each].sum()) for each in range(BINS)]
    return float(sum(gaps) / len(labels))
