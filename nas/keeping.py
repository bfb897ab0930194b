"""What a run folder keeps: the leaderboard, the models of the best few, the checkpoints of what runs, the log; nothing else.

All of it follows from the records, so what a crash left half-done is mended when the next driver begins.
"""

from __future__ import annotations

import datetime
import heapq
import os
import shutil
import time
from collections.abc import Callable, Sequence

from nas import leaderboard
from nas.config import Settings
from nas.messages import Record
from nas.result import goodness
from nas.run import PARTS, Run, write_whole
from nas.strategies.base import BREEDERS, rank_of

QUICK = 0.02  # seconds in which a leaderboard may be written after every change
PART = 0.05  # of the time that may go to one that takes longer


def models_kept(chosen: Settings) -> tuple[int, int, int]:
    """The models of how many of the best candidates that were trained to the end; with `inherit` those from which children may
    come as well: of how many of the best by rank, the stopped ones among them, and of how many of the youngest."""
    size, assist = chosen.genetic.population, chosen.genetic.assist
    if not chosen.inherit:
        return chosen.keep, 0, 0
    if assist:
        return chosen.keep, BREEDERS, 0
    if chosen.genetic.form == "generational":
        return chosen.keep, 2 * size, 0  # children of this generation are better already than parents that have more
    return chosen.keep, 1, size  # the best: all children are its own in the last part, `finish`


class Keeping:
    """Keeps the folder of `run` in order, with the models of the best `most` candidates, and of the `breeders` best by rank and
    the `youngest` so many. The rank is by what the strategy is `told` of the records, for it chooses the parents."""

    def __init__(
        self,
        run: Run,
        most: int,
        breeders: int = 0,
        youngest: int = 0,
        told: Callable[[Sequence[Record]], Sequence[Record]] = list,
    ) -> None:
        self.run, self.most, self.breeders, self.youngest, self.told = run, most, breeders, youngest, told
        self._handed_over: int | None = None  # number of the model that `best.keras` is
        self._next = 0.0  # when the leaderboard may be written again, by time.monotonic

    def write_leaderboard(self, records: Sequence[Record], ended: bool = False) -> None:
        """One of thousands of rows is written as often as a part of the time allows, and in any case when all has `ended`."""
        began = time.monotonic()
        if began < self._next and not ended:
            return
        write_whole(self.run.leaderboard, leaderboard.to_csv(records))
        took = time.monotonic() - began
        self._next = began + (took / PART if took > QUICK else 0.0)

    def note(self, text: str) -> None:
        """A line for the log."""
        with self.run.log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.datetime.now().astimezone().isoformat(timespec='seconds')} {text}\n")

    def tidy(self, records: Sequence[Record], known: Sequence[Record], remnants: bool = False) -> None:
        """Remove what is not kept, and have the best model of all at the top of the folder. `records` are those whose files are
        here, among all that are `known`: another driver may have taken some over. `remnants` are what workers that were killed
        had begun to write, to be removed while none runs."""
        finished = [record for record in records if record.finished]
        young = finished[-self.youngest :] if self.youngest else []
        scored = [record for record in finished if record.value is not None]
        ranked = heapq.nlargest(self.breeders, self.told(scored), key=rank_of) if self.breeders else []
        best = heapq.nlargest(max(1, self.most), (record for record in finished if record.state == "trained"), key=goodness)
        models = {record.number for record in (*best[: self.most], *ranked, *young)}
        # A worker writes its model before its outcome is heard, and another outcome may be entered in between.
        running = [record for record in records if record.state == "running"]
        models |= {number for record in running for number in (record.number, *record.parents)}
        self._hand_over(best[0] if best else None)
        for part, kept in zip(PARTS, (models, {record.number for record in running}), strict=True):
            over = {record.number for record in known} - kept
            for name in os.listdir(self.run.folder / part):
                # What begins with a point is being written by a worker, unless nothing runs. Of a candidate that the ledger
                # does not know, nothing is removed: the ledger may be the one that is wrong.
                if not (remnants if name.startswith(".") else _number(name) in over):
                    continue
                file = self.run.folder / part / name
                if file.is_dir():
                    shutil.rmtree(file, ignore_errors=True)
                else:
                    file.unlink(missing_ok=True)

    def _hand_over(self, best: Record | None) -> None:
        if best is not None and best.number != self._handed_over and not self.run.final.exists():
            model = self.run.model(best.number)
            if model.exists():
                write_whole(self.run.best, model.read_bytes())
                self._handed_over = best.number


def _number(name: str) -> int | None:
    """The candidate whose file has this name, or None."""
    stem = os.path.splitext(name)[0]
    return int(stem) if stem.isdecimal() and str(int(stem)) == stem else None
