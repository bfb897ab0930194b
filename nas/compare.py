"""Several runs side by side: what `nas compare` does. It reads what they left behind, and trains nothing."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.config import OF_RAY, GeneticSettings, Settings
from nas.csvtext import csv_text
from nas.errors import InputError, as_score
from nas.final import label
from nas.paths import folder_of
from nas.provenance import TRAINING
from nas.report import facts
from nas.report.reporting import Told, read
from nas.result import best_of
from nas.run import Run, disk_told, write_whole

COLUMNS = (
    "run",
    "strategy",
    "data",
    "objective",
    "candidates",
    "trained",
    "best_score",
    "test_accuracy",
    "parameters",
    "minutes",
)
MARKS = (1, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # candidates after which runs are compared
STYLES = ("-.", "-", "--", ":")
UNTOLD = ("strategy", "dataset", "objective", "workers", "threads", "keep", "data_dir", *OF_RAY)  # in the row, or of a machine
CURVE = ("run", "candidates", "minutes", "score", "best_so_far", "number")


@dataclass(frozen=True)
class Compared:
    """A run's row, and its curve: candidates done, minutes of search, score of the last, best so far, its number."""

    row: dict[str, str]
    settings: dict[str, str]  # what was asked for, but for what the row or a machine says
    done: int  # candidates that have ended, those without a score included
    curve: tuple[tuple[int, float, float, float, int], ...]


def compare(folders: Sequence[str | Path], out: str | Path | None = None) -> list[Compared]:
    """Read runs, and with `out` write `compare.csv` (the curves) and `compare.png` there. Raises RunError or InputError."""
    folder = folder_of(out, "--out") if out is not None else None
    found = [_compared(read(Run.open(each))) for each in folders]
    names = [each.row["run"] for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError("is named twice", twice)
    if folder is not None:
        with disk_told():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "compare.csv", _csv(found))
            write_whole(folder / "compare.png", _png(found))
    return found


def _compared(told: Told) -> Compared:
    ended = facts.moments(told.spans)
    done = sorted((each for each in told.records if each.number in ended), key=lambda each: ended[each.number])
    known = {record.number for record in facts.scored(done)}
    curve, best = [], -math.inf
    for place, record in enumerate(done, start=1):  # what failed counts in the budget as well
        if record.number in known and told.held_out:  # else it is no measure of the others' scores
            score = float(record.value or 0)
            best = max(best, score)
            curve.append((place, round(ended[record.number] / 60, 3), score, best, record.number))
    final, top = told.final, best_of(told.records)
    row = {
        "run": str(told.run.folder),
        "strategy": str(told.facts["settings"]["strategy"]) if told.facts.get("kind") != TRAINING else TRAINING,
        "data": str((told.facts.get("data") or {}).get("name") or told.space.name),
        "objective": str(told.facts.get("evaluator") or told.facts["settings"].get("objective", "accuracy")),
        "candidates": str(len(told.records)),
        "trained": str(sum(record.state == "trained" for record in told.records)),
        "best_score": as_score(top.value) if top is not None and top.value is not None and told.held_out else "",
        "test_accuracy": f"{float(final.accuracy['value']):.4f}" if final is not None else "",
        "parameters": f"{top.parameters:,}" if top is not None and top.parameters is not None else "",
        "minutes": f"{max(ended.values(), default=0) / 60:.1f}",
    }
    return Compared(row, _settings(told), len(done), tuple(curve))


def _settings(told: Told) -> dict[str, str]:
    """Setting → value; those that there were not when the run began, at their defaults."""
    asked = {**Settings().model_dump(mode="json"), **told.facts["settings"]}
    asked["space"] = f"{told.space.name} ({told.space.digest})"  # a name may be that of a file which has changed
    if isinstance(asked["genetic"], dict):
        own = {**GeneticSettings().model_dump(mode="json"), **asked.pop("genetic")}
        asked |= {f"genetic.{name}": value for name, value in own.items()}
    return {name: _words(value) for name, value in asked.items() if name not in UNTOLD}


def _words(value: object) -> str:
    """The value of a setting for a table."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def lines(found: Sequence[Compared]) -> Iterator[str]:
    """A table for the terminal: the rows, then the best so far after equal numbers of candidates."""
    yield from _aligned([list(COLUMNS), *(list(each.row.values()) for each in found)])
    for name in ("data", "objective"):
        if len({each.row[name] for each in found}) > 1:
            yield f"of different {'data' if name == 'data' else 'objectives'}: their scores are no measure of each other"
    names = dict.fromkeys(name for each in found for name in each.settings)
    differing = [name for name in names if len({each.settings.get(name) for each in found}) > 1]
    if differing:
        yield ""
        yield "settings in which they differ:"
        yield from _aligned(
            [["run", *differing], *([each.row["run"], *(each.settings.get(name, "") for name in differing)] for each in found)]
        )
    most = max((each.done for each in found if each.curve), default=0)
    if most:
        marks = sorted({*(mark for mark in MARKS if mark < most), *(each.done for each in found if each.curve)})
        yield ""
        yield "best so far after so many candidates:"
        rows = []
        for each in found:
            tops = [max((point[3] for point in each.curve if point[0] <= mark), default=None) for mark in marks]
            shown = zip(marks, tops, strict=True)
            scores = [as_score(top) if top is not None and mark <= each.done else "" for mark, top in shown]
            rows.append([each.row["run"], *scores])
        yield from _aligned([["run", *map(str, marks)], *rows])


def _aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for first, *rest in cells:
        yield "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])


def _csv(found: Sequence[Compared]) -> str:
    return csv_text([CURVE, *((each.row["run"], *point) for each in found for point in each.curve)])


def _png(found: Sequence[Compared]) -> bytes:
    """Best so far over candidates, and over minutes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawing = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    left, right = drawing.subplots(1, 2, sharey=True)
    for place, each in enumerate(found, start=1):
        if each.curve:
            counts, minutes, _, best, _ = zip(*each.curve, strict=True)
            for axes, x in ((left, counts), (right, minutes)):
                name = label(each.row["run"].lstrip("_"), f"run {place}", 40).replace("$", r"\$")
                style = STYLES[place % len(STYLES)]  # searches with one seed may begin alike, and lines hide each other
                axes.step(x, best, where="post", label=name, linestyle=style, marker="o" if len(x) == 1 else None)
    left.set_xlabel("candidates, in the order in which they ended")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("minutes, pauses left out")
    left.set_ylabel("best score so far (validation)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    if any(each.curve for each in found):
        left.legend(loc="lower right", fontsize=8)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    return buffer.getvalue()
