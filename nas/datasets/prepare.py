"""From a data set to the cache that workers read: decoded once, in parallel, into a memory-mapped uint8 array.

The cache is found by the files' paths, sizes and times, and verified by its content; the digest on the data card is of the
content alone, so a copied or touched folder is still the same data. Sets larger than memory pass through in pieces.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from nas.datasets import images
from nas.datasets.base import DATASETS, Arrays, Files, Part, data_dir
from nas.datasets.cache import Told, sound, write
from nas.datasets.folder import load_folder, test_words
from nas.errors import DatasetError, listing
from nas.messages import DataCard
from nas.paths import cache_root, expanded

SHOWN_CLASSES = 10  # in a message
LARGEST_DEFAULT = 64  # pixels: a larger side multiplies the time of every candidate, so it must be asked for


def prepare(
    name: str, folder: str | None = None, image_size: int | None = None, told: Told = lambda done, total: None
) -> DataCard:
    """Decode the training part of a data set (or find it decoded) and describe it. The test part stays closed.

    Args:
        name: of a registered data set, or the path of a folder of pictures.
        folder: the data directory; NAS_DATA_DIR if None.
        image_size: side of the square to which pictures are scaled; None for the data's own (at most 64).
        told: hears of the decoding.

    Raises:
        DatasetError: nothing there, a single class, a class without a usable picture.
    """
    source = load(name, folder, "train")
    test = _test_words(name, folder)
    shape = _shape(source, image_size)
    words = name if name in DATASETS else expanded(name).resolve().name
    cache, facts = _decoded(source, words, shape, told)
    counts = tuple(facts["counts"])
    for label, count in enumerate(counts):
        if count < 2:
            what = f"the class '{source.classes[label]}' has {count or 'no'} usable picture{'' if count else 's'}"
            raise DatasetError(f"{what}; at least 2 are needed, better 50", name)
    skipped = (*_pairs(facts["skipped"]), *(source.refused if isinstance(source, Files) else ()))
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    height, width, channels = shape
    mirrored = DATASETS[name].mirrored if name in DATASETS else True
    return DataCard(
        *(words, facts["digest"], source.classes, (height, width, channels), mean, std, counts, str(cache)),
        *(test, skipped, mirrored),
    )


def _test_words(name: str, folder: str | None) -> str:
    """Where the test part is: of files, as they lie there."""
    if name not in DATASETS:
        return test_words(expanded(name))
    place = DATASETS[name].present(data_dir(folder)) if DATASETS[name].listed else None
    with contextlib.suppress(DatasetError):  # of a plugin, which may have laid them out in another way
        if place and Path(place).is_dir():
            return test_words(Path(place))
    return DATASETS[name].test


def check_test_part(name: str, folder: str | None, card: DataCard) -> None:
    """Raise DatasetError if a test part that is files has other classes or none: before hours of training, by their names
    alone."""
    if name not in DATASETS or DATASETS[name].listed:
        _check_classes(load(name, folder, "test"), card, name)


def _check_classes(source: Arrays | Files, card: DataCard, name: str) -> None:
    if source.classes != card.classes:
        found = listing(source.classes[:SHOWN_CLASSES])
        raise DatasetError(f"its test part has other classes than its training part: {found}", name)
    if not len(source.labels):
        raise DatasetError("has no test part: with fewer than three pictures of a class nothing can be held out", name)


def prepare_test(name: str, folder: str | None, card: DataCard, told: Told = lambda done, total: None) -> DataCard:
    """Decode the test part (or find it decoded), scaled as the training part was. This opens it: for a last score only.

    Raises DatasetError where there is none, if its classes are not those of `card`, or if the training part is no longer what
    was learned from: some of that may be among the test pictures then.
    """
    _, learned = _decoded(load(name, folder, "train"), card.name, card.shape, told)
    if learned["digest"] != card.digest:
        words = "its training pictures have changed since they were learned from, so test pictures may be among those"
        raise DatasetError(f"{words}; put them back as they were, then repeat the command", name)
    source = load(name, folder, "test")
    _check_classes(source, card, name)
    cache, facts = _decoded(source, f"{card.name}-test", card.shape, told)
    if not sum(facts["counts"]):
        raise DatasetError("its test part has no usable picture", name)
    skipped = (*_pairs(facts["skipped"]), *(source.refused if isinstance(source, Files) else ()))
    return dataclasses.replace(card, digest=facts["digest"], counts=tuple(facts["counts"]), cache=str(cache), skipped=skipped)


def _decoded(source: Arrays | Files, words: str, shape: tuple[int, int, int], told: Told) -> tuple[Path, dict[str, Any]]:
    """The cache of one part, made if it is not there, and its facts."""
    cache = cache_root() / f"{''.join(c if c.isalnum() else '_' for c in words)[:40]}-{_key(source, shape)}"
    if not sound(cache):
        with _alone(cache):  # who comes second finds what the first has made
            if not sound(cache):
                write(cache, source, shape, told)
    facts: dict[str, Any] = json.loads((cache / "card.json").read_text())
    return cache, facts


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One process at a time makes a cache. Where no lock can be made, nothing can be written either, as `write` will say."""
    lock = FileLock(cache.with_name(f"{cache.name}.lock"))
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def load(name: str, folder: str | None, part: Part) -> Arrays | Files:
    """One part of a data set by name or path, checked. Raises DatasetError."""
    if not name:
        raise DatasetError("a name or a folder is needed", "--dataset")
    source = DATASETS[name].load(part, data_dir(folder)) if name in DATASETS else load_folder(expanded(name), part)
    if len(source.classes) < 2:
        raise DatasetError(f"has {len(source.classes)} class; at least two are needed to tell apart", name)
    if len(source.labels) and not 0 <= min(source.labels) <= max(source.labels) < len(source.classes):
        raise DatasetError(f"has labels outside 0 to {len(source.classes) - 1}, one for each class", name)
    if isinstance(source, Arrays):
        form = source.images.shape
        if source.images.dtype != np.uint8 or len(form) != 4 or form[3] not in (1, 3) or len(source.labels) != form[0]:
            raise DatasetError(
                "must give uint8 pictures [n, height, width, 1 or 3] and as many labels; "
                f"found {source.images.dtype} {list(form)} and {len(source.labels)} labels",
                name,
            )
    return source


def _shape(source: Arrays | Files, image_size: int | None) -> tuple[int, int, int]:
    if isinstance(source, Arrays):
        height, width, channels = source.images.shape[1:]
        return (image_size or height, image_size or width, channels)
    grey, sides = True, []
    with ThreadPoolExecutor() as pool:
        for found in pool.map(_try_measure, source.files):
            if found is not None:
                sides.append(min(found[:2]))
                grey = grey and found[2]
    if not sides:
        raise DatasetError(
            f"none of the {len(source.files)} files is a picture that can be read", str(source.files[0].parent.parent)
        )
    side = image_size or max(8, min(LARGEST_DEFAULT, int(np.median(sides))))
    return side, side, 1 if grey else 3


def _try_measure(file: Path) -> tuple[int, int, bool] | None:
    try:
        return images.measure(file)
    except Exception:  # a damaged header can raise anything; `cache.write` names the file and the reason
        return None


def _key(source: Arrays | Files, shape: tuple[int, int, int]) -> str:
    digest = hashlib.blake2b(repr((shape, source.classes)).encode(), digest_size=8)
    if isinstance(source, Arrays):
        digest.update(np.ascontiguousarray(source.images).data)
        digest.update(np.ascontiguousarray(source.labels, dtype=np.int64).data)
    else:
        for file, label in zip(source.files, source.labels, strict=True):
            try:
                facts = file.stat()
                digest.update(
                    f"{file.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{label}\n".encode(errors="surrogateescape")
                )
            except OSError:
                digest.update(f"{file}|gone|{label}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _pairs(items: Iterable[Iterable[str]]) -> list[tuple[str, str]]:
    return [(str(file), str(reason)) for file, reason in items]


def describe(card: DataCard) -> str:
    """The data in two or three lines for the user."""
    height, width, channels = card.shape
    sizes = f"{min(card.counts):,}" if len(set(card.counts)) == 1 else f"{min(card.counts):,} to {max(card.counts):,}"
    lines = [
        f"{card.name}: {sum(card.counts):,} training pictures, {len(card.classes)} classes of {sizes}, "
        f"{height}×{width} {'grey' if channels == 1 else 'colour'}",
        f"test part: {card.test}, which no search sees",
    ]
    if max(card.counts) > 1.2 * min(card.counts):
        most = card.counts.index(max(card.counts))
        part = card.counts[most] / sum(card.counts)
        lines.append(f"always answering '{card.classes[most]}' would have an accuracy of {part:.3f}")
    if card.skipped:
        shown = [f"{file} {reason}" for file, reason in card.skipped[:3]]
        lines.append(f"skipped {len(card.skipped)} files: {listing(shown)}{', …' if len(card.skipped) > 3 else ''}")
    return "\n".join(lines)


def card_facts(card: DataCard) -> dict[str, object]:
    """The card as plain data for `run.yaml`, without the place of the cache."""
    facts = dataclasses.asdict(card)
    facts.pop("cache")
    facts["skipped"] = len(card.skipped)
    facts["skipped_first"] = [f"{file} {reason}" for file, reason in card.skipped[:20]]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}
