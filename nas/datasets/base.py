"""What a data set is: a function from a part (`train` or `test`) to pictures, entered in a table by name.

It answers `Arrays` (pictures in memory) or `Files` (pictures still to be decoded). `prepare.py` turns either into the cache
that workers read. A new data set is one file with a `@register_dataset` line; a user's own comes by `--plugin`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from nas.errors import DatasetError
from nas.paths import expanded
from nas.registry import Registry

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Arrays:
    """Pictures in memory: `images` uint8 [n, height, width, channels] with 1 or 3 channels, `labels` int [n] from 0."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Files:
    """Pictures on disk: `labels[i]` belongs to `files[i]`. `refused` are files that are no pictures, with the reason."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


Load: TypeAlias = Callable[[Part, Path | None], Arrays | Files]
"""From the part and the data directory (None if none is set). Raises DatasetError. Must never touch the other part."""


@dataclass(frozen=True)
class Dataset:
    """An entry of the table. `present(data_dir)` says where it lies on this machine, or None; `get` how to come by it;
    `mirrored` whether a picture means the same in a mirror, as a cat does and a letter does not; `listed` whether `load`
    answers `Files`, whose names can be looked at before a test part is opened."""

    load: Load
    about: str
    test: str
    get: str
    mirrored: bool
    listed: bool
    present: Callable[[Path | None], str | None]


DATASETS: Registry[Dataset] = Registry("data set", DatasetError)


def register_dataset(
    name: str,
    *,
    about: str = "",
    test: str = "its own test part",
    get: str = "",
    mirrored: bool = True,
    listed: bool = False,
    present: Callable[[Path | None], str | None] = lambda _: "here",
) -> Callable[[Load], Load]:
    """A decorator: enters a loading function under `name`. `about` defaults to the first line of its docstring."""

    def enter(load: Load) -> Load:
        words = about or (load.__doc__ or "").strip().splitlines()[0:1]
        said = words if isinstance(words, str) else " ".join(words)
        DATASETS.register(name)(Dataset(load, said, test, get, mirrored, listed, present))
        return load

    return enter


def data_dir(option: str | None) -> Path | None:
    """The folder of downloaded data sets: `--data-dir`, or the environment's NAS_DATA_DIR. Raises DatasetError."""
    name, source = (option, "--data-dir") if option else (os.environ.get("NAS_DATA_DIR"), "NAS_DATA_DIR")
    if not name:
        return None
    folder = expanded(name)
    if not os.path.isdir(folder):
        raise DatasetError(f"the folder '{name}' does not exist", source)
    return folder
