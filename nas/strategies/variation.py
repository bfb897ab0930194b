"""Variation that knows the structure of networks: crossover at block borders, blocks inserted, deleted, duplicated and swapped,
genes stepped. `genetic.py` decides who is varied."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from deap import tools

from nas.space import Gene, Genotype, SearchSpace
from nas.space.space import flatten

Rng = random.Random


def crossed(space: SearchSpace, first: Genotype, second: Genotype, rng: Rng) -> Genotype:
    """A child of two: each group cut and joined at block borders, where its length may change (DEAP's messy one-point
    crossover on a list of blocks), every other gene from either parent."""
    child: Genotype = {}
    for name in {**first, **second}:
        ours, theirs = first.get(name), second.get(name)
        if isinstance(ours, list) and isinstance(theirs, list):
            pair = copy.deepcopy(ours), copy.deepcopy(theirs)
            child[name] = with_deap(rng, partial(tools.cxMessyOnePoint, *pair))[0]
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


def with_deap(rng: Rng, draw: Callable[[], Any]) -> Any:
    """Run one of DEAP's operators. They draw from Python's global generator: it is seeded for the call, then restored."""
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    try:
        return draw()
    finally:
        random.setstate(state)
