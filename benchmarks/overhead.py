"""What the tool itself costs: start-up of the command line, and wall time in which no worker trains.

    python benchmarks/overhead.py [--candidates 20] [--rounds 7]
    python benchmarks/overhead.py --growth

Training is what lies inside `fit`'s epochs, as each worker measured it; everything else of the search's loop is overhead:
asking, writing, starting a process, building the network, checkpoints, the model's file. For an evaluator that costs
nothing, the time of a candidate is all overhead.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--growth", action="store_true", help="only how it grows, up to 10,000 candidates")
    options = parser.parse_args()
    if options.growth:
        print("what,mean_seconds,,")
        for strategy, most in GROWN.items():
            growth(strategy, most)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print("what,median_seconds,lowest,highest")
        loop(options.candidates, Path(folder) / "run")
        start_up("nas --help", ["--help"], options.rounds)
        start_up("nas leaderboard", ["leaderboard", "run"], options.rounds)
        for strategy in STRATEGIES:
            evaluator(strategy, 1_000)
        for count in (500, 1_000, 10_000):
            for name in STRATEGIES:
                proposal(name, count, options.rounds)


STRATEGIES: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "genetic": {"strategy": "genetic"},
    "genetic, without a model": {"strategy": "genetic", "genetic": {"assist": False}},
    "optuna, tpe": {"strategy": "optuna"},
}
GROWN = {"random": 10_000, "genetic": 10_000, "genetic, without a model": 10_000, "optuna, tpe": 500}
MARKS = (500, 1_000, 2_000, 5_000, 10_000)


def proposal(name: str, count: int, rounds: int) -> None:
    """Time of one proposal after so many networks of the default space, two of them in training, as in a search on CIFAR-10; a
    third of them were stopped. The first after a start, which reads all of them, has a row of its own."""
    from nas.blueprint import Pictures, express
    from nas.config import settings
    from nas.messages import Record
    from nas.space import read_space
    from nas.strategies import make_strategy
    from nas.strategies.asking import Asking

    space, rng, pictures = read_space("modern"), random.Random(1), Pictures((32, 32, 3), 10, (125.0,) * 3, (63.0,) * 3)
    records = []
    for number in range(count + rounds + 1):
        value, genotype = rng.random(), space.sample(rng)
        curve = (value / 2, value) if number % 3 else (value,)
        state = "trained" if number % 3 else "stopped"
        blueprint = express(genotype, pictures)[0]
        facts = {"digest": f"{number:012x}", "parameters": blueprint.parameters, "flops": blueprint.flops}
        records.append(Record(number, genotype, state, value, curve=curve, operator="random", **facts))
    chosen = settings(**STRATEGIES[name], budget=20_000)
    strategy, times = make_strategy(chosen.strategy, space, 1, chosen), []
    Asking(space, strategy, chosen, lambda each: express(each, pictures))  # it shows the strategy what networks cost
    for place in range(count, count + rounds + 1):
        busy = [dataclasses.replace(record, state="running", value=None, curve=()) for record in records[place - 2 : place]]
        known = [*records[: place - 2], *busy]
        began = time.perf_counter()
        strategy.propose(known, place)
        times.append(time.perf_counter() - began)
    row(f"{name}: the first proposal after {count:,} records", times[0])
    show(f"{name}: a proposal after {count:,} records", times[1:])


def show(what: str, times: list[float]) -> None:
    row(what, statistics.median(times), min(times), max(times))


def row(what: str, *seconds: float) -> None:
    """One of the CSV: a median with the lowest and the highest, or what was measured once."""
    csv.writer(sys.stdout, lineterminator="\n").writerow(
        [what, *(f"{each:.4f}" for each in seconds), *[""] * (3 - len(seconds))]
    )
    sys.stdout.flush()


def start_up(name: str, words: list[str], rounds: int) -> None:
    """Wall time of one command, from the installed script."""
    script = Path(sys.executable).with_name("nas")
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run([script, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    show(name, times)


def loop(candidates: int, out: Path) -> None:
    """Wall time of the loop less the epochs' own, for each candidate, with the processes executor."""
    import nas
    from nas.driver import Driver
    from nas.ledger import Ledger
    from nas.space import read_space

    walls: list[float] = []
    original = Driver.loop

    def timed(driver: Driver) -> None:
        started = time.perf_counter()
        original(driver)
        walls.append(time.perf_counter() - started)

    Driver.loop = timed  # type: ignore[method-assign]  # only a clock around it
    result = nas.search("connected", "digits", "random", candidates, epochs=2, pruner="none", max_flops="5M", out=out)
    ledger = Ledger(out / "study.db", read_space("connected"), "random")
    trained = sum(epoch["seconds"] for record in result.records for epoch in ledger.epochs(record.number))
    each = (walls[0] - trained) / candidates
    row("overhead of one trained candidate", each)


def evaluator(name: str, candidates: int) -> None:
    """Time of one candidate that costs nothing to score, in memory."""
    import nas

    started = time.perf_counter()
    nas.search("cnn", evaluate=lambda genotype, report: len(genotype["blocks"]), budget=candidates, **STRATEGIES[name])
    row(f"{name}: a free candidate of {candidates:,}", (time.perf_counter() - started) / candidates)


def growth(name: str, candidates: int) -> None:
    """Time of one candidate that costs nothing to score, in memory, over the hundred before each mark."""
    import nas

    clock: list[float] = []

    def score(genotype: dict[str, Any], report: object) -> float:
        clock.append(time.perf_counter())
        return float(len(genotype["blocks"]))

    nas.search("cnn", evaluate=score, budget=candidates, **STRATEGIES[name])
    for mark in (each for each in MARKS if each <= candidates):
        row(f"{name}: a free candidate around {mark:,}", (clock[mark - 1] - clock[mark - 101]) / 100)


if __name__ == "__main__":
    main()
