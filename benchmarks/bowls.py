"""What strategies find in spaces of numbers alone: the distance from the optimum of made-up functions.

    python benchmarks/bowls.py [--strategies random,evolution,optuna,genetic] [--dimensions 3 8] [--seeds 1000:1020]
        [--budget 100]

Each seed has its own optimum and its own weights. `bowl` is a weighted sum of squares; `waves` is that with cosines upon it,
so that there are many hills (after Rastrigin). Numbers are real, whole (1 to 1,000), or on a logarithm (1e-4 to 1). A line
gives the median over the seeds of the best so far, as its distance from the best there is.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import re
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import nas

WAYS: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "evolution": {"strategy": "genetic", "genetic": {"assist": False, "crossover": 0, "mutations": 1}},
    "genetic": {"strategy": "genetic"},
    "optuna": {"strategy": "optuna"},
}
GENES: dict[str, tuple[dict[str, Any], Callable[[float], float]]] = {
    "real": ({"range": [0.0, 1.0]}, lambda value: value),
    "whole": ({"range": [1, 1000]}, lambda value: (value - 1) / 999),
    "log": ({"range": [1e-4, 1.0], "log": True}, lambda value: 1 + math.log10(value) / 4),
}
SHOWN = (20, 30, 50, 100, 200)


def function(kind: str, gene: str, dimensions: int, seed: int) -> Callable[..., float]:
    """Of a genotype: 0 at the optimum, less elsewhere."""
    rng, place = random.Random(seed), GENES[gene][1]
    best = [rng.random() for _ in range(dimensions)]
    weights = [rng.uniform(0.3, 2) for _ in range(dimensions)]

    def score(genotype: dict[str, float], _: object) -> float:
        away = [place(genotype[f"x{each}"]) - best[each] for each in range(dimensions)]
        waves = sum(0.05 * (1 - math.cos(8 * math.pi * each)) for each in away) if kind == "waves" else 0.0
        return -sum(weight * each**2 for weight, each in zip(weights, away, strict=True)) - waves

    return score


def searched(way: str, kind: str, gene: str, dimensions: int, seed: int, budget: int) -> list[float]:
    """The distance of the best from the optimum, after each candidate."""
    space = {"name": "numbers", "genes": {f"x{each}": GENES[gene][0] for each in range(dimensions)}}
    result = nas.search(space, evaluate=function(kind, gene, dimensions, seed), budget=budget, seed=seed, **WAYS[way])
    return list(itertools.accumulate((-float(record.value or 0) for record in result.records), min))


def main() -> None:
    """A line for each way, function, kind of number and count of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategies", default=",".join(WAYS))
    parser.add_argument("--dimensions", type=int, nargs="+", default=[3, 8])
    parser.add_argument("--seeds", default="1000:1020", help="first:end")
    parser.add_argument("--budget", type=int, default=100)
    options = parser.parse_args()
    if not re.fullmatch(r"\d+:\d+", options.seeds):
        parser.error("--seeds: two numbers are expected, such as 1000:1020")
    if options.budget < SHOWN[0]:
        parser.error(f"--budget: at least {SHOWN[0]} are expected")
    ways, (first, end) = options.strategies.split(","), map(int, options.seeds.split(":"))
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        parser.error(f"--strategies: '{unknown[0]}' is none of {', '.join(WAYS)}")
    shown = [count for count in SHOWN if count <= options.budget]
    print("function,number,dimensions,strategy," + ",".join(map(str, shown)))
    with ProcessPoolExecutor() as pool:
        for kind, gene, dimensions, way in itertools.product(("bowl", "waves"), GENES, options.dimensions, ways):
            facts = [(way, kind, gene, dimensions, seed, options.budget) for seed in range(first, end)]
            curves = list(pool.map(searched, *zip(*facts, strict=True)))
            told = (f"{statistics.median(curve[count - 1] for curve in curves):.4f}" for count in shown)
            print(f"{kind},{gene},{dimensions},{way},{','.join(told)}", flush=True)


if __name__ == "__main__":
    main()
