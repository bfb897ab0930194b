"""The genetic algorithm, by DEAP, with variation that knows the structure of networks.

With `assist`, the default, many children of the best are made for each proposal, and a model of the scores says which of them
is likely to improve most (`assistant.py`); that one is trained.

Without it this is ageing evolution, a steady state in which no worker waits for a generation: after `population` random
candidates, each proposal is the child of parents that win a tournament among the `population` youngest; the oldest die, however
good (after Real et al. 2019, algorithm 1, which has no crossover and one mutation).
`form: generational` has generations of `population` children, whose parents are the best so many of all before it, the
(μ + λ) form (Bäck & Schwefel 1993, section 2); a worker that is free early takes those that are known by then.
How children differ from their parents is in `variation.py`. With `adapt` the number of mutations is drawn as each has paid
lately; in the last part `finish` of the budget children are neighbours of the best alone, a local search. With `assist` there
is no `form`, `population` or `finish`.

How much of a parent's weights a child takes over, with `--inherit`, is `shrink`, and the trainer's business.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from functools import partial

from deap import base, tools

from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import Genotype, SearchSpace
from nas.strategies.assistant import Assistant, usable
from nas.strategies.base import BREEDERS, Costs, rank_of, refusals, register_strategy, rng_for
from nas.strategies.variation import crossed, mutated, with_deap

Rng = random.Random
ASSIST_FROM = 10  # random candidates before the first guess
FURTHER = 3  # mutations that a child of the pool may have beyond the others: of many, some shall be far away
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
    parent), `mutations` (the most in one child, but for `FURTHER` in a pool), `adapt` and `finish`; `assist`, and the `pool` of
    children of which it chooses one."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed, self.options = space, seed, settings.genetic
        finish = self.options.finish
        self.last = settings.budget * (1 - finish) if finish else math.inf  # from this number on only the best has children
        self.assistant = Assistant(space)
        self.costs: Costs | None = None  # where genotypes describe networks

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        finished = [record for record in records if record.finished]
        if self.options.assist:
            return self._assisted(records, finished, number, rng)
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
        return self._child(self._parents(alive, rng, 2), rng, further, self._counts(finished))

    def _assisted(self, records: Sequence[Record], finished: list[Record], number: int, rng: Rng) -> Proposal:
        """Of many children of the best, and some random ones, the one that the assistant takes."""
        scored = [record for record in finished if usable(record.value)]
        if number < ASSIST_FROM or len(scored) < 2:
            return Proposal(self.space.sample(rng), operator="random")
        counts, size = self._counts(finished), self.options.pool
        parents = self._parents(heapq.nlargest(BREEDERS, scored, key=rank_of), rng, 2 * size)
        children = [
            self._child(parents[2 * place : 2 * place + 2], rng, place % (FURTHER + 1), counts)
            if place % 10
            else Proposal(self.space.sample(rng), operator="random")
            for place in range(size)
        ]
        chosen = self.assistant.chosen(children, records, finished, self.costs)
        return chosen or Proposal(self.space.sample(rng), operator="random")

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
        ranks = {record.number: rank_of(record) for record in finished} if self.options.adapt else {}
        for record in [each for each in finished if each.parents][-LATELY:] if self.options.adapt else ():
            count = sum(word != "crossover" for word in record.operator.removesuffix(", chosen").split("+"))
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

    def _parents(self, alive: Sequence[Record], rng: Rng, count: int) -> list[Record]:
        """The winners of so many tournaments."""
        population, size = [Individual(record) for record in alive], min(self.options.tournament, len(alive))
        winners: list[Individual] = with_deap(rng, partial(tools.selTournament, population, count, size))
        return [winner.record for winner in winners]

    def _child(self, pair: Sequence[Record], rng: Rng, further: int, counts: Sequence[float]) -> Proposal:
        """A child of one of the pair, or of both, with some more mutations than usual."""
        first, second = pair
        parents, operators, genotype = [first], [], first.genotype
        if rng.random() < self.options.crossover and second.number != first.number:
            parents.append(second)
            genotype = crossed(self.space, genotype, second.genotype, rng)
            operators.append("crossover")
        count = rng.choices(range(1, len(counts) + 1), counts)[0]
        genotype, words = self._mutated(genotype, rng, count + further)
        return Proposal(genotype, tuple(parent.number for parent in parents), "+".join([*operators, *words]))
