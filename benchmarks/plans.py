"""Does `nas plan` foretell the time, the memory and the disk of a search? It is asked, then the same search is made.

    NAS_DATA_DIR=… python benchmarks/plans.py --folder plans [--only digits]
    python benchmarks/plans.py --folder plans --report

In the folder: `plans.csv`, a row for each search when it is done, and the runs. Memory is the highest of its driver and workers
together, looked at every second, what they share divided among them (`Pss` of the kernel); the disk is the largest that the run
folder was. What has a row is not done again; an interrupted run is begun anew, for its time would be another.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from rows import append, rows

from nas.planning import Plan, plan
from nas.view import Silent

COLUMNS = (
    *("search", "foretold", "took", "took_of_foretold"),
    *("gigabytes_foretold", "gigabytes", "megabytes_foretold", "megabytes"),
)
SEARCHES: dict[str, dict[str, str | int]] = {
    "digits": {"dataset": "digits", "budget": 12, "preset": "quick", "seed": 1},
    "cats_dogs": {"dataset": "cats_dogs", "image_size": 64, "budget": 10, "preset": "quick", "seed": 1},
    "cifar10": {"dataset": "cifar10", "budget": 10, "preset": "quick", "seed": 1},
    "cifar10 standard": {"dataset": "cifar10", "budget": 50, "preset": "standard", "seed": 1},
    "cifar10 two at once": {"dataset": "cifar10", "budget": 12, "preset": "standard", "workers": 2, "seed": 1},
}


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", default="", help="the search of this name")
    parser.add_argument("--report", action="store_true", help="search nothing")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "plans.csv"
    done = {row["search"] for row in rows(file)}
    for name, given in SEARCHES.items():
        if not options.report and name not in done and options.only in ("", name):
            found, took = compared(options.folder / name, given)
            row = (name, round(found.seconds), round(took.seconds), round(took.seconds / found.seconds, 2))
            memory = (round(found.memory / 1e9, 2), round(took.memory / 1e9, 2))
            append(file, COLUMNS, (*row, *memory, *(round(each / 1e6, 1) for each in (found.disk, took.disk))))
    print(file.read_text(encoding="utf-8") if file.exists() else "nothing is done yet", end="")


@dataclass
class Took:
    """What a search took: seconds, bytes of memory at most, bytes of its folder at most."""

    seconds: float = 0.0
    memory: int = 0
    disk: int = 0


def compared(folder: Path, given: dict[str, str | int]) -> tuple[Plan, Took]:
    """What was foretold, and what it took: that of the search itself, whose first minute its forecast takes."""
    found = plan(view=Silent(), **given)
    shutil.rmtree(folder, ignore_errors=True)
    return found, searched([f"--{name.replace('_', '-')}={value}" for name, value in given.items()], folder)


def searched(words: Sequence[str], run: Path) -> Took:
    """One search, from the moment its run folder is there."""
    command = [sys.executable, "-m", "nas", "search", *words, f"--out={run}"]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    process = psutil.Popen(command, stdout=sys.stderr)
    while not (run / "run.yaml").exists() and process.poll() is None:
        time.sleep(0.1)
    began, took = time.monotonic(), Took()
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # a worker that ends, a checkpoint that goes
            took.memory = max(took.memory, sum(held(each) for each in (process, *process.children(recursive=True))))
            took.disk = max(took.disk, sum(file.stat().st_size for file in run.rglob("*") if file.is_file()))
        took.seconds = time.monotonic() - began
        time.sleep(1)
    if process.returncode:
        sys.exit(f"the search failed: {run}")
    return took


def held(process: psutil.Process) -> int:
    """Bytes of memory of one process, its part of what it shares."""
    return int(process.memory_full_info().pss)


if __name__ == "__main__":
    main()
