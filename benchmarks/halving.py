"""Does it pay to stop early? Searches with a pruner and without, alike but for that.

    NAS_DATA_DIR=… python benchmarks/halving.py --folder halving [--dataset cifar10] [--seeds 1] [--budget 50] [--pruner asha]
    python benchmarks/halving.py --folder halving --report

In the folder: a run for each search; an interrupted one goes on. Training costs the seconds of its epochs, in the order in
which candidates ended. The report says what each search cost and found, and what the one with the pruner had found after half
of the seconds that the other took in all. Scores are of validation pictures, of those that were trained to the end.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from pathlib import Path

from ended import ended

from nas.config import settings
from nas.run import Run


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--space", default="modern")
    parser.add_argument("--train-pictures", type=int, default=10_000)
    parser.add_argument("--seen-pictures", type=int, default=90_000)
    parser.add_argument("--max-flops", default=settings().max_flops)
    parser.add_argument("--strategy", default="genetic")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pruner", default="asha")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    for seed in range(options.seeds):
        # In turn, so that a machine whose speed drifts favours none.
        for pruner in ("none", options.pruner) if seed % 2 == 0 else (options.pruner, "none"):
            if not options.report:
                search(options, pruner, seed)
    report(options.folder, options.pruner)


def search(options: argparse.Namespace, pruner: str, seed: int) -> None:
    """One search, or the rest of it."""
    run = Run(options.folder / f"{pruner}-{seed}")
    if run.study.exists():
        command = ["resume", str(run.folder)]
    else:
        names = ("dataset", "space", "train_pictures", "seen_pictures", "max_flops", "strategy", "budget")
        given = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
        command = ["search", *given, f"--pruner={pruner}", f"--seed={seed}", f"--out={run.folder}"]
    print(" ".join(command), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "nas", *command], check=True, stdout=sys.stderr)


def progress(folder: Path) -> list[tuple[float, float]]:
    """Seconds of training so far and the best score so far, after each candidate that ended."""
    spent, best, found = 0.0, -math.inf, []
    for record, seconds in ended(folder):
        spent += seconds
        if record.state == "trained" and record.value is not None:
            best = max(best, record.value)
        found.append((spent, best))
    return found


def report(folder: Path, pruner: str) -> None:
    """A row for each seed, and the means."""
    print("seed,candidates,seconds,best,seconds_pruned,part_of_the_seconds,best_pruned,best_pruned_after_half_of_the_seconds")
    table = []
    for place in sorted(folder.glob("none-*"), key=lambda each: int(each.name.removeprefix("none-"))):
        other = folder / place.name.replace("none", pruner)
        whole, less = (progress(each) if each.is_dir() else [] for each in (place, other))
        if not whole or not less:
            continue
        half = max((best for spent, best in less if spent <= whole[-1][0] / 2), default=-math.inf)
        table.append((*whole[-1], *less[-1], half))
        seconds, best, pruned, best_pruned, after_half = table[-1]
        facts = f"{seconds:.0f},{best:.4f},{pruned:.0f},{pruned / seconds:.2f},{best_pruned:.4f},{after_half:.4f}"
        print(f"{place.name.removeprefix('none-')},{len(whole)},{facts}")
    if table:
        means = [statistics.mean(column) for column in zip(*table, strict=True)]
        part = statistics.mean(row[2] / row[0] for row in table)
        print(f"mean,,{means[0]:.0f},{means[1]:.4f},{means[2]:.0f},{part:.2f},{means[3]:.4f},{means[4]:.4f}")


if __name__ == "__main__":
    main()
