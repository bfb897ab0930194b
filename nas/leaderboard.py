"""The leaderboard: all candidates as a CSV, best first. Read with the standard library alone, so that it opens at once.

Order: trained by score, then stopped by (epochs reached, score), then what still runs or was interrupted, then infeasible.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.csvtext import csv_text
from nas.errors import InputError, unknown

if TYPE_CHECKING:
    from nas.messages import Record

RECIPE_COLUMNS = (
    "optimizer",
    "learning_rate",
    "momentum",
    "weight_decay",
    "schedule",
    "batch_size",
    "loss",
    "label_smoothing",
    "flip",
    "shift",
    "rotation",
    "zoom",
    "shear",
    "stretch",
    "brightness",
    "contrast",
    "erasing",
)
LATER_RECIPE_COLUMNS = ("ema", "cutmix", "mixup", "randaugment", "mixing_epochs")  # columns are added at the end only
RECIPE = (*RECIPE_COLUMNS, *LATER_RECIPE_COLUMNS)
COLUMNS = (
    "rank",
    "number",
    "state",
    "reason",
    "val_accuracy",
    "val_loss",
    "train_accuracy",
    "epochs",
    "parameters",
    "flops",
    "seconds",
    "strategy",
    "operator",
    "parents",
    "digest",
    "architecture",
    *RECIPE_COLUMNS,
    "curve",
    "score",
    *LATER_RECIPE_COLUMNS,
    "genotype",
)
_ORDER = {"trained": 0, "stopped": 1, "running": 2, "interrupted": 2, "infeasible": 3}

Row = dict[str, Any]


def rows(records: Sequence[Record]) -> list[Row]:
    """One row for each record in order of rank."""
    ranked = sorted(records, key=_key)
    found = []
    for rank, record in enumerate(ranked, start=1):
        row: Row = {
            "rank": rank,
            "number": record.number,
            "state": record.state,
            "reason": record.reason,
            "val_accuracy": record.metrics.get("val_accuracy", "") if record.value is not None else "",
            "val_loss": record.metrics.get("val_loss", ""),
            "train_accuracy": record.metrics.get("train_accuracy", ""),
            "epochs": record.epochs,
            "parameters": _blank(record.parameters),
            "flops": _blank(record.flops),
            "seconds": round(record.seconds, 3),
            "strategy": record.strategy,
            "operator": record.operator,
            "parents": " ".join(map(str, record.parents)),
            "digest": record.digest,
            "architecture": record.architecture,
            "curve": " ".join(f"{value:g}" for value in record.curve),
            "score": _blank(record.value),
            "genotype": json.dumps(record.genotype, ensure_ascii=False),
        }
        row |= {column: record.recipe.get(column, "") for column in RECIPE}
        found.append({column: row[column] for column in COLUMNS})
    return found


def _key(record: Record) -> tuple[int, float, float, int]:
    return _order(record.state, record.epochs, record.value, record.number)


def _order(state: str, epochs: int, value: Any, number: int) -> tuple[int, float, float, int]:
    reached = epochs if state != "trained" else 0
    return (_ORDER.get(state, len(_ORDER)), -reached, -(value if value not in (None, "") else -1e300), number)


def _blank(value: Any) -> Any:
    return "" if value is None else value


def to_csv(records: Sequence[Record]) -> str:
    """The whole file."""
    return as_csv(rows(records))


def as_csv(found: list[Row]) -> str:
    """Rows as the text of the file."""
    return csv_text([COLUMNS, *([row[column] for column in COLUMNS] for row in found)])


def merged(first: list[Row], second: list[Row]) -> list[Row]:
    """The rows of `first`, and those of `second` whose number is not among them, ranked anew."""
    known = {row["number"] for row in first}
    both = [*first, *(row for row in second if row["number"] not in known)]
    both.sort(key=lambda row: _order(row["state"], row["epochs"], row["score"], row["number"]))
    return [{**row, "rank": rank} for rank, row in enumerate(both, start=1)]


def read_csv(file: Path) -> list[Row]:
    """The rows of a leaderboard, numbers as numbers. Raises InputError."""
    csv.field_size_limit(LONGEST_CELL)
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            first = COLUMNS[: COLUMNS.index("score")]  # columns are added at the end: an earlier version wrote no more
            lacking = [column for column in first if column not in (reader.fieldnames or ())]
            if lacking:
                raise InputError(f"has no column '{lacking[0]}'; it was not written by nas", str(file))
            table = list(reader)
        # A digest such as 12345e678901 is a word, whatever it looks like.
        found = [{c: (row.get(c) or "") if c in _TEXT else _number(row.get(c)) for c in COLUMNS} for row in table]
        return [{**row, "score": row["val_accuracy"] if row["score"] == "" else row["score"]} for row in found]
    except UnicodeDecodeError:
        raise InputError("cannot be read: it is not text in UTF-8", str(file)) from None
    except FileNotFoundError:
        hint = f"'nas resume {shlex.quote(str(file.parent))}' writes that of a search anew"
        raise InputError(f"is not there (yet); {hint}", str(file)) from None
    except (OSError, csv.Error) as problem:
        raise InputError(f"cannot be read: {getattr(problem, 'strerror', None) or problem}", str(file)) from None


LONGEST_CELL = 10**9  # characters; a genotype of thousands of genes is longer than the 131,072 that are usual
LONGEST_INT = 20  # digits; of more, a number is a float
_TEXT = ("reason", "operator", "parents", "digest", "architecture", "curve", "genotype")


def _number(text: str | None) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if kind is float or len(text or "") < LONGEST_INT:
                return kind(text or "")
    return text or ""


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def where(found: list[Row], condition: str) -> list[Row]:
    """The rows for which `column < value` holds; several conditions are joined by `and`. Raises InputError."""
    for part in re.split(r"\s+and\s+", condition.strip()):
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|!=|==|=|<|>)\s*(.+?)\s*", part)
        if not match:
            raise InputError(
                f"cannot be understood: '{part}'; write for example 'parameters < 200000 and state = trained'", "--where"
            )
        column, compare, text = match[1], _COMPARE[match[2]], match[3].strip("'\"")
        value = text if column in _TEXT else _number(text)
        if column not in COLUMNS:
            raise InputError(unknown("column", column, COLUMNS), "--where")
        ordered = match[2] not in ("=", "==", "!=")
        if ordered and isinstance(value, str):
            what = f"'{column}' is no column of numbers" if column in _TEXT else f"'{match[3]}' is no number"
            raise InputError(f"{what}, so only = and != go with it", "--where")
        found = [row for row in found if (not ordered or not isinstance(row[column], str)) and compare(row[column], value)]
    return found


def sort(found: list[Row], column: str) -> list[Row]:
    """Sorted by a column, the best or smallest first; empty cells last. Raises InputError."""
    if column not in COLUMNS:
        raise InputError(unknown("column", column, COLUMNS), "--sort")
    descending = column in ("score", "val_accuracy", "train_accuracy")
    filled = [row for row in found if row[column] != ""]
    filled.sort(key=lambda row: (isinstance(row[column], str), row[column]), reverse=descending)
    return filled + [row for row in found if row[column] == ""]
