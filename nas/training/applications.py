"""Networks of `keras.applications` as backbones: translated, with their weights, into a model file like those of `nas`.

Keras downloads the weights, once, into its own cache. Each layer becomes a primitive layer of ours, so that what is built from
them is counted and trained like any other network, for pictures of another size too; what the application expects of its
pixels becomes the rescaling. `tests/training/test_applications.py` compares what both see, for each family.
"""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nas.blueprint.backbone import application_file
from nas.blueprint.layers import (
    EPSILON,
    Activation,
    Add,
    Concat,
    Conv,
    Depthwise,
    GlobalPool,
    Layer,
    Multiply,
    Norm,
    Pad,
    Pool,
)
from nas.blueprint.sketch import Sketch
from nas.errors import DatasetError, first_line, unknown
from nas.paths import expanded
from nas.training.handover import write_model
from nas.training.model import build

SIDE = 224  # of the pictures that these networks were trained on
MOMENTUM = 0.99  # Keras's own, of batch normalisation
IDENTITY = (keras.layers.Dropout, keras.layers.Reshape)  # for what is taken: no weights, and the shape is seen to elsewhere


class Untranslated(Exception):
    """A layer that has no counterpart among the primitive layers."""


def fetch_application(name: str) -> str:
    """The model file of `keras.applications.<name>` without its head, made if it is not there. Raises DatasetError if there is
    no such network, if it cannot be translated, or if its weights cannot be downloaded."""
    known = {key: value for key, value in vars(keras.applications).items() if inspect.isfunction(value)}
    if name not in known:
        raise DatasetError(unknown("network of keras.applications", name, known), "backbone")
    file = application_file(name)
    if not file.exists():
        keras.config.disable_interactive_logging()  # its progress bar
        whole = {"include_top": False, "input_shape": (SIDE, SIDE, 3)}
        try:
            _translated(known[name](weights=None, **whole), *pixels_of(known[name]))  # before all is downloaded
        except Untranslated as problem:
            raise DatasetError(f"{name} has {problem}, so it cannot be a backbone", "backbone") from None
        try:
            original = known[name](weights="imagenet", **whole)
        except Exception as problem:  # Keras raises a bare one where a download fails
            folder = expanded(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
            words = f"the weights of {name} cannot be fetched: {first_line(problem)}"
            hint = f"connect this machine, or copy them to {folder} from one that is; a file cut off there is to be removed"
            raise DatasetError(f"{words}; {hint}", "backbone") from None
        try:
            write_application(name, original, file)
        except OSError as problem:
            words = f"{name} cannot be kept: {problem.strerror or problem}; set NAS_CACHE_DIR to another place"
            raise DatasetError(words, str(file.parent)) from None
    return str(file)


def write_application(name: str, original: Any, file: Path) -> None:
    """Translate a network of `keras.applications` and write it to `file`. Raises Untranslated, OSError."""
    net, weights = _translated(original, *pixels_of(getattr(keras.applications, name)))
    blueprint = net.blueprint()
    network = build(blueprint)
    for node, arrays in weights.items():
        network.get_layer(node).set_weights(arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"classes": [], "shape": list(blueprint.picture), "blueprint": blueprint.to_dict(), "application": name}
    write_model(network, facts, file)


def pixels_of(application: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """What an application expects of raw RGB pixels: scale and offset of each channel, and whether it sees them as BGR."""
    prepared = sys.modules[application.__module__].preprocess_input
    black = np.zeros((1, 1, 1, 3), "float32")
    offset = prepared(black.copy())[0, 0, 0]
    each = np.stack([prepared((black + np.eye(3, dtype="float32")[channel]).copy())[0, 0, 0] - offset for channel in range(3)])
    turned = abs(each[0, 0]) < abs(each[0, 2])
    if turned:
        each, offset = each[:, ::-1], offset[::-1]
    return np.diag(each), offset, bool(turned)


def _translated(original: Any, scale: np.ndarray, offset: np.ndarray, turned: bool) -> tuple[Sketch, dict[str, list[Any]]]:
    """The network as a sketch, and the weights of its nodes. A block is what is computed at one size of the picture."""
    # Layers that only rescale come first; they are put together with what is done to the pixels before.
    layers = [layer for layer in original.layers if not isinstance(layer, keras.layers.InputLayer)]
    while isinstance(layers[0], keras.layers.Rescaling | keras.layers.Normalization):
        layer = layers.pop(0)
        factor, shift = _affine(layer)
        scale, offset = scale * factor, offset * factor + shift
    net = Sketch((SIDE, SIDE, 3))
    net.rescale(tuple(round(float(x), 6) for x in scale), tuple(round(float(x), 6) for x in offset))
    pixels = {net.tip}  # and what is only padded
    nodes = {source.name: net.tip for source in original.layers if source not in layers}
    weights: dict[str, list[Any]] = {}
    asymmetric: set[str] = set()  # a padding that `same` does by itself in the layer that follows
    block, side = 0, SIDE + 1
    for layer in layers:
        sources = _sources(layer)
        inputs = [nodes[source] for source in sources]
        if isinstance(layer, IDENTITY):
            nodes[layer.name] = inputs[0]
            continue
        if isinstance(layer, keras.layers.ZeroPadding2D) and len({*layer.padding[0], *layer.padding[1]}) > 1:
            nodes[layer.name] = inputs[0]
            asymmetric.add(layer.name)
            continue
        small = min(layer.output.shape[1:3]) if len(layer.output.shape) == 4 else 1
        if 1 < small < side:
            block, side = block + 1, small
        net.stage = f"block{block}_"
        for part, arrays in _parts(layer, asymmetric.intersection(sources) != set()):
            net.add(part, *inputs)
            if isinstance(part, Pad) and pixels.issuperset(inputs):
                pixels.add(net.tip)
            if arrays:
                first = turned and isinstance(part, Conv) and pixels.issuperset(inputs)
                weights[net.tip] = [arrays[0][:, :, ::-1], *arrays[1:]] if first else arrays
            inputs = [net.tip]
        nodes[layer.name] = net.tip
    return net, weights


def _sources(layer: Any) -> list[str]:
    """Names of the layers that a layer reads. Raises Untranslated where it reads an operation without a layer."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    operations = [tensor._keras_history.operation for tensor in tensors]
    for operation in operations:
        if not isinstance(operation, keras.layers.Layer):
            raise Untranslated(f"the operation '{operation.name}'")
    return [operation.name for operation in operations]


def _affine(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """A rescaling or normalisation as factor and offset."""
    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(layer.scale, "float32"), np.asarray(layer.offset, "float32")
    mean, deviation = np.asarray(layer.mean).reshape(-1), np.sqrt(np.asarray(layer.variance).reshape(-1))
    factor = 1 / np.maximum(deviation, keras.config.epsilon())
    return factor, -mean * factor


def _parts(layer: Any, padded: bool) -> list[tuple[Layer, list[Any]]]:
    """The primitive layers of one Keras layer, with their weights. `padded`: it reads a padding that `same` replaces."""
    weights = [np.asarray(value) for value in layer.get_weights()]
    padding: Any = "same" if padded else getattr(layer, "padding", "valid")
    match layer:
        case keras.layers.SeparableConv2D():
            size, stride = _one(layer, "kernel_size"), _one(layer, "strides")
            depthwise: Layer = Depthwise(size, stride, padding, bias=False)
            pointwise = Conv(layer.filters, 1, bias=layer.use_bias)
            return [(depthwise, weights[:1]), (pointwise, weights[1:]), *_activation(layer.activation)]
        case keras.layers.DepthwiseConv2D(depth_multiplier=1):
            made: Layer = Depthwise(_one(layer, "kernel_size"), _one(layer, "strides"), padding, layer.use_bias)
            return [(made, weights), *_activation(layer.activation)]
        case keras.layers.Conv2D(groups=1):
            made = Conv(layer.filters, _one(layer, "kernel_size"), _one(layer, "strides"), padding, layer.use_bias)
            return [(made, weights), *_activation(layer.activation)]
        case keras.layers.BatchNormalization():
            return [(Norm("batch", momentum=MOMENTUM), _norm(layer))]
        case keras.layers.Activation():
            return _activation(layer.activation)
        case keras.layers.ReLU(max_value=None | 6) if layer.negative_slope == 0 and layer.threshold == 0:
            return [(Activation("relu6" if layer.max_value else "relu"), [])]
        case keras.layers.MaxPooling2D() | keras.layers.AveragePooling2D():
            kind: Any = "max" if isinstance(layer, keras.layers.MaxPooling2D) else "average"
            return [(Pool(kind, _one(layer, "pool_size"), _one(layer, "strides"), padding), [])]
        case keras.layers.GlobalAveragePooling2D():
            return [(GlobalPool("average", keep=True), [])]
        case keras.layers.ZeroPadding2D():
            return [(Pad(layer.padding[0][0]), [])]
        case keras.layers.Add():
            return [(Add(), [])]
        case keras.layers.Multiply():
            return [(Multiply(), [])]
        case keras.layers.Concatenate():
            return [(Concat(), [])]
    raise Untranslated(f"the layer '{layer.name}' of type {type(layer).__name__}")


def _one(layer: Any, name: str) -> int:
    """A size that is the same in both directions."""
    both = getattr(layer, name)
    if both[0] != both[1] or getattr(layer, "dilation_rate", (1, 1)) not in (1, (1, 1)):
        raise Untranslated(f"a window of {both[0]}×{both[1]} in '{layer.name}'")
    return int(both[0])


def _norm(layer: Any) -> list[np.ndarray]:
    """Weights of a normalisation whose epsilon is another than ours: the factors are changed so that it does the same."""
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    return [gamma * np.sqrt((variance + EPSILON["batch"]) / (variance + layer.epsilon)), beta, mean, variance]


def _activation(function: Any) -> list[tuple[Layer, list[Any]]]:
    if function is keras.activations.linear:
        return []
    for name in ("relu", "relu6", "silu", "gelu", "sigmoid", "tanh"):
        if function is getattr(keras.activations, name):
            return [(Activation(name), [])]
    raise Untranslated(f"the activation '{getattr(function, '__name__', function)}'")
