"""Rows as CSV text that every reader takes apart as they were: also where a name from data holds a carriage return, which
Python before 3.13 writes bare if lines end without one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows, one line for each unless a name holds a line's end; lines end as on Unix."""
    stream = io.StringIO()
    plain, careful = (csv.writer(stream, lineterminator="\n", quoting=way) for way in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        broken = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (careful if broken else plain).writerow(row)
    return stream.getvalue()
