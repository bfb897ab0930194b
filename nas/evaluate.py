"""How good is a model on a data set? What `nas evaluate` does: the figures of `nas retrain`, of any model and any pictures."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nas import plugins
from nas.answers import HandedOver
from nas.datasets import DATASETS, Arrays, Files, images
from nas.datasets.prepare import load
from nas.errors import DatasetError, InputError, NasError, listing
from nas.export.opened import located, open_model
from nas.figures import figures
from nas.final import figure_lines, write_figures
from nas.messages import Score
from nas.paths import expanded, folder_of
from nas.preparing import interrupts_told
from nas.printing import printable
from nas.provenance import SEARCH
from nas.run import Run, disk_told
from nas.view import Plain, View

TOGETHER = 256  # pictures that are decoded at once
PARTS = ("test", "all")
MOST_SHOWN = 12  # classes, in the terminal


def evaluate(
    model: str | Path,
    dataset: str,
    *,
    part: str = "test",
    data_dir: str | None = None,
    out: str | Path | None = None,
    plugin: Sequence[str] = (),
    view: View | None = None,
) -> Score:
    """Score any model that nas wrote on a data set.

    Args:
        dataset: a name or a folder with one folder of pictures for each class.
        part: `test`, the pictures that a search never sees, or `all`.
        out: a folder for `figures.csv`, `confusion.csv` and `confusion.png`; by default none is written.
        plugin: Python files that register the data set.

    Raises DatasetError if a class of the data is none of the model's, or InputError.
    """
    view = view or Plain()
    if part not in PARTS:
        raise InputError(f"unknown part '{part}'; allowed here: {listing(PARTS)}", "--part")
    folder = folder_of(out, "--out") if out is not None else None
    if folder is not None and any((folder / name).exists() for name in ("run.yaml", "final.csv")):
        raise InputError("is a run, whose own figures would be written over; give another folder", f"--out {out}")
    located(Path(model))
    for file in plugin:
        plugins.load(file)
    with disk_told(), interrupts_told(view, "interrupted; nothing was written"):
        sources = [load(dataset, data_dir, "test"), *([load(dataset, data_dir, "train")] if part == "all" else [])]
        opened = open_model(model)
        rows, labels, skipped = [], [], []
        for source in sources:
            if not len(source.labels):
                continue
            place = _places(source, opened, dataset)
            for pictures, some, reasons in _decoded(source, opened.shape):
                skipped += reasons
                if len(pictures):
                    rows.append(opened.probabilities(pictures))
                    labels.append(place[some])
        if not rows:
            hint = "; --part all takes every picture" if part == "test" else ""
            raise DatasetError(f"has no usable picture in this part{hint}", dataset)
        found = figures(np.concatenate(rows), np.concatenate(labels), opened.classes)
        data = opened.facts.get("data")
        name = data.get("name") if isinstance(data, dict) else None
        if part == "all" and name == expanded(dataset).resolve().name and os.path.isdir(dataset) == (name not in DATASETS):
            view.note(
                "if these are the data of its training, it has learned from most of these pictures; on others it is worse"
            )
        if any(_still_to_be_retrained(folder, dataset) for folder in located(Path(os.path.abspath(model)))[0].parents):
            view.note("this run is not retrained yet: what is chosen by these figures, its test part can no longer judge")
        if skipped:
            view.note(f"skipped {len(skipped)} files: {listing(skipped[:3])}{', …' if len(skipped) > 3 else ''}")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            facts = {"model": str(model), "data": dataset, "part": part}
            write_figures(folder / "figures.csv", found, facts, what="test pictures" if part == "test" else "pictures")
    return found


def _still_to_be_retrained(folder: Path, dataset: str) -> bool:
    """Whether a folder is a search on these data whose test part nobody should have seen."""
    run = Run(folder)
    with contextlib.suppress(NasError):
        if run.settings.is_file() and not run.final.exists():
            facts = run.read_settings()
            own = facts["settings"]["dataset"]
            same = own == dataset or (os.path.isabs(own) and Path(own).resolve() == expanded(dataset).resolve())
            return facts.get("kind", SEARCH) == SEARCH and same
    return False


def _places(source: Arrays | Files, opened: HandedOver, dataset: str) -> np.ndarray:
    """Label of the data → place among the model's classes. Raises DatasetError."""
    strange = [name for name in source.classes if name not in opened.classes]
    if strange:
        words = f"the class '{strange[0]}' is none of the model's: {listing(opened.classes[:20])}"
        raise DatasetError(words, dataset)
    return np.array([opened.classes.index(name) for name in source.classes])


def _decoded(source: Arrays | Files, shape: tuple[int, int, int]) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Some pictures at a time, uint8 of the size that is asked for, their labels, and what was skipped with reasons."""
    labels = np.asarray(source.labels)
    for start in range(0, len(labels), TOGETHER):
        pictures, places, reasons = [], [], []
        for place in range(start, min(start + TOGETHER, len(labels))):
            try:
                if isinstance(source, Files):
                    pictures.append(images.decode(source.files[place], *shape))
                else:
                    pictures.append(images.scaled(source.images[place], *shape))
                places.append(place)
            except Exception as problem:  # a damaged file can make a codec raise anything
                reasons.append(f"{source.files[place] if isinstance(source, Files) else place} {images.why(problem)}")
        yield np.array(pictures), labels[places], reasons


def evaluation_lines(score: Score, dataset: str, part: str) -> Iterator[str]:
    """Figures for the terminal, and the confusion matrix if it fits."""
    what = "pictures" if part == "all" else "pictures of the test part"
    yield from figure_lines(score, f"{score.pictures:,} {what} of {dataset}:")
    if len(score.classes) <= MOST_SHOWN:
        cells = [["", *(printable(name)[:10] for name in score.classes)]]
        cells += [[printable(name)[:10], *map(str, row)] for name, row in zip(score.classes, score.confusion, strict=True)]
        wide = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        if sum(wide) + 2 * len(wide) > shutil.get_terminal_size((120, 24)).columns:
            return
        yield "class and what was answered:"
        for row in cells:
            yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, wide, strict=True))
