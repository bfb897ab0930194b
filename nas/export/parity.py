"""Does an exported model say what the original says? Asked at every export, from the picture on, in its own runtime."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.answers import TOGETHER, HandedOver
from nas.errors import RunFailed
from nas.validation import Validation

CLOSE = 1e-3  # probabilities may differ so much
WORSE = 0.02  # of the accuracy that whole numbers of 8 bits may cost
PICTURES = 64  # that are compared
COUNTED = 1_000  # at least, for an accuracy
BATCHES = (1, 32)  # for which the time is taken


@dataclass(frozen=True)
class Parity:
    """`difference` is the largest of two probabilities, `agreement` the part of the pictures that both call the same; the
    accuracies, original and exported, are of `counted` pictures (0: not asked)."""

    what: str  # pictures they are
    pictures: int
    difference: float
    agreement: float
    counted: int = 0
    accuracy: float | None = None
    exported_accuracy: float | None = None

    def check(self, file: Path) -> None:
        """Raise RunFailed if the two are not the same."""
        if self.accuracy is not None and self.exported_accuracy is not None:
            if self.accuracy - self.exported_accuracy > WORSE:
                words = f"{self.exported_accuracy:.4f} instead of {self.accuracy:.4f} on {self.counted:,} pictures"
                raise RunFailed(f"{file.name} is not as good as the original: its accuracy is {words}")
        elif not self.difference <= CLOSE:
            words = f"probabilities differ by up to {self.difference:.2g} on {self.pictures} pictures"
            raise RunFailed(f"{file.name} does not answer as the original does: {words}")

    def lines(self) -> list[str]:
        words = f"largest difference of a probability {self.difference:.1e}, the same answer for {self.agreement:.1%}"
        if self.accuracy is None:
            return [f"{self.pictures} {self.what}: {words}"]
        pair = f"accuracy {self.exported_accuracy:.4f} (original {self.accuracy:.4f})"
        few = (
            f"; so few pictures say little: {WORSE:.0%} of them are {WORSE * self.counted:.1f}"
            if self.counted < COUNTED
            else ""
        )
        return [f"{self.counted:,} {self.what}: {pair}{few}", f"the first {self.pictures} of them: {words}"]


def compared(
    original: HandedOver, exported: HandedOver, data: Validation, places: Sequence[int], what: str, count: bool
) -> Parity:
    """Ask both about the first pictures of `places`, and with `count` about all of them for their accuracies."""
    few = places[:PICTURES]
    ours, theirs = (model.probabilities(data.pictures(few, model.shape)) for model in (original, exported))
    difference = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    if not count:
        return Parity(what, len(few), difference, agreement)
    hits = [0, 0]
    for start in range(0, len(places), TOGETHER):
        some = places[start : start + TOGETHER]
        for which, model in enumerate((original, exported)):
            answers = model.probabilities(data.pictures(some, model.shape)).argmax(axis=1)
            hits[which] += int((answers == data.labels[some]).sum())
    return Parity(what, len(few), difference, agreement, len(places), hits[0] / len(places), hits[1] / len(places))


def latency(model: HandedOver, batch: int) -> float:
    """Median seconds for one batch of pictures on this machine, after one to warm up."""
    pictures = np.random.default_rng(0).integers(0, 256, (batch, *model.shape)).astype(np.float32)
    model.answer(pictures)
    taken = []
    for _ in range(30 if batch == 1 else 10):
        began = time.perf_counter()
        model.answer(pictures)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
