"""How many candidates at once on one machine, with how many threads each? The same search in several ways, taking turns.

    NAS_DATA_DIR=… python benchmarks/workers.py --csv workers.csv [--workers 1 2] [--rounds 3] [--budget 8] [--dataset cifar10]
    python benchmarks/workers.py --csv workers.csv --report

Every search is of random candidates, the same ones each time, by the preset `quick`; all cores are divided among its workers. A
row is written when a search is done, and what has a row is not done again. The report gives medians: seconds of the search from
its first candidate on, candidates in an hour, and the part of the time of one worker.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from plans import searched
from rows import append, rows

COLUMNS = ("workers", "round", "candidates", "seconds")


def main() -> None:
    """Search what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--max-flops", default="30M")
    parser.add_argument("--report", action="store_true", help="search nothing")
    options = parser.parse_args()
    done = {(row["workers"], row["round"]) for row in rows(options.csv)}
    for turn in range(0 if options.report else options.rounds):
        for workers in options.workers:
            if (str(workers), str(turn)) not in done:
                seconds = timed(workers, options)
                append(options.csv, COLUMNS, (workers, turn, options.budget, round(seconds, 1)))
    report(options.csv)


def timed(workers: int, options: argparse.Namespace) -> float:
    """Seconds of one search."""
    words = [f"--workers={workers}", f"--budget={options.budget}", f"--dataset={options.dataset}"]
    fixed = ["--strategy=random", "--preset=quick", f"--max-flops={options.max_flops}", "--seed=0"]
    with tempfile.TemporaryDirectory() as folder:
        return searched([*words, *fixed], Path(folder) / "run")


def report(file: Path) -> None:
    """Medians over the rounds."""
    found: dict[int, list[float]] = {}
    each: dict[int, float] = {}
    for row in rows(file):
        found.setdefault(int(row["workers"]), []).append(float(row["seconds"]))
        each[int(row["workers"])] = float(row["candidates"])
    print("workers,rounds,seconds,low,high,candidates_per_hour,of_the_fewest_workers")
    first = statistics.median(found[min(found)]) if found else 0.0
    for workers, seconds in sorted(found.items()):
        middle = statistics.median(seconds)
        rate = 3600 * each[workers] / middle
        print(f"{workers},{len(seconds)},{middle:.0f},{min(seconds):.0f},{max(seconds):.0f},{rate:.0f},{middle / first:.2f}")


if __name__ == "__main__":
    main()
