"""Which layer of a network corresponds to which of another, from which it was bred: what a child can inherit.

Networks are cut into segments, and these are aligned in order so that as many layers with weights as possible correspond. A
segment is a unit (what is added to, or set beside, its own input), or between units a layer of kernels with what follows it up
to the next. So a unit or a layer that was inserted is seen as one, wherever those before and behind it look alike.
`training/inherit.py` carries weights over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from nas.blueprint.blueprint import Blueprint, Node
from nas.blueprint.layers import Add, Concat, Conv, Dense, Depthwise, Norm

WEIGHTY = (Conv, Depthwise, Norm, Dense)  # what has weights worth counting
KERNELS = (Conv, Depthwise, Dense)
IN_PLACE = 0.01  # of a layer: what it counts more where the segment has its old place, and twice that where all of it is alike


@dataclass(frozen=True)
class Segment:
    """Nodes one after the other; `unit` where the last joins the first one's input with what was made of it."""

    nodes: tuple[Node, ...]
    unit: bool

    @property
    def signature(self) -> tuple[str, ...]:
        """What has to be equal for two segments to correspond: kinds, strides and types, but no widths, kernels or rates."""
        return tuple(_word(node) for node in self.nodes)

    @property
    def weight(self) -> int:
        return sum(isinstance(node.layer, WEIGHTY) for node in self.nodes)


def segments(blueprint: Blueprint) -> list[Segment]:
    """A network cut at the ends of units, and between them before each layer of kernels but the first."""
    place = {node.name: at for at, node in enumerate(blueprint.nodes)}
    found: list[Segment] = []
    begun = 0  # where the segment begins that is not ended yet
    for end, node in enumerate(blueprint.nodes):
        start = place.get(node.inputs[0], -1) + 1
        inner = blueprint.nodes[start:end]
        if isinstance(node.layer, Add | Concat) and inner and start >= begun and _closed(inner, node.inputs[0]):
            if start > begun:
                found += _pieces(blueprint.nodes[begun:start])
            found.append(Segment(blueprint.nodes[start : end + 1], unit=True))
            begun = end + 1
    if begun < len(blueprint.nodes):
        found += _pieces(blueprint.nodes[begun:])
    return found


def _pieces(nodes: Sequence[Node]) -> list[Segment]:
    """What lies between units; what comes before the first layer of kernels belongs to it."""
    starts = [at for at, node in enumerate(nodes) if isinstance(node.layer, KERNELS)][1:]
    return [Segment(tuple(nodes[a:b]), unit=False) for a, b in pairwise([0, *starts, len(nodes)])]


def matched(child: Blueprint, parent: Blueprint) -> dict[str, str]:
    """Node of the child → the node of the parent that it corresponds to; those without one are left out."""
    ours, theirs = segments(child), segments(parent)
    scores = [[_score(one, other, at == there) for there, other in enumerate(theirs)] for at, one in enumerate(ours)]
    best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]  # of the segments from there on
    for at in reversed(range(len(ours))):
        for there in reversed(range(len(theirs))):
            together = scores[at][there] + best[at + 1][there + 1] if scores[at][there] else 0.0
            best[at][there] = max(together, best[at + 1][there], best[at][there + 1])
    found: dict[str, str] = {}
    at = there = 0
    while at < len(ours) and there < len(theirs):
        if scores[at][there] and best[at][there] == scores[at][there] + best[at + 1][there + 1]:
            found |= {one.name: other.name for one, other in _pairs(ours[at].nodes, theirs[there].nodes)}
            at, there = at + 1, there + 1
        elif best[at][there] == best[at + 1][there]:
            at += 1
        else:
            there += 1
    return found


def _closed(inner: Sequence[Node], start: str) -> bool:
    """Whether nodes read nothing but each other and `start`."""
    known = {start, *(node.name for node in inner)}
    return all(name in known for node in inner for name in node.inputs)


def _score(one: Segment, other: Segment, same_place: bool) -> float:
    """How many layers with weights correspond; a little more where all of it is alike, and for its place. 0 where a unit would
    correspond to what is none."""
    if one.unit != other.unit or (one.unit and one.signature != other.signature):
        return 0.0
    common = sum(isinstance(node.layer, WEIGHTY) for node, _ in _pairs(one.nodes, other.nodes))
    whole = one.signature == other.signature
    return common * (1 + IN_PLACE * (2 * whole + same_place)) if 2 * common >= max(one.weight, other.weight) else 0.0


def _pairs(ours: Sequence[Node], theirs: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Nodes of two segments that correspond, in order."""
    matcher = SequenceMatcher(None, [_word(node) for node in ours], [_word(node) for node in theirs], autojunk=False)
    blocks = matcher.get_matching_blocks()
    return [(ours[block.a + at], theirs[block.b + at]) for block in blocks for at in range(block.size)]


def _word(node: Node) -> str:
    """The kind of a node, with what must be equal for its weights to mean the same."""
    layer = node.layer
    if isinstance(layer, Conv | Depthwise):
        return f"{layer.kind} stride {layer.stride} {'with' if layer.bias else 'without'} bias"
    return f"{layer.kind} {layer.type}" if isinstance(layer, Norm) else layer.kind
