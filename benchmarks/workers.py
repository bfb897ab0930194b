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

COLUMNS = ("dataset", "max_flops", "candidates", "workers", "round", "seconds")


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
    done = {tuple(row[name] for name in COLUMNS[:-1]) for row in rows(options.csv)}
    for turn in range(0 if options.report else options.rounds):
        for workers in options.workers:
            asked = (options.dataset, options.max_flops, options.budget, workers, turn)
            if tuple(map(str, asked)) not in done:
                append(options.csv, COLUMNS, (*asked, round(timed(workers, options), 1)))
    report(options)


def timed(workers: int, options: argparse.Namespace) -> float:
    """Seconds of one search."""
    words = [f"--workers={workers}", f"--budget={options.budget}", f"--dataset={options.dataset}"]
    fixed = ["--strategy=random", "--preset=quick", f"--max-flops={options.max_flops}", "--seed=0"]
    with tempfile.TemporaryDirectory() as folder:
        return searched([*words, *fixed], Path(folder) / "run")


def report(options: argparse.Namespace) -> None:
    """Medians over the rounds."""
    same, found = (options.dataset, options.max_flops, options.budget), dict[int, list[float]]()
    for row in rows(options.csv):
        if all(row[name] == str(value) for name, value in zip(COLUMNS[:3], same, strict=True)):
            found.setdefault(int(row["workers"]), []).append(float(row["seconds"]))
    print("workers,rounds,seconds,low,high,candidates_per_hour,of_the_fewest_workers")
    first = statistics.median(found[min(found)]) if found else 0.0
    for workers, seconds in sorted(found.items()):
        middle = statistics.median(seconds)
        rate = 3600 * options.budget / middle
        print(f"{workers},{len(seconds)},{middle:.0f},{min(seconds):.0f},{max(seconds):.0f},{rate:.0f},{middle / first:.2f}")


if __name__ == "__main__":
    main()
