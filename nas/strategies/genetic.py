"""The genetic algorithm, by DEAP: ageing evolution with variation that knows the structure of networks.

Steady state, so that no worker waits for a generation: after `population` random candidates, each proposal is the child of
parents that win a tournament among the `population` youngest; the oldest die, however good (Real et al. 2019, algorithm 1).
A child is crossed at block borders, then mutated: blocks inserted, deleted, duplicated and swapped, genes stepped.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from deap import base, tools

from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import Gene, Genotype, SearchSpace
from nas.space.space import flatten
from nas.strategies.base import rank_of, refusals, register_strategy, rng_for

Rng = random.Random


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
    parent) and `mutations` (the most in one child)."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed, self.options = space, seed, settings.genetic

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        rng = rng_for(self.seed, number, records)
        finished = [record for record in records if record.finished]
        # The first are random; and so is a child of nothing but failures.
        alive = [record for record in finished[-self.options.population :] if record.value is not None]
        if number < self.options.population or not alive:
            return Proposal(self.space.sample(rng), operator="random")
        population = [Individual(record) for record in alive]
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
        for _ in range(rng.randint(1, self.options.mutations) + refusals(records) // 5):
            genotype, operator = mutated(self.space, genotype, rng)
            operators.append(operator)
        return Proposal(genotype, tuple(parent.number for parent in parents), "+".join(operators))

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
