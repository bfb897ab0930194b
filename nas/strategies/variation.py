"""Variation that knows the structure of networks: crossover at block borders, blocks inserted, deleted, duplicated and swapped,
genes stepped. `genetic.py` decides who is varied."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from deap import tools

from nas.space import Gene, Genotype, SearchSpace
from nas.space.space import copied

Rng = random.Random


def crossed(space: SearchSpace, first: Genotype, second: Genotype, rng: Rng) -> Genotype:
    """A child of two: each group has its first blocks from `first` and the rest, and so its length, from `second` (one-point
    crossover: what stands at a place was good at that place), or all of one where either has none or one; every other gene is
    from either parent."""
    child: Genotype = {}
    for name in (*space.groups, *space.genes):
        if name not in first and name not in second:
            continue
        ours, theirs = first.get(name), second.get(name)
        if isinstance(ours, list) and isinstance(theirs, list):
            pair = [dict(block) for block in ours], [dict(block) for block in theirs]
            if min(map(len, pair)) > 1:
                child[name] = with_deap(rng, partial(tools.cxOnePoint, *pair))[0]
            else:
                child[name] = rng.choice(pair)
        else:
            child[name] = rng.choice([side[name] for side in (first, second) if name in side])
    return space.repair(child, rng, sound=True)


def mutated(space: SearchSpace, genotype: Genotype, rng: Rng) -> tuple[Genotype, str]:
    """A changed copy, and the word for the change. What cannot be done here (deleting the only block) is not drawn."""
    genotype = copied(genotype)
    moves: list[tuple[str, Callable[[], object]]] = []
    for name, group in space.groups.items():
        blocks: list[Genotype] = genotype[name]
        fewest, most = int(group.repeat.low), int(group.repeat.high)
        if len(blocks) < most:
            moves.append(("insert", partial(_insert, space, genotype, name, rng)))
            if blocks:
                moves.append(("duplicate", partial(_duplicate, blocks, rng)))
        if len(blocks) > fewest:
            moves.append(("delete", partial(_delete, blocks, rng)))
        if len(blocks) > 1:
            moves.append(("swap", partial(_swap, blocks, rng)))
    steps = _steppable(space, genotype)
    # Half of the mutations move one gene: structure alone would never tune a learning rate.
    if steps and (not moves or rng.random() < 0.5):
        values, name, gene = rng.choice(steps)
        values[name] = rng.choice(gene.neighbours(values[name]) or [values[name]])
        return (space.repair(genotype, rng) if name in space.deciding else genotype), "step"
    if not moves:
        return space.sample(rng), "random"
    operator, move = rng.choice(moves)
    move()  # whole blocks, so what was in the space still is
    return genotype, operator


def _insert(space: SearchSpace, genotype: Genotype, name: str, rng: Rng) -> None:
    """A block at random that fits the genes outside."""
    new = space.sample_block(name, {key: value for key, value in genotype.items() if key not in space.groups}, rng)
    genotype[name].insert(rng.randint(0, len(genotype[name])), new)


def _delete(blocks: list[Genotype], rng: Rng) -> None:
    del blocks[rng.randrange(len(blocks))]


def _duplicate(blocks: list[Genotype], rng: Rng) -> None:
    index = rng.randrange(len(blocks))
    blocks.insert(index, dict(blocks[index]))


def _swap(blocks: list[Genotype], rng: Rng) -> None:
    one, other = rng.sample(range(len(blocks)), 2)
    blocks[one], blocks[other] = blocks[other], blocks[one]


def _steppable(space: SearchSpace, genotype: Genotype) -> list[tuple[Genotype, str, Gene]]:
    """Every active gene with more than one value: where it stands, its name, and the gene. In the order of the space, whatever
    that of the genotype is."""
    found = []
    for part, genes in space.movable.items():
        for values in genotype[part] if part else [genotype]:
            found += [(values, name, gene) for name, gene in genes.items() if name in values]
    return found


def with_deap(rng: Rng, draw: Callable[[], Any]) -> Any:
    """Run one of DEAP's operators. They draw from Python's global generator: it is seeded for the call, then restored."""
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    try:
        return draw()
    finally:
        random.setstate(state)
