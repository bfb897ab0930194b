"""Does one driver keep a thousand workers busy? The real driver, strategy and ledger; workers that only wait, by another clock.

    python benchmarks/scale.py --csv scale.csv [--workers 1 10 100 1000] [--strategy genetic] [--seconds 180] [--candidates N]
                               [--seeds 1 2 3]
    python benchmarks/scale.py --csv scale.csv --report

A training takes as long as one drawn from those of a leaderboard, scaled to `--seconds` on average (`times.csv` is that of 50
candidates on CIFAR-10, 17 to 89 s each: docs/results.md, "the preset `standard`"); its score is a fixed function of the genes
with noise, and `best` how many standard deviations the best is better than a random one by it, without the noise. All else is
the driver's own: proposing, networks, digests and limits, jobs, the SQLite file, the leaderboard, which models are kept, and
the models' files, of as many bytes as those 50 have on average: where workers are on other machines, it is the driver that
writes them. Every second that it really works is a second in which workers that wait for it wait. Not in it is what only
several processes or machines have: starting workers, the messages between them, a network. Utilisation is the part of the
workers' time, from the first candidate to the moment the last one is sent out, in which they train.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, rows

from nas.config import settings
from nas.driving import drive
from nas.executors import Task, Work, register_executor
from nas.jobs import job_for, networks_of, resolved
from nas.leaderboard import read_csv
from nas.ledger import Ledger
from nas.messages import DataCard, Finished, Job, Progress, Trained
from nas.run import Run, write_whole
from nas.space import Genotype, SearchSpace, read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.strategies.surrogate import Encoder
from nas.view import Silent

COLUMNS = (
    "strategy",
    "space",
    "workers",
    "seconds",
    "times",
    "candidates",
    "seed",
    "utilisation",
    "driver_ms",
    "proposal_ms",
    "best",
    "virtual_hours",
    "real_seconds",
)
ASKED = 7  # columns: of what was asked for; the others say what came out
TIMES = Path(__file__).with_name("times.csv")
SPREAD, NOISE = 0.05, 0.01  # of the scores of random candidates, and of what each training adds to its own
SAMPLE = 2_000  # random genotypes from which the scores' mean and spread are taken
MODEL = bytes(1_600_000)  # 4 for each of a network's parameters
CARD = DataCard(
    *("cifar10", "0" * 16, tuple(map(str, range(10))), (32, 32, 3), (125.0, 123.0, 114.0), (63.0, 62.0, 67.0)),
    *((5_000,) * 10, "/nowhere", "10,000 pictures"),
)


class World:
    """The virtual clock, and what happened by it. The driver's own work is what passes between two calls of the executor."""

    def __init__(self, times: list[float], seed: int) -> None:
        self.times, self.rng = times, random.Random(seed)
        self.now, self.left, self.busy, self.driving = 0.0, time.perf_counter(), 0.0, 0.0
        self.sent, self.trained = 0.0, 0.0  # when the last candidate was sent out, and all training that was done by then

    def entered(self) -> None:
        worked = time.perf_counter() - self.left
        self.now += worked
        self.driving += worked

    def leaves(self) -> None:
        self.left = time.perf_counter()


WORLD: World
SCORE: Any


@register_executor("simulated")
class Simulated:
    """Workers that wait. A job is over when the virtual clock says so."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.ends: list[tuple[float, int, tuple[Genotype, Job]]] = []

    @property
    def free(self) -> int:
        return self.work.workers - len(self.ends)

    def submit(self, number: int, job: tuple[Genotype, Job], spent: float = 0.0) -> None:
        WORLD.entered()
        took = WORLD.rng.choice(WORLD.times)
        heapq.heappush(self.ends, (WORLD.now + took, number, job))
        WORLD.busy += took
        WORLD.sent = WORLD.now
        WORLD.trained = WORLD.busy - sum(max(0.0, end - WORLD.now) for end, _, _ in self.ends)
        WORLD.leaves()

    def finished(self, timeout: float) -> list[Finished]:
        WORLD.entered()
        WORLD.now = max(WORLD.now, self.ends[0][0])
        ended = []
        while self.ends and self.ends[0][0] <= WORLD.now:
            ended.append(heapq.heappop(self.ends))
        WORLD.leaves()
        for _, _, (_, job) in ended:
            write_whole(Path(job.model), MODEL)
        found = []
        for _, number, (genotype, _) in ended:
            score = SCORE(genotype, number)
            names = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
            self.work.heard(Progress(number, 1, score, {**dict.fromkeys(names, score), "seconds": 1.0, "start": 0.5}))
            found.append(Finished(number, Trained(score), 1.0))
        return found

    def stop(self, number: int) -> None:
        raise AssertionError("no other driver takes anything over")

    def call(self, task: Task, told: Any = None) -> Any:
        raise AssertionError("a simulated search prepares nothing")

    def close(self) -> None:
        self.ends.clear()


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--strategy", default="genetic")
    parser.add_argument("--space", default="modern")
    parser.add_argument("--seconds", type=float, default=180.0, help="of a training, on average")
    parser.add_argument("--times", type=Path, default=TIMES, help="a leaderboard whose candidates' times are drawn from")
    parser.add_argument("--each", type=int, default=5, help="candidates for each worker, at least 200 in all")
    parser.add_argument("--candidates", type=int, help="in all, however many workers there are")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--report", action="store_true", help="simulate nothing")
    options = parser.parse_args()
    done = {tuple(row[name] for name in COLUMNS[:ASKED]) for row in rows(options.csv)}
    for seed, workers in itertools.product(options.seeds, options.workers):
        candidates = options.candidates or max(200, options.each * workers)
        asked = (options.strategy, options.space, workers, options.seconds, options.times.name, candidates, seed)
        if not options.report and tuple(map(str, asked)) not in done:
            append(options.csv, COLUMNS, (*asked, *simulated(options, workers, candidates, seed)))
    report(options.csv)


def simulated(options: argparse.Namespace, workers: int, candidates: int, seed: int) -> tuple[Any, ...]:
    """What one search has shown."""
    global WORLD, SCORE
    space = read_space(options.space)
    WORLD, SCORE = World(drawn(options), seed), score_of(space, seed)
    chosen = settings(
        strategy=options.strategy, budget=candidates, workers=workers, executor="simulated", pruner="none", seed=seed
    )
    chosen = resolved(chosen, CARD, {"precision": "float32"})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", "run")
        times: list[float] = []
        strategy = Timed(make_strategy(chosen.strategy, space, seed, chosen), times)
        asking = Asking(space, strategy, chosen, networks_of(CARD))
        with closing(Ledger(run.study, space, chosen.strategy)) as ledger:
            WORLD.leaves()
            job_of = lambda one: (one.genotype, job_for(one, chosen, CARD, run))  # noqa: E731
            result = drive(chosen, ledger, asking, Silent(), job_of, "nothing:nothing", run, chosen.epochs)
    assert result.best is not None
    return (
        round(WORLD.trained / (workers * WORLD.sent), 4) if WORLD.sent else 1.0,
        round(1000 * WORLD.driving / candidates, 2),
        round(1000 * statistics.mean(times), 2),
        round((SCORE(result.best.genotype, None) - 0.5) / SPREAD, 2),
        round(WORLD.now / 3600, 2),
        round(time.perf_counter() - began, 1),
    )


def drawn(options: argparse.Namespace) -> list[float]:
    """Seconds of trainings, on average as many as were asked for."""
    found = [row["seconds"] for row in read_csv(options.times) if row["state"] == "trained"]
    return [each * options.seconds / statistics.mean(found) for each in found]


def score_of(space: SearchSpace, seed: int) -> Any:
    """A score for each genotype, 0.5 on average: weights on its features and on pairs of them, and noise by number."""
    encoder, rng = Encoder(space), np.random.default_rng(seed)
    single, paired = rng.normal(size=encoder.size), rng.normal(size=(encoder.size, encoder.size)) / encoder.size

    def raw(genotype: Genotype) -> float:
        code = encoder.code(genotype)
        return float(code @ single + code @ paired @ code)

    drawn = random.Random(seed)
    some = [raw(space.sample(drawn)) for _ in range(SAMPLE)]
    mean, deviation = statistics.mean(some), statistics.stdev(some)

    def score(genotype: Genotype, number: int | None) -> float:
        noise = 0.0 if number is None else random.Random(number).gauss(0.0, NOISE)
        return 0.5 + SPREAD * (raw(genotype) - mean) / deviation + noise

    return score


class Timed:
    """A strategy with a clock around it."""

    def __init__(self, strategy: Any, times: list[float]) -> None:
        self.strategy, self.times = strategy, times

    @property
    def costs(self) -> Any:
        return self.strategy.costs

    @costs.setter
    def costs(self, costs: Any) -> None:
        self.strategy.costs = costs

    def propose(self, records: Any, number: int) -> Any:
        began = time.perf_counter()
        found = self.strategy.propose(records, number)
        self.times.append(time.perf_counter() - began)
        return found


def report(file: Path) -> None:
    """The rows as they are."""
    print(",".join(COLUMNS))
    for row in rows(file):
        print(",".join(row[name] for name in COLUMNS))


if __name__ == "__main__":
    main()
