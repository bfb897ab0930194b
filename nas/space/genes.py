"""Genes: single decisions of a search space.

Three kinds: `Choice` (unordered), `Ordered` (a list in which neighbours are near) and `Range` (numbers, linear or log).
Each can be sampled, asked for its neighbours, and says how many values it has. `space.py` puts them together; read that next.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool
"""What a gene can be."""

When: TypeAlias = Mapping[str, tuple[Value, ...]]
"""A condition: gene → the values under which the gene that has the condition is active. All entries must hold."""


MOVES = (1 / 10, 1 / 40)  # parts of a range by which a number moves: to search far away, and around what is good
MOST_STEPS = 25  # in the smaller of them, for a single step to be one more


def same(a: object, b: object) -> bool:
    """Equality that keeps `1`, `1.0` and `true` apart, which Python's `==` does not."""
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Choice:
    """One of several values without an order."""

    values: tuple[Value, ...]
    when: When = field(default_factory=dict)

    def sample(self, rng: random.Random) -> Value:
        return self.values[rng.randrange(len(self.values))]

    @cached_property
    def _own(self) -> frozenset[tuple[type, Value]]:
        return frozenset((type(value), value) for value in self.values)  # of those that `same` keeps apart

    def contains(self, value: object) -> bool:
        return isinstance(value, str | int | float) and (type(value), value) in self._own

    def canonical(self, value: Value) -> Value:
        return value

    def index(self, value: Value) -> int:
        """Position of `value`. Raises ValueError if it is not one of the values."""
        for index, own in enumerate(self.values):
            if same(value, own):
                return index
        raise ValueError(f"{value!r} is not one of {self.values}")

    def neighbours(self, value: Value) -> list[Value]:
        """All other values: none is nearer than another."""
        return [own for own in self.values if not same(own, value)]

    def count(self) -> int:
        return len(self.values)

    def at(self, index: int) -> Value:
        return self.values[index]

    def extremes(self) -> list[Value]:
        """The values that a check has to try: here all of them."""
        return list(self.values)


@dataclass(frozen=True)
class Ordered(Choice):
    """One of several values in an order: a step goes to the value before or after."""

    def neighbours(self, value: Value) -> list[Value]:
        index = self.index(value)
        return [self.values[near] for near in (index - 1, index + 1) if 0 <= near < len(self.values)]


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; an integer where both ends are.

    With `log`, the logarithm is uniform. Values are `low + k·step` where there is a step (1 for integers), otherwise
    they are rounded to four digits (of the number with `log`, else of the range's width): a recipe stays readable.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None
    when: When = field(default_factory=dict)

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def sample(self, rng: random.Random) -> Value:
        if self.log:
            return self.canonical(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        count = self.count()
        return self.canonical(rng.uniform(self.low, self.high)) if count is None else self.at(rng.randrange(count))

    def contains(self, value: object) -> bool:
        kinds = (int,) if self.integer else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return self.low <= value <= self.high and math.isclose(float(self.canonical(value)), value, rel_tol=1e-9)

    def canonical(self, value: Value) -> Value:
        """The nearest value of this gene."""
        number = float(value)
        step = self.step or (1 if self.integer and not self.log else None)
        if step is not None:
            number = self.low + round((number - self.low) / step) * step
        number = min(max(number, self.low), self.last)
        if self.integer:
            return round(number)
        # Rounding may step over an end; the ends themselves are always values.
        if step:
            rounded = round(number, 12) + 0.0
        elif self.log:
            rounded = float(f"{number:.4g}")
        else:
            rounded = round(number, 4 - math.floor(math.log10(self.high - self.low))) + 0.0
        return min(max(rounded, float(self.low)), float(self.last))

    @property
    def last(self) -> int | float:
        """The highest value that can be had: below `high` where the steps do not meet it."""
        if self.step is None:
            return self.high
        last = self.low + int((self.high - self.low) / self.step + 1e-9) * self.step
        return last if self.integer else min(round(last, 12), self.high)

    def neighbours(self, value: Value) -> list[Value]:
        """Down and up: by parts of the (logarithmic) range, a large and a small one, and by one step where that is not next to
        nothing beside the small part."""
        number, width = float(value), self.high - self.low
        near: list[float] = []
        for part in MOVES:
            if self.log:
                factor = math.exp((math.log(self.high) - math.log(self.low)) * part)  # high / low may overflow
                near += [number / factor, number * factor]
            else:
                near += [number - part * width, number + part * width]
        step = self.step or (1 if self.integer else math.inf)
        if near[-1] - number <= MOST_STEPS * step < math.inf:  # a part of the range may round back to where it began
            near += [number - step, number + step]
        values = [self.canonical(each) for each in near]
        return [each for index, each in enumerate(values) if not same(each, value) and each not in values[:index]]

    def count(self) -> int | None:
        """How many values there are; None where they are not counted (a range of real numbers)."""
        if self.integer and self.step is None:
            return int(self.high - self.low) + 1
        if self.step is not None and not self.log:
            return int((self.high - self.low) / self.step + 1e-9) + 1
        return None

    def at(self, index: int) -> Value:
        """The value number `index`, counted from 0 at `low`. Only for a range that can be counted."""
        return self.canonical(self.low + index * (self.step or 1))

    def extremes(self) -> list[Value]:
        return [self.canonical(self.low), self.canonical(self.high)]


Gene: TypeAlias = Choice | Ordered | Range
