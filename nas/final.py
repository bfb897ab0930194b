"""The last page of a run: one look at the test part, `final.csv` with its figures, the confusion matrix as CSV and picture."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.blueprint.backbone import digest_of
from nas.config import Settings
from nas.csvtext import csv_text
from nas.errors import RunError, first_line
from nas.executors import Task
from nas.jobs import WORKER
from nas.messages import DataCard, DataRequest, Figure, Limits, Score, ScoreRequest
from nas.preparing import LONGEST_SILENCE, hands_of
from nas.printing import printable
from nas.run import BEST, Run, write_whole
from nas.view import View

COLUMNS = ("figure", "class", "value", "low", "high")
ABOUT = {  # rows of `final.csv` that are no figures of the test part, in words
    "winner": "winner, by its number",
    "compared": "its mean score in the comparison",
    "candidates": "compared, by their numbers",
    "seeds": "trainings of each",
    "epochs": "epochs of the last fit",
    "parameters": "parameters",
    "flops": "FLOPs of a picture",
    "objective": "compared by",
    "network": "network",
    "validation_accuracy": "accuracy on validation pictures",
    "train_accuracy": "accuracy in training",
    "seconds": "seconds of training",
    "repeated": "test pictures that are training pictures too",
}
OPENED = "test part opened for"  # in the run.yaml of a search: the candidate whose model was, or is, scored there
SCORED = "scored"  # in run.yaml, before a model sees the test part: the digests of both
MOST_NAMED = 40  # classes whose names and numbers are written into the picture
SHOWN = ("accuracy", "balanced_accuracy", "f1", "auc", "loss", "calibration_error")


def last_score(
    run: Run,
    model: Path,
    chosen: Settings,
    card: DataCard,
    facts: dict[str, Any],
    view: View,
    anew: str,
    opening: Callable[[], Mapping[str, object]] = dict,
) -> Score:
    """Open the test part, score a model on it, make it the run's best, and write and tell what came out.

    Before the model sees the pictures, but when both could be read, `run.yaml` says which they are, and what `opening` gives.
    So repeated, because something failed between the look and the last file, it gives the same figures of the same model.
    `anew` says how to get another model in place of one that cannot be read.

    Raises DatasetError or RunError, that also where another model, or other pictures, were to be scored before.
    """
    data = DataRequest(chosen.dataset, chosen.data_dir, chosen.image_size)
    request, limits = ScoreRequest(str(model.absolute()), data, card), Limits(None, None, LONGEST_SILENCE)
    settings = run.read_settings()
    with hands_of(chosen, view) as hands:
        try:
            test, again = hands.call(Task(f"{WORKER}:open_test", request, "opening the test part", limits), view.preparing)
        except RunError as problem:
            seen = {SCORED, OPENED} & settings.keys()  # or may have been
            raise RunError(f"{problem}; {'put back a copy, or start anew' if seen else anew}") from None
        _check_same(run, settings.get(SCORED), mark := {"model": digest_of(model), "test": test.digest})
        run.write_settings({**settings, **opening(), SCORED: mark})
        request = dataclasses.replace(request, card=test)
        found: Score = hands.call(Task(f"{WORKER}:score", request, "scoring on the test part", limits), view.preparing)
    if again:
        words = f"of the {found.pictures:,} test pictures {again:,} {'is' if again == 1 else 'are'} among the training pictures"
        view.note(f"{words}, pixel for pixel at this size: the figures are too good by what it knows of them by heart")
    facts = {**facts, "objective": chosen.objective, "repeated": again}
    write_figures(run.final, found, facts, None if model == run.best else model)
    view.note("\n".join(figure_lines(found, f"on {found.pictures:,} test pictures, which it was not chosen by:")))
    return found


def _check_same(run: Run, before: object, mark: dict[str, str]) -> None:
    """Raise RunError if another model, or other pictures, were to be scored before."""
    if isinstance(before, dict) and before != mark:
        what = "model" if before.get("model") != mark["model"] else "test pictures"
        words = f"its {what} {'is' if what == 'model' else 'are'} not what was there when its test part was first opened"
        raise RunError(f"{words}, and another look would not be the first; put back what was there, or start anew", run.name)


def write_figures(
    file: Path, score: Score, facts: dict[str, Any], model: Path | None = None, what: str = "test pictures"
) -> None:
    """Write the figures to the CSV `file`, and the confusion matrix of `what` beside it; `facts` (what was trained, how long)
    are rows of the same table. The CSV is written last: where it is, all is. Just before it `model` becomes the run's best: one
    that was fitted on all pictures must not stand there without its figures."""
    matrix: dict[str, str | bytes] = {"confusion.csv": _confusion_csv(score), "confusion.png": _confusion_png(score, what)}
    rows: list[tuple[object, ...]] = [COLUMNS]
    for figure in score.figures:
        low, high = ("" if each is None else each for each in (figure.low, figure.high))
        rows.append((figure.name, figure.of, figure.value, low, high))
    rows.append(("pictures", "", score.pictures, "", ""))
    rows += [(name, "", value, "", "") for name, value in facts.items()]
    for name, content in matrix.items():
        write_whole(file.with_name(name), content)
    if model is not None:
        write_whole(file.with_name(BEST), model.read_bytes())
    write_whole(file, csv_text(rows))


@dataclass(frozen=True)
class Final:
    """The figures of the test part as they were written: rows of `final.csv` by (figure, class), and the classes and counts of
    `confusion.csv`."""

    rows: dict[tuple[str, str], dict[str, str]]
    classes: list[str]
    confusion: list[list[int]]

    @property
    def accuracy(self) -> dict[str, str]:
        return self.rows["accuracy", ""]

    @property
    def pictures(self) -> int:
        return int(self.rows["pictures", ""]["value"])

    @property
    def winner(self) -> int | None:
        """The candidate that was retrained; None for a training without a search."""
        return self._whole("winner")

    @property
    def epochs(self) -> int | None:
        """Of the last fit."""
        return self._whole("epochs")

    def _whole(self, name: str) -> int | None:
        value = self.rows.get((name, ""), {}).get("value", "")
        return int(value) if value.isdecimal() else None


def read_final(run: Run) -> Final | None:
    """None where nothing was scored on the test part. Raises RunError if the files are damaged."""
    if not run.final.exists():
        return None
    try:
        with run.final.open(encoding="utf-8", newline="") as stream:
            rows = {(row["figure"], row["class"]): row for row in csv.DictReader(stream)}
        with (run.folder / "confusion.csv").open(encoding="utf-8", newline="") as stream:
            table = list(csv.reader(stream))[1:]
        found = Final(rows, [row[0] for row in table], [[int(cell) for cell in row[1:]] for row in table])
        for row in (found.accuracy, *(row for (_, of), row in rows.items() if of)):
            float(row["value"]), float(row["low"]), float(row["high"])
        if found.pictures < 1 or not found.classes:
            raise ValueError("there are no pictures, or no classes")
    except (OSError, LookupError, ValueError, TypeError, AttributeError, csv.Error) as problem:
        raise RunError(f"is damaged, or confusion.csv beside it: {first_line(problem)}", str(run.final)) from None
    return found


def figure_lines(score: Score, title: str) -> list[str]:
    """The figures for the terminal."""
    lines = [title]
    for figure in score.figures:
        if not figure.of and figure.name in SHOWN:
            lines.append(f"  {figure.name:<18} {_value(figure)}")
    each = [figure for figure in score.figures if figure.of]
    wide = max((len(figure.of) for figure in each), default=0)
    lines += [f"  {printable(figure.of):<{wide}}  {_value(figure)}" for figure in each[:MOST_NAMED]]
    if len(each) > MOST_NAMED:
        lines.append(f"  and {len(each) - MOST_NAMED} more classes")
    return lines


def _value(figure: Figure) -> str:
    interval = f"  (95%: {figure.low:.4f} to {figure.high:.4f})" if figure.low is not None else ""
    return f"{figure.value:.4f}{interval}"


def _confusion_csv(score: Score) -> str:
    rows = ((name, *row) for name, row in zip(score.classes, score.confusion, strict=True))
    return csv_text([("class", *(f"answered {name}" for name in score.classes)), *rows])


def _confusion_png(score: Score, what: str) -> bytes:
    """Rows are classes, columns answers; the colour is the part of the row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    count = len(score.classes)
    side = min(3.0 + 0.45 * count, 16.0)
    drawing = Drawing(figsize=(side + 0.6, side), dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    parts = [[cell / max(1, sum(row)) for cell in row] for row in score.confusion]
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("answered")
    axes.set_ylabel("class")
    axes.set_title(f"accuracy {score.accuracy.value:.2%} on {score.pictures:,} {what}")
    if count <= MOST_NAMED:
        names = [label(name, f"class {at + 1}") for at, name in enumerate(score.classes)]
        axes.set_xticks(range(count), names, rotation=90 if count > 5 else 0, parse_math=False)
        axes.set_yticks(range(count), names, parse_math=False)
        for y, row in enumerate(score.confusion):
            for x, cell in enumerate(row):
                colour = "white" if parts[y][x] > 0.5 else "black"
                axes.text(x, y, f"{cell}", ha="center", va="center", color=colour, fontsize=7 if count > 5 else 10)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    return buffer.getvalue()


def label(name: str, else_: str, most: int = 16) -> str:
    """A name from data as a picture shows it: shortened, or another where the font has no such letters."""
    from matplotlib.font_manager import findfont, get_font

    letters = get_font(findfont("DejaVu Sans"))
    if any(not letters.get_char_index(ord(letter)) for letter in name):
        return else_
    return name if len(name) <= most else f"…{name[1 - most :]}" if "/" in name else f"{name[: most - 1]}…"
