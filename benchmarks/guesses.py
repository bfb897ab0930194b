"""How well does the model of `assist` guess the scores of a search that was made? By genes, and by the networks' sizes as well.

    python benchmarks/guesses.py RUN [--begin 20]

Of RUN's trained candidates, two questions: what does a model of the first `--begin` say of all that came after, and what does
one of all but one say of that one? Answers are Spearman's correlations of guess and score. The size alone (parameters) is the
yardstick: what guesses no better has learned nothing from the genes.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from nas.errors import NasError
from nas.run import Run
from nas.shared import reader_of
from nas.strategies.surrogate import Encoder, Sizes, Surrogate


def main() -> None:
    """Read the run, print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--begin", type=int, default=20)
    options = parser.parse_args()
    try:
        run = Run.open(options.run)
    except NasError as problem:
        sys.exit(f"error: {problem}")
    with closing(reader_of(run, run.read_settings())) as ledger:
        records = [record for record in ledger.records() if record.state == "trained" and record.parameters and record.flops]
        encoder = Encoder(ledger.space)
    if not 1 < options.begin <= len(records) - 3:
        sys.exit(f"--begin: of {len(records)} trained candidates from 2 to {len(records) - 3} can be the first ones")
    scores = np.array([float(record.value or 0) for record in records])
    codes = np.array([encoder.code(record.genotype) for record in records])
    costs = np.array([(record.parameters, record.flops) for record in records])
    first = np.arange(len(records)) < options.begin
    print(f"{len(records)} candidates: guessed from the first {options.begin}; each from all others")
    size = costs[:, 0]
    print(f"parameters alone: {_rank(size[~first], scores[~first]):.2f}; {_rank(size, scores):.2f}")
    for name, sizes in (("genes", False), ("genes and sizes", True)):

        def guess(told: np.ndarray, asked: np.ndarray, sizes: bool = sizes) -> np.ndarray:
            measure = Sizes(costs[told])
            ours, theirs = ((measure.beside(codes[some], costs[some]) if sizes else codes[some]) for some in (told, asked))
            return Surrogate(ours, list(scores[told])).guess(theirs)[0]

        after = guess(first, ~first)
        each = np.array(
            [guess(np.arange(len(records)) != one, np.arange(len(records)) == one)[0] for one in range(len(records))]
        )
        print(f"{name}: {_rank(after, scores[~first]):.2f}; {_rank(each, scores):.2f}")


def _rank(guessed: np.ndarray, scores: np.ndarray) -> float:
    return float(spearmanr(guessed, scores)[0])


if __name__ == "__main__":
    main()
