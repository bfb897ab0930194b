"""Trains every network of a small space: the second table of `tabular.py`.

    NAS_DATA_DIR=… python benchmarks/enumerated.py --csv benchmarks/small.csv [--space benchmarks/small.yaml] [--workers 2]

Each of the space's networks is trained once for each seed: 6 epochs of 4,000 CIFAR-10 pictures, scaled to 16×16 pixels (a
quarter of the work, and a harder task), which the seed draws, as it draws the 5,000 that it is scored on. A training is a row
of the CSV when it is done, and is not done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from fidelity import ready, trained_all
from rows import append, rows

from nas.blueprint import express
from nas.config import settings
from nas.jobs import job_for, training_pictures
from nas.messages import Candidate
from nas.space import canonical_json, read_space

COLUMNS = ("genotype", "seed", "score", "parameters", "flops", "seconds")
PICTURES, SIDE, EPOCHS, SEEDS = 4_000, 16, 6, (0, 1)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--space", default=str(Path(__file__).with_name("small.yaml")))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    space = read_space(options.space)
    done = {(row["genotype"], row["seed"]) for row in rows(options.csv)}
    all_of_it = list(space.enumerate())
    trainings = [(genotype, seed) for seed in SEEDS for genotype in all_of_it]
    # Weights and the order of pictures follow from a training's number, whatever is done already.
    wanted = {n: each for n, each in enumerate(trainings) if (canonical_json(each[0]), str(each[1])) not in done}
    print(f"{len(all_of_it)} networks, {len(wanted)} trainings to do", file=sys.stderr, flush=True)
    chosen, card = ready(
        settings(
            dataset="cifar10", image_size=SIDE, space=options.space, max_flops="none", workers=options.workers, pruner="none"
        )
    )
    part = PICTURES / training_pictures(card, chosen.model_copy(update={"train_part": 1.0}))
    jobs = {}
    for number, (genotype, seed) in wanted.items():
        blueprint, recipe = express(genotype, card.pictures)
        job = job_for(Candidate(number, genotype, "", blueprint=blueprint, recipe=recipe), chosen, card)
        jobs[number] = dataclasses.replace(job, seed=seed, epochs=EPOCHS, train_part=part)
    for number, curve, seconds in trained_all([(job, None) for job in jobs.values()], options.workers):
        genotype, seed = wanted[number]
        blueprint = jobs[number].blueprint
        row = (canonical_json(genotype), seed, curve[-1], blueprint.parameters, blueprint.flops, round(seconds, 1))
        append(options.csv, COLUMNS, row)


if __name__ == "__main__":
    main()
