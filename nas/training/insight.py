"""What a network's layers make of one picture, and the filters that it looks at it with first."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from nas.answers import HandedOver
from nas.errors import RunError

SHOWN = (
    "Conv2D",
    "DepthwiseConv2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "Activation",
    "LeakyReLU",
    "PReLU",
    "Add",
    "Concatenate",
)


@dataclass(frozen=True)
class Seen:
    """What one layer gives for a picture: float32 [height, width, channels]."""

    name: str
    kind: str
    channels: np.ndarray


def seen(loaded: HandedOver, picture: np.ndarray) -> list[Seen]:
    """After every convolution, activation, pooling and joining, in order. `picture` is uint8 [height, width, channels].
    Raises RunError for a model that is not Keras's."""
    model = _keras(loaded)
    layers = [layer for layer in model.layers if type(layer).__name__ in SHOWN and len(layer.output.shape) == 4]
    if not layers:
        return []
    inside = keras.Model(model.inputs[0], [layer.output for layer in layers])
    given = inside.predict_on_batch(picture[np.newaxis].astype(np.float32))
    given = given if isinstance(given, list) else [given]
    return [
        Seen(layer.name, type(layer).__name__, np.asarray(each)[0].astype(np.float32))
        for layer, each in zip(layers, given, strict=True)
    ]


def first_filters(loaded: HandedOver) -> np.ndarray | None:
    """float32 [kernel, kernel, channels, filters] of the first convolution; None where there is none."""
    for layer in _keras(loaded).layers:
        if type(layer).__name__ == "Conv2D":
            return np.asarray(layer.get_weights()[0], dtype=np.float32)
    return None


def _keras(loaded: HandedOver) -> keras.Model:
    if loaded.model is None:
        raise RunError("is an export; what layers see is told of the run itself, or of its .keras file", str(loaded.file))
    return loaded.model
