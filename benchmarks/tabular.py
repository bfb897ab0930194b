"""How many evaluations does a strategy need? Searches on tables that hold the score of every network, over many seeds.

    NAS_DATA_DIR=… python benchmarks/tabular.py --csv t.csv --strategies random,evolution,genetic --seeds 1000:1100
    python benchmarks/tabular.py --csv t.csv --report [--plot t.png]

A search goes through the public API (`nas.search(…, evaluate=…)`) and sees one training of each network; what is reported is
the true score (the mean over trainings) of the network that looks best so far. `macro` is NAS-Bench-Macro (Su et al. 2021);
`small` is our own, all networks of `small.yaml`, trained by `enumerated.py`.
Besides the strategies of `nas` there are references: `evolution`, regularised evolution (Real et al. 2019, algorithm 1;
population 20, sample 5; what is known already is proposed anew), `ridge`, a ridge regression on one-hot genes that chooses four
at a time, and `largest`, which takes the networks by their parameters.
Every search is rows of the CSV when it is done, and is not done again. Tune on seeds from 1000, report on 0 to 499.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from rows import append, rows
from sklearn.linear_model import Ridge

import nas
from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import Gene, Genotype, SearchSpace, canonical_json, read_space
from nas.space.space import flatten
from nas.strategies import SHIPPED
from nas.strategies.base import STRATEGIES, register_strategy, rng_for

COLUMNS = ("table", "strategy", "seed", "budget", "curve")
MACRO = "nas-bench-macro/nas-bench-macro_cifar10.json"
SMALL = Path(__file__).with_name("small.yaml")
Found: TypeAlias = dict[tuple[str, str, int], list[list[float]]]
"""Table, strategy and budget → the curve of each search."""
SHOWN = (10, 20, 30, 50, 75, 100, 150, 200)  # evaluations that the report names


@dataclass(frozen=True)
class Table:
    """A space, all of it scored: genotype (as a key) → what a search sees, what is true, and parameters of the network."""

    space: dict[str, Any] | Path
    seen: dict[str, float]
    true: dict[str, float]
    parameters: dict[str, int]


@functools.cache
def table(name: str) -> Table:
    """A table by name."""
    if name not in TABLES:
        sys.exit(f"--table: unknown table '{name}'; there are: {', '.join(TABLES)}")
    return TABLES[name]()


def macro() -> Table:
    """Eight layers, each one of three: nothing but choices that do not depend on each other."""
    file = Path(os.environ.get("NAS_DATA_DIR", ".")) / MACRO
    if not file.is_file():
        sys.exit(f"--table: {file} is not there; point NAS_DATA_DIR at the folder that holds nas-bench-macro/")
    rows = json.loads(file.read_text(encoding="utf-8"))
    layers = {f"layer{place}": {"choice": ["identity", "small", "large"]} for place in range(8)}
    words = layers["layer0"]["choice"]
    seen, true, parameters = {}, {}, {}
    for code, row in rows.items():
        key = canonical_json({name: words[int(digit)] for name, digit in zip(layers, code, strict=True)})
        # `test_acc` is of CIFAR-10's test pictures: the table has no other. What is reported is another figure of them.
        seen[key], true[key], parameters[key] = row["test_acc"][0], row["mean_acc"], row["params"]
    return Table({"name": "macro", "genes": layers}, seen, true, parameters)


def small() -> Table:
    """Repeated blocks and genes with a condition. The search sees the first seed."""
    scores: dict[str, list[float]] = {}
    found = sorted(rows(SMALL.with_suffix(".csv")), key=lambda row: row["seed"])
    for row in found:
        scores.setdefault(row["genotype"], []).append(100 * float(row["score"]))
    whole = {canonical_json(genotype) for genotype in read_space(SMALL).enumerate()}
    if scores.keys() != whole or len({len(each) for each in scores.values()}) != 1:
        sys.exit(f"--table: {SMALL.with_suffix('.csv')} is not there, or not whole; benchmarks/enumerated.py makes it")
    seen = {key: each[0] for key, each in scores.items()}
    true = {key: statistics.mean(each) for key, each in scores.items()}
    parameters = {row["genotype"]: int(row["parameters"]) for row in found}
    return Table(SMALL, seen, true, parameters)


TABLES: dict[str, Callable[[], Table]] = {"macro": macro, "small": small}


@register_strategy("evolution")
class Evolution:
    """Regularised evolution: 20 random ones, then one changed gene of the best of five of the 20 youngest."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed = space, seed

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        alive = [record for record in records if record.value is not None and record.finished][-20:]
        if len(alive) < 20:
            return Proposal(self.space.sample(rng))
        parent = max(rng.choices(alive, k=5), key=lambda record: record.value or 0.0)
        return Proposal(self._mutated(parent.genotype, rng), (parent.number,), "step")

    def _mutated(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Any active gene changed, the lengths of groups among them; what is active since is drawn."""
        values = flatten(genotype)
        genes: dict[str, Gene] = {}

        def note(path: str, gene: Gene) -> Any:
            genes[path] = gene
            return values[path]

        self.space.walk(note)
        path = rng.choice(sorted(path for path, gene in genes.items() if gene.neighbours(values[path])))
        values[path] = rng.choice(genes[path].neighbours(values[path]))

        def pick(path: str, gene: Gene) -> Any:
            return values[path] if path in values and gene.contains(values[path]) else gene.sample(rng)

        return self.space.walk(pick)


@register_strategy("ridge")
class RidgeOfFour:
    """16 random ones, then again and again the four of the whole table that a ridge regression on one-hot genes thinks best."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed = space, seed
        self.all = list(space.enumerate())
        self.places = sorted({each for genotype in self.all for each in flatten(genotype).items()}, key=str)
        self.codes = np.array([self._code(genotype) for genotype in self.all])
        self._kept: tuple[int, list[int]] = (-1, [])

    def _code(self, genotype: Genotype) -> list[float]:
        values = flatten(genotype)
        return [float(path in values and values[path] == value) for path, value in self.places]

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        told = [record for record in records if record.value is not None]
        if number < 16:
            return Proposal(self.space.sample(rng))
        base = number - number % 4
        if self._kept[0] != base:
            model = Ridge(1.0).fit([self._code(record.genotype) for record in told[:base]], [r.value for r in told[:base]])
            self._kept = (base, list(np.argsort(-model.predict(self.codes))))
        known = {canonical_json(record.genotype) for record in records}
        best = next((place for place in self._kept[1] if canonical_json(self.all[place]) not in known), None)
        return Proposal(self.space.sample(rng) if best is None else self.all[best])


@register_strategy("largest")
class Largest:
    """The whole table by the number of parameters, the largest first: what any model of the scores has to beat."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        sizes = table(space.name).parameters
        # Equal ones in random order.
        self.order = sorted(space.enumerate(), key=lambda genotype: (-sizes[canonical_json(genotype)], rng_of(seed, genotype)))

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        return Proposal(self.order[number % len(self.order)])


def rng_of(seed: int, genotype: Genotype) -> float:
    """A random number that follows from both."""
    return random.Random(f"{seed} {canonical_json(genotype)}").random()


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--table", default="macro")
    parser.add_argument(
        "--strategies", default="random,evolution,ridge,genetic", help="by name, with options: genetic/genetic.assist=true"
    )
    parser.add_argument("--seeds", default="1000:1020", help="first:end")
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true", help="search nothing")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    if not (first.isdecimal() and end.isdecimal()):
        sys.exit(f"--seeds: the first and the one after the last, as in 1000:1020; found '{options.seeds}'")
    seeds = range(int(first), int(end))
    if not options.report:
        run_all(options, seeds)
    report(options.csv, options.plot, seeds)


def run_all(options: argparse.Namespace, seeds: range) -> None:
    """Every search that the CSV does not have yet."""
    done = {(row["table"], row["strategy"], row["seed"], row["budget"]) for row in rows(options.csv)}
    wanted = [
        (options.table, name, seed, options.budget)
        for seed in seeds
        for name in options.strategies.split(",")
        if (options.table, name, str(seed), str(options.budget)) not in done
    ]
    table(options.table)  # a wrong name shows at once
    for name in options.strategies.split(","):
        if name.partition("/")[0] not in (*SHIPPED, *STRATEGIES.names()):
            sys.exit(f"--strategies: unknown strategy '{name}'; there are: {', '.join([*SHIPPED, *STRATEGIES.names()])}")
    with ProcessPoolExecutor(options.workers) as pool:
        for future in as_completed([pool.submit(searched, *each) for each in wanted]):
            name, strategy, seed, curve = future.result()
            append(options.csv, COLUMNS, (name, strategy, seed, options.budget, " ".join(f"{value:.4f}" for value in curve)))


def searched(name: str, strategy: str, seed: int, budget: int) -> tuple[str, str, int, list[float]]:
    """One search: the true score of what looked best, after each evaluation."""
    here = table(name)
    word, *settings = strategy.split("/")
    given: dict[str, Any] = {}
    for each in settings:
        key, _, value = each.partition("=")
        outer, _, inner = key.partition(".")
        given[outer] = {**given.get(outer, {}), inner: yaml.safe_load(value)} if inner else yaml.safe_load(value)
    result = nas.search(
        read_space(here.space),
        evaluate=lambda genotype, report: here.seen[canonical_json(genotype)],
        strategy=word,
        budget=budget,
        seed=seed,
        **given,
    )
    curve, best = [], -np.inf
    for record in result.records:
        if record.value is not None and record.value > best:
            best, true = record.value, here.true[canonical_json(record.genotype)]
        curve.append(true)
    return name, strategy, seed, curve


def report(file: Path, plot: Path | None, seeds: range) -> None:
    """Mean and spread over these seeds after so many evaluations, and the median rank in the table."""
    found: Found = {}
    for row in (each for each in rows(file) if int(each["seed"]) in seeds):
        key = (row["table"], row["strategy"], int(row["budget"]))  # what a strategy does may depend on its budget
        found.setdefault(key, []).append([float(value) for value in row["curve"].split()])
    print("table,strategy,budget,seeds,evaluations,mean,std,median_rank,regret")
    for (name, strategy, budget), curves in found.items():
        true = sorted(table(name).true.values(), reverse=True)
        for count in (each for each in SHOWN if each <= budget):  # a search that ends before it has exhausted the table
            reached = [curve[min(count, len(curve)) - 1] for curve in curves if curve]
            ranks = [sum(value > each + 1e-4 for value in true) + 1 for each in reached]
            spread = statistics.stdev(reached) if len(reached) > 1 else 0.0
            mean = statistics.mean(reached)
            facts = f"{mean:.3f},{spread:.3f},{statistics.median(ranks):.0f},{true[0] - mean:.3f}"
            print(f"{name},{strategy},{budget},{len(reached)},{count},{facts}")
    if plot:
        draw(found, plot)


def draw(found: Found, file: Path) -> None:
    """Regret over evaluations, one line for each strategy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    for (name, strategy, budget), curves in found.items():
        best = max(table(name).true.values())
        whole = np.array([curve + curve[-1:] * (budget - len(curve)) for curve in curves])
        axes.plot(range(1, budget + 1), best - whole.mean(axis=0), label=f"{strategy} ({name}, {len(curves)} seeds)")
    axes.set_yscale("log")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("regret: the best network's true score less that of the one found")
    axes.legend()
    drawing.savefig(file)


if __name__ == "__main__":
    main()
