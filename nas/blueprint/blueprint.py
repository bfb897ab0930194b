"""The blueprint: a whole network as plain data, with every shape and cost, without Keras.

Many readers use this one list of nodes: `training/model.py` builds from it, the leaderboard counts with it, `nas show`
prints it. Blocks have been expanded before; `sketch.py` is how they write one, `express.py` how a genotype becomes one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from nas.blueprint.layers import Layer, Shape
from nas.blueprint.plain import from_dict, to_dict
from nas.errors import BlueprintError
from nas.space import canonical_json


@dataclass(frozen=True)
class Origin:
    """Where a layer's first weights come from: the layer of that name in a model file, whose digest is that of its content.
    A `frozen` layer keeps them."""

    file: str
    digest: str
    layer: str
    frozen: bool


@dataclass(frozen=True)
class Node:
    """One layer with its name and the names of the nodes (or `input`) it reads; without an origin its weights are random."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    origin: Origin | None = None


@dataclass(frozen=True)
class Blueprint:
    """A network: the shape of a picture (height, width, channels), and its nodes in the order in which they are computed.

    The last node is the output. Raises BlueprintError on creation if a name stands twice, an input is not there, a shape does
    not fit, or nothing reads a node.
    """

    picture: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.nodes:
            raise BlueprintError("a network needs at least one layer")
        _ = self.shapes
        read = {name for node in self.nodes for name in node.inputs}
        unread = next((node.name for node in self.nodes[:-1] if node.name not in read), None)
        if unread is not None:
            raise BlueprintError(f"no layer reads '{unread}', and it is not the last one")

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every node, and of `input`."""
        shapes: dict[str, Shape] = {"input": self.picture}
        for node in self.nodes:
            if node.name in shapes:
                raise BlueprintError(f"the layer '{node.name}' stands there twice")
            missing = [name for name in node.inputs if name not in shapes]
            if missing or not node.inputs:
                raise BlueprintError(f"{node.name}: no layer '{missing[0] if missing else ''}' before this one")
            shapes[node.name] = node.layer.output(*(shapes[name] for name in node.inputs))
        return shapes

    def inputs_of(self, node: Node) -> list[Shape]:
        """The shapes that a node reads."""
        return [self.shapes[name] for name in node.inputs]

    def chains(self, follows: Callable[[Node, Node], bool]) -> list[list[Node]]:
        """All nodes in their order. One that reads the node before it alone, and alone reads that, stands in a list with it
        where `follows(first of the list, node)` says so."""
        readers = Counter(name for node in self.nodes for name in node.inputs)
        chains: list[list[Node]] = []
        for node in self.nodes:
            last = chains[-1] if chains else []
            if last and node.inputs == (last[-1].name,) and readers[last[-1].name] == 1 and follows(last[0], node):
                last.append(node)
            else:
                chains.append([node])
        return chains

    @cached_property
    def parameters(self) -> int:
        """Exactly what Keras counts, moving statistics included."""
        return sum(node.layer.parameters(*self.inputs_of(node)) for node in self.nodes)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of one picture's forward pass; a multiply-add counts as 2."""
        return sum(node.layer.flops(*self.inputs_of(node)) for node in self.nodes)

    @cached_property
    def activations(self) -> int:
        """Numbers that all layers together put out for one picture: what training has to remember."""
        return sum(math.prod(self.shapes[node.name]) for node in self.nodes)

    def memory(self, batch_size: int) -> int:
        """Estimated bytes for training in float32: every activation and its gradient, and for every parameter itself, its
        gradient and two moments of the optimizer."""
        return 4 * (2 * batch_size * self.activations + 4 * self.parameters)

    @cached_property
    def digest(self) -> str:
        """Equal for equal networks, whatever genotype they came from: names are replaced by positions."""
        place = {"input": 0, **{node.name: index for index, node in enumerate(self.nodes, start=1)}}
        facts: list[list[Any]] = [[to_dict(node.layer), [place[name] for name in node.inputs]] for node in self.nodes]
        for fact, node in zip(facts, self.nodes, strict=True):
            if node.origin is not None:  # by the file's content, wherever it lies
                fact.append([node.origin.digest, node.origin.layer, node.origin.frozen])
        return hashlib.sha256(canonical_json([list(self.picture), facts]).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        nodes = []
        for node in self.nodes:
            origin = {"origin": asdict(node.origin)} if node.origin is not None else {}
            nodes.append({"name": node.name, "inputs": list(node.inputs), **to_dict(node.layer), **origin})
        return {"picture": list(self.picture), "nodes": nodes}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Blueprint:
        """The inverse of `to_dict`. Raises BlueprintError for anything that is no network."""
        try:
            if not all(type(side) is int for side in data["picture"]):
                raise BlueprintError(f"a picture has whole numbers of pixels and channels; found {data['picture']!r}")
            return cls(tuple(data["picture"]), tuple(_nodes(data["nodes"])))
        except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as problem:
            raise BlueprintError(f"this is no blueprint: {problem}") from None


def _nodes(items: Iterable[dict[str, Any]]) -> Iterable[Node]:
    for item in items:
        layer = {key: value for key, value in item.items() if key not in ("name", "inputs", "origin")}
        origin = Origin(**item["origin"]) if "origin" in item else None
        yield Node(item["name"], from_dict(layer), tuple(item["inputs"]), origin)
