"""What has changed, in words: since a run began its space, its data, its libraries; from a parent to its child the genes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nas.messages import DataCard, Record
from nas.space import Genotype
from nas.space.genes import same
from nas.space.space import flatten

SHOWN = 5  # differences named in a message


def space_changes(then: Any, now: Any) -> str:
    """The differences between two spaces (or any plain data), key by key."""
    return _shown([words for _, words in _differences("", then, now)])


def gene_changes(parent: Genotype, child: Genotype, other: Record | None = None) -> str:
    """The genes in which a child is not its parent, and which of them it has from the other one; empty if there is none."""
    now, theirs, found = flatten(child), flatten(other.genotype) if other is not None else {}, []
    for path, words in _differences("", flatten(parent), now):
        has = path in now and path in theirs and same(theirs[path], now[path])
        found.append(f"{words} (as in #{other.number})" if other is not None and has else words)
    return _shown(found)


def _shown(found: list[str]) -> str:
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _differences(path: str, then: Any, now: Any) -> Iterator[tuple[str, str]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            inner = f"{path}.{key}" if path else str(key)
            if key not in now:
                yield inner, f"{inner} is gone"
            elif key not in then:
                yield inner, f"{inner} is new"
            else:
                yield from _differences(inner, then[key], now[key])
    elif then != now or type(then) is not type(now):
        yield path, f"{path} was {then!r}, is {now!r}" if str(then) == str(now) else f"{path} was {then}, is {now}"


def data_changes(then: dict[str, Any], now: DataCard) -> str:
    """The differences between a run's data, as its `run.yaml` has it, and the data that is there now."""
    found: list[str] = []
    before = dict(zip(map(str, _list(then, "classes")), _list(then, "counts"), strict=False))
    after = dict(zip(now.classes, now.counts, strict=True))
    for name in {**before, **after}:
        if name not in after:
            found.append(f"the class '{name}' is gone")
        elif name not in before:
            found.append(f"the class '{name}' is new")
        elif before[name] != after[name]:
            had = f"{before[name]:,}" if isinstance(before[name], int) else str(before[name])
            found.append(f"'{name}' had {had} usable pictures, has {after[name]:,}")
    if _list(then, "shape") != list(now.shape):
        found.append(f"pictures were {_size(_list(then, 'shape'))}, are {_size(now.shape)}")
    return _shown(found) or "as many pictures of each class as before, but not the same ones"


def _list(facts: dict[str, Any], name: str) -> list[Any]:
    """A list of `run.yaml`, which a person may have changed."""
    found = facts.get(name)
    return found if isinstance(found, list) else []


def _size(shape: Any) -> str:
    return "×".join(map(str, shape))


def version_changes(then: dict[str, Any], now: dict[str, str]) -> str:
    """Libraries that are another version than when the run began; empty if none is."""
    return ", ".join(f"{name} {then[name]} → {now[name]}" for name in now if name in then and str(then[name]) != now[name])
