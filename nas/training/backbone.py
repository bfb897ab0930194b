"""The weights of a backbone: fetched from the model file that each of its nodes names, when a network is trained anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from nas.blueprint import Blueprint, Origin
from nas.blueprint.backbone import digest_of
from nas.errors import DatasetError, first_line


def fetch(network: Any, blueprint: Blueprint) -> None:
    """Give the layers of `network` that have an origin the weights of that layer.

    Raises DatasetError if a file is gone or is no longer what it was: every candidate would meet the same.
    """
    origins = {node.name: node.origin for node in blueprint.nodes if node.origin is not None}
    files = {origin.file: origin for origin in origins.values()}
    loaded = {file: _layers(origin) for file, origin in files.items()}
    for name, origin in origins.items():
        layer = loaded[origin.file].get(origin.layer)
        if layer is None:
            raise DatasetError(f"the backbone has no layer '{origin.layer}'", origin.file)
        network.get_layer(name).set_weights(layer.get_weights())


def _layers(origin: Origin) -> dict[str, Any]:
    try:
        found = digest_of(Path(origin.file))
        same = found == origin.digest
        layers = keras.saving.load_model(origin.file, compile=False, safe_mode=True).layers if same else []
    except Exception as problem:  # a damaged archive can make Keras raise anything
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else first_line(problem)
        raise DatasetError(f"the backbone cannot be read: {words}", origin.file) from None
    if not same:
        raise DatasetError("the backbone is not the file that it was when this candidate was proposed", origin.file)
    return {layer.name: layer for layer in layers}
