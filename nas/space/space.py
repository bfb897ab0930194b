"""The search space: genes, and groups of genes that repeat.

Everything that makes or reads a genotype goes through `SearchSpace.walk`, which visits the active genes in one fixed
order: sampling, repairing after crossover, checking, enumerating, asking Optuna. `read.py` makes a space from YAML.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from nas.errors import SpaceError, did_you_mean
from nas.space.genes import Gene, Range, Value, same

Genotype: TypeAlias = dict[str, Any]
"""Gene name → value, and group name → list of such dictionaries. Active genes only; plain JSON."""

Pick: TypeAlias = Callable[[str, Gene], Value]
"""Answers the value of a gene, asked by its path: `optimizer`, `blocks.repeat`, `blocks.0.filters`."""


@dataclass(frozen=True)
class Group:
    """Genes that repeat together: `repeat` times, in order."""

    repeat: Range
    genes: dict[str, Gene]


@dataclass(frozen=True)
class SearchSpace:
    """All genotypes that may be proposed. Made by `read_space`; `source` is what it was read from, as plain data."""

    name: str
    genes: dict[str, Gene]
    groups: dict[str, Group] = field(default_factory=dict)
    about: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict, compare=False)  # `blocks.filters` → file and line, for messages

    @property
    def digest(self) -> str:
        """Changes when a genotype of this space could mean something else or no longer be there."""
        facts = {key: value for key, value in self.source.items() if key not in ("name", "about")}
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:12]

    @property
    def describes_networks(self) -> bool:
        """Whether the genotypes are networks: a space without a group `blocks` is for somebody's own evaluator."""
        return "blocks" in self.groups

    @cached_property
    def deciding(self) -> frozenset[str]:
        """Genes on whose value it depends whether others exist."""
        parts = (self.genes, *(group.genes for group in self.groups.values()))
        return frozenset(name for genes in parts for gene in genes.values() for name in gene.when)

    @cached_property
    def _apart(self) -> bool:
        """Whether no gene of a group depends on one outside of it."""
        return not any(
            name in self.genes for group in self.groups.values() for gene in group.genes.values() for name in gene.when
        )

    @cached_property
    def movable(self) -> dict[str, dict[str, Gene]]:
        """Genes that have more than one value, by their group; the empty word is for those outside."""
        parts = {"": self.genes, **{name: group.genes for name, group in self.groups.items()}}
        return {part: {name: gene for name, gene in genes.items() if gene.count() != 1} for part, genes in parts.items()}

    def walk(self, pick: Pick) -> Genotype:
        """Build a genotype by asking `pick` for each active gene: groups see the genes outside them in their conditions."""
        outer = _walk_genes("", self.genes, {}, pick)
        grouped: Genotype = {}
        for name, group in self.groups.items():
            times = int(pick(f"{name}.repeat", group.repeat))
            grouped[name] = [_walk_genes(f"{name}.{index}.", group.genes, outer, pick) for index in range(times)]
        return {**grouped, **outer}

    def sample(self, rng: random.Random) -> Genotype:
        """A genotype at random: every active gene drawn on its own."""
        return self.walk(lambda _, gene: gene.sample(rng))

    def repair(self, genotype: Genotype, rng: random.Random, sound: bool = False) -> Genotype:
        """The genotype nearest to what variation left: inactive genes are dropped, missing or foreign values drawn anew,
        groups cut or filled up to their limits. `sound` says that each group is as the space has it, by itself."""
        sound = sound and self._apart
        values = {name: genotype[name] for name in self.genes if name in genotype} if sound else flatten(genotype)

        def pick(path: str, gene: Gene) -> Value:
            value = values.get(path)
            if value is None:
                return gene.sample(rng)
            if isinstance(gene, Range) and path.endswith(".repeat"):
                return gene.canonical(value)
            return gene.canonical(value) if gene.contains(value) else gene.sample(rng)

        if sound:
            return {**{name: genotype[name] for name in self.groups}, **_walk_genes("", self.genes, {}, pick)}
        return self.walk(pick)

    def sample_block(self, name: str, outside: Genotype, rng: random.Random) -> Genotype:
        """A random block of a group, whose genes see those `outside` in their conditions."""
        group = self.groups[name]
        return _walk_genes("", group.genes, outside, lambda _, gene: gene.sample(rng))

    def check(self, genotype: Genotype, place: str | None = None) -> Genotype:
        """The genotype in canonical form. Raises SpaceError for a gene that is missing, foreign, or has a wrong value."""
        if not isinstance(genotype, dict):
            raise SpaceError(f"a genotype maps gene names to values; found {genotype!r}", place)
        for name in self.groups:
            items = genotype.get(name, [])
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise SpaceError(f"'{name}' must be a list with one mapping for each repetition", place)
        values = flatten(
            {name: value for name, value in genotype.items() if name in self.groups or not isinstance(value, list)}
        )
        asked: set[str] = set()

        def pick(path: str, gene: Gene) -> Value:
            asked.add(path)
            if path not in values:
                raise SpaceError(f"the gene '{path}' is missing", place)
            if not gene.contains(values[path]):
                raise SpaceError(f"{path}: {values[path]!r} is not a value of this gene: {describe(gene)}", place)
            return gene.canonical(values[path])

        checked = self.walk(pick)
        for path in (*values, *genotype):
            if path not in asked and path not in self.groups:
                raise SpaceError(f"'{path}' is not an active gene here{did_you_mean(path, asked)}", place)
        return checked

    def enumerate(self) -> Iterator[Genotype]:
        """Every genotype once, in order. Only for a space that can be counted; see `size`.

        The walk is replayed with a list of decisions; then the last decision that can still move on does, and all after
        it start anew. So conditions and repetitions need no treatment of their own.
        """
        decisions: list[int] = []
        while True:
            counts: list[int] = []

            def pick(_: str, gene: Gene, counts: list[int] = counts) -> Value:
                position = len(counts)
                count = gene.count()
                if count is None:
                    raise SpaceError(f"the space '{self.name}' has a range of real numbers and cannot be enumerated")
                counts.append(count)
                if position == len(decisions):
                    decisions.append(0)
                return gene.at(decisions[position])

            yield self.walk(pick)
            while decisions and decisions[-1] + 1 >= counts[len(decisions) - 1]:
                decisions.pop()
            if not decisions:
                return
            decisions[-1] += 1

    def size(self, most: int = 10_000) -> int | None:
        """How many genotypes there are; None if more than `most`, or not to be counted."""
        genes = [*self.genes.values(), *(gene for group in self.groups.values() for gene in group.genes.values())]
        if any(gene.count() is None for gene in genes) or self._least() > most:
            return None
        counted = sum(1 for _ in itertools.islice(self.enumerate(), most + 1))
        return counted if counted <= most else None

    def _least(self) -> int:
        """Genotypes that there are by the genes without a condition alone: quicker than counting them one by one."""
        free = [gene for gene in self.genes.values() if not gene.when]
        for group in self.groups.values():
            free += [gene for gene in group.genes.values() if not gene.when] * int(group.repeat.low)
        return math.prod(gene.count() or 1 for gene in free)


def _walk_genes(prefix: str, genes: dict[str, Gene], outer: Genotype, pick: Pick) -> Genotype:
    values: Genotype = {}
    for name, gene in genes.items():
        if not gene.when or all(_holds(key, oks, values if key in values else outer) for key, oks in gene.when.items()):
            values[name] = pick(prefix + name, gene)
    return values


def _holds(key: str, allowed: Iterable[Value], values: Genotype) -> bool:
    """Whether a gene has one of some values; one that is itself inactive has none."""
    return key in values and any(same(values[key], each) for each in allowed)


def copied(genotype: Genotype) -> Genotype:
    """A genotype that can be changed without changing this one."""
    return {name: [dict(item) for item in value] if isinstance(value, list) else value for name, value in genotype.items()}


def flatten(genotype: Genotype) -> dict[str, Value]:
    """Path → value, with `group.repeat` for the length of each group: the form in which `walk` asks."""
    flat: dict[str, Value] = {}
    for name, value in genotype.items():
        if isinstance(value, list):
            flat[f"{name}.repeat"] = len(value)
            flat.update({f"{name}.{i}.{key}": inner for i, item in enumerate(value) for key, inner in item.items()})
        else:
            flat[name] = value
    return flat


def canonical_json(data: Any) -> str:
    """The one spelling of plain data: what digests are taken of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def describe(gene: Gene) -> str:
    """A gene in a few words: `one of 16, 32, 64` or `0.0001 to 0.1 (log)`."""
    if isinstance(gene, Range):
        notes = [note for note in ("log" if gene.log else "", f"step {gene.step:g}" if gene.step else "") if note]
        return f"{gene.low:g} to {gene.high:g}" + (f" ({', '.join(notes)})" if notes else "")
    return "one of " + ", ".join(json.dumps(value) if not isinstance(value, str) else value for value in gene.values)
