"""The driver's memory while hundreds of candidates are trained, each in a worker of its own.

    python benchmarks/memory.py [--candidates 300] [--workers 2]

Prints the resident memory of the driver after some candidates, and the growth since the tenth.
"""

from __future__ import annotations

import argparse
import os
import tempfile

import psutil

from nas.messages import Record
from nas.searching import search
from nas.view import Silent


class Watching(Silent):
    """Reads the driver's memory after each candidate."""

    def __init__(self) -> None:
        self.memory: list[int] = []

    def finished(self, record: Record, best: Record | None) -> None:
        self.memory.append(psutil.Process().memory_info().rss)
        if len(self.memory) % 25 == 0 or len(self.memory) == 10:
            print(f"{len(self.memory)},{self.memory[-1] / 1e6:.1f}", flush=True)


def main() -> None:
    """Search digits with networks that take a second each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.candidates < 11:
        parser.error("--candidates: 11 or more, for the growth is since the tenth")
    view = Watching()
    print("candidates,megabytes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        search(
            "connected",
            "digits",
            "genetic",
            options.candidates,
            out="run",
            view=view,
            epochs=1,
            pruner="none",
            train_part=0.05,
            max_flops="600k",
            workers=options.workers,
        )
    tenth, later = view.memory[9], view.memory[10:]
    print(f"growth since the tenth: {(later[-1] - tenth) / 1e6:.1f} MB, at most {(max(later) - tenth) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
