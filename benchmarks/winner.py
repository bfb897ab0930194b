"""What would make more of a long time? A run's winner with a gene changed, or another candidate, trained for equal time.

    NAS_DATA_DIR=… python benchmarks/winner.py --run RUN --csv winner.csv --changes none stem_filters=24 '#7' [--time 40m]
        [--seeds 1]
    python benchmarks/winner.py --csv winner.csv --report

RUN was retrained. Two are trained at a time, with a thread each, for `--time`: side by side, so that a machine whose speed
drifts favours none. (By `stem_filters` all stages grow.) Some training pictures are held out and scored after each epoch;
no test part is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from contextlib import closing
from pathlib import Path

import yaml
from fidelity import ready, trained_all
from finals import last_fit
from rows import append, rows

from nas.blueprint import express
from nas.config import seconds, settings
from nas.jobs import job_for
from nas.messages import Candidate
from nas.retrainplan import START_UP
from nas.run import Run
from nas.shared import reader_of

COLUMNS = ("change", "seed", "epochs", "last", "best", "parameters", "flops", "seconds", "curve")
HELD_OUT = 0.25  # of the training pictures


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--changes", nargs="+", default=["none"], help="none, GENE=VALUE, or #NUMBER of the search")
    parser.add_argument("--time", default="40m", help="of each, beside another one")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.report:
        if options.run is None:
            parser.error("--run is the folder of a run that was retrained")
        train(options)
    report(options.csv)


def train(options: argparse.Namespace) -> None:
    """All that the CSV does not have yet."""
    run = Run.open(options.run)
    facts = run.read_settings()
    chosen = settings(None, facts["settings"], workers=2, threads=1, pruner="none", train_part=1.0, validation_part=HELD_OUT)
    genotype = last_fit(run).genotype
    chosen, card = ready(chosen)
    done = {(row["change"], row["seed"]) for row in rows(options.csv)}
    pairs = [(change, seed) for seed in range(options.seeds) for change in options.changes]
    wanted = [(change, seed) for change, seed in pairs if (change, str(seed)) not in done]
    for pair in (wanted[place : place + 2] for place in range(0, len(wanted), 2)):
        until = time.time() + seconds(options.time) - START_UP
        jobs = []
        for number, (change, seed) in enumerate(pair):
            gene, _, value = change.partition("=")
            changed = {**genotype, gene: yaml.safe_load(value)} if value else genotype
            if change.startswith("#"):
                with closing(reader_of(run, facts)) as ledger:
                    changed = dict(ledger.record(int(change[1:])).genotype)
            blueprint, recipe = express(changed, card.pictures)
            candidate = Candidate(number, changed, "", blueprint=blueprint, recipe=recipe)
            job = dataclasses.replace(job_for(candidate, chosen, card), seed=seed, epochs=100, until=until)
            jobs.append((job, None))
        for number, curve, took in trained_all(jobs, 2):
            blueprint, (change, seed) = jobs[number][0].blueprint, pair[number]
            told = (len(curve), curve[-1], max(curve), blueprint.parameters, blueprint.flops, round(took))
            append(options.csv, COLUMNS, (change, seed, *told, " ".join(f"{value:.4f}" for value in curve)))


def report(file: Path) -> None:
    """A row for each change: means over seeds."""
    print("change,seeds,epochs,last,parameters,flops")
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(file):
        found.setdefault(row["change"], []).append(row)
    for change, each in found.items():
        epochs, last = (statistics.mean(float(row[name]) for row in each) for name in ("epochs", "last"))
        print(f"{change},{len(each)},{epochs:.0f},{last:.4f},{each[0]['parameters']},{each[0]['flops']}")


if __name__ == "__main__":
    main()
