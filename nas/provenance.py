"""Where a run comes from: everything that `run.yaml` holds, so that the search can be done again."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.blueprint import BACKBONE
from nas.blueprint.backbone import backbone_digest
from nas.config import Settings
from nas.datasets.prepare import card_facts
from nas.messages import DataCard, Record
from nas.space import SearchSpace

SEARCH, TRAINING, PART = "search", "training", "part of a retraining"
"""Kinds of runs: that of `nas search`, of `nas train`, and those inside a run that `nas retrain` makes."""


def provenance(
    space: SearchSpace, chosen: Settings, card: DataCard | None, machine: dict[str, str], kind: str
) -> dict[str, Any]:
    """What `run.yaml` holds."""
    return {
        "kind": kind,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": {"system": platform.platform(), **machine},
        "plugins": plugin_digests(chosen),
        "settings": chosen.model_dump(mode="json"),
        "digests": {"space": space.digest, "data": card.digest if card else None, "backbones": backbone_digests(space)},
        "data": card_facts(card) if card else None,
        "space": space.source,
        **({"driver": uuid.uuid4().hex[:12]} if chosen.storage is not None else {}),  # its name where several share a ledger
    }


def backbone_digests(space: SearchSpace) -> dict[str, str]:
    """Name → digest of every backbone that a space names. Raises BlueprintError."""
    named = space.genes[BACKBONE].extremes() if BACKBONE in space.genes else []
    return {str(name): backbone_digest(str(name)) for name in named}


def versions() -> dict[str, str]:
    """Of Python, of this package and of the libraries that decide a result, as far as they are installed."""
    packages = ("nas", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "optuna", "deap", "numpy", "pandas")
    found = {"python": platform.python_version(), **{name: version_of(name) for name in packages}}
    return {name: version for name, version in found.items() if version}


def plugin_digests(chosen: Settings) -> dict[str, str]:
    """File → digest of what stands in it, of every plugin that can be read."""
    files = [Path(file) for file in chosen.plugin]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files if file.is_file()}


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def alone(record: Record, facts: Mapping[str, Any]) -> Record:
    """A record as it stands in its run, of these facts: what a part of a retraining has for parents are candidates of another
    one."""
    if facts.get("kind") != PART or not record.parents:
        return record
    return dataclasses.replace(record, parents=(), operator=f"{record.operator} of #{record.parents[0]} of the search")
