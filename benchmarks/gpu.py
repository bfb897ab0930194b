"""How many candidates at once on one GPU? One network, trained several at a time, as a search would.

    KERAS_BACKEND=jax JAX_ENABLE_COMPILATION_CACHE=false NAS_DATA_DIR=… python benchmarks/gpu.py --csv gpu.csv
        [--at-once 8 4 2 1] [--rounds 2] [--dataset cifar10] [--seed 0]

It is the middle one, by its FLOPs, of random networks of the space `large` within the limits of the configuration `gpu`, and is
trained as there: 90,000 pictures in two epochs. With the cache that is switched off here a network would be compiled once for
all trainings; the candidates of a search are all different. A row is written when `rounds` trainings for each place are done.
Scores are of validation pictures; no test part is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from fidelity import ready, trained_all
from rows import append

from nas.config import settings
from nas.forecast import within_limits
from nas.jobs import job_for
from nas.space import read_space

COLUMNS = ("at_once", "trainings", "seconds", "candidates_per_hour", "seconds_in_epochs", "first", "architecture", "flops")


def main() -> None:
    """Train, and write a row for each number at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--at-once", type=int, nargs="+", default=[8, 4, 2, 1])
    parser.add_argument("--rounds", type=int, default=2, help="trainings for each place")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chosen, card = ready(settings("gpu", dataset=options.dataset, seed=options.seed, workers=1))
    within = within_limits(read_space(chosen.space), chosen, card)
    candidate = within[len(within) // 2]
    from nas.blueprint import summary

    assert candidate.blueprint is not None
    facts = (summary(candidate.blueprint), candidate.blueprint.flops)
    for at_once in options.at_once:
        trainings = at_once * options.rounds
        jobs = [(job_for(dataclasses.replace(candidate, number=number), chosen, card), None) for number in range(trainings)]
        began = time.perf_counter()
        ended = list(trained_all(jobs, at_once))
        seconds = time.perf_counter() - began
        epochs = sum(each for _, _, each in ended) / trainings
        row = (at_once, trainings, round(seconds, 1), round(3600 * trainings / seconds), round(epochs, 1), max(ended[0][1]))
        append(options.csv, COLUMNS, (*row, *facts))
        print(*row, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
