"""What a strategy is: a proposal from the records alone.

A strategy is made from (space, seed, settings) and is a pure function of (records, number): it may cache what follows from
them, nothing else, so a search goes on after a restart as if nothing had happened. `asking.py` is who asks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nas.config import Settings
from nas.errors import ConfigError
from nas.messages import Proposal, Record
from nas.registry import Registry
from nas.space import Genotype, SearchSpace


@dataclass(frozen=True)
class Network:
    """A genotype's network: what it costs, and its digest with its recipe, as records have it, for whoever wants to know."""

    parameters: int
    flops: int
    digest: Callable[[], str]


Costs: TypeAlias = Callable[[Genotype], Network | None]
"""The network of a genotype; None if it would be refused: it makes none, or one over a limit."""


class Strategy(Protocol):
    """Proposes the candidate `number`. If it has an attribute `costs`, a function `Costs` is put there before it is asked,
    where genotypes describe networks.

    Rows of `records` whose state is `refused` are proposals that were turned down; they stand before the candidate that was
    taken in their place. Those at the end are what was proposed for this number already.
    """

    def propose(self, records: Sequence[Record], number: int) -> Proposal: ...


MakeStrategy: TypeAlias = Callable[[SearchSpace, int, Settings], Strategy]
"""From the space, the seed, and the settings, of which a strategy reads its own part."""

BREEDERS = 10  # the best so many, of which children come where they are chosen from a pool

STRATEGIES: Registry[MakeStrategy] = Registry("strategy", ConfigError)
register_strategy = STRATEGIES.register


def refusals(records: Sequence[Record]) -> int:
    """How many proposals for this number were turned down already."""
    count = 0
    while count < len(records) and records[-1 - count].state == "refused":
        count += 1
    return count


def rng_for(seed: int, number: int, records: Sequence[Record]) -> random.Random:
    """A generator for one proposal, and another one after each refusal."""
    return random.Random(f"{seed}/{number}/{refusals(records)}")


def seed_for(seed: int, number: int, tries: int) -> int:
    """A 32-bit seed for a library that wants a number."""
    return random.Random(f"{seed}/{number}/{tries}").getrandbits(32)


def rank_of(record: Record) -> tuple[float, float, float]:
    """How good a record is, for comparing: trained before stopped, more epochs before fewer, then the score.

    A stopped candidate's score after 3 epochs says little beside a full one's; that it was stopped says more.
    """
    if record.state == "trained" and record.value is not None:
        return (2.0, 0.0, record.value)
    if record.state == "stopped" and record.value is not None:
        return (1.0, float(record.epochs), record.value)
    return (0.0, 0.0, 0.0)
