"""From YAML (or a dictionary of the same form) to a `SearchSpace`, with errors that name file, line and key.

The form, with everything that may stand in it:

    name: mine
    about: a sentence or two                       # optional
    groups:                                        # optional: genes that repeat together
      blocks:
        repeat: [1, 5]
        genes: {filters: {ordered: [16, 32, 64]}}
    genes:
      optimizer: {choice: [adam, sgd]}             # unordered
      width: {ordered: [16, 32, 64]}               # neighbours are near
      rate: {range: [1e-4, 0.1], log: true}        # numbers; `step` optional; integers where both ends are
      momentum: {range: [0, 0.99], when: {optimizer: sgd}}
      loss: crossentropy                           # a value alone is a gene that cannot change
"""

from __future__ import annotations

import copy
import re
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import SpaceError, did_you_mean, listing, unknown
from nas.shipped import shipped_file
from nas.space.genes import Choice, Gene, Ordered, Range, Value, When, same
from nas.space.space import Group, SearchSpace, describe
from nas.yamlfile import Document, read

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
MOST_REPEATS = 100
MOST_VALUES = 1_000
LEAST_STEP = 1e-9  # values are rounded to twelve decimals


def read_space(space: str | Path | dict[str, Any] | SearchSpace) -> SearchSpace:
    """A space from the name of a shipped one, a path, or a dictionary. Raises SpaceError."""
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, dict):
        return _space(Document(_plain_copy(space), "space"))
    return _space(read(shipped_file("search_spaces", str(space), "search space", SpaceError), SpaceError))


def _plain_copy(space: dict[str, Any]) -> dict[str, Any]:
    """A dictionary of the same form may hold tuples and numpy's values, which YAML does not know."""

    def plain(data: Any) -> Any:
        data = data.tolist() if hasattr(data, "tolist") else data
        if isinstance(data, dict):
            return {key: plain(value) for key, value in data.items()}
        return [plain(item) for item in data] if isinstance(data, list | tuple) else copy.copy(data)

    copied: dict[str, Any] = plain(space)
    return copied


def _space(doc: Document) -> SearchSpace:
    data = _mapping(doc, (), doc.data, ("name", "about", "groups", "genes"), "a search space")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise SpaceError("a search space needs a 'name:' (a word)", doc.place("name"))
    about = data.get("about", "")
    if not isinstance(about, str):
        raise SpaceError(f"about: a sentence is expected, found {about!r}", doc.place("about"))
    genes = _genes(doc, ("genes",), data.get("genes", {}), "", {})
    groups = {key: _group(doc, key, value, genes) for key, value in _named(doc, ("groups",), data.get("groups", {}))}
    for key in groups:
        if key in genes:
            raise SpaceError(f"'{key}' is the name of a gene and of a group", doc.place("groups", key))
    if not genes and not groups:
        raise SpaceError("a search space needs 'genes:'", doc.place())
    places = {key: doc.place("genes", key) for key in genes if doc.lines}  # a dictionary has no lines
    for key, group in groups.items() if doc.lines else ():
        places |= {f"{key}.{gene}": doc.place("groups", key, "genes", gene) for gene in group.genes}
    return SearchSpace(name, genes, groups, " ".join(about.split()), doc.data, places)


def _group(doc: Document, name: str, data: Any, outer: dict[str, Gene]) -> Group:
    data = _mapping(doc, ("groups", name), data, ("repeat", "genes"), f"the group '{name}'")
    place = doc.place("groups", name, "repeat")
    ends = data.get("repeat")
    ends = [ends, ends] if isinstance(ends, int) and not isinstance(ends, bool) else ends
    whole = isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends)
    if not whole or not 0 <= ends[0] <= ends[1] <= MOST_REPEATS:
        raise SpaceError(f"{name}.repeat: two whole numbers are expected, such as [1, 5], from 0 to {MOST_REPEATS}", place)
    genes = _genes(doc, ("groups", name, "genes"), data.get("genes", {}), f"{name}.", outer)
    if not genes:
        raise SpaceError(f"the group '{name}' needs 'genes:'", doc.place("groups", name))
    return Group(Range(ends[0], ends[1]), genes)


def _genes(doc: Document, at: tuple[str, ...], data: Any, prefix: str, outer: dict[str, Gene]) -> dict[str, Gene]:
    genes: dict[str, Gene] = {}
    for name, value in _named(doc, at, data):
        if name == "repeat" and prefix:
            raise SpaceError(f"{prefix}{name}: 'repeat' is kept for the length of a group", doc.place(*at, name))
        genes[name] = _gene(doc, (*at, name), value, prefix + name, ChainMap(genes, outer))
    return genes


def _gene(doc: Document, at: tuple[str, ...], data: Any, path: str, before: Mapping[str, Gene]) -> Gene:
    place = doc.place(*at)
    if not isinstance(data, dict):
        return Choice((_value(data, path, place),))
    kinds = ("choice", "ordered", "range")
    for key in data:
        if key not in (*kinds, "when", "log", "step"):
            # With the kind itself misspelt, only the kinds are worth listing.
            allowed = (*kinds, "when", "log", "step") if any(kind in data for kind in kinds) else kinds
            raise SpaceError(f"{path}: {unknown('key', key, allowed)}", doc.place(*at, str(key)))
    found = [kind for kind in kinds if kind in data]
    if len(found) != 1:
        raise SpaceError(f"{path}: a gene has exactly one of {listing(kinds)}; found {listing(found) or 'none'}", place)
    for key in ("log", "step"):
        if key in data and found != ["range"]:
            raise SpaceError(f"{path}: '{key}' goes with 'range' only", doc.place(*at, key))
    when = _when(doc, (*at, "when"), data.get("when", {}), path, before)
    if found == ["range"]:
        return _range(doc, at, data, path, when)
    values = data[found[0]]
    if not isinstance(values, list) or not values or len(values) > MOST_VALUES:
        raise SpaceError(f"{path}: '{found[0]}' needs a list of 1 to {MOST_VALUES:,} values", doc.place(*at, found[0]))
    checked = tuple(_value(value, path, place) for value in values)
    for index, value in enumerate(checked):
        if value in checked[:index]:  # Python's == on purpose: 1, 1.0 and true must not stand side by side
            raise SpaceError(f"{path}: {value!r} stands here twice, or equals another value", doc.place(*at, found[0]))
    return (Choice if found == ["choice"] else Ordered)(checked, when)


def _range(doc: Document, at: tuple[str, ...], data: dict[str, Any], path: str, when: When) -> Range:
    place = doc.place(*at)
    ends = data["range"]
    if not isinstance(ends, list) or len(ends) != 2 or not all(_number(end) for end in ends) or ends[0] >= ends[1]:
        raise SpaceError(f"{path}: 'range' needs two numbers, the lower one first; found {ends!r}", place)
    log, step = data.get("log", False), data.get("step")
    if not isinstance(log, bool):
        raise SpaceError(f"{path}: 'log' is true or false; found {log!r}", place)
    if log and ends[0] <= 0:
        raise SpaceError(f"{path}: a logarithmic range starts above 0; found {ends[0]}", place)
    if log and step is not None:
        raise SpaceError(f"{path}: a logarithmic range has no 'step'", place)
    if step is not None and (not _number(step) or not LEAST_STEP <= step <= ends[1] - ends[0]):
        raise SpaceError(f"{path}: 'step' must be at least {LEAST_STEP:g} and fit into the range; found {step!r}", place)
    low, high = ends
    if isinstance(step, float) or type(low) is not type(high):  # a fraction anywhere makes it a range of real numbers
        low, high = float(low), float(high)
    return Range(low, high, log, step, when)


def _when(doc: Document, at: tuple[str, ...], data: Any, path: str, before: Mapping[str, Gene]) -> When:
    conditions: dict[str, tuple[Value, ...]] = {}
    for name, wanted in _named(doc, at, data):
        place = doc.place(*at, name)
        if name not in before:
            hint = did_you_mean(name, before)
            raise SpaceError(f"{path}: 'when' names '{name}', which is no gene above this one{hint}", place)
        values = wanted if isinstance(wanted, list) else [wanted]
        for value in values:
            if not before[name].contains(value):
                raise SpaceError(f"{path}: '{name}' is never {value!r}: {describe(before[name])}", place)
        if not values:
            raise SpaceError(f"{path}: 'when' needs at least one value of '{name}'", place)
        conditions[name] = tuple(before[name].canonical(value) for value in values)
    return conditions


def _value(value: Any, path: str, place: str) -> Value:
    if isinstance(value, bool | str) or (isinstance(value, int | float) and _number(value)):
        return value
    raise SpaceError(f"{path}: a word, a number, true or false is expected; found {value!r}", place)


def _number(value: Any) -> bool:
    finite = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return finite and same(value, value)


def _mapping(doc: Document, at: tuple[str, ...], data: Any, allowed: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise SpaceError(f"{what} is a mapping with the keys {listing(allowed)}; found {data!r}"[:300], doc.place(*at))
    for key in data:
        if key not in allowed:
            raise SpaceError(f"{what}: {unknown('key', key, allowed)}", doc.place(*at, str(key)))
    return data


def _named(doc: Document, at: tuple[str, ...], data: Any) -> list[tuple[str, Any]]:
    """The entries of a mapping whose keys are names that the user chose."""
    if not isinstance(data, dict):
        raise SpaceError(f"'{at[-1]}' is a mapping from names; found {data!r}"[:300], doc.place(*at))
    for key in data:
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise SpaceError(
                f"'{key}' is no name: letters a to z, digits, - and _, no digit or - first", doc.place(*at, str(key))
            )
    return list(data.items())
