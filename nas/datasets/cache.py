"""The cache of decoded pictures: a memory-mapped uint8 array with its labels and a card of facts, written whole or not at all.

A cache is verified by its content; sets larger than memory pass through in pieces. `prepare.py` decides when to write one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import psutil
from numpy.lib.format import open_memmap

from nas.datasets import images
from nas.datasets.base import Arrays, Files
from nas.errors import DatasetError
from nas.messages import DataCard

Told: TypeAlias = Callable[[int, int], None]
"""Hears how many pictures are decoded, and of how many."""

CARD_KEYS = {"digest", "classes", "counts", "mean", "std", "skipped"}
PIECE = 32_000_000  # bytes of pictures read at once
ABANDONED = 600  # seconds after which one is, whose builder is gone (containers may share a name, and not their processes)
FORGOTTEN = 86_400  # seconds after which a cache that another machine was building is given up


def open_cache(card: DataCard) -> tuple[np.ndarray, np.ndarray]:
    """Memory-mapped pictures uint8 [n, height, width, channels] and labels int64 [n]; -1 marks a picture to leave out."""
    cache = Path(card.cache)
    try:
        return np.load(cache / "images.npy", mmap_mode="r"), np.load(cache / "labels.npy")
    except (OSError, ValueError) as problem:
        raise DatasetError(f"the decoded pictures cannot be read: {problem}", str(cache)) from None


def repeated(card: DataCard, other: DataCard, alive: Callable[[], None] = lambda: None) -> int:
    """How many usable pictures of one part are, pixel by pixel, in another part too; `alive` hears that it goes on."""

    def marks(part: DataCard) -> Iterator[bytes]:
        pictures, labels = open_cache(part)
        for some in _pieces(pictures):
            alive()
            for picture in pictures[some][labels[some] >= 0]:
                yield hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()

    sought = Counter(marks(card))
    return sum(sought[mark] for mark in {mark for mark in marks(other) if mark in sought})


def sound(cache: Path) -> bool:
    """Whether a cache is there and its content is what it was when written."""
    try:
        facts = json.loads((cache / "card.json").read_text())
        if not set(facts) >= CARD_KEYS:
            return False
        return bool(
            facts["digest"]
            == _digest(np.load(cache / "images.npy", mmap_mode="r"), np.load(cache / "labels.npy"), facts["classes"])
        )
    except (OSError, ValueError, LookupError, TypeError, EOFError):
        return False


def _digest(pictures: np.ndarray, labels: np.ndarray, classes: Iterable[str]) -> str:
    digest = hashlib.blake2b(repr((pictures.shape[1:], list(classes))).encode(), digest_size=8)
    for some in _pieces(pictures):
        digest.update(np.ascontiguousarray(pictures[some][labels[some] >= 0]).data)
    digest.update(np.ascontiguousarray(labels[labels >= 0]).data)
    return digest.hexdigest()


def write(cache: Path, source: Arrays | Files, shape: tuple[int, int, int], told: Told) -> None:
    """Fill a new folder beside `cache` and rename it: another process sees the whole cache or none."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        for left in cache.parent.glob(".*"):
            if _forgotten(left):
                shutil.rmtree(left, ignore_errors=True)
        prefix = f".{cache.name}.{socket.gethostname()}.{os.getpid()}."
        building = Path(tempfile.mkdtemp(prefix=prefix, dir=cache.parent))
    except OSError as problem:
        raise DatasetError(
            f"the cache cannot be made: {problem.strerror}; set NAS_CACHE_DIR to another folder", str(cache.parent)
        ) from None
    try:
        count = len(source.labels)
        pictures = open_memmap(building / "images.npy", mode="w+", dtype=np.uint8, shape=(count, *shape))
        _reserve(building / "images.npy")
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
        del pictures  # closes the map: some systems do not rename what is open
        if sound(cache):  # another process was faster, and workers may read its cache already
            return
        shutil.rmtree(cache, ignore_errors=True)
        building.rename(cache)
    except OSError as problem:
        if not sound(cache):  # else another process was faster, and its cache is as good
            raise DatasetError(
                f"the cache cannot be written: {problem.strerror}; set NAS_CACHE_DIR to another folder", str(cache)
            ) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _reserve(file: Path) -> None:
    """Have the disk give all its space now: a page of a map for which there is none would end the process by a signal."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # there are file systems that cannot
            raise


def _forgotten(building: Path) -> bool:
    """Whether a cache that is not whole has lost its builder: its process is gone, or is on another machine and silent."""
    try:
        age = time.time() - building.stat().st_mtime
    except OSError:  # it has just got its name, or was removed by another
        return False
    host, _, process = building.name.rpartition(".")[0].rpartition(".")
    if host.endswith(f".{socket.gethostname()}") and process.isdecimal():
        return age > ABANDONED and not psutil.pid_exists(int(process))
    return age > FORGOTTEN


def _fill(pictures: np.ndarray, labels: np.ndarray, source: Arrays | Files, told: Told) -> list[tuple[str, str]]:
    """Decode into `pictures`; a picture that cannot be decoded gets the label -1 and is listed with the reason."""
    height, width, channels = pictures.shape[1:]

    def one(index: int) -> str:
        try:
            if isinstance(source, Files):
                pictures[index] = images.decode(source.files[index], height, width, channels)
            else:
                pictures[index] = images.scaled(source.images[index], height, width, channels)
            return ""
        except Exception as problem:  # Pillow and its codecs raise many kinds for damaged files
            labels[index] = -1
            return images.why(problem)

    if isinstance(source, Arrays) and source.images.shape == pictures.shape:
        pictures[:] = source.images  # nothing to decode or scale
        return []
    skipped = []
    with ThreadPoolExecutor() as pool:
        for some in _pieces(pictures):
            places = range(some.start, some.stop)
            for index, reason in zip(places, pool.map(one, places), strict=True):
                if reason and isinstance(source, Files):
                    file = source.files[index]
                    skipped.append((f"{file.parent.name}/{file.name}", reason))
                if index % 256 == 255 and index + 1 < len(labels):
                    told(index + 1, len(labels))
    told(len(labels), len(labels))
    return skipped


def _pieces(pictures: np.ndarray) -> Iterator[slice]:
    """All places, in slices of some megabytes."""
    each = max(1, PIECE // math.prod(pictures.shape[1:]))
    for start in range(0, len(pictures), each):
        yield slice(start, min(start + each, len(pictures)))


def _statistics(pictures: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the usable pictures, in raw pixels, from exact sums, in pieces."""
    count, total, square = 0, np.zeros(pictures.shape[-1], np.uint64), np.zeros(pictures.shape[-1], np.uint64)
    for some in _pieces(pictures):
        piece = pictures[some][labels[some] >= 0]
        count += piece[..., 0].size
        total += piece.sum(axis=(0, 1, 2), dtype=np.uint64)
        square += np.square(piece, dtype=np.uint16).sum(axis=(0, 1, 2), dtype=np.uint64)
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 0))
    return [round(float(value), 3) for value in mean], [round(float(value), 3) for value in std]
