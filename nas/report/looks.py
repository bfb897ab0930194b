"""What a run's best network says of its validation pictures: those that it gets most wrong, and where it looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.answers import HandedOver
from nas.config import Settings
from nas.explain import data_url, evidence, heat, scaled
from nas.export.opened import open_model
from nas.messages import Record
from nas.report.page import Section, picture
from nas.run import Run
from nas.validation import Validation, validation_of
from nas.view import View

MOST = 2_000  # pictures that are looked at
SIDE = 160  # pixels of a picture in the page, at most
WRONG = 12  # that are shown
EXPLAINED = 4
TOGETHER = 200


@dataclass(frozen=True)
class Look:
    """One picture: its place, uint8 pixels, the class that it is of, and float [classes] that were answered."""

    place: int
    truth: int
    chances: np.ndarray

    @property
    def answer(self) -> int:
        return int(self.chances.argmax())


def picture_sections(run: Run, chosen: Settings, before: dict[str, Any], best: Record, view: View) -> Iterator[Section]:
    """Sections with pictures; `before` is what `run.yaml` says of the data. Raises NasError if they or the model are gone."""
    file = run.model(best.number)
    loaded = open_model(file if file.exists() else run.best)
    data = validation_of(chosen, before, view)
    whose = f"#{best.number} as the search had trained it" if file.exists() else "the best model"
    if not file.exists() and loaded.facts.get("number") not in (None, best.number) and not run.final.exists():
        whose = f"#{loaded.facts['number']} (the best that was trained here)"  # of a search that several drivers share
    if run.final.exists() and not file.exists():
        whose += " (which was fitted on these pictures as well)"
    looks = list(_looks(loaded, data))

    def pixels_of(look: Look) -> np.ndarray:
        found: np.ndarray = data.pictures([look.place], loaded.shape)[0]
        return found

    wrong = sorted((look for look in looks if look.answer != look.truth), key=lambda look: -look.chances[look.answer])
    right = [look for look in looks if look.answer == look.truth]
    if wrong:
        counted = f"{len(wrong):,} of {len(looks):,} validation pictures {'is' if len(wrong) == 1 else 'are'} answered wrongly"
        words = f"{counted} by {whose}; these with the most confidence."
        tiles = [picture(data_url(scaled(pixels_of(look), 1), SIDE), _words(look, loaded, data)) for look in wrong[:WRONG]]
        yield Section("wrong", "Most wrong", words, f'<div class="pictures">{"".join(tiles)}</div>')
    shown = [*right[: EXPLAINED - min(2, len(wrong))], *wrong[:2]][:EXPLAINED]
    if shown:
        words = (
            f"By {whose}. Red is what speaks for the answer: where the picture is covered there, its probability falls. "
            "Blue speaks against it. 'nas explain' shows any picture of yours, layer by layer."
        )
        tiles = []
        for look in shown:
            pixels = pixels_of(look)
            found = evidence(loaded, pixels, look.answer)
            pair = picture(data_url(scaled(pixels, 1), SIDE), _words(look, loaded, data))
            pair += picture(data_url(heat(pixels, found, 1), SIDE), f"for {loaded.classes[look.answer]}")
            tiles.append(f'<div class="pair">{pair}</div>')
        yield Section("sees", "Where it looks", words, f'<div class="pairs">{"".join(tiles)}</div>')


def _looks(loaded: HandedOver, data: Validation) -> Iterator[Look]:
    for start in range(0, min(MOST, len(data.places)), TOGETHER):
        some = data.places[start : min(start + TOGETHER, MOST)]
        pixels = data.pictures(some, loaded.shape)
        for place, chances in zip(some, loaded.probabilities(pixels), strict=True):
            yield Look(place, int(data.labels[place]), chances)


def _words(look: Look, loaded: HandedOver, data: Validation) -> str:
    truth, answer = loaded.classes[look.truth], loaded.classes[look.answer]
    what = (
        f"{answer} {look.chances[look.answer]:.0%}"
        if truth == answer
        else f"{truth}, answered {answer} {look.chances[look.answer]:.0%}"
    )
    return f"{what} · {data.name(look.place)}"
