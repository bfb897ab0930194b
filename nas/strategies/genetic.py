"""The genetic algorithm, by DEAP: ageing evolution with variation that knows the structure of networks.

Steady state, so that no worker waits for a generation: after `population` random candidates, each proposal is the child of
parents that win a tournament among the `population` youngest; the oldest die, however good (Real et al. 2019, algorithm 1).
A child is crossed at block borders, then mutated: blocks inserted, deleted, duplicated and swapped, genes stepped.

With `assist` many children of the best are made for each proposal, and a Gaussian process on their genes says which of them is
likely to improve most (`surrogate.py`); that one is trained.
"""

from __future__ import annotations

import copy
import dataclasses
import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from deap import base, tools

from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import Gene, Genotype, SearchSpace
from nas.space.space import canonical_json, flatten
from nas.strategies.base import BREEDERS, rank_of, refusals, register_strategy, rng_for
from nas.strategies.surrogate import MOST, Encoder, Surrogate, expected_improvement

Rng = random.Random
ASSIST_FROM = 10  # random candidates before the first guess


class Fitness(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    """Compared from left to right, each the larger the better; see `rank_of`."""

    weights = (1.0, 1.0, 1.0)


class Individual(list[Any]):
    """One genotype as DEAP's operators see it: its groups, each a list of blocks. DEAP's `creator` would write classes into
    its own module, where two searches in one process share them."""

    def __init__(self, record: Record) -> None:
        super().__init__(value for value in record.genotype.values() if isinstance(value, list))
        self.record = record
        self.fitness = Fitness(rank_of(record))


@register_strategy("genetic")
class Genetic:
    """Options, in the configuration under `genetic:`: `population`, `tournament`, `crossover` (the chance of a second
    parent) and `mutations` (the most in one child); `assist`, and the `pool` of children of which it chooses one."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed, self.options = space, seed, settings.genetic
        self.encoder = Encoder(space)
        self._codes: dict[str, np.ndarray] = {}

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        finished = [record for record in records if record.finished]
        if self.options.assist:
            return self._chosen(records, finished, number, rng)
        # The first are random; and so is a child of nothing but failures.
        alive = [record for record in finished[-self.options.population :] if record.value is not None]
        if number < self.options.population or not alive:
            return Proposal(self.space.sample(rng), operator="random")
        return self._child([Individual(record) for record in alive], rng, refusals(records) // 5)

    def _child(self, population: list[Individual], rng: Rng, further: int) -> Proposal:
        """A child of tournament winners, with some more mutations than usual."""
        parents = [self._select(population, rng)]
        operators = []
        genotype = copy.deepcopy(parents[0].genotype)
        if rng.random() < self.options.crossover:
            second = self._select(population, rng)
            if second.number != parents[0].number:
                parents.append(second)
                genotype = crossed(self.space, genotype, second.genotype, rng)
                operators.append("crossover")
        # After refusals the child moves further away, or it would hit the same neighbours for ever.
        for _ in range(rng.randint(1, self.options.mutations) + further):
            genotype, operator = mutated(self.space, genotype, rng)
            operators.append(operator)
        return Proposal(genotype, tuple(parent.number for parent in parents), "+".join(operators))

    def _chosen(self, records: Sequence[Record], finished: list[Record], number: int, rng: Rng) -> Proposal:
        """Of many children of the best, and some random ones, the one that is likely to improve most."""
        codes, scores = self._told(finished)
        if number < ASSIST_FROM or len(scores) < 2:
            return Proposal(self.space.sample(rng), operator="random")
        best = sorted(finished, key=rank_of, reverse=True)[:BREEDERS]
        population = [Individual(record) for record in best]
        known = {canonical_json(record.genotype) for record in records}
        pool: dict[str, Proposal] = {}
        for place in range(self.options.pool):
            if place % 10 == 0:
                child = Proposal(self.space.sample(rng), operator="random")
            else:
                child = self._child(population, rng, place % 4)
            key = canonical_json(child.genotype)
            if key not in known:
                pool.setdefault(key, child)
        if not pool:
            return Proposal(self.space.sample(rng), operator="random")
        surrogate = Surrogate(codes, scores)
        busy = [self._code(record.genotype) for record in records if record.state == "running"]
        if busy:  # as if they had scored what is guessed, or the next would be proposed beside them
            codes = np.vstack([codes, *busy])
            surrogate = Surrogate(codes, [*scores, *surrogate.guess(np.array(busy))[0]])
        mean, spread = surrogate.guess(np.array([self._code(child.genotype) for child in pool.values()]))
        gain = expected_improvement(mean, spread, float(surrogate.guess(codes)[0].max()))
        child = list(pool.values())[int(gain.argmax())]
        return dataclasses.replace(child, operator=f"{child.operator}, chosen")

    def _told(self, finished: list[Record]) -> tuple[np.ndarray, list[float]]:
        """Codes [n, features] and scores of what has ended. One that was stopped scores what it had reached, and as much more
        as those gained from there that were trained to the end; one that failed as little as the least."""
        trained = [record for record in finished if record.state == "trained" and record.value is not None]
        scores: list[float | None] = []
        for record in finished:
            value = record.value
            if record.state == "stopped" and value is not None:
                there = [one for one in trained if len(one.curve) >= record.epochs]
                value += (
                    statistics.median(float(one.value or 0) - max(one.curve[: record.epochs]) for one in there) if there else 0
                )
            scores.append(value)
        known = [score for score in scores if score is not None]
        if not known:
            return np.empty((0, self.encoder.size)), []
        filled = [min(known) if score is None else score for score in scores]
        order = sorted(range(len(filled)), key=lambda place: filled[place], reverse=True)
        kept = sorted({*order[: MOST // 2], *range(max(0, len(filled) - MOST // 2), len(filled))})
        return np.array([self._code(finished[place].genotype) for place in kept]), [filled[place] for place in kept]

    def _code(self, genotype: Genotype) -> np.ndarray:
        key = canonical_json(genotype)
        if key not in self._codes:
            self._codes[key] = self.encoder.code(genotype)
        return self._codes[key]

    def _select(self, population: list[Individual], rng: Rng) -> Record:
        size = min(self.options.tournament, len(population))
        winner: Individual = _with_deap(rng, partial(tools.selTournament, population, 1, size))[0]
        return winner.record


def crossed(space: SearchSpace, first: Genotype, second: Genotype, rng: Rng) -> Genotype:
    """A child of two: each group cut and joined at block borders, where its length may change (DEAP's messy one-point
    crossover on a list of blocks), every other gene from either parent."""
    child: Genotype = {}
    for name in {**first, **second}:
        ours, theirs = first.get(name), second.get(name)
        if isinstance(ours, list) and isinstance(theirs, list):
            pair = copy.deepcopy(ours), copy.deepcopy(theirs)
            child[name] = _with_deap(rng, partial(tools.cxMessyOnePoint, *pair))[0]
        else:
            child[name] = rng.choice([side[name] for side in (first, second) if name in side])
    return space.repair(child, rng)


def mutated(space: SearchSpace, genotype: Genotype, rng: Rng) -> tuple[Genotype, str]:
    """A changed copy, and the word for the change. What cannot be done here (deleting the only block) is not drawn."""
    genotype = copy.deepcopy(genotype)
    moves: list[tuple[str, Callable[[], object]]] = []
    for name, group in space.groups.items():
        blocks: list[Genotype] = genotype[name]
        fewest, most = int(group.repeat.low), int(group.repeat.high)
        if len(blocks) < most:
            new = space.repair({**genotype, name: [{}]}, rng)[name]  # one block at random, fitting the genes outside
            moves.append(("insert", partial(blocks.insert, rng.randint(0, len(blocks)), new[0])))
            if blocks:
                moves.append(("duplicate", partial(_duplicate, blocks, rng)))
        if len(blocks) > fewest:
            moves.append(("delete", partial(blocks.pop, rng.randrange(len(blocks)))))
        if len(blocks) > 1:
            moves.append(("swap", partial(_swap, blocks, rng)))
    steps = _steppable(space, genotype)
    # Half of the mutations move one gene: structure alone would never tune a learning rate.
    if steps and (not moves or rng.random() < 0.5):
        path, gene, value = rng.choice(steps)
        return space.repair(_set(genotype, path, rng.choice(gene.neighbours(value))), rng), "step"
    if not moves:
        return space.sample(rng), "random"
    operator, move = rng.choice(moves)
    move()
    return space.repair(genotype, rng), operator


def _duplicate(blocks: list[Genotype], rng: Rng) -> None:
    index = rng.randrange(len(blocks))
    blocks.insert(index, copy.deepcopy(blocks[index]))


def _swap(blocks: list[Genotype], rng: Rng) -> None:
    one, other = rng.sample(range(len(blocks)), 2)
    blocks[one], blocks[other] = blocks[other], blocks[one]


def _steppable(space: SearchSpace, genotype: Genotype) -> list[tuple[str, Gene, Any]]:
    """Every active gene that has a neighbour, with its value; the lengths of groups are not among them."""
    values = flatten(genotype)
    found: list[tuple[str, Gene, Any]] = []

    def note(path: str, gene: Gene) -> Any:
        value = values[path]
        if not path.endswith(".repeat") and gene.neighbours(value):
            found.append((path, gene, value))
        return value

    space.walk(note)
    return found


def _set(genotype: Genotype, path: str, value: Any) -> Genotype:
    group, _, rest = path.partition(".")
    if not rest:
        genotype[group] = value
    else:
        index, _, gene = rest.partition(".")
        genotype[group][int(index)][gene] = value
    return genotype


def _with_deap(rng: Rng, draw: Callable[[], Any]) -> Any:
    """Run one of DEAP's operators. They draw from Python's global generator: it is seeded for the call, then restored."""
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    try:
        return draw()
    finally:
        random.setstate(state)
