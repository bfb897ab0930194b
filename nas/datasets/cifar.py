"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour pictures of 32×32 pixels in the official python batches.

They are read from the data directory, or from Keras's cache, into which Keras's own loader downloads them when needed.
The batches are pickles by nature: an unpickler that knows nothing but arrays reads them.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from nas.datasets.base import Arrays, Part, register_dataset
from nas.errors import DatasetError, first_line

_NAMES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_TRAIN = {"cifar10": tuple(f"data_batch_{i}" for i in range(1, 6)), "cifar100": ("train",)}
_TEST = {"cifar10": ("test_batch",), "cifar100": ("test",)}
_META = {"cifar10": ("batches.meta", "label_names"), "cifar100": ("meta", "fine_label_names")}
_GET = (
    "downloaded by Keras at first use; or unpack the official python batches into the data directory"
    " (--data-dir or NAS_DATA_DIR)"
)


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers, and refuses every other class."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes into the old protocol of the batches
            return super().find_class(module, name)
        if module.split(".")[0] == "numpy" and name in ("ndarray", "dtype", "_reconstruct", "_frombuffer"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = _ArrayUnpickler(stream, encoding="bytes").load()
        return {key.decode(): value for key, value in content.items()}
    except OSError as problem:
        raise DatasetError(f"cannot be read: {problem.strerror}", str(file)) from None
    except Exception as problem:  # a damaged pickle can raise anything
        raise DatasetError(f"is no CIFAR batch: {problem}", str(file)) from None


def _folder(name: str, data_dir: Path | None) -> Path | None:
    """Where the batches lie: the data directory, a folder in it, or Keras's cache. None if nowhere."""
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    cached = keras_home / "datasets" / f"{_NAMES[name]}-target" / _NAMES[name]
    places = [cached, keras_home / "datasets" / _NAMES[name]]
    if data_dir is not None:
        places = [data_dir / _NAMES[name], data_dir, *places]
    return next((place for place in places if (place / _TRAIN[name][0]).is_file()), None)


def _download(name: str) -> Path:
    import keras

    try:
        getattr(keras.datasets, name).load_data()
    except Exception as problem:  # Keras raises a bare Exception when a download fails
        raise DatasetError(
            f"is not on this machine and cannot be downloaded ({first_line(problem)}).\n       To get it: {_GET}", name
        ) from None
    folder = _folder(name, None)
    if folder is None:
        raise DatasetError("was downloaded by Keras, but is not where it is expected in its cache", name)
    return folder


def _load(name: str, part: Part, data_dir: Path | None) -> Arrays:
    folder = _folder(name, data_dir) or _download(name)
    batches = [_read(folder / file) for file in (_TRAIN if part == "train" else _TEST)[name]]
    file, key = _META[name]
    try:
        classes = tuple(label.decode() for label in _read(folder / file)[key])
        images = np.concatenate([np.asarray(batch["data"], np.uint8) for batch in batches])
        images = np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels = np.concatenate([batch["labels" if name == "cifar10" else "fine_labels"] for batch in batches])
    except (KeyError, ValueError, AttributeError) as problem:
        raise DatasetError(f"does not hold what CIFAR's batches hold: {problem}", str(folder)) from None
    return Arrays(images, labels.astype(np.int64), classes)


def _present(name: str, data_dir: Path | None) -> str | None:
    folder = _folder(name, data_dir)
    return str(folder) if folder else None


@register_dataset(
    "cifar10",
    about="60,000 colour pictures, 32×32, 10 classes of animals and vehicles",
    test="its 10,000 official test pictures",
    get=_GET,
    present=lambda data_dir: _present("cifar10", data_dir),
)
def cifar10(part: Part, data_dir: Path | None) -> Arrays:
    return _load("cifar10", part, data_dir)


@register_dataset(
    "cifar100",
    about="60,000 colour pictures, 32×32, 100 classes",
    test="its 10,000 official test pictures",
    get=_GET,
    present=lambda data_dir: _present("cifar100", data_dir),
)
def cifar100(part: Part, data_dir: Path | None) -> Arrays:
    return _load("cifar100", part, data_dir)
