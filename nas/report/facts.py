"""What a report says in numbers, from the records alone: progress, what random draws would have reached, fronts, genes.

Plain functions of frozen rows; `plots.py` draws what they answer.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence

import numpy as np

from nas.messages import Record
from nas.space import Range, SearchSpace
from nas.space.space import flatten
from nas.strategies.surrogate import Encoder

FEWEST = 10  # scored candidates from which genes can be judged
TREES = 200
LEARNED = 2_000  # candidates that the forest learns, at most: of more it would take minutes
RANDOM = "random"  # the operator of an independent draw
SPAN = 60.0  # seconds without any candidate that are a pause, not a part of the search


def scored(records: Sequence[Record]) -> list[Record]:
    """Candidates with a score, in order of proposal."""
    return [
        record
        for record in records
        if record.value is not None and math.isfinite(record.value) and record.state != "infeasible"
    ]


def best_so_far(values: Sequence[float]) -> list[float]:
    """The highest of all values up to each."""
    return [float(value) for value in np.maximum.accumulate(np.asarray(values, dtype=float))] if len(values) else []


def drawn(records: Sequence[Record]) -> list[Record]:
    """Independent draws among the candidates, with the score that each reached (stopped ones too), if there are enough to say
    what more of them would reach."""
    found = [record for record in scored(records) if record.operator == RANDOM]
    return found if len(found) > 1 else []


def expected_best(scores: Sequence[float], count: int) -> list[float]:
    """The highest of 1, 2, … `count` independent draws to be expected, estimated from `scores` of such draws (as Dodge et al.
    2019, equation 3, do for trials of hyperparameters). Empty without scores."""
    ordered = np.sort(np.asarray(scores, dtype=float))
    if not len(ordered):
        return []
    below = np.arange(len(ordered) + 1) / len(ordered)
    return [float(np.diff(below**draws) @ ordered) for draws in range(1, count + 1)]


def front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Places of those that nothing else beats in both: the cheapest first (Pareto's front)."""
    order = sorted(range(len(costs)), key=lambda place: (costs[place], -values[place]))
    kept: list[int] = []
    for place in order:
        if not kept or values[place] > values[kept[-1]]:
            kept.append(place)
    return kept


def moments(spans: dict[int, tuple[float, float | None]]) -> dict[int, float]:
    """When each candidate ended, in seconds of the search: from the first one's beginning, without pauses in which none ran.
    `spans` are beginnings and ends by the clock; who has not ended is left out."""
    found: dict[int, float] = {}
    paused, busy_until = 0.0, None
    begin = min((start for start, _ in spans.values()), default=0.0)
    for number, (start, end) in sorted(spans.items(), key=lambda item: item[1][0]):
        if busy_until is not None and start - busy_until > SPAN:
            paused += start - busy_until
        busy_until = max(busy_until or start, start if end is None else end)
        if end is not None:
            found[number] = end - begin - paused
    return found


def importance(space: SearchSpace, records: Sequence[Record]) -> list[tuple[str, float]]:
    """Genes and the share of what a random forest knows that is lost without each (Breiman 2001, section 10), the largest
    first; a gene of a group stands for all its blocks. Empty where there are too few records."""
    from sklearn.ensemble import RandomForestRegressor

    known = scored(records)
    if len(known) > LEARNED:
        known = random.Random(0).sample(known, LEARNED)
    if len(known) < FEWEST or len({record.value for record in known}) < 2:
        return []
    encoder = Encoder(space)
    codes = np.array([encoder.code(record.genotype) for record in known])
    values = np.array([record.value for record in known])
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0, n_jobs=-1).fit(codes, values)
    genes: dict[str, list[int]] = {}
    for path, (start, _) in encoder.places.items():
        after = [place for place, _ in encoder.places.values() if place > start]
        genes.setdefault(gene_of(path), []).extend(range(start, min(after, default=encoder.size)))
    lost = {}
    rng = np.random.default_rng(0)
    base = forest.score(codes, values)
    for gene, columns in genes.items():
        drops = []
        for _ in range(10):
            mixed = codes.copy()
            mixed[:, columns] = mixed[rng.permutation(len(mixed))][:, columns]
            drops.append(base - forest.score(mixed, values))
        lost[gene] = max(0.0, float(np.mean(drops)))
    total = sum(lost.values())
    return sorted(((gene, loss / total) for gene, loss in lost.items()), key=lambda item: -item[1]) if total else []


def gene_of(path: str) -> str:
    """`blocks.0.filters` and `blocks.mean.filters` → `blocks.filters`."""
    return re.sub(r"\.(\d+|mean)\.", ".", path)


def logarithmic(space: SearchSpace) -> set[str]:
    """The genes of a space, by names as of `gene_of`, of whose numbers factors matter more than differences."""
    inner = {f"{name}.{key}": gene for name, group in space.groups.items() for key, gene in group.genes.items()}
    return {name for name, gene in {**space.genes, **inner}.items() if isinstance(gene, Range) and gene.log}


def values_of(gene: str, records: Sequence[Record]) -> list[tuple[object, float]]:
    """All values that a gene had (one for each block of a group), each with the score of its candidate."""
    found: list[tuple[object, float]] = []
    for record in scored(records):
        own = [value for path, value in flatten(record.genotype).items() if gene_of(path) == gene]
        found += [(value, float(record.value or 0)) for value in own]
    return found


def generations(records: Sequence[Record]) -> dict[int, int]:
    """How many steps each candidate is from one without parents."""
    found: dict[int, int] = {}
    for record in sorted(records, key=lambda each: each.number):
        found[record.number] = 1 + max((found.get(parent, -1) for parent in record.parents), default=-1)
    return found
