"""What travels with a job to another machine, and back: the files that it reads and writes, and the pictures.

A job names files of the run folder, which another machine may not have. So its parcel carries what they hold; where it is
unpacked, the job names copies, and what is written into these comes back as content. The pictures go another way: a machine
that has none asks for them once (`datasets/fetched.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.blueprint import Blueprint
from nas.messages import Content, DataCard, Job

READ = ("checkpoint", "inherits")  # fields of a job that name a file
WRITTEN = ("checkpoint", "model")


@dataclass(frozen=True)
class Parcel:
    """A job (or what holds one, or any argument) with the content of its files, by the field that names them, and of the
    backbones that its network begins with, by their names here."""

    argument: Any
    files: Mapping[str, bytes] = field(default_factory=dict)
    backbones: Mapping[str, bytes] = field(default_factory=dict)


def packed(argument: Any) -> Parcel:
    """With the content of what it reads, as far as that is there."""
    job = _job(argument)
    if job is None:
        return Parcel(argument)
    files = {}
    for name in READ:
        with contextlib.suppress(OSError):
            files[name] = Path(getattr(job, name) or "/").read_bytes()
    origins = {node.origin.file for node in job.blueprint.nodes if node.origin is not None}
    return Parcel(argument, files, {name: Path(name).read_bytes() for name in sorted(origins)})


def unpacked(parcel: Parcel, folder: Path, cache_of: Callable[[DataCard], str]) -> Any:
    """The argument, with its files in `folder` and its pictures where `cache_of` says."""
    job = _job(parcel.argument)
    if job is None:
        return parcel.argument
    places: dict[str, Any] = {
        name: str(folder / Path(named).name) for name in {*READ, *WRITTEN} if (named := getattr(job, name))
    }
    for name, content in parcel.files.items():
        Path(places[name]).write_bytes(content)
    moved = {}
    for place, (name, content) in enumerate(parcel.backbones.items()):
        moved[name] = str(folder / f"backbone-{place}.keras")
        Path(moved[name]).write_bytes(content)
    data = dataclasses.replace(job.data, cache=cache_of(job.data))
    here = dataclasses.replace(job, data=data, blueprint=_with_backbones(job.blueprint, moved), **places)
    return here if parcel.argument is job else dataclasses.replace(parcel.argument, job=here)


def _with_backbones(blueprint: Blueprint, moved: Mapping[str, str]) -> Blueprint:
    """The network with the files of its backbones where they are now."""
    if not moved:
        return blueprint
    nodes = []
    for node in blueprint.nodes:
        origin = node.origin and dataclasses.replace(node.origin, file=moved[node.origin.file])
        nodes.append(dataclasses.replace(node, origin=origin))
    return dataclasses.replace(blueprint, nodes=tuple(nodes))


def _job(argument: Any) -> Job | None:
    found = getattr(argument, "job", argument)
    return found if isinstance(found, Job) else None


class Written:
    """What a job's files have become since the last look."""

    def __init__(self, argument: Any) -> None:
        job = _job(argument)
        self._files = {name: Path(getattr(job, name)) for name in WRITTEN if getattr(job, name, "")}
        self._seen = {name: _stamp(file) for name, file in self._files.items()}

    def fresh(self) -> dict[str, bytes]:
        """The content of those that are new, by the field that names them."""
        found = {}
        for name, file in self._files.items():
            stamp = _stamp(file)
            if stamp is not None and stamp != self._seen[name]:
                self._seen[name] = stamp
                found[name] = file.read_bytes()
        return found


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns  # files are replaced, not written over: a new one has another inode


def content_of(cache: str) -> Content:
    """The files of prepared pictures, mapped rather than read: as plain arrays, which go into Ray's store by one copy, where a
    `memmap` would be pickled with its content."""
    files = [file for file in sorted(Path(cache).iterdir()) if file.is_file()]
    return {file.name: np.asarray(np.memmap(file, np.uint8, "r")) for file in files}
