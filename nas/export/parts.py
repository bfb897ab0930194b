"""A blueprint in parts that text can be made of: layers one after the other, and what lies between a fork and its join.

`code.py` writes them down, with a function for those that come again; read that next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from nas.blueprint import Blueprint
from nas.blueprint.blueprint import Node
from nas.blueprint.layers import Activation, Add, Concat, Conv, Depthwise, Dropout, Norm, Pool

STARTS = (Conv, Depthwise)  # a chain begins with one
FOLLOWS = (Norm, Activation, Pool, Dropout)


@dataclass(frozen=True)
class Chain:
    """Layers one after the other, each read by the next alone."""

    nodes: tuple[Node, ...]

    @property
    def first(self) -> Node:
        return self.nodes[0]

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    def chains(self) -> Iterator[Chain]:
        yield self

    @property
    def name(self) -> str:
        return "_".join(each.layer.type if isinstance(each.layer, Activation) else each.layer.kind for each in self.nodes)

    @cached_property
    def numbers(self) -> tuple[tuple[str, int], ...]:
        """What a function can be told of it, each with its name."""
        layer = self.first.layer
        if isinstance(layer, Conv):
            return ("filters", layer.filters), ("kernel", layer.kernel), ("stride", layer.stride)
        return (("kernel", layer.kernel), ("stride", layer.stride)) if isinstance(layer, Depthwise) else ()


@dataclass(frozen=True)
class Region:
    """Parts that read nothing from outside but what the first of them reads, and of which the last alone is read outside."""

    parts: tuple[Part, ...]

    @property
    def first(self) -> Node:
        return self.parts[0].first

    @property
    def last(self) -> Node:
        return self.parts[-1].last

    def chains(self) -> Iterator[Chain]:
        for part in self.parts:
            yield from part.chains()

    @property
    def name(self) -> str:
        """The usual word for it."""
        join, source = self.last, self.first.inputs[0]
        if isinstance(join.layer, Concat):
            return "dense_block" if source in join.inputs else "branches"
        return "residual" if isinstance(join.layer, Add) else "squeeze"

    @cached_property
    def numbers(self) -> tuple[tuple[str, int], ...]:
        return tuple(number for part in self.parts for number in part.numbers)


Part: TypeAlias = Chain | Region


def parts_of(blueprint: Blueprint) -> list[Part]:
    """All nodes in their order, in parts."""
    chains = blueprint.chains(lambda first, node: isinstance(first.layer, STARTS) and isinstance(node.layer, FOLLOWS))
    return list(_parts([Chain(tuple(nodes)) for nodes in chains], forks=True))


def _parts(chains: Sequence[Chain], forks: bool) -> Iterator[Part]:
    """`forks`: whether the first chain may be the first of a region; it is not when these are the chains of one."""
    place = 0
    while place < len(chains):
        length = _region(chains[place:]) if place or forks else 0
        inside = chains[place : place + length]
        yield Region(tuple(_parts(inside, forks=False))) if inside else chains[place]
        place += max(1, length)


def _region(chains: Sequence[Chain]) -> int:
    """How many chains the shortest region has that begins with the first; 0 if it is none."""
    (source, *others), made = chains[0].first.inputs, {chains[0].last.name}
    if others or not any(source in chain.first.inputs for chain in chains[1:]):
        return 0
    for length, chain in enumerate(chains[1:], start=2):
        if any(name not in made and name != source for name in chain.first.inputs):
            return 0
        made.add(chain.last.name)
        later = {name for each in chains[length:] for name in each.first.inputs}
        if not later & (made - {chain.last.name} | {source}):
            return length
    return 0
