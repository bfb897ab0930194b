"""What a person sees while a search runs: a live display in a terminal, plain lines elsewhere.

The driver tells a `View` what happens; nothing here decides anything.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, cast

from nas.errors import as_score, counted
from nas.messages import LAST_FIT, SEED, Candidate, Progress, Pulse, Record
from nas.result import best_of

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(curve: Sequence[float], width: int = 12) -> str:
    """A curve in a few characters, from its lowest point to its highest; of a long one `width` points, the first and the last
    among them."""
    shown = [value for value in curve if math.isfinite(value)]
    if not shown:
        return ""
    if len(shown) > width:
        shown = [shown[round(place * (len(shown) - 1) / (width - 1))] for place in range(width)]
    low, high = min(shown), max(shown)
    top = len(_BARS) - 1
    span = high / 2 - low / 2  # halves, for the difference of two huge numbers may be infinite
    return "".join(_BARS[round((value / 2 - low / 2) / span * top) if span > 0 else top // 2] for value in shown)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def name_of(one: Record | Candidate) -> str:
    """`#17`; of a training that belongs to a retraining, whose it is: `#17, seed 0`."""
    if one.operator.startswith(SEED) and one.parents:
        return f"#{one.parents[0]}, {one.operator}"
    return f"#{one.parents[0] if one.operator == LAST_FIT and one.parents else one.number}"


def _best_words(best: Record | None, more: str) -> str:
    return f"best {as_score(best.value)} ({name_of(best)}{more})" if best and best.value is not None else "no best yet"


class View(Protocol):
    """Hears what happens in a search."""

    def note(self, text: str) -> None: ...
    def preparing(self, done: int, total: int) -> None: ...
    def begin(self, budget: int, records: Sequence[Record], deadline: float = math.inf) -> None: ...
    def started(self, candidate: Candidate, label: str) -> None: ...
    def pulse(self, pulse: Pulse) -> None: ...
    def progress(self, progress: Progress, curve: Sequence[float]) -> None: ...
    def finished(self, record: Record, best: Record | None) -> None: ...
    def end(self) -> None: ...


class Patient:
    """A stream that never fails: when nobody listens any more (a closed pipe or terminal), the search goes on unheard."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class Silent:
    """Says nothing: for scripts that read the result."""

    def note(self, text: str) -> None: ...
    def preparing(self, done: int, total: int) -> None: ...
    def begin(self, budget: int, records: Sequence[Record], deadline: float = math.inf) -> None: ...
    def started(self, candidate: Candidate, label: str) -> None: ...
    def pulse(self, pulse: Pulse) -> None: ...
    def progress(self, progress: Progress, curve: Sequence[float]) -> None: ...
    def finished(self, record: Record, best: Record | None) -> None: ...
    def end(self) -> None: ...


class _Clock:
    """Foretells the end from the candidates that ended so far; the recent ones count, since a search gets slower or faster.
    It comes at `deadline` (by time.monotonic) at the latest."""

    def __init__(self, budget: int, records: Sequence[Record], deadline: float) -> None:
        self.budget, self.deadline = budget, deadline
        self.done = sum(record.finished for record in records)
        self.started = time.monotonic()
        self.ends: list[float] = []

    def tick(self) -> None:
        self.done += 1
        self.ends.append(time.monotonic())

    def left(self) -> str:
        recent, now = [self.started, *self.ends][-15:], time.monotonic()
        most = max(0.0, self.deadline - now)
        if len(recent) < 2:
            return duration(most) if math.isfinite(most) else "?"
        each = (now - recent[0]) / (len(recent) - 1)
        return duration(min(most, each * max(0, self.budget - self.done)))


class Plain(Silent):
    """One line for each candidate that ended: for logs, pipes and notebooks."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = Patient(stream or sys.stdout)
        self._tenths = 0

    def note(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def preparing(self, done: int, total: int) -> None:
        if total and done * 10 // total > self._tenths:
            self._tenths = done * 10 // total
            self.note(f"decoding pictures: {done:,} of {total:,}")
        if done >= total:  # another part may follow
            self._tenths = 0

    def begin(self, budget: int, records: Sequence[Record], deadline: float = math.inf) -> None:
        self._clock = _Clock(budget, records, deadline)

    def finished(self, record: Record, best: Record | None) -> None:
        self._clock.tick()
        score = as_score(record.value) if record.value is not None else "  –   "
        top = _best_words(best, "")
        said = record.reason if record.state == "infeasible" else counted(record.epochs, "epoch") if record.epochs else ""
        said += " (accuracy in training)" if "train_accuracy" in record.metrics and "val_loss" not in record.metrics else ""
        self.note(
            f"[{self._clock.done:>3}/{self._clock.budget}] {name_of(record):<4} {record.state:<10} {score} "
            f"{sparkline(record.curve):<8} {said}, {record.seconds:.0f} s  {record.architecture}  | {top}, "
            f"{self._clock.left()} left"
        )


@dataclass
class _Shown:
    """A running candidate, as it is drawn: `done` are epochs, with the part of the present one."""

    name: str
    label: str
    since: float
    curve: Sequence[float] = ()
    done: float = 0.0


class Live(Silent):
    """A display that is redrawn in place: running candidates with their curves, the best so far, the time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=cast(TextIO, Patient(sys.stdout)))
        self._live: Any = None
        self._running: dict[int, _Shown] = {}
        self._best: Record | None = None
        self._last: list[Record] = []
        self._bar: Any = None

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def preparing(self, done: int, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if not total:
            return
        if self._bar is None:
            columns = (TextColumn("decoding pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.start()
            self._bar.add_task("", total=total)
        self._bar.update(0, completed=done)
        if done >= total:
            self._bar.stop()
            self._bar = None

    def begin(self, budget: int, records: Sequence[Record], deadline: float = math.inf) -> None:
        from rich.live import Live as RichLive

        self._clock = _Clock(budget, records, deadline)
        self._best = best_of(records)
        self._running, self._last = {}, []
        self._live = RichLive(get_renderable=self._draw, console=self.console, refresh_per_second=2, transient=True)
        self._live.start()

    def started(self, candidate: Candidate, label: str) -> None:
        self._running[candidate.number] = _Shown(name_of(candidate), label, time.monotonic())

    def pulse(self, pulse: Pulse) -> None:
        if pulse.number in self._running:
            self._running[pulse.number].done = pulse.done

    def progress(self, progress: Progress, curve: Sequence[float]) -> None:
        if progress.number in self._running:
            self._running[progress.number].curve = curve
            self._running[progress.number].done = len(curve)

    def finished(self, record: Record, best: Record | None) -> None:
        self._clock.tick()
        self._running.pop(record.number, None)
        self._best = best
        self._last = [*self._last[-4:], record]

    def end(self) -> None:
        for shown in (self._bar, self._live):
            if shown is not None:
                shown.stop()
        self._bar = self._live = None

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.markup import escape
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, padding=(0, 1), expand=False, show_header=True, header_style="dim")
        for name in ("", "candidate", "score", "curve", "epochs", "time", "network"):
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        for record in self._last:
            mark = {"trained": "[green]✓[/]", "stopped": "[yellow]·[/]"}.get(record.state, "[red]✗[/]")
            score = as_score(record.value) if record.value is not None else "–"
            words = f"{record.architecture}  {record.reason}".rstrip()
            cells = (name_of(record), score, sparkline(record.curve), str(record.epochs), duration(record.seconds))
            table.add_row(mark, *cells, escape(words))
        for shown in list(self._running.values()):
            score = as_score(max(shown.curve)) if shown.curve else ""
            since = duration(time.monotonic() - shown.since)
            table.add_row(
                "[cyan]▶[/]", shown.name, score, sparkline(shown.curve), f"{shown.done:.1f}", since, escape(shown.label)
            )
        best = self._best
        top = _best_words(best, f": {best.architecture}" if best else "")
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self._clock.budget, completed=self._clock.done, width=24)
        head.add_row(bar, f"{self._clock.done}/{self._clock.budget}", f"{self._clock.left()} left", escape(top))
        return Group(table, head)


def make_view() -> View:
    """The live display where standard output is a terminal that can redraw, otherwise plain lines."""
    from rich.console import Console

    return Live() if Console().is_terminal and not Console().is_dumb_terminal else Plain()
