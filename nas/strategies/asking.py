"""Who asks a strategy: turns proposals into candidates, and refuses what need not be trained.

Equal networks with equal recipes are trained once, and a blueprint over a limit never; a refusal is shown to the strategy,
which proposes anew. Refusals for a limit are kept with the candidate that was taken in their place, and shown from then on;
what was refused once is turned away at once.
When nothing new comes, random draws and at last a count of the whole space decide that it is exhausted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeAlias

from nas.blueprint import Blueprint
from nas.config import Settings
from nas.errors import BlueprintError, listing
from nas.messages import Candidate, Proposal, Record
from nas.recipe import Recipe
from nas.space import Genotype, SearchSpace, canonical_json
from nas.strategies.base import Network, Strategy

Express: TypeAlias = Callable[[Genotype], tuple[Blueprint, Recipe]]

ASKED = 30  # proposals that a strategy may have refused for one candidate
PROPOSAL = "the strategy's proposal"
DUPLICATE = "duplicate"
DRAWN = 2_000  # random draws after that
COUNTED = 20_000  # a space of at most so many genotypes is searched through at last


class Asks(Protocol):
    """What the driver asks for candidates."""

    refused: Counter[str]  # why → how often, for the run's summary
    exhausted: str  # why there was no candidate any more, with the numbers
    noun: str  # for what is asked for

    def told(self, records: Sequence[Record], /) -> Sequence[Record]:
        """What a strategy is told, of the records."""

    def next(self, records: Sequence[Record], number: int) -> Candidate | None:
        """The candidate `number`, or None if there is none (any more)."""


@dataclass
class Asking:
    """Asks one strategy. `express` is None where somebody's own evaluator scores the genotypes; then nothing has a size."""

    space: SearchSpace
    strategy: Strategy
    settings: Settings
    express: Express | None = None
    first: Sequence[Genotype] = ()  # known networks, proposed before the strategy is asked
    deadline: float = math.inf  # by time.monotonic: proposing ends then, whatever was found
    refused: Counter[str] = field(default_factory=Counter)  # why → how often, for the run's summary
    exhausted: str = ""  # why there was no candidate any more, with the numbers
    noun: str = "candidate"
    told: Callable[[Sequence[Record]], Sequence[Record]] = list  # what the strategy is told, of the records
    _rows: list[list[Record]] = field(default_factory=list)  # of each candidate, what was refused before it
    _known: dict[str, str] = field(default_factory=dict)  # genotype → why it is refused, by the limits that hold here
    _kept: set[str] = field(default_factory=set)  # those of them that are kept with a candidate

    def __post_init__(self) -> None:
        if self.express is not None and hasattr(self.strategy, "costs"):
            self.strategy.costs = self._costs

    def next(self, records: Sequence[Record], number: int) -> Candidate | None:
        """The candidate `number`, or None if the space has nothing (or next to nothing) new within the limits, or the time
        is over."""
        seen = {record.digest for record in records}
        shown = self._with_refused(self.told(records))
        before = Counter(self.refused)
        turned_down: list[Record] = []
        own: dict[str, tuple[Genotype, str]] = {}  # known as refused from now on, once the candidate is kept
        for proposal in self._proposals(shown, turned_down, number):
            if time.monotonic() >= self.deadline:
                break
            genotype = self.space.check(proposal.genotype, PROPOSAL)
            key = canonical_json(genotype)
            why = self._known.get(key)
            if why is None:
                candidate, why = self._candidate(proposal, number, seen)
                if candidate is not None:
                    return dataclasses.replace(candidate, refused=tuple(own.values()))
            if why != DUPLICATE and len(turned_down) < ASKED:  # what is drawn after that is not the strategy's
                self._known[key] = why
                if key not in self._kept:
                    own.setdefault(key, (genotype, why))
            self.refused[why] += 1
            turned_down.append(_refused(len(shown) + len(turned_down), genotype, why))
        self.exhausted = self._numbers(self.refused - before, number)
        return None

    def _candidate(self, proposal: Proposal, number: int, seen: set[str]) -> tuple[Candidate | None, str]:
        """The candidate of a proposal, or why it is none."""
        try:
            candidate = make_candidate(self.space, proposal, number, self.express)
        except BlueprintError:  # a block may refuse a combination of genes that are each fine
            return None, "no network"
        why = DUPLICATE if candidate.digest in seen else over_limit(candidate, self.settings)
        return (candidate, "") if why is None else (None, why)

    def _costs(self, genotype: Genotype) -> Network | None:
        assert self.express is not None
        try:
            blueprint, recipe = self.express(genotype)
        except BlueprintError:
            return None
        if over_limit(Candidate(0, genotype, "", blueprint=blueprint, recipe=recipe), self.settings) is not None:
            return None
        return Network(blueprint.parameters, blueprint.flops, partial(candidate_digest, genotype, blueprint, recipe))

    def _with_refused(self, records: Sequence[Record]) -> list[Record]:
        """The records, with what was refused before each of them in front of it, by the limits that hold now."""
        rows: list[Record] = []
        for place, record in enumerate(records):
            if place == len(self._rows):
                refused = [(genotype, self._still(genotype, why, place)) for genotype, why in record.refused]
                still = [(genotype, why) for genotype, why in refused if why]
                self._rows.append([_refused(len(rows) + at, *each) for at, each in enumerate(still)])
                self._known |= {canonical_json(genotype): why for genotype, why in still}
                self._kept |= {canonical_json(genotype) for genotype, _ in still}
            rows += self._rows[place]
            rows.append(record)
        return rows

    def _still(self, genotype: Genotype, why: str, place: int) -> str:
        """Why a genotype that was refused, here or by an earlier or another driver, would be refused now; empty if it would not
        be: limits may differ."""
        if self.express is None or time.monotonic() >= self.deadline:
            return why
        return self._known.get(canonical_json(genotype)) or self._candidate(Proposal(genotype), place, set())[1]

    def _numbers(self, refused: Counter[str], number: int) -> str:
        """What was turned down in vain, with the limits that did it."""
        counts = refused_words(refused, self.settings)
        return f"of {refused.total():,} proposals for candidate {number} none was new and within the limits: {counts}"

    def _proposals(self, shown: list[Record], turned_down: list[Record], number: int) -> Iterator[Proposal]:
        for genotype in self.first[number:]:
            yield Proposal(genotype, operator="known")
        for _ in range(ASKED):
            yield self.strategy.propose([*shown, *turned_down], number)
        rng = random.Random(f"{self.settings.seed}/{number}/drawn")
        for _ in range(DRAWN):
            yield Proposal(self.space.sample(rng), operator="random")
        size = self.space.size(COUNTED)
        if size is not None:
            start = rng.randrange(size)
            around = itertools.chain(self.space.enumerate(), self.space.enumerate())
            for genotype in itertools.islice(around, start, start + size):
                yield Proposal(genotype, operator="random")


def refused_words(refused: Counter[str], settings: Settings) -> str:
    """How many were refused and why, with the limits that did it."""
    counts = []
    for why, count in refused.most_common():
        limit = getattr(settings, why.removeprefix("over ").replace("-", "_"), None)
        counts.append(f"{count:,} {why}{f' ({limit:,})' if limit else ''}")
    return listing(counts)


def _refused(place: int, genotype: Genotype, why: str) -> Record:
    return Record(-1 - place, genotype, "refused", reason=why)


def make_candidate(space: SearchSpace, proposal: Proposal, number: int, express: Express | None) -> Candidate:
    """The proposal with its network drawn and its digest: of blueprint and recipe, or of the genotype alone.

    Raises SpaceError if the proposal is not of the space.
    """
    genotype = space.check(proposal.genotype, PROPOSAL)
    blueprint, recipe = express(genotype) if express else (None, None)
    digest = candidate_digest(genotype, blueprint, recipe)
    return Candidate(number, genotype, digest, proposal.parents, proposal.operator, blueprint, recipe)


def candidate_digest(genotype: Genotype, blueprint: Blueprint | None, recipe: Recipe | None) -> str:
    """By what equal candidates are known: network and recipe, or the genotype where it describes none."""
    facts = [blueprint.digest, recipe.to_dict()] if blueprint and recipe else genotype
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:12]


def over_limit(candidate: Candidate, settings: Settings) -> str | None:
    """Which limit a candidate's blueprint breaks, as the option's name; None if none."""
    if candidate.blueprint is None or candidate.recipe is None:
        return None
    blueprint = candidate.blueprint
    measured = (
        ("max-params", settings.max_params, blueprint.parameters),
        ("max-flops", settings.max_flops, blueprint.flops),
        ("max-memory", settings.max_memory, blueprint.memory(candidate.recipe.batch_size)),
    )
    return next((f"over {name}" for name, most, found in measured if most is not None and found > most), None)
