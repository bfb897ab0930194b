"""The genetic algorithm, by DEAP: ageing evolution with variation that knows the structure of networks.

Steady state, so that no worker waits for a generation: after `population` random candidates, each proposal is the child of
parents that win a tournament among the `population` youngest; the oldest die, however good (Real et al. 2019, algorithm 1).
`form: generational` has generations of `population` children, whose parents are the best so many of all before it, the
(μ + λ) form (Bäck & Schwefel 1993, section 2); a worker that is free early takes those that are known by then.
How children differ from their parents is in `variation.py`. With `adapt` the number of mutations is drawn as each has paid
lately; in the last part `finish` of the budget children are neighbours of the best alone, a local search.

How much of a parent's weights a child takes over, with `--inherit`, is `shrink`, and the trainer's business.

With `assist` many children of the best are made for each proposal, and a Gaussian process on their genes, and on the parameters
and FLOPs of their networks, says which of them is likely to improve most (`surrogate.py`); that one is trained.
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence
from functools import partial

import numpy as np
from deap import base, tools

from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import Genotype, SearchSpace
from nas.space.space import canonical_json
from nas.strategies.base import BREEDERS, Costs, rank_of, refusals, register_strategy, rng_for
from nas.strategies.surrogate import MOST, Encoder, Sizes, Surrogate, expected_improvement
from nas.strategies.variation import crossed, mutated, with_deap

Rng = random.Random
ASSIST_FROM = 10  # random candidates before the first guess
LATELY = 50  # children by which a number of mutations is judged


class Fitness(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    """Compared from left to right, each the larger the better; see `rank_of`."""

    weights = (1.0, 1.0, 1.0)


class Individual:
    """A record as DEAP's selection sees it. DEAP's `creator` would write classes into its own module, where two searches in
    one process share them."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.fitness = Fitness(rank_of(record))


@register_strategy("genetic")
class Genetic:
    """Options, in the configuration under `genetic:`: `form`, `population`, `tournament`, `crossover` (the chance of a second
    parent), `mutations` (the most in one child), `adapt` and `finish`; `assist`, and the `pool` of children of which it chooses
    one."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed, self.options = space, seed, settings.genetic
        finish = self.options.finish
        self.last = settings.budget * (1 - finish) if finish else math.inf  # from this number on only the best has children
        self.encoder = Encoder(space)
        self.costs: Costs | None = None  # where genotypes describe networks
        self._codes: dict[str, np.ndarray] = {}  # of the records, by their keys
        self._keys: dict[int, tuple[Record, str]] = {}

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        finished = [record for record in records if record.finished]
        if self.options.assist:
            return self._chosen(records, finished, number, rng)
        # The first are random; and so is a child of nothing but failures.
        alive = [record for record in self._alive(finished, number) if record.value is not None]
        if number < self.options.population or not alive:
            return Proposal(self.space.sample(rng), operator="random")
        # After refusals a child moves further away, or it would hit the same neighbours for ever.
        further = refusals(records) // 5
        if number >= self.last:
            best = max(finished, key=rank_of)
            genotype, operators = self._mutated(best.genotype, rng, 1 + further)
            return Proposal(genotype, (best.number,), "+".join(operators))
        return self._child([Individual(record) for record in alive], rng, further, self._counts(finished))

    def _alive(self, finished: list[Record], number: int) -> list[Record]:
        """Of whom tournaments are made."""
        size = self.options.population
        if self.options.form == "ageing":
            return finished[-size:]
        before = [record for record in finished if record.number < number - number % size]
        return sorted(before, key=rank_of, reverse=True)[:size]

    def _counts(self, finished: list[Record]) -> list[float]:
        """How often a child shall have one mutation, two, and so on: as often as such children were better than their parents,
        of the latest; all alike without `adapt`."""
        tried = dict.fromkeys(range(1, self.options.mutations + 1), 2)
        paid = dict.fromkeys(tried, 1)
        ranks = {record.number: rank_of(record) for record in finished}
        for record in [each for each in finished if each.parents][-LATELY:] if self.options.adapt else ():
            count = sum(word != "crossover" for word in record.operator.split("+"))
            if count in tried and all(parent in ranks for parent in record.parents):
                tried[count] += 1
                paid[count] += ranks[record.number] > max(ranks[parent] for parent in record.parents)
        return [paid[count] / tried[count] for count in tried]

    def _mutated(self, genotype: Genotype, rng: Rng, count: int) -> tuple[Genotype, list[str]]:
        operators = []
        for _ in range(count):
            genotype, operator = mutated(self.space, genotype, rng)
            operators.append(operator)
        return genotype, operators

    def _child(self, population: list[Individual], rng: Rng, further: int, counts: Sequence[float]) -> Proposal:
        """A child of tournament winners, with some more mutations than usual."""
        parents = [self._select(population, rng)]
        operators = []
        genotype = parents[0].genotype
        if rng.random() < self.options.crossover:
            second = self._select(population, rng)
            if second.number != parents[0].number:
                parents.append(second)
                genotype = crossed(self.space, genotype, second.genotype, rng)
                operators.append("crossover")
        count = rng.choices(range(1, len(counts) + 1), counts)[0]
        genotype, words = self._mutated(genotype, rng, count + further)
        return Proposal(genotype, tuple(parent.number for parent in parents), "+".join([*operators, *words]))

    def _chosen(self, records: Sequence[Record], finished: list[Record], number: int, rng: Rng) -> Proposal:
        """Of many children of the best, and some random ones, the one that is likely to improve most."""
        scored = [record for record in finished if record.value is not None and math.isfinite(record.value)]
        if number < ASSIST_FROM or len(scored) < 2:
            return Proposal(self.space.sample(rng), operator="random")
        told, scores = self._told(finished)
        population = [Individual(record) for record in sorted(scored, key=rank_of, reverse=True)[:BREEDERS]]
        known = {self._key(record) for record in records}
        counts = self._counts(finished)
        pool: dict[str, Proposal] = {}
        for place in range(self.options.pool):
            if place % 10 == 0:
                child = Proposal(self.space.sample(rng), operator="random")
            else:
                child = self._child(population, rng, place % 4, counts)
            key = canonical_json(child.genotype)
            if key not in known:
                pool.setdefault(key, child)
        children, codes = list(pool.values()), [self.encoder.code(child.genotype) for child in pool.values()]
        sizes = None
        if self.costs is not None and all(record.parameters and record.flops for record in told):
            costs = [self.costs(child.genotype) for child in children]
            within = [place for place, cost in enumerate(costs) if cost is not None]
            children, codes = [children[place] for place in within], [codes[place] for place in within]
            sizes = Sizes(np.array([(record.parameters, record.flops) for record in told]))
        if not children:
            return Proposal(self.space.sample(rng), operator="random")
        surrogate = Surrogate(self._described(told, sizes), scores)
        busy = [record for record in records if record.state == "running"]
        if busy:
            surrogate = surrogate.believing(self._described(busy, sizes))
        found = np.array(codes)
        found = found if sizes is None else sizes.beside(found, np.array([cost for cost in costs if cost is not None]))
        mean, spread = surrogate.guess(found)
        gain = expected_improvement(mean, spread, float(surrogate.guess(surrogate.codes)[0].max()))
        child = children[int(gain.argmax())]
        return dataclasses.replace(child, operator=f"{child.operator}, chosen")

    def _described(self, records: Sequence[Record], sizes: Sizes | None) -> np.ndarray:
        """Features [n, features] of records."""
        codes = np.array([self._code(record) for record in records])
        if sizes is None:
            return codes
        return sizes.beside(codes, np.array([(record.parameters or 1, record.flops or 1) for record in records]))

    def _told(self, finished: list[Record]) -> tuple[list[Record], list[float]]:
        """Records and scores of what has ended, some of it with a score. One that was stopped scores what it had reached, and
        as much more as those gained from there that were trained to the end; one that failed as little as the least."""
        trained = [record for record in finished if record.state == "trained" and record.value is not None]
        gained: dict[int, float] = {}  # epochs → what those that were trained to the end gained from there
        for epochs in {record.epochs for record in finished if record.state == "stopped"}:
            there = [float(one.value or 0) - max(one.curve[:epochs]) for one in trained if one.epochs >= epochs > 0]
            there = [each for each in there if math.isfinite(each)]  # an evaluator may have reported what is no number
            gained[epochs] = statistics.median(there) if there else 0
        scores: list[float | None] = []
        for record in finished:
            value = record.value
            if value is not None and not math.isfinite(value):
                value = None
            scores.append(value + gained[record.epochs] if record.state == "stopped" and value is not None else value)
        least = min(score for score in scores if score is not None)
        filled = [least if score is None else score for score in scores]
        order = sorted(range(len(filled)), key=lambda place: filled[place], reverse=True)
        kept = sorted({*order[: MOST // 2], *range(max(0, len(filled) - MOST // 2), len(filled))})
        return [finished[place] for place in kept], [filled[place] for place in kept]

    def _code(self, record: Record) -> np.ndarray:
        key = self._key(record)
        if key not in self._codes:
            self._codes[key] = self.encoder.code(record.genotype)
        return self._codes[key]

    def _key(self, record: Record) -> str:
        """The genotype of a record as text; rows are asked about again with every proposal."""
        kept = self._keys.get(record.number)
        if kept is None or kept[0] is not record:
            kept = self._keys[record.number] = (record, canonical_json(record.genotype))
        return kept[1]

    def _select(self, population: list[Individual], rng: Rng) -> Record:
        size = min(self.options.tournament, len(population))
        winner: Individual = with_deap(rng, partial(tools.selTournament, population, 1, size))[0]
        return winner.record
