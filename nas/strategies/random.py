"""Random search: every proposal drawn on its own. The yardstick for all others (Bergstra & Bengio 2012)."""

from __future__ import annotations

from collections.abc import Sequence

from nas.config import Settings
from nas.messages import Proposal, Record
from nas.space import SearchSpace
from nas.strategies.base import register_strategy, rng_for


@register_strategy("random")
class RandomSearch:
    """Draws from the space, seeded by (seed, number)."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        self.space, self.seed = space, seed

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        return Proposal(self.space.sample(rng_for(self.seed, number, records)), operator="random")
