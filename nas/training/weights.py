"""Checkpoints: weights, optimizer and history of one candidate in one `.npz`, written whole or not at all.

No pickle is read or written. `best/…` are the weights that are kept: of the best epoch so far, or
without validation of the last.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nas.run import write_whole

Arrays = dict[str, np.ndarray]


def weights_of(model: Any) -> Arrays:
    """Variable path → value, of a Keras model (or anything with `weights`)."""
    return {f"{index}:{variable.path}": np.asarray(variable.numpy()) for index, variable in enumerate(model.weights)}


def set_weights(model: Any, arrays: Arrays) -> None:
    """The inverse of `weights_of`. Raises ValueError if a name or shape differs."""
    variables = {f"{index}:{variable.path}": variable for index, variable in enumerate(model.weights)}
    if {name: tuple(variable.shape) for name, variable in variables.items()} != {n: a.shape for n, a in arrays.items()}:
        raise ValueError("the weights belong to another network")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def save_checkpoint(file: Path, model: Any, optimizer: Any, best: Arrays, history: dict[str, Any]) -> None:
    """Write the state after an epoch. `history` is plain data."""
    arrays = {f"now/{name}": value for name, value in weights_of(model).items()}
    arrays |= {f"best/{name}": value for name, value in best.items()}
    arrays |= {f"optimizer/{i}": np.asarray(variable.numpy()) for i, variable in enumerate(optimizer.variables)}
    buffer = io.BytesIO()
    np.savez(buffer, history=np.array(json.dumps(history)), **arrays)  # type: ignore[arg-type]
    write_whole(file, buffer.getvalue())


def load_checkpoint(file: Path, model: Any, optimizer: Any) -> tuple[Arrays, dict[str, Any]] | None:
    """Set model and (built) optimizer to the state of a checkpoint; the best weights and the history, or None.

    A file that is damaged, or of another network, counts as none: training then begins anew.
    """
    arrays = _read(file)
    try:
        history = json.loads(str(arrays.pop("history")))
        state = [arrays[f"optimizer/{index}"] for index in range(len(optimizer.variables))]
        # Everything is compared before anything is assigned: half a checkpoint would be worse than none.
        fits = all(value.shape == tuple(variable.shape) for value, variable in zip(state, optimizer.variables, strict=True))
        if not fits or not isinstance(history["epochs"], list):
            return None
        set_weights(model, _part(arrays, "now/"))
        for value, variable in zip(state, optimizer.variables, strict=True):
            variable.assign(value)
        return _part(arrays, "best/"), history
    except (ValueError, KeyError, TypeError):
        return None


def _read(file: Path) -> Arrays:
    """What is in a file, nothing if it is not there or damaged: then `zipfile` and NumPy may raise any of these."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile):
        return {}


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
