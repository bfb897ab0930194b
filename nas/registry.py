"""Tables of named parts: blocks, data sets, strategies, executors, formats.

A table refuses a name twice and answers a wrong name with the nearest right one. Each part's package fills its own table;
a user's file given by `--plugin` adds to those of blocks, data sets, strategies and executors through `nas.register_…`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from nas.errors import InputError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Name → part, in order of registration. `what` is the word for it in messages; `error` the class raised."""

    def __init__(self, what: str, error: type[InputError] = InputError) -> None:
        self.what = what
        self.error = error
        self._parts: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that enters the part under `name`. Raises `self.error` if the name is taken."""

        def enter(part: T) -> T:
            if name in self._parts:
                raise self.error(f"the {self.what} '{name}' is registered already; choose another name")
            self._parts[name] = part
            return part

        return enter

    def __getitem__(self, name: str) -> T:
        if name not in self._parts:
            raise self.error(unknown(self.what, name, self._parts))
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def names(self) -> list[str]:
        return list(self._parts)
