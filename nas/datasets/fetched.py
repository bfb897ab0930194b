"""Prepared pictures on a machine that did not prepare them: found by their digest wherever they lie, fetched once for all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from nas.datasets.cache import sound
from nas.errors import RunFailed
from nas.messages import Content, DataCard
from nas.paths import cache_root

FACTS = "card.json"  # of prepared pictures; written with them, or not at all
_read: set[tuple[Path, str]] = set()  # folders that this process has read to the end, with the digest that was found


def at_hand(card: DataCard, fetch: Callable[[], Content]) -> str:
    """Where the pictures of `card` lie on this machine. Those that are not there are fetched, once for all that ask.

    Raises RunFailed if what was fetched is not what the card says.
    """
    own = cache_root() / "fetched" / card.digest
    for folder in (Path(card.cache), own):
        if _has(folder, card.digest):
            return str(folder)
    own.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(own.with_suffix(".lock"))):
        if not _has(own, card.digest):
            _fetch(own, card, fetch)
    return str(own)


def _fetch(own: Path, card: DataCard, fetch: Callable[[], Content]) -> None:
    for left in own.parent.glob(f".{own.name}.*"):  # by one that was killed: the lock is held, so nobody is at it
        shutil.rmtree(left, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=f".{own.name}.", dir=own.parent))
    try:
        for name, content in fetch().items():
            np.asarray(content).tofile(building / name)
        if _digest_in(building) != card.digest or not sound(building):
            raise RunFailed(f"the pictures of {card.name} did not arrive as they were sent")
        shutil.rmtree(own, ignore_errors=True)
        building.rename(own)
        _read.add((own, card.digest))
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _has(folder: Path, digest: str) -> bool:
    """Whether the pictures with this digest lie there, undamaged: each process reads them once."""
    if _digest_in(folder) != digest:
        return False
    if (folder, digest) not in _read:
        if not sound(folder):
            return False
        _read.add((folder, digest))
    return True


def _digest_in(folder: Path) -> str:
    """Of the pictures that were prepared there; empty if there are none."""
    try:
        return str(json.loads((folder / FACTS).read_text())["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
