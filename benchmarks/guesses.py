"""How well does the model of `assist` guess scores? By genes, and by the networks' sizes as well.

    python benchmarks/guesses.py RUN [--begin 20] [--placed 1]
    python benchmarks/guesses.py RUN --keep FILE.csv
    python benchmarks/guesses.py FILE.csv

Of the trained candidates of a search, or of those that were kept in a CSV, two questions: what does a model of the first
`--begin` say of all others (of a CSV, whose candidates have no order, of as many drawn from it, on average over 100 draws), and
what does one of all but one say of that one? Answers are Spearman's correlations of guess and score. The size alone
(parameters) is the yardstick: what guesses no better has learned nothing from the genes.
`cnn.csv` has 90 random candidates of `cnn` up to 10 MFLOPs on CIFAR-10 by the preset `quick`, seeds 0, 1 and 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rows import append, rows
from scipy.stats import spearmanr

from nas.errors import NasError
from nas.run import Run
from nas.shared import reader_of
from nas.space import Genotype, SearchSpace, canonical_json, read_space
from nas.strategies import surrogate
from nas.strategies.surrogate import Encoder, Sizes, Surrogate

COLUMNS = ("space", "genotype", "parameters", "flops", "score")
DRAWS = 100


class Scored(NamedTuple):
    """A candidate with its score."""

    genotype: Genotype
    parameters: int
    flops: int
    score: float


def main() -> None:
    """Read the candidates, print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a run folder, or a CSV of --keep")
    parser.add_argument("--begin", type=int, default=20)
    parser.add_argument("--placed", type=float, default=surrogate.PLACED, help="the weight of single blocks")
    parser.add_argument("--keep", type=Path, help="add the candidates to this CSV, and guess nothing")
    options = parser.parse_args()
    surrogate.PLACED = options.placed
    try:
        space, found = kept(options.source) if options.source.suffix == ".csv" else searched(options.source)
    except NasError as problem:
        sys.exit(f"error: {problem}")
    if options.keep:
        for each in found:
            genotype = canonical_json(each.genotype)
            append(options.keep, COLUMNS, (space.name, genotype, each.parameters, each.flops, each.score))
        return
    if len(found) < 5:
        sys.exit(f"{options.source}: {len(found)} candidates of networks were trained; some more are needed")
    if not 1 < options.begin <= len(found) - 3:
        sys.exit(f"--begin: of {len(found)} trained candidates from 2 to {len(found) - 3} can be the first ones")
    rng = np.random.default_rng(0)
    draws = [rng.permutation(len(found)) for _ in range(DRAWS)] if options.source.suffix == ".csv" else [np.arange(len(found))]
    report(space, found, [(order[: options.begin], order[options.begin :]) for order in draws])


def searched(folder: Path) -> tuple[SearchSpace, list[Scored]]:
    """The trained candidates of a run, in their order."""
    run = Run.open(folder)
    with closing(reader_of(run, run.read_settings())) as ledger:
        return ledger.space, [
            Scored(record.genotype, record.parameters, record.flops, float(record.value or 0))
            for record in ledger.records()
            if record.state == "trained" and record.parameters and record.flops
        ]


def kept(file: Path) -> tuple[SearchSpace, list[Scored]]:
    """Those of a CSV."""
    there = rows(file)
    if not there:
        sys.exit(f"{file} has no candidates; --keep writes some")
    candidates = [
        Scored(json.loads(row["genotype"]), int(row["parameters"]), int(row["flops"]), float(row["score"])) for row in there
    ]
    return read_space(there[0]["space"]), candidates


def report(space: SearchSpace, found: Sequence[Scored], parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """A line for each way: the mean over the parts (told, asked), and of each from all others."""
    encoder = Encoder(space)
    scores = np.array([each.score for each in found])
    codes = np.array([encoder.code(each.genotype) for each in found])
    costs = np.array([(each.parameters, each.flops) for each in found])
    everyone = np.arange(len(found))
    print(f"{len(found)} candidates: the others from the first {len(parts[0][0])}; each from all others")
    size = costs[:, 0]
    after = np.mean([_rank(size[asked], scores[asked]) for _, asked in parts])
    print(f"parameters alone: {after:.2f}; {_rank(size, scores):.2f}")
    for name, sizes in (("genes", False), ("genes and sizes", True)):

        def guess(told: np.ndarray, asked: np.ndarray, sizes: bool = sizes) -> np.ndarray:
            measure = Sizes(costs[told])
            ours, theirs = ((measure.beside(codes[some], costs[some]) if sizes else codes[some]) for some in (told, asked))
            return Surrogate(ours, surrogate.tempered(scores[told])).guess(theirs)[0]

        after = np.mean([_rank(guess(told, asked), scores[asked]) for told, asked in parts])
        each = np.array([guess(np.delete(everyone, one), everyone[one : one + 1])[0] for one in everyone])
        print(f"{name}: {after:.2f}; {_rank(each, scores):.2f}")


def _rank(guessed: np.ndarray, scores: np.ndarray) -> float:
    return float(spearmanr(guessed, scores)[0])


if __name__ == "__main__":
    main()
