"""Does it pay that children begin with their parents' weights? Searches of equal time: without; with; and with weights
that are mixed with random ones. What each found is trained from random weights.

    NAS_DATA_DIR=… python benchmarks/inherit.py --folder inherit [--time 20m] [--seeds 3] [--epochs 10] [--space modern]
    python benchmarks/inherit.py --folder inherit --report

In the folder: a run for each search, and `inherit.csv`, a row for each training of a winner on all training pictures. What is
there is not done again; an interrupted search is begun anew, for its time would be another. Scores are of validation pictures;
no test part is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from fidelity import ready, trained
from rows import append, rows

from nas.blueprint import express
from nas.config import settings
from nas.jobs import job_for
from nas.leaderboard import read_csv
from nas.ledger import Ledger
from nas.messages import Candidate
from nas.run import Run
from nas.space import read_space

COLUMNS = ("way", "seed", "candidates", "searched", "from_scratch", "parameters", "flops")
WAYS = {"without": (), "with": ("--inherit",), "shrunk": ("--inherit", "--config={folder}/shrink.yaml")}
SHRINK = "genetic: {shrink: 0.4}\n"


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--space", default="modern")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--time", default="20m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of the winner's training")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "shrink.yaml").write_text(SHRINK, encoding="utf-8")
    file = options.folder / "inherit.csv"
    done = {(row["way"], row["seed"]) for row in rows(file)}
    for seed in range(options.seeds):
        # In turn, so that a machine whose speed drifts favours none.
        for way in WAYS if seed % 2 == 0 else reversed(WAYS):
            if (way, str(seed)) not in done and not options.report:
                append(file, COLUMNS, (way, seed, *compared(options, way, seed)))
    report(file)


def compared(options: argparse.Namespace, way: str, seed: int) -> tuple[str, ...]:
    """One search, and its winner from random weights."""
    run = Run(options.folder / f"{way}-{seed}")
    shutil.rmtree(run.folder, ignore_errors=True)
    chosen = (
        f"--dataset={options.dataset}",
        f"--space={options.space}",
        f"--preset={options.preset}",
        *(word.format(folder=options.folder) for word in WAYS[way]),
    )
    words = ("--strategy=genetic", "--budget=1000", f"--time={options.time}", f"--seed={seed}", f"--out={run.folder}")
    subprocess.run([sys.executable, "-m", "nas", "search", *chosen, *words], check=True, stdout=sys.stderr)
    best = read_csv(run.leaderboard)[0]
    ledger = Ledger(run.study, read_space(options.space), "genetic", reading=True)
    records = ledger.records()
    ledger.close()
    genotype = records[int(best["number"])].genotype
    own, card = ready(settings(dataset=options.dataset, space=options.space, validation_part=0.1))
    blueprint, recipe = express(genotype, card.pictures)
    job = job_for(Candidate(0, genotype, "", blueprint=blueprint, recipe=recipe), own, card)
    curve, _ = trained(dataclasses.replace(job, epochs=options.epochs, train_part=1.0, seed=1_000 + seed))
    finished = sum(record.finished for record in records)
    return str(finished), best["score"], f"{curve[-1]:.4f}", str(blueprint.parameters), str(blueprint.flops)


def report(file: Path) -> None:
    """All rows, and the mean of each way."""
    print(file.read_text(encoding="utf-8") if file.exists() else "nothing is done yet", end="")
    for way in WAYS:
        scores = [float(row["from_scratch"]) for row in rows(file) if row["way"] == way]
        if scores:
            print(f"{way}: {statistics.mean(scores):.4f} from scratch, over {len(scores)} seeds")


if __name__ == "__main__":
    main()
