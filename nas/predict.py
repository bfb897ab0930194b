"""Predictions with a model that was handed over: pictures in, one probability for each class out, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.answers import TOGETHER, HandedOver
from nas.csvtext import csv_text
from nas.datasets import images
from nas.errors import InputError
from nas.export.opened import located, open_model

COLUMN = "file"  # the first of a CSV; a picture's name is in it


@dataclass(frozen=True)
class Prediction:
    """Of one file: class → probability, the likeliest first; empty with a `reason` for a file that is no picture."""

    file: str
    probabilities: dict[str, float]
    reason: str = ""


def predict(model: str | Path, files: Sequence[str | Path]) -> list[Prediction]:
    """All of `predictions` at once. Raises InputError."""
    return list(predictions(model, files))


def predictions(model: str | Path, places: Sequence[str | Path]) -> Iterator[Prediction]:
    """Look at pictures, and at all pictures in folders, with any model that nas wrote; a run folder stands for its best so far.
    Raises InputError: before the model is loaded, if something that is named is not there."""
    located(Path(model))
    files = list(_pictures(places))
    loaded = open_model(model)
    for start in range(0, len(files), TOGETHER):
        yield from _look(loaded, files[start : start + TOGETHER])


def _pictures(places: Iterable[str | Path]) -> Iterator[str]:
    """The files that are meant; of a folder all that are pictures by their names, those in folders below it too."""
    for place in places:
        if not os.path.exists(place):  # unlike `Path.exists`, it takes any name, however long
            raise InputError("there is no such picture", str(place))
        if os.path.isfile(place):
            yield str(place)
            continue
        if not os.path.isdir(place):  # a pipe would be waited for
            raise InputError("is no regular file", str(place))
        found = images.files_below(place, _raise)
        pictures = [str(file) for file in found if _shown(file)]
        if not pictures:
            raise InputError("there is no picture in this folder", str(place))
        yield from pictures


def _shown(file: Path) -> bool:
    """Whether what lies in a folder has a row: a picture by its name, and a link to a folder, with a reason in place of
    classes."""
    return os.path.isdir(file) or (file.name[0] != "." and images.is_image_file(file) and file.is_file())


def _raise(problem: OSError) -> None:
    raise InputError(f"cannot be read: {problem.strerror}", str(problem.filename))


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


def write_csv(found: Iterable[Prediction], file: Path, top: int) -> tuple[int, int]:
    """Write predictions as they come, a row for each picture: the `top` likeliest classes with their probabilities, or the
    reason why there are none. Answers how many there are, and how many with a reason. The file is there when all is."""
    count = failed = 0
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            names = [word for place in range(1, top + 1) for word in (f"class_{place}", f"probability_{place}")]
            stream.write(csv_text([(COLUMN, *names, "reason")]))
            for one in found:
                likely = [word for name, share in list(one.probabilities.items())[:top] for word in (name, f"{share:.6f}")]
                stream.write(csv_text([(one.file, *likely, *[""] * (2 * top - len(likely)), one.reason)]))
                count += 1
                failed += bool(one.reason)
        temporary.replace(file)
    except OSError as problem:
        problem.filename = problem.filename or str(file)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return count, failed
