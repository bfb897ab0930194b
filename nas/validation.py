"""The validation pictures of a run, found again: for whatever looks at pictures after a search. The test part stays closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.config import Settings
from nas.datasets import Arrays, Files, images, open_cache, prepare
from nas.datasets.prepare import load
from nas.datasets.split import split
from nas.errors import DatasetError, listing
from nas.view import View


@dataclass(frozen=True)
class Validation:
    """`places` of validation pictures in the training part, shuffled once for all, and `others` that were trained on; `labels`
    of all, int [n]; and where the pixels come from."""

    places: list[int]
    others: list[int]
    labels: np.ndarray
    source: Arrays | Files
    cached: np.ndarray

    def pictures(self, some: Sequence[int], shape: tuple[int, int, int]) -> np.ndarray:
        """uint8 [n, height, width, channels] by their places, decoded from their files where there are files."""
        if isinstance(self.source, Files):
            return np.stack([images.decode(self.source.files[place], *shape) for place in some])
        return np.asarray(self.cached[np.asarray(some, dtype=int)])

    def name(self, place: int) -> str:
        """What a picture is called: its file, or its number."""
        if isinstance(self.source, Files):
            file = self.source.files[place]
            return f"{file.parent.name}/{file.name}"
        return f"picture {place}"


def validation_of(chosen: Settings, before: dict[str, Any], view: View) -> Validation:
    """`before` is what `run.yaml` says of the data. Raises DatasetError if they are gone, or have other classes."""
    card = prepare(chosen.dataset, chosen.data_dir, chosen.image_size, view.preparing)
    if list(card.classes) != list(before.get("classes") or card.classes):
        raise DatasetError(f"has other classes than when the run began: {listing(card.classes[:20])}", chosen.dataset)
    if card.digest != before.get("digest", card.digest):
        view.note(f"the data '{card.name}' has changed since the run began, and so have the validation pictures")
    cached, labels = open_cache(card)
    train, validation = split(labels, chosen.seed, chosen.validation_part or 0.0, 1.0)
    rng = np.random.default_rng(0)
    places, others = ([int(place) for place in rng.permutation(part)] for part in (validation, train))
    return Validation(places, others, labels, load(chosen.dataset, chosen.data_dir, "train"), cached)
