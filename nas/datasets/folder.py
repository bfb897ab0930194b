"""A folder of pictures: `class/*.jpg`, or `train/class/*.jpg` with `test/class/*.jpg` beside it.

Without a test folder, a seventh of each class is held out as the test part: the same pictures every time, whatever the seed
of the search, so that no search ever sees them. Their names decide, so that pictures which come later, or go, make few of those
that were learned from into test pictures, and few of the others into training pictures.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

from nas.datasets.base import DATASETS, Files, Part
from nas.datasets.images import ENDINGS, files_below, hidden, is_image_file
from nas.errors import DatasetError, did_you_mean, listing

TRAIN = ("train", "training", "training_set")
TEST = ("test", "testing", "test_set", "val", "valid", "validation")  # by preference: a validation folder only without a test
HELD_OUT = 7  # every class gives one picture in seven to the test part


def load_folder(root: Path, part: Part) -> Files:
    """The files of one part. Raises DatasetError for a folder that is not there or holds no classes."""
    train, test = parts(root)
    folder = train if part == "train" or test is None else test
    files = _files(folder)
    if test is not None:
        return files
    held = _held_out(files, folder)
    keep = [index for index in range(len(files.files)) if (index in held) == (part == "test")]
    return Files(tuple(files.files[i] for i in keep), tuple(files.labels[i] for i in keep), files.classes, files.refused)


def parts(root: Path) -> tuple[Path, Path | None]:
    """The folder with the training classes, and that of the test part if there is one."""
    if not os.path.exists(root):  # unlike `Path.exists`, it takes any name, however long
        hint = did_you_mean(root, DATASETS.names())
        raise DatasetError(f"there is no data set and no folder '{root}'{hint}; 'nas datasets' lists what is known")
    if not root.is_dir():
        raise DatasetError("is a file; a folder with one folder of pictures for each class is expected", str(root))
    # Only a folder of folders is a part: a class may well be called `train`.
    by_name = {child.name.lower(): child for child in _folders(root)}
    parts = {name: child for name, child in by_name.items() if _folders(child)}
    train = next((parts[name] for name in TRAIN if name in parts), None)
    if train is not None:
        return train, next((parts[name] for name in TEST if name in parts), None)
    lone = next((by_name[name] for name in TEST if name in by_name), None)
    if lone is not None:  # taken for a class, test pictures would be trained on
        words = f"has a folder '{lone.name}' for a test part, but no training part beside it ({listing(TRAIN)})"
        raise DatasetError(f"{words}; move one of the two", str(root))
    return root, None


def test_words(root: Path) -> str:
    """Where the test part is, in words: it is named, not opened."""
    _, test = parts(root)
    return f"the folder '{test.name}'" if test else f"one picture in {HELD_OUT} of each class, held out"


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(child for child in root.iterdir() if child.is_dir() and not hidden(child.name))
    except OSError as problem:
        raise DatasetError(f"cannot be read: {problem.strerror}", str(root)) from None


def _files(folder: Path) -> Files:
    files: list[Path] = []
    labels: list[int] = []
    refused: list[tuple[str, str]] = []
    children = _folders(folder)
    if not children:
        found = "pictures lie in it directly" if any(map(is_image_file, folder.iterdir())) else "it has no folders"
        raise DatasetError(f"needs one folder of pictures for each class; {found}", str(folder))
    if len(children) == 1:
        raise DatasetError(f"has a single class '{children[0].name}'; at least two are needed to tell apart", str(folder))
    inside = folder.resolve()

    def unreadable(problem: OSError) -> None:
        refused.append((str(Path(problem.filename).relative_to(folder)), f"cannot be read ({problem.strerror})"))

    for label, child in enumerate(children):
        for file in files_below(child, unreadable):
            if os.path.isdir(file):
                refused.append((str(file.relative_to(folder)), "is a link to a folder"))
            elif not is_image_file(file):
                refused.append((str(file.relative_to(folder)), "is not a picture by its name"))
            elif not Path(os.path.realpath(file)).is_relative_to(inside):  # `resolve` fails at a link to itself
                refused.append((str(file.relative_to(folder)), "is a link that leaves the folder"))
            elif not file.is_file():
                refused.append((str(file.relative_to(folder)), "is no file"))
            else:
                files.append(file)
                labels.append(label)
        if not labels or labels[-1] != label:
            why = next((f"; {file} {reason}" for file, reason in refused if Path(file).parts[0] == child.name), "")
            raise DatasetError(f"the class '{child.name}' has no picture ({listing(ENDINGS)}){why}", str(child))
    return Files(tuple(files), tuple(labels), tuple(child.name for child in children), tuple(refused))


def _held_out(files: Files, folder: Path) -> set[int]:
    """Indices of the test part: one in seven of each class, those whose hashed names come first."""

    def place(index: int) -> bytes:
        name = unicodedata.normalize("NFC", files.files[index].relative_to(folder).as_posix())
        return hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest()

    held: set[int] = set()
    places: list[list[int]] = [[] for _ in files.classes]
    for index, label in enumerate(files.labels):
        places[label].append(index)
    for own in places:
        if len(own) >= 3:  # with fewer there is nothing to give away
            held.update(sorted(own, key=place)[: max(1, len(own) // HELD_OUT)])
    return held
