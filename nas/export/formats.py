"""Formats in which a model is handed to other programs: a table of writers and readers, one file for each format.

A format writes one file (or folder) that takes raw pixels, and reads it back in the runtime that its users will have: what is
checked after an export is what they will get. `exporting.py` tells the whole story; read that next.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.answers import Answer, HandedOver
from nas.errors import ConfigError, listing, to_install
from nas.quiet import quietly
from nas.registry import Registry

FACTS = "model.json"  # beside the model, in the folder of an export


@dataclass(frozen=True)
class Order:
    """What a writer gets: the model as it was trained, what shall be known `about` it wherever it goes, and, for whole numbers
    of 8 bits (`int8`), pictures by which their scales are chosen: uint8 [n, height, width, channels]."""

    original: HandedOver
    about: dict[str, Any]
    examples: np.ndarray
    int8: bool = False


@dataclass(frozen=True)
class Format:
    """An entry of the table.

    `file` is the name of what it writes; `write` makes that in a folder, `read` opens it. `loading` are lines of Python that
    ask it about `picture`, float32 (uint8 for whole numbers) [1, height, width, channels], and leave `answers`, for the model
    card. `extra` of nas brings the packages that it `writes_with` and `reads_with` beyond what nas needs itself; `tensorflow`:
    it is written by that backend alone; `int8`: it knows whole numbers of 8 bits.
    """

    file: str
    loading: str
    write: Callable[[Order, Path], None]
    read: Callable[[Path], Answer]
    extra: str = ""
    writes_with: tuple[str, ...] = ()
    reads_with: tuple[str, ...] = ()
    tensorflow: bool = False
    int8: bool = False


FORMATS: Registry[Format] = Registry("format", ConfigError)


def check_packages(name: str, packages: tuple[str, ...], what: str) -> None:
    """Raise ConfigError if a package that the format `name` needs is not installed."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        extra = FORMATS[name].extra
        raise ConfigError(f"needs {listing(missing)}, not installed here: {to_install(extra)}", what)


def written(name: str, order: Order, folder: Path) -> Path:
    """Have a format write into `folder`, without the notices of converters: whether it is right is asked of the file."""
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FORMATS[name].write(order, folder)
    return folder / FORMATS[name].file


def with_probabilities(network: Any) -> Any:
    """A Keras model whose outputs are one probability for each class: the same, or with that computed behind its last layer."""
    import keras

    outputs = network.outputs[0]
    if outputs.shape[-1] == 1:
        outputs = keras.ops.concatenate([1 - outputs, outputs], axis=-1)
    elif network.layers[-1].get_config().get("activation") != "softmax":
        outputs = outputs / keras.ops.maximum(keras.ops.sum(outputs, axis=-1, keepdims=True), 1e-30)
    else:
        return network
    return keras.Model(network.inputs[0], outputs, name=network.name)
