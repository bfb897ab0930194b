"""The split into training and validation pictures: stratified, seeded, disjoint.

scikit-learn's stratified split refuses rare classes and may leave one out of a part; here every class is in both parts.
"""

from __future__ import annotations

import math

import numpy as np

DIGITS = 1_000_000  # a part of the pictures has six digits
VALIDATION = (1_000, 0.10, 0.25)  # wanted at least so many, a tenth, but never more than a quarter


def default_validation_part(pictures: int) -> float:
    """A tenth of the pictures; more when that is under 1,000, up to a quarter: fewer than that rank by luck."""
    least, part, most = VALIDATION
    return round(min(max(part, least / pictures), most), 4)


def default_train_part(pictures: int, most: int) -> float:
    """All training pictures up to `most`; of more, so many that nearly `most` are used."""
    return min(1.0, max(1, math.floor(DIGITS * most / pictures)) / DIGITS)


def split(labels: np.ndarray, seed: int, validation_part: float, train_part: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, validation), each sorted. Depends on the labels, the seed and the parts alone.

    Every class gives at least one picture to each; with a `validation_part` of 0 all are for training. `train_part` thins
    what is left for training, class by class.
    """
    train, validation = [], []
    for label in np.unique(labels[labels >= 0]):
        own = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        held = min(max(1, round(validation_part * len(own))), len(own) - 1) if validation_part else 0
        kept = max(1, round(train_part * (len(own) - held)))
        validation.append(own[:held])
        train.append(own[held : held + kept])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(validation))
