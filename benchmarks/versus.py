"""Which way of searching finds the better network? Searches that differ in one thing, and what their winners reach.

    NAS_DATA_DIR=… python benchmarks/versus.py --folder cnn --ways random genetic --space cnn --budget 30 [--seeds 3]
    NAS_DATA_DIR=… python benchmarks/versus.py --folder inherit --ways genetic inherit shrunk --time 20m
    python benchmarks/versus.py --folder cnn --report

With `--time` all searches of a seed have the same time. With `--budget` they have as many candidates, and a winner is the best
of those that ended before its search had spent as many training FLOPs as the one that spent least. Winners are trained from
random weights, with other seeds, on all training pictures but the validation part. In the folder: a run for each search,
and `versus.csv` (or `--csv`), a row for each training of a winner; what is there is not done again, and a seed whose rows are
all there needs no run. Ways take turns, so that a machine whose speed drifts favours none. Scores are of validation pictures;
no test part is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from ended import ended
from fidelity import ready, trained
from rows import append, rows

from nas.blueprint import express
from nas.config import settings
from nas.jobs import job_for
from nas.messages import Candidate, Record
from nas.result import best_of
from nas.run import Run

COLUMNS = ("way", "seed", "again", "candidates", "gigaflops", "searched", "from_scratch", "parameters", "flops", "architecture")
WAYS: dict[str, dict[str, str]] = {
    "random": {"strategy": "random"},
    "genetic": {"strategy": "genetic"},
    "plain": {"strategy": "genetic", "config": "genetic: {assist: false}\n"},
    "optuna": {"strategy": "optuna"},
    "inherit": {"strategy": "genetic", "inherit": "--inherit"},
    "shrunk": {"strategy": "genetic", "inherit": "--inherit", "config": "genetic: {shrink: 0.4}\n"},
}
FORWARDS = 3  # times the FLOPs forwards that a step of training takes (Hoffmann et al. 2022, appendix F)
TRAINS_FROM = 1_000  # the first seed of a winner's training


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["random", "genetic"])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--space", default="modern")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--max-flops", default=settings().max_flops)
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--time", help="of each search")
    limit.add_argument("--budget", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", type=int, default=1, help="trainings of each winner")
    parser.add_argument("--epochs", type=int, default=10, help="of a winner's training")
    parser.add_argument("--csv", type=Path, help="of the rows, if they are not to be in the folder")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    options.csv = options.csv or options.folder / "versus.csv"
    options.folder.mkdir(parents=True, exist_ok=True)
    others = {row["way"] for row in rows(options.csv)} - set(options.ways)
    if others and not options.time and not options.report:  # all ways are cut at the FLOPs of the one that spent least
        sys.exit(f"{options.csv} has other ways as well ({', '.join(sorted(others))}); name them all, or take another file")
    if not options.report:
        for seed in range(options.seeds):
            compare(options, seed)
    report(options.csv)


def compare(options: argparse.Namespace, seed: int) -> None:
    """All ways with one seed: the searches, then their winners."""
    ways = options.ways if seed % 2 == 0 else options.ways[::-1]
    done = {(row["way"], row["seed"], row["again"]) for row in rows(options.csv)}
    missing = [(way, again) for again in range(options.again) for way in ways if (way, str(seed), str(again)) not in done]
    if not missing:
        return
    for way in ways:
        search(options, way, seed)
    spent = {way: costs(options.folder / f"{way}-{seed}") for way in ways}
    most = math.inf if options.time else min(found[-1][0] for found in spent.values())
    for way, again in missing:
        within = [(cost, record) for cost, record in spent[way] if cost <= most]
        best = best_of(record for _, record in within)
        if best is None:
            sys.exit(f"{way}, seed {seed}: no candidate was trained to the end")
        facts = (len(within), round(within[-1][0] / 1e9), best.value)
        append(options.csv, COLUMNS, (way, seed, again, *facts, *from_scratch(options, best, seed, again)))


def search(options: argparse.Namespace, way: str, seed: int) -> None:
    """One search, if it is not done. One that was interrupted goes on, but with a time, which would be another, begins anew."""
    run, done = Run(options.folder / f"{way}-{seed}"), options.folder / f"{way}-{seed}.done"
    if done.exists():
        return
    if options.time:
        shutil.rmtree(run.folder, ignore_errors=True)
    if run.study.exists():
        command = ["resume", str(run.folder)]
    else:
        given = WAYS[way]
        command = ["search", f"--dataset={options.dataset}", f"--space={options.space}", f"--preset={options.preset}"]
        command += [f"--max-flops={options.max_flops}"]
        command += [f"--strategy={given['strategy']}", f"--seed={seed}", f"--out={run.folder}"]
        command += [f"--time={options.time}", "--budget=1000"] if options.time else [f"--budget={options.budget}"]
        command += [given["inherit"]] if "inherit" in given else []
        if "config" in given:
            config = options.folder / f"{way}.yaml"
            config.write_text(given["config"], encoding="utf-8")
            command += [f"--config={config}"]
    print(" ".join(command), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "nas", *command], check=True, stdout=sys.stderr)
    done.touch()


def costs(folder: Path) -> list[tuple[float, Record]]:
    """Training FLOPs so far and the candidate, for each that ended, in their order."""
    facts = Run(folder).read_settings()
    chosen = settings(None, facts["settings"])
    pictures = sum(facts["data"]["counts"]) * (1 - (chosen.validation_part or 0)) * (chosen.train_part or 1)
    spent, found = 0.0, []
    for record, _ in ended(folder):
        spent += FORWARDS * (record.flops or 0) * record.epochs * pictures
        found.append((spent, record))
    return found


def from_scratch(options: argparse.Namespace, best: Record, seed: int, again: int) -> tuple[object, ...]:
    """The last score of a winner trained anew, and what it is."""
    own, card = ready(settings(dataset=options.dataset, space=options.space, validation_part=0.1))
    blueprint, recipe = express(best.genotype, card.pictures)
    job = job_for(Candidate(0, best.genotype, "", blueprint=blueprint, recipe=recipe), own, card)
    job = dataclasses.replace(job, epochs=options.epochs, train_part=1.0, seed=TRAINS_FROM * (again + 1) + seed)
    curve, _ = trained(job)
    return f"{curve[-1]:.4f}", blueprint.parameters, blueprint.flops, best.architecture


def report(file: Path) -> None:
    """All rows, the mean of each way, and its difference from the first with a 95% interval over seeds (Student's)."""
    from scipy.stats import t

    print(file.read_text(encoding="utf-8") if file.exists() else "nothing is done yet", end="")
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows(file):
        found.setdefault(row["way"], {}).setdefault(row["seed"], []).append(float(row["from_scratch"]))
    means = {way: {seed: statistics.mean(each) for seed, each in seeds.items()} for way, seeds in found.items()}
    first = next(iter(means), "")
    for way, scores in means.items():
        print(f"{way}: {statistics.mean(scores.values()):.4f} from scratch, over {len(scores)} seeds")
        gains = [scores[seed] - means[first][seed] for seed in scores if seed in means[first]]
        if way != first and len(gains) > 1:
            half = float(t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / math.sqrt(len(gains))
            print(f"  {statistics.mean(gains):+.4f} ± {half:.4f} against {first}")


if __name__ == "__main__":
    main()
