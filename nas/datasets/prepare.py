"""From a data set to the cache that workers read: decoded once, in parallel, into a memory-mapped uint8 array.

The cache is found by the files' paths, sizes and times, and verified by its content; the digest on the data card is of the
content alone, so a copied or touched folder is still the same data. Sets larger than memory pass through in pieces.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.lib.format import open_memmap

from nas.datasets import images
from nas.datasets.base import DATASETS, Arrays, Files, Part, data_dir
from nas.datasets.folder import load_folder, test_words
from nas.errors import DatasetError, listing
from nas.messages import DataCard

Told: TypeAlias = Callable[[int, int], None]
"""Hears how many pictures are decoded, and of how many."""

LARGEST_DEFAULT = 64  # pixels: a larger side multiplies the time of every candidate, so it must be asked for
CARD_KEYS = {"digest", "classes", "counts", "mean", "std", "skipped"}
_PIECE = 4096  # pictures read at once


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
    test = DATASETS[name].test if name in DATASETS else test_words(Path(name).expanduser())
    shape = _shape(source, image_size)
    words = name if name in DATASETS else Path(name).expanduser().resolve().name
    cache = cache_root() / f"{''.join(c if c.isalnum() else '_' for c in words)[:40]}-{_key(source, shape)}"
    if not (_sound(cache)):
        _write(cache, source, shape, told)
    facts = json.loads((cache / "card.json").read_text())
    counts = tuple(facts["counts"])
    for label, count in enumerate(counts):
        if count < 2:
            what = f"the class '{source.classes[label]}' has {count or 'no'} usable picture{'' if count else 's'}"
            raise DatasetError(f"{what}; at least 2 are needed, better 50", name)
    skipped = (*_pairs(facts["skipped"]), *(source.refused if isinstance(source, Files) else ()))
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    height, width, channels = shape
    return DataCard(
        words, facts["digest"], source.classes, (height, width, channels), mean, std, counts, str(cache), test, skipped
    )


def load(name: str, folder: str | None, part: Part) -> Arrays | Files:
    """One part of a data set by name or path, checked. Raises DatasetError."""
    if not name:
        raise DatasetError("a name or a folder is needed", "--dataset")
    source = DATASETS[name].load(part, data_dir(folder)) if name in DATASETS else load_folder(Path(name).expanduser(), part)
    if len(source.classes) < 2:
        raise DatasetError(f"has {len(source.classes)} class; at least two are needed to tell apart", name)
    if isinstance(source, Arrays):
        form = source.images.shape
        if source.images.dtype != np.uint8 or len(form) != 4 or form[3] not in (1, 3) or len(source.labels) != form[0]:
            raise DatasetError(
                "must give uint8 pictures [n, height, width, 1 or 3] and as many labels; "
                f"found {source.images.dtype} {list(form)} and {len(source.labels)} labels",
                name,
            )
    return source


def open_cache(card: DataCard) -> tuple[np.ndarray, np.ndarray]:
    """Memory-mapped pictures uint8 [n, height, width, channels] and labels int64 [n]; -1 marks a picture to leave out."""
    cache = Path(card.cache)
    try:
        return np.load(cache / "images.npy", mmap_mode="r"), np.load(cache / "labels.npy")
    except (OSError, ValueError) as problem:
        raise DatasetError(f"the decoded pictures cannot be read: {problem}", str(cache)) from None


def cache_root() -> Path:
    """Where decoded pictures are kept: NAS_CACHE_DIR, or the user's cache folder."""
    own = os.environ.get("NAS_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"
    return Path(own).expanduser() if own else base


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
    side = image_size or max(8, min(LARGEST_DEFAULT, int(np.median(sides)) // 8 * 8))
    return side, side, 1 if grey else 3


def _try_measure(file: Path) -> tuple[int, int, bool] | None:
    try:
        return images.measure(file)
    except Exception:  # a damaged header can raise anything; `_write` names the file and the reason
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


def _sound(cache: Path) -> bool:
    """Whether a cache is there and its content is what it was when written."""
    try:
        facts = json.loads((cache / "card.json").read_text())
        if not set(facts) >= CARD_KEYS:
            return False
        return bool(
            facts["digest"]
            == _digest(np.load(cache / "images.npy", mmap_mode="r"), np.load(cache / "labels.npy"), facts["classes"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _digest(pictures: np.ndarray, labels: np.ndarray, classes: Iterable[str]) -> str:
    digest = hashlib.blake2b(repr((pictures.shape[1:], list(classes))).encode(), digest_size=8)
    for start in range(0, len(labels), _PIECE):
        usable = labels[start : start + _PIECE] >= 0
        digest.update(np.ascontiguousarray(pictures[start : start + _PIECE][usable]).data)
    digest.update(np.ascontiguousarray(labels[labels >= 0]).data)
    return digest.hexdigest()


def _write(cache: Path, source: Arrays | Files, shape: tuple[int, int, int], told: Told) -> None:
    """Fill a new folder beside `cache` and rename it: another process sees the whole cache or none."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{cache.name}.", dir=cache.parent))
    except OSError as problem:
        raise DatasetError(
            f"the cache cannot be made: {problem.strerror}; set NAS_CACHE_DIR to another folder", str(cache.parent)
        ) from None
    try:
        count = len(source.labels)
        pictures = open_memmap(building / "images.npy", mode="w+", dtype=np.uint8, shape=(count, *shape))
        labels = np.asarray(source.labels, dtype=np.int64).copy()
        skipped = _fill(pictures, labels, source, told)
        pictures.flush()
        np.save(building / "labels.npy", labels)
        mean, std = _statistics(pictures, labels)
        facts = {
            "digest": _digest(pictures, labels, source.classes),
            "classes": list(source.classes),
            "counts": [int((labels == label).sum()) for label in range(len(source.classes))],
            "mean": mean,
            "std": std,
            "skipped": skipped,
        }
        (building / "card.json").write_text(json.dumps(facts, indent=1))
        shutil.rmtree(cache, ignore_errors=True)
        building.rename(cache)
    except OSError as problem:
        if not _sound(cache):  # else another process was faster, and its cache is as good
            raise DatasetError(
                f"the cache cannot be written: {problem.strerror}; set NAS_CACHE_DIR to another folder", str(cache)
            ) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(pictures: np.ndarray, labels: np.ndarray, source: Arrays | Files, told: Told) -> list[tuple[str, str]]:
    """Decode into `pictures`; a picture that cannot be decoded gets the label -1 and is listed with the reason."""
    height, width, channels = pictures.shape[1:]

    def one(index: int) -> str:
        try:
            if isinstance(source, Files):
                pictures[index] = images.decode(source.files[index], height, width, channels)
            else:
                pictures[index] = _scaled(source.images[index], height, width, channels)
            return ""
        except Exception as problem:  # Pillow and its codecs raise many kinds for damaged files
            labels[index] = -1
            return images.why(problem)

    if isinstance(source, Arrays) and source.images.shape == pictures.shape:
        pictures[:] = source.images  # nothing to decode or scale
        return []
    skipped = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(labels), _PIECE):
            stop = min(start + _PIECE, len(labels))
            for index, reason in zip(range(start, stop), pool.map(one, range(start, stop)), strict=True):
                if reason and isinstance(source, Files):
                    file = source.files[index]
                    skipped.append((f"{file.parent.name}/{file.name}", reason))
                if index % 256 == 255:
                    told(index + 1, len(labels))
    told(len(labels), len(labels))
    return skipped


def _scaled(picture: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    from PIL import Image

    return images.fit(Image.fromarray(picture if channels == 3 else picture[..., 0]), height, width, channels)


def _statistics(pictures: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the usable pictures, in raw pixels, in float64, in pieces."""
    count, total, square = 0, np.zeros(pictures.shape[-1]), np.zeros(pictures.shape[-1])
    for start in range(0, len(labels), _PIECE):
        piece = pictures[start : start + _PIECE][labels[start : start + _PIECE] >= 0].astype(np.float64)
        count += piece[..., 0].size
        total += piece.sum(axis=(0, 1, 2))
        square += (piece**2).sum(axis=(0, 1, 2))
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 0))
    return [round(float(value), 3) for value in mean], [round(float(value), 3) for value in std]


def _pairs(items: Iterable[Iterable[str]]) -> list[tuple[str, str]]:
    return [(str(file), str(reason)) for file, reason in items]


def describe(card: DataCard) -> str:
    """The data in two or three lines for the user."""
    height, width, channels = card.shape
    sizes = f"{min(card.counts):,}" if len(set(card.counts)) == 1 else f"{min(card.counts):,} to {max(card.counts):,}"
    lines = [
        f"{card.name}: {sum(card.counts):,} training pictures, {len(card.classes)} classes of {sizes}, "
        f"{height}×{width} {'grey' if channels == 1 else 'colour'}",
        f"test part: {card.test}; it stays closed during the search",
    ]
    if card.skipped:
        shown = [f"{file} {reason}" for file, reason in card.skipped[:3]]
        lines.append(f"skipped {len(card.skipped)} files: {listing(shown)}{', …' if len(card.skipped) > 3 else ''}")
    return "\n".join(lines)


def card_facts(card: DataCard) -> dict[str, object]:
    """The card as plain data for `run.yaml`, without the place of the cache."""
    facts = dataclasses.asdict(card)
    facts.pop("cache")
    facts["skipped"] = [list(pair) for pair in card.skipped]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}
