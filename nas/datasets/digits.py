"""Digits: 1,797 real 8×8 scans of handwritten digits that come with scikit-learn, so nothing is downloaded.

UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998). The fixed test part is 360 of them, stratified,
drawn once with random state 0: the same for every search.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.datasets.base import Arrays, Part, register_dataset


@register_dataset(
    "digits",
    about="1,797 grey scans of handwritten digits, 8×8, 10 classes; comes with scikit-learn",
    test="360 of the 1,797 scans, stratified, always the same",
    get="nothing to do",
    mirrored=False,
    present=lambda _: "comes with scikit-learn",
)
def digits(part: Part, data_dir: Path | None) -> Arrays:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    chosen = train_test_split(np.arange(len(bunch.target)), test_size=360, random_state=0, stratify=bunch.target)
    index = np.sort(chosen[0 if part == "train" else 1])
    images = (bunch.images[index, ..., None] * (255 / 16)).round().astype(np.uint8)  # the scans count from 0 to 16
    return Arrays(images, bunch.target[index].astype(np.int64), tuple(str(digit) for digit in range(10)))
