"""Does a short training tell good networks from bad? Random networks of a space, trained long and in several cheap ways.

    NAS_DATA_DIR=… python benchmarks/fidelity.py --csv fidelity.csv [--space modern] [--candidates 24] [--epochs 20]
        [--max-flops 60M] [--workers 2]
    NAS_DATA_DIR=… python benchmarks/fidelity.py --csv equal.csv --time 4m --candidates 16
    python benchmarks/fidelity.py --csv fidelity.csv --report

Every training is a row of the CSV when it is done, and is not done again: the benchmark goes on where it was ended (with the
same options; others want another CSV). The report gives, for each cheap way and each epoch of it, Spearman's correlation with
the long score (95% interval by bootstrap, 2,000 draws), that within the better half by the long score (with its own interval),
and its part of the long cost, counted in pictures: those that were trained on, and a third of those that were looked at in
validation; and, on average over 2,000 draws of half of the networks, the long score of the one among them whose cheap score is
best. Scores are of validation pictures; no test part is opened.

With `--time` the long training of each takes as long, not as many epochs: what a network reaches in a given time. A cheap score
after equal pictures does not know what a picture costs, so the report also gives it for that time: the error times 1 + a / e,
where e are the epochs that fit (`nas/timed.py`).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import append, rows

from nas.config import Settings, seconds, settings
from nas.executors import EXECUTORS, Task, Work
from nas.forecast import validation_pictures, within_limits
from nas.jobs import MOST_EPOCHS, WORKER, job_for, resolved, training_pictures
from nas.messages import Candidate, DataCard, Job, News, Pulse, Stopped, Trained
from nas.pace import FORWARD
from nas.preparing import prepare
from nas.pruners import is_rung
from nas.space import read_space
from nas.timed import timed
from nas.view import Plain

LEARNINGS = (1.0, 2.0, 4.0, 8.0)  # a, as above
COLUMNS = ("candidate", "way", "architecture", "parameters", "flops", "batch_size", "pictures", "seconds", "curve")
DRAWS = 2_000
LONG = "long"
Table = dict[str, dict[str, tuple[list[float], float]]]  # way → candidate → its curve, and pictures
FILES = {"checkpoint": ".npz", "model": ".keras"}


@dataclass(frozen=True)
class Way:
    """A way to train: epochs, each of so many pictures (None for all), and the epoch after which it is stopped."""

    epochs: int
    pictures: int | None = None
    until: int | None = None

    @property
    def name(self) -> str:
        each = f"{self.epochs} x {self.pictures or 'all'}"
        return f"{each}, stopped after {self.until}" if self.until else each


def way_of(preset: str, every: float) -> Way:
    """How a preset trains, as far as where its pruner decides, if it has one."""
    chosen = settings(preset=preset)
    epochs = min(MOST_EPOCHS, max(1, round(chosen.seen_pictures / min(every, chosen.train_pictures))))
    rungs = (epoch for epoch in range(1, epochs) if chosen.pruner == "asha" and is_rung(epoch, epochs))
    return Way(epochs, chosen.train_pictures, next(rungs, None))


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--space", default="modern")
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20, help="of the long training, on all training pictures")
    parser.add_argument("--time", help="of the long training, instead of epochs; one at a time")
    parser.add_argument("--presets", nargs="+", default=["quick", "standard"], help="that are compared with it")
    parser.add_argument("--ways", nargs="*", default=[], help="and so many epochs of so many pictures: 3x10000")
    parser.add_argument("--max-flops", default=str(Settings().max_flops))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.report:
        train(options)
    report(options.csv)


def train(options: argparse.Namespace) -> None:
    """All trainings that the CSV does not have yet, candidate by candidate."""
    chosen = settings(
        dataset=options.dataset,
        image_size=options.image_size,
        space=options.space,
        max_flops=options.max_flops,
        seed=options.seed,
        pruner="none",
        workers=1 if options.time else options.workers,
    )
    space = read_space(options.space)
    chosen, card = ready(chosen)
    every = training_pictures(card, chosen.model_copy(update={"train_part": 1.0}))
    looked = FORWARD * validation_pictures(card, chosen)
    drawn = within_limits(space, chosen, card)
    if len(drawn) < options.candidates:
        sys.exit(f"--max-flops: only {len(drawn)} random networks are within it, {options.candidates} are needed")
    picked = random.Random(options.seed).sample(drawn, options.candidates)
    cheap = [*(way_of(preset, every) for preset in options.presets), *(Way(*map(int, way.split("x"))) for way in options.ways)]
    ways = {**{way.name: way for way in cheap}, LONG: Way(options.epochs)}
    done = {(row["candidate"], row["way"]) for row in rows(options.csv)}
    wanted: dict[int, tuple[int, str, float]] = {}
    jobs = []
    for number, candidate in enumerate(picked):
        for place, (name, way) in enumerate(ways.items()):
            if (str(number), name) not in done:
                job = job_for(dataclasses.replace(candidate, number=number * len(ways) + place), chosen, card)
                part = min(1.0, (way.pictures or math.inf) / every)
                jobs.append((dataclasses.replace(job, epochs=way.epochs, train_part=part), way.until))
                wanted[job.number] = (number, name, part * every + looked)
    times = {number: float(seconds(options.time)) for number, (_, name, _) in wanted.items() if options.time and name == LONG}
    for ended, curve, took in trained_all(jobs, chosen.at_once, times):
        number, name, pictures = wanted[ended]
        enter(options.csv, number, name, picked[number], pictures * len(curve), curve, took)
        print(f"#{number} {name}: {max(curve):.4f} in {took:.0f} s", file=sys.stderr, flush=True)


def ready(chosen: Settings) -> tuple[Settings, DataCard]:
    """Settings with nothing left open, and the data prepared."""
    hands = EXECUTORS["processes"](Work(f"{WORKER}:train", lambda _: True))
    card = prepare(hands, chosen, Plain(sys.stderr), float("inf"))
    chosen = resolved(chosen, card, hands.call(Task(f"{WORKER}:machine", None, "a look at this machine")))
    hands.close()
    return chosen, card


def trained(job: Job) -> tuple[list[float], float]:
    """The curve of one job, and the seconds of its epochs. Ends the benchmark if it is not trained to its end."""
    ((_, curve, seconds),) = trained_all([(job, None)])
    return curve, seconds


def trained_all(
    jobs: Sequence[tuple[Job, int | None]], workers: int = 1, times: Mapping[int, float] | None = None
) -> Iterator[tuple[int, list[float], float]]:
    """Number, curve and seconds of jobs, `workers` at a time, as they end; each with the epoch after which it is stopped, and
    some with the `times` (seconds) that they have instead of epochs."""
    curves: dict[int, list[float]] = {job.number: [] for job, _ in jobs}
    took = dict.fromkeys(curves, 0.0)
    stops = {job.number: until for job, until in jobs}
    left = list(jobs)

    def heard(news: News) -> bool:
        if isinstance(news, Pulse):
            return True
        curves[news.number].append(news.value)
        took[news.number] += news.metrics["seconds"]
        return news.epoch != stops[news.number]

    with tempfile.TemporaryDirectory() as folder:
        executor = EXECUTORS["processes"](Work(f"{WORKER}:train", heard, workers))
        running = 0
        while left or running:
            while left and executor.free:
                job, _ = left.pop(0)
                own: dict[str, Any] = {name: str(Path(folder) / f"{job.number}{end}") for name, end in FILES.items()}
                if times and job.number in times:
                    own["until"] = time.time() + times[job.number]
                executor.submit(job.number, dataclasses.replace(job, **own))
                running += 1
            for ended in executor.finished(5.0):
                running -= 1
                if not isinstance(ended.outcome, Trained | Stopped):
                    sys.exit(f"not trained: {ended.outcome}")
                yield ended.number, curves[ended.number], took[ended.number]
        executor.close()


def enter(
    file: Path, number: int, way: str, candidate: Candidate, pictures: float, curve: Sequence[float], seconds: float
) -> None:
    """One row more."""
    from nas.blueprint import summary

    assert candidate.blueprint is not None
    assert candidate.recipe is not None
    facts = (summary(candidate.blueprint), candidate.blueprint.parameters, candidate.blueprint.flops)
    scores = " ".join(f"{value:.4f}" for value in curve)
    append(file, COLUMNS, (number, way, *facts, candidate.recipe.batch_size, round(pictures), round(seconds, 1), scores))


def report(file: Path) -> None:
    """Correlations of every cheap way, at every epoch, with the long score."""
    from scipy.stats import spearmanr

    table: Table = {}
    prices: dict[str, dict[str, float]] = {}  # seconds of a picture
    for row in rows(file):
        table.setdefault(row["way"], {})[row["candidate"]] = ([float(v) for v in row["curve"].split()], float(row["pictures"]))
        prices.setdefault(row["way"], {})[row["candidate"]] = float(row["seconds"]) / float(row["pictures"])
    long = {number: max(curve) for number, (curve, _) in table.get(LONG, {}).items() if curve}
    rng = random.Random(0)
    if long:
        print(f"long scores: mean {statistics.mean(long.values()):.4f}, best {max(long.values()):.4f} of {len(long)}")
    print("way,epoch,candidates,spearman,low,high,better_half,half_low,half_high,part_of_the_long_cost,chosen_of_half")
    for way, found in table.items():
        shared = [number for number in found if number in long and found[number][0]]
        if len(shared) < 5 or way == LONG:
            continue
        for epoch in range(1, min(len(found[number][0]) for number in shared) + 1):
            cheap = {number: max(found[number][0][:epoch]) for number in shared}
            pairs = [(cheap[number], long[number]) for number in shared]
            half = sorted(pairs, key=lambda pair: -pair[1])[: len(pairs) // 2]
            cost = statistics.mean(
                found[number][1] * epoch / len(found[number][0]) / table[LONG][number][1] for number in shared
            )
            some = [rng.sample(pairs, len(pairs) // 2) for _ in range(DRAWS)]
            chosen = statistics.mean(max(each)[1] for each in some)
            print(
                f"{way},{epoch},{len(pairs)},{_interval(pairs, rng, spearmanr)},"
                f"{_interval(half, rng, spearmanr)},{cost:.3f},{chosen:.4f}"
            )
        if len({len(table[LONG][number][0]) for number in shared}) == 1:  # as many epochs for all: by the number, not a time
            continue
        for learning in LEARNINGS:
            worth = {
                each: timed(max(found[each][0]), _fitting(table, prices, way, each), "accuracy", learning) for each in shared
            }
            print(f"{way} for the time, a = {learning}: {_rank([(worth[each], long[each]) for each in shared], spearmanr):.3f}")


def _fitting(table: Table, prices: Mapping[str, Mapping[str, float]], way: str, number: str) -> float:
    """Epochs of the long training that fit into its seconds, by what a picture took in a cheap one."""
    curve, _ = table[LONG][number]
    return len(curve) * prices[LONG][number] / prices[way][number]


def _interval(pairs: Sequence[tuple[float, float]], rng: random.Random, spearmanr: object) -> str:
    """Spearman's correlation and the ends of its 95% interval."""
    draws = sorted(_rank([pairs[rng.randrange(len(pairs))] for _ in pairs], spearmanr) for _ in range(DRAWS))
    return f"{_rank(pairs, spearmanr):.3f},{draws[round(0.025 * DRAWS)]:.3f},{draws[round(0.975 * DRAWS)]:.3f}"


def _rank(pairs: Sequence[tuple[float, float]], spearmanr: object) -> float:
    """Spearman's correlation; 0 where one side is constant."""
    first, second = zip(*pairs, strict=True)
    if len(set(first)) < 2 or len(set(second)) < 2:
        return 0.0
    return float(spearmanr(first, second).statistic)  # type: ignore[operator]


if __name__ == "__main__":
    main()
