"""Does `nas plan` foretell the time of a search? It is asked, then the same search is made, on different data.

    NAS_DATA_DIR=… python benchmarks/plans.py --folder plans [--only digits]
    python benchmarks/plans.py --folder plans --report

In the folder: `plans.csv`, a row for each search when it is done, and the runs. What has a row is not done again; an
interrupted run is begun anew, for its time would be another.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rows import append, rows

from nas.planning import plan
from nas.view import Silent

COLUMNS = ("search", "foretold", "took", "took_of_foretold")
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
            foretold, took = compared(options.folder / name, given)
            append(file, COLUMNS, (name, round(foretold), round(took), round(took / foretold, 2)))
    print(file.read_text(encoding="utf-8") if file.exists() else "nothing is done yet", end="")


def compared(folder: Path, given: dict[str, str | int]) -> tuple[float, float]:
    """Seconds foretold and seconds taken: those of the search itself, whose first minute its forecast takes."""
    foretold = plan(view=Silent(), **given).seconds
    shutil.rmtree(folder, ignore_errors=True)
    return foretold, searched([f"--{name.replace('_', '-')}={value}" for name, value in given.items()], folder)


def searched(words: Sequence[str], run: Path) -> float:
    """Seconds of one search, from the moment its run folder is there."""
    command = [sys.executable, "-m", "nas", "search", *words, f"--out={run}"]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    process = subprocess.Popen(command, stdout=sys.stderr)
    while not (run / "run.yaml").exists() and process.poll() is None:
        time.sleep(0.1)
    began = time.monotonic()
    if process.wait():
        sys.exit(f"the search failed: {run}")
    return time.monotonic() - began


if __name__ == "__main__":
    main()
