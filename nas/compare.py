"""Several runs side by side: what `nas compare` does. It reads what they left behind, and trains nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.errors import InputError
from nas.paths import expanded
from nas.report import facts
from nas.report.reporting import Told, final_of, read
from nas.run import Run, disk_told, write_whole

COLUMNS = ("run", "strategy", "data", "candidates", "trained", "best_score", "test_accuracy", "parameters", "minutes")
MARKS = (1, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # candidates after which runs are compared
CURVE = ("run", "candidates", "minutes", "score", "best_so_far")


@dataclass(frozen=True)
class Compared:
    """A run's row, and its curve: candidates done, minutes of search, score of the last, best so far."""

    row: dict[str, str]
    curve: tuple[tuple[int, float, float, float], ...]


def compare(folders: Sequence[str | Path], out: str | Path | None = None) -> list[Compared]:
    """Read runs, and with `out` write `compare.csv` (the curves) and `compare.png` there. Raises RunError or InputError."""
    found = [_compared(read(Run.open(folder))) for folder in folders]
    names = [each.row["run"] for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError("is named twice", twice)
    if out is not None:
        with disk_told():
            folder = expanded(out)
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "compare.csv", _csv(found))
            write_whole(folder / "compare.png", _png(found))
    return found


def _compared(told: Told) -> Compared:
    ended = facts.moments(told.spans)
    known = sorted((each for each in facts.scored(told.records) if each.number in ended), key=lambda each: ended[each.number])
    best = facts.best_so_far([float(record.value or 0) for record in known])
    curve = tuple(
        (place, round(ended[record.number] / 60, 3), round(float(record.value or 0), 6), round(top, 6))
        for place, (record, top) in enumerate(zip(known, best, strict=True), start=1)
    )
    final, top_one = final_of(told.run), told.best_record
    accuracy = final.rows.get(("accuracy", ""), {}).get("value", "") if final is not None else ""
    row = {
        "run": str(told.run.folder),
        "strategy": str(told.facts["settings"]["strategy"]),
        "data": str((told.facts.get("data") or {}).get("name") or told.space.name),
        "candidates": str(len(told.records)),
        "trained": str(sum(record.state == "trained" for record in told.records)),
        "best_score": f"{best[-1]:.4f}" if best else "",
        "test_accuracy": f"{float(accuracy):.4f}" if accuracy else "",
        "parameters": f"{top_one.parameters:,}" if top_one is not None and top_one.parameters is not None else "",
        "minutes": f"{max(ended.values(), default=0) / 60:.1f}",
    }
    return Compared(row, curve)


def lines(found: Sequence[Compared]) -> Iterator[str]:
    """A table for the terminal: the rows, then the best so far after equal numbers of candidates."""
    yield from _aligned([list(COLUMNS), *(list(each.row.values()) for each in found)])
    most = max((len(each.curve) for each in found), default=0)
    if most:
        marks = [*(mark for mark in MARKS if mark < most), most]
        yield ""
        yield "best so far after so many candidates:"
        rows = []
        for each in found:
            scores = [f"{each.curve[mark - 1][3]:.4f}" if mark <= len(each.curve) else "" for mark in marks]
            rows.append([each.row["run"], *scores])
        yield from _aligned([["run", *map(str, marks)], *rows])


def _aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for first, *rest in cells:
        yield "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])


def _csv(found: Sequence[Compared]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CURVE)
    for each in found:
        writer.writerows((each.row["run"], *point) for point in each.curve)
    return stream.getvalue()


def _png(found: Sequence[Compared]) -> bytes:
    """Best so far over candidates, and over minutes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    left, right = drawing.subplots(1, 2, sharey=True)
    for each in found:
        if each.curve:
            counts, minutes, _, best = zip(*each.curve, strict=True)
            for axes, x in ((left, counts), (right, minutes)):
                axes.step(x, best, where="post", label=each.row["run"].replace("$", r"\$"))
    left.set_xlabel("candidates")
    right.set_xlabel("minutes, pauses left out")
    left.set_ylabel("best score so far (validation)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend(loc="lower right", fontsize=8)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    return buffer.getvalue()
