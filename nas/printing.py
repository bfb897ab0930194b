"""Text for the terminal: the leaderboard as a table that fits, one candidate with its layers.

Needs the standard library alone, since `nas leaderboard` has to answer at once.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nas.errors import as_score
from nas.pace import START

if TYPE_CHECKING:
    from nas.blueprint import Blueprint
    from nas.messages import Candidate, Metrics, Record

SHOWN = ("rank", "number", "state", "val_accuracy", "epochs", "curve", "parameters", "seconds", "architecture")
INSTEAD = {"val_accuracy": "score", "architecture": "genotype"}  # where none is a network
GIVE_WAY = ("seconds", "curve", "epochs", "parameters", "state")  # the first of these first
LEAST = 20  # characters of the last column, while others can give way


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the leaderboard in columns. Where the terminal is narrow the last one gives way, then some of the others."""
    if not rows:
        return "no candidate to show"
    shown = list(SHOWN)
    if not any(row["architecture"] for row in rows):  # somebody's own evaluator scored them, and none is a network
        shown = [INSTEAD.get(name, name) for name in shown if name != "parameters"]
    elif any(row["score"] != row["val_accuracy"] for row in rows):  # the objective is another, and the order by it
        shown.insert(shown.index("val_accuracy"), "score")
    if all(" " not in str(row["curve"]) for row in rows):  # nothing but single points
        shown.remove("curve")
    columns = shutil.get_terminal_size((120, 24)).columns
    for name in (None, *GIVE_WAY):
        if name in shown:
            shown.remove(name)
        cells = [shown, *([_cell(name, row) for name in shown] for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(shown) - 1)]
        room = columns - sum(widths) - 2 * len(widths)
        if room >= LEAST:
            break
    return "\n".join(_line(line, widths, max(1, room)) for line in cells)


def printable(name: str) -> str:
    """A name from data in one line of a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in name)


def finite(data: Any) -> Any:
    """The same with nothing in place of numbers that JSON does not know."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, list | tuple) else data


def _line(cells: list[str], widths: list[int], room: int) -> str:
    last = cells[-1] if len(cells[-1]) <= room else cells[-1][: room - 1] + "…"
    return "  ".join([*(cell.rjust(width) for cell, width in zip(cells, widths, strict=False)), last]).rstrip()


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if name == "curve":
        from nas.view import sparkline

        with contextlib.suppress(ValueError):  # of a damaged file it may be any text
            return sparkline([float(each) for each in str(value).split()], 8)
        return "?"
    if name in ("architecture", "genotype"):
        return printable(" ".join(f"{value} ({row['reason']})".split())) if row["reason"] else printable(str(value))
    if isinstance(value, str):
        return printable(value)
    if name in ("score", "val_accuracy"):
        return as_score(value)
    return {"parameters": "{:,}", "seconds": "{:.1f}"}.get(name, "{}").format(value)


def candidate_lines(
    record: Record, candidate: Candidate, epochs: Sequence[Metrics], parents: Sequence[Record] = ()
) -> Iterator[str]:
    """One candidate: where it comes from, its layers with shapes and parameters, recipe and curve."""
    from nas.changes import gene_changes
    from nas.recorded import unvalidated
    from nas.view import sparkline

    named = f"parents {', '.join(f'#{parent}' for parent in record.parents)}" if record.parents else "no parents"
    reason = f" ({record.reason})" if record.reason else ""
    yield f"candidate {record.number}: {record.state}{reason}, {record.operator}, {named}"
    if parents:
        changes = gene_changes(parents[0].genotype, record.genotype, *parents[1:2])
        yield f"from #{parents[0].number}: {changes or 'the same genes'}"
    score = f"score {as_score(record.value)}, " if record.value is not None else ""
    yield f"{score}digest {record.digest}, {record.seconds:.1f} s"
    if candidate.blueprint is not None and candidate.recipe is not None:
        yield from ("", *_layer_lines(candidate.blueprint), "")
        facts = candidate.recipe.to_dict()
        idle = () if candidate.recipe.optimizer == "sgd" else ("momentum",)
        used = {key: value for key, value in facts.items() if value not in (0, "none") and key not in idle}
        yield "recipe:  " + ", ".join(f"{key} {value}" for key, value in used.items())
    else:
        yield "genotype:  " + ", ".join(f"{key} {value}" for key, value in record.genotype.items())
    if record.curve:
        yield f"curve:   {sparkline(record.curve, 40)}"
    best = max(range(len(record.curve)), key=record.curve.__getitem__, default=-1) + 1
    best = 0 if any(map(unvalidated, epochs)) else best  # then the last epoch's weights are kept, whatever it had
    for epoch, metrics in enumerate(epochs, start=1):
        words = [f"{key} {value:.4f}" for key, value in metrics.items() if key not in ("seconds", START)]
        began = f" ({metrics[START]:.1f} until the first batch was done)" if metrics.get(START) else ""
        took = f"  seconds {metrics['seconds']:.1f}{began}" if "seconds" in metrics else ""
        yield f"  epoch {epoch:>3}  {'  '.join(words)}{took}{'  best' if epoch == best and len(record.curve) > 1 else ''}"


def _layer_lines(blueprint: Blueprint) -> Iterator[str]:
    from nas.blueprint.plain import to_dict

    yield f"{'layer':<24}{'shape':<16}{'parameters':>12}  details"
    yield f"{'input':<24}{_shape(blueprint.picture):<16}{0:>12,}  raw pixels 0–255"
    before = "input"
    for node in blueprint.nodes:
        facts = to_dict(node.layer)
        kind = facts.pop("kind")
        words = [f"{key} {value}" for key, value in facts.items()]
        if kind == "rescale":
            words = ["normalisation of the training data"]
        if node.inputs != (before,):
            words.append(f"from {' and '.join(node.inputs)}")
        if node.origin is not None:
            words.append(f"{'kept' if node.origin.frozen else 'begins'} as {node.origin.layer} in {node.origin.file}")
        count = node.layer.parameters(*blueprint.inputs_of(node))
        yield f"{node.name:<24}{_shape(blueprint.shapes[node.name]):<16}{count:>12,}  {', '.join(words)}".rstrip()
        before = node.name
    yield f"{'total':<40}{blueprint.parameters:>12,}  {blueprint.flops / 1e6:,.1f} MFLOPs a picture"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
