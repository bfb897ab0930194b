"""Rows of a benchmark's CSV: each is written when its part is done, and what has a row is not done again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def rows(file: Path) -> list[dict[str, str]]:
    """All that are there."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def append(file: Path, columns: Sequence[str], row: Sequence[object]) -> None:
    """One row more, with the names of the columns above the first."""
    new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(columns)
        writer.writerow(row)
