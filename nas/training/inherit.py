"""Weights of a parent for a child: what corresponds is taken over, the rest begins at random.

Where a layer was widened, its new channels are copies of old ones, and who reads them divides their weights among the copies
(Chen et al. 2016, "Net2Net", section 2.2.1), in unequal parts, so that copies do not stay the same. A unit that was inserted
begins as nothing: a residual one by a last normalisation of zeros, a dense one by readers that do not heed it yet (network
morphism: Wei et al. 2016; Elsken et al. 2018, section 3). So a child computes what its parent did, if it differs from it in
nothing else; where it is narrower, or a stage is new, as much as there is goes over. With `shrink` kernels are mixed with
random ones, from which training may find away from what its parent had settled on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nas.blueprint import Blueprint
from nas.blueprint.blueprint import Node
from nas.blueprint.layers import (
    Activation,
    Add,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    Multiply,
    Norm,
    Pad,
    Pool,
)
from nas.blueprint.matching import KERNELS, matched, segments
from nas.errors import NasError
from nas.training.handover import load_model

Weights: TypeAlias = dict[str, list[np.ndarray]]
"""Node name → the weights of its layer, in Keras's order."""

PASSING = (Norm, Activation, Dropout, Pad, Pool)  # channels go through them one by one
LEAST = 0.3  # of a channel that is divided among two copies, at least so much is each one's


@dataclass(frozen=True)
class Channels:
    """Of each channel that a node of the child puts out: `source`, the channel of the parent's node that it is (-1: none),
    and `share`, the part of it that a reader takes here, for copies of one channel sum up to it."""

    source: np.ndarray
    share: np.ndarray

    @classmethod
    def same(cls, count: int) -> Channels:
        return cls(np.arange(count), np.ones(count))

    @classmethod
    def new(cls, count: int) -> Channels:
        return cls(np.full(count, -1), np.ones(count))


def inherit(network: Any, blueprint: Blueprint, file: Path, seed: int, shrink: float = 0.0) -> bool:
    """Give a freshly built `network` the weights of the model `file`, and say whether there was one. A frozen backbone keeps
    its own. Of kernels the part `shrink` stays random."""
    try:
        parent = load_model(file)
        old = Blueprint.from_dict(parent.facts["blueprint"])
    except (NasError, KeyError):  # it was not kept, or is damaged
        return False
    theirs = {layer.name: layer.get_weights() for layer in parent.model.layers if layer.weights}
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    fresh = {name: layer.get_weights() for name, layer in layers.items()}
    nodes = {node.name: node for node in blueprint.nodes}
    for name, arrays in inherited(blueprint, old, theirs, fresh, np.random.default_rng(seed)).items():
        origin = nodes[name].origin
        if origin is not None and origin.frozen:
            continue
        if shrink and isinstance(nodes[name].layer, KERNELS):
            arrays = [_shrunk(arrays[0], fresh[name][0], shrink), *arrays[1:]]
        layers[name].set_weights(arrays)
    return True


def _shrunk(kernel: np.ndarray, fresh: np.ndarray, part: float) -> np.ndarray:
    """Between what was inherited and what is random (shrink and perturb: Ash & Adams 2020, section 4)."""
    return (1 - part) * kernel + part * fresh


def inherited(child: Blueprint, parent: Blueprint, theirs: Weights, fresh: Weights, rng: np.random.Generator) -> Weights:
    """The child's weights: those of the `parent` (`theirs`) where nodes correspond, else the random ones (`fresh`)."""
    return _Inheritance(child, parent, theirs, fresh, rng).weights()


class _Inheritance:
    def __init__(self, child: Blueprint, parent: Blueprint, theirs: Weights, fresh: Weights, rng: np.random.Generator) -> None:
        self.child, self.parent, self.theirs, self.fresh, self.rng = child, parent, theirs, fresh, rng
        self.pairs = matched(child, parent)
        self.old = {node.name: node for node in parent.nodes}
        self.known = {"input": Channels.same(child.picture[-1])}
        self.readers: dict[str, list[Node]] = {}
        for node in child.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def weights(self) -> Weights:
        found = {}
        for node in self.child.nodes:
            old = self.old.get(self.pairs.get(node.name, ""))
            self.known[node.name] = self._channels(node, old)
            if node.name in self.fresh:
                found[node.name] = self._taken(node, old)
        for name in self._silent():
            found[name] = [np.zeros_like(array) for array in found[name][:2]] + found[name][2:]
        return found

    def _channels(self, node: Node, old: Node | None) -> Channels:
        """What the channels behind a node are, from those in front of it."""
        layer, before = node.layer, self.known[node.inputs[0]]
        count = self.child.shapes[node.name][-1]
        if isinstance(layer, Conv | Dense):
            return Channels.new(count) if old is None else self._widened(node, self.parent.shapes[old.name][-1])
        if isinstance(layer, Concat):
            return self._beside(node, old)
        if isinstance(layer, Flatten):
            return self._flattened(node, old, before)
        return before  # of an `Add` or `Multiply` the others' are the same, see `_partner`

    def _widened(self, node: Node, had: int) -> Channels:
        """Of a layer that had so many channels: the same as of what its own are added to; else all, and copies of some."""
        count = self.child.shapes[node.name][-1]
        partner = self._partner(node)
        if partner is not None and partner.source.max() < had:
            return partner
        if count <= had:
            return Channels(np.sort(self.rng.permutation(had)[:count]), np.ones(count))
        source = np.concatenate([np.arange(had), self.rng.integers(0, had, count - had)])
        share = self.rng.uniform(LEAST, 1 - LEAST, count)
        whole = np.bincount(source, share, had)
        return Channels(source, share / whole[source])

    def _partner(self, node: Node) -> Channels | None:
        """The channels with which those of a node are added, or multiplied, further on; None if with none that is known."""
        name = node.name
        while True:
            for reader in self.readers.get(name, ()):
                others = [self.known[other] for other in reader.inputs if other != name and other in self.known]
                if isinstance(reader.layer, Add | Multiply) and others:
                    return others[0]
            onwards = [one for one in self.readers.get(name, ()) if isinstance(one.layer, (*PASSING, Multiply))]
            if not onwards:
                return None
            name = onwards[0].name

    def _beside(self, node: Node, old: Node | None) -> Channels:
        parts = [self.known[name] for name in node.inputs]
        if old is None:  # a unit that was inserted: what it adds is nobody's
            parts[1:] = [Channels.new(len(part.source)) for part in parts[1:]]
            widths = [0] * len(parts)
        else:
            widths = [shape[-1] for shape in self.parent.inputs_of(old)]
        source, begin = [], 0
        for part, width in zip(parts, widths, strict=False):
            source.append(np.where(part.source < 0, -1, part.source + begin))
            begin += width
        return Channels(np.concatenate(source), np.concatenate([part.share for part in parts]))

    def _flattened(self, node: Node, old: Node | None, before: Channels) -> Channels:
        places = self.child.shapes[node.name][0] // len(before.source)
        had = self.parent.inputs_of(old)[0] if old is not None else ()
        if old is None or len(had) != 3 or had[0] * had[1] != places:
            return Channels.new(self.child.shapes[node.name][0])
        starts = np.arange(places)[:, None] * had[2]
        source = np.where(before.source < 0, -1, starts + before.source)
        return Channels(source.ravel(), np.tile(before.share, places))

    def _taken(self, node: Node, old: Node | None) -> list[np.ndarray]:
        """The weights of one node."""
        fresh, layer = self.fresh[node.name], node.layer
        if old is None or old.name not in self.theirs or len(self.theirs[old.name]) != len(fresh):
            return fresh
        theirs = self.theirs[old.name]
        ours, read = self.known[node.name], self.known[node.inputs[0]]
        if isinstance(layer, Conv | Dense):
            kernel = theirs[0] if isinstance(layer, Dense) else _resized(theirs[0], layer.kernel)
            if read.source.max() >= kernel.shape[-2]:  # what it reads is not what its parent read
                return fresh
            taken = np.where(read.source[:, None] < 0, 0.0, kernel[..., read.source, :] * read.share[:, None])
            return [
                _in_place(taken, ours, fresh[0]),
                *(_in_place(bias, ours, new) for bias, new in zip(theirs[1:], fresh[1:], strict=True)),
            ]
        if isinstance(layer, Depthwise):
            kernel = np.swapaxes(_resized(theirs[0], layer.kernel), -1, -2)  # channels last
            begun = np.swapaxes(fresh[0], -1, -2)
            rest = [_in_place(bias, read, new) for bias, new in zip(theirs[1:], fresh[1:], strict=True)]
            return [np.swapaxes(_in_place(kernel, read, begun), -1, -2), *rest]
        return [_in_place(array, read, new) for array, new in zip(theirs, fresh, strict=True)]

    def _silent(self) -> Iterator[str]:
        """The last layers of residual units that were inserted: they shall add nothing at first."""
        nodes = {node.name: node for node in self.child.nodes}
        for segment in segments(self.child):
            last = segment.nodes[-1]
            if not segment.unit or not isinstance(last.layer, Add) or last.name in self.pairs:
                continue
            for name in last.inputs[1:]:
                while not isinstance(nodes[name].layer, Norm | Conv | Depthwise | Dense):
                    name = nodes[name].inputs[0]
                yield name


def _in_place(array: np.ndarray, channels: Channels, fresh: np.ndarray) -> np.ndarray:
    """The parent's array with the child's channels along its last axis; new ones are as they begin."""
    if channels.source.max() >= array.shape[-1]:
        return fresh
    return np.where(channels.source < 0, fresh, array[..., channels.source]).astype(fresh.dtype)


def _resized(kernel: np.ndarray, size: int) -> np.ndarray:
    """A kernel [k, k, …] with zeros around it, or with its middle alone."""
    had = kernel.shape[0]
    if had >= size:
        start = (had - size) // 2
        return kernel[start : start + size, start : start + size]
    before = (size - had) // 2
    around: Sequence[tuple[int, int]] = [(before, size - had - before)] * 2 + [(0, 0)] * (kernel.ndim - 2)
    return np.pad(kernel, around)
