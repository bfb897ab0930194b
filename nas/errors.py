"""Every error a user can cause or meet, in one tree.

    NasError                 something the user should read; never shown as a traceback
    ├── InputError           what was typed or written is wrong              exit code 2
    │   ├── SpaceError       a search space
    │   ├── ConfigError      a configuration file or an option
    │   ├── BlueprintError   a network that cannot exist
    │   ├── DatasetError     a data set
    │   └── RunError         a run folder
    │       └── Damaged      a file in it that can no longer be read
    └── RunFailed            the input was fine, the run was not             exit code 1
        ├── NothingTrained   no candidate could be trained
        ├── TimeOver         there was too little time for anything
        ├── OverMemory       it wanted more memory than there is, or than it may have
        └── ServiceFailed    a cluster, or the server of a shared ledger, was not reached or refused something
            └── NoAnswer     or did not answer, which it may do later

A message names the place, what was found, what is allowed and the nearest valid name. `registry.py` uses this; read that next.
"""

from __future__ import annotations

import contextlib
import difflib
import traceback
from collections.abc import Iterable


class NasError(Exception):
    """Base of all errors that are meant to be read by the user."""

    exit_code = 1


class InputError(NasError):
    """What was typed or written is wrong. `place` says where: a file with its line, or an option."""

    exit_code = 2

    def __init__(self, message: str, place: str | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)


class SpaceError(InputError):
    """A search space, or a genotype that is not in it."""


class ConfigError(InputError):
    """A configuration file or an option."""


class BlueprintError(InputError):
    """A network that cannot exist: a block that is not known, a kernel of size zero."""


class DatasetError(InputError):
    """A data set that is missing, empty or unreadable."""


class RunError(InputError):
    """A run folder that is missing, in use, or does not fit what was asked."""


class Damaged(RunError):
    """A file of a run that can no longer be read whole."""


class RunFailed(NasError):
    """The input was fine, but the run could not do its work."""


class NothingTrained(RunFailed):
    """Every candidate of a run ended, and none of them was trained."""


class TimeOver(RunFailed):
    """The time was over before any candidate had been trained for an epoch."""


class OverMemory(RunFailed):
    """What was to be done wanted more memory than there is, or than it may have."""


class ServiceFailed(RunFailed):
    """A cluster, or the server of a shared ledger, could not be reached, or refused something: no candidate's fault."""


class NoAnswer(ServiceFailed):
    """The server of a shared ledger did not answer, or was not done in time; it may be asked again."""


def print_traceback() -> None:
    """The error that is being handled, to standard error: in a worker that is the log, which may lie on a full disk."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


def first_line(words: object) -> str:
    """The first line of an error's message, or of any text; pages may follow it. An error without a message is called by its
    kind."""
    lines = str(words).strip().splitlines()
    return (lines[0] if lines else type(words).__name__ if isinstance(words, BaseException) else "")[:300]


def listing(names: Iterable[object]) -> str:
    """Names for a message: `a, b, c`."""
    return ", ".join(str(name) for name in names)


def counted(number: int, noun: str) -> str:
    """`1 candidate`, `1,200 candidates`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_score(score: float) -> str:
    """A score as accuracies are written, with four decimals; one of another size, of somebody's own, with four digits."""
    return f"{score:.4f}" if score == 0 or 1e-3 <= abs(score) < 1e5 else f"{score:.4g}"


def to_install(extra: str) -> str:
    """How to get what an extra brings. Not by the name `nas[…]` alone: on PyPI that is another project."""
    return f"in the folder of nas's source, pip install -e '.[{extra}]'"


def did_you_mean(found: object, allowed: Iterable[object]) -> str:
    """` (did you mean 'x'?)`, or nothing when no allowed name is near."""
    near = difflib.get_close_matches(str(found), [str(name) for name in allowed], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def unknown(what: str, found: object, allowed: Iterable[object]) -> str:
    """The message for a wrong name: what it is, the nearest valid one, and all that are allowed."""
    allowed = list(allowed)
    return f"unknown {what} '{found}'{did_you_mean(found, allowed)}\n       allowed here: {listing(allowed)}"
