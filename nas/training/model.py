"""From a blueprint to a Keras model, layer by layer, on any Keras backend.

Initial weights and dropout are seeded by (seed, layer). In `bfloat16` the hidden layers compute in it and keep their
weights in float32; rescaling and output stay in float32, so that probabilities keep their digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras

from nas.blueprint import Blueprint
from nas.blueprint.layers import (
    EPSILON,
    LEAK,
    Activation,
    Add,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Multiply,
    Norm,
    Pad,
    Pool,
    Rescale,
    Shape,
)
from nas.training.seeds import seed_of
from nas.training.standins import FusedBatchNormalization, Gelu, Pointwise


def build(blueprint: Blueprint, seed: int = 0, precision: str = "float32", fast: bool = False) -> keras.Model:
    """A model that takes raw pixels 0–255, float32 [n, height, width, channels], and gives float32 [n, outputs].

    `fast` is for training: layers of our own may stand in for Keras's, with the same weights (`standins.py`).
    """
    makers = {**MAKERS, **FAST} if fast else MAKERS
    made: dict[str, Any] = {"input": keras.Input(blueprint.picture, name="pixels")}
    last = blueprint.nodes[-1].name
    output = {node.name for node in blueprint.nodes[-2:] if isinstance(node.layer, Dense | Activation)}
    for node in blueprint.nodes:
        hidden = not isinstance(node.layer, Rescale) and node.name not in output
        policy = "mixed_bfloat16" if precision == "bfloat16" and hidden else "float32"
        inputs = [made[name] for name in node.inputs]
        common = {"name": node.name, "dtype": policy}
        shape = blueprint.inputs_of(node)[0]
        layer = makers[type(node.layer)](node.layer, common, seed_of(seed, node.name), shape)
        made[node.name] = layer(inputs if isinstance(node.layer, Add | Multiply | Concat) else inputs[0])
        if node.origin is not None and node.origin.frozen:
            layer.trainable = False
    return keras.Model(made["input"], made[last], name="network")


def _conv(layer: Conv, common: dict[str, Any], seed: int, shape: Shape, kind: Any = keras.layers.Conv2D) -> Any:
    weights = {"use_bias": layer.bias, "kernel_initializer": _weights(seed)}
    return kind(layer.filters, layer.kernel, layer.stride, padding=layer.padding, **weights, **common)


def _fast_conv(layer: Conv, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    strided = layer.kernel == 1 and layer.stride > 1
    return _conv(layer, common, seed, shape, Pointwise if strided else keras.layers.Conv2D)


def _activation(layer: Activation, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    if layer.type == "prelu":
        # One slope for each channel; Keras would learn one for each pixel as well.
        return keras.layers.PReLU(shared_axes=[1, 2] if len(shape) == 3 else None, **common)
    if layer.type == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=LEAK, **common)
    return keras.layers.Activation(layer.type, **common)


def _fast_activation(layer: Activation, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    if layer.type == "gelu" and keras.backend.backend() == "tensorflow":
        return Gelu(**common)
    return _activation(layer, common, seed, shape)


def _norm(layer: Norm, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    if layer.type == "batch":
        return keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=EPSILON["batch"], **common)
    if layer.type == "layer":
        return keras.layers.LayerNormalization(epsilon=EPSILON["layer"], **common)
    return keras.layers.GroupNormalization(groups=layer.groups, epsilon=EPSILON["group"], **common)


def _fast_norm(layer: Norm, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    if layer.type == "batch" and len(shape) == 3 and keras.backend.backend() == "tensorflow":
        return FusedBatchNormalization(momentum=layer.momentum, epsilon=EPSILON["batch"], **common)
    return _norm(layer, common, seed, shape)


def _pool(layer: Pool, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    kind = keras.layers.MaxPooling2D if layer.type == "max" else keras.layers.AveragePooling2D
    return kind(layer.size, layer.stride, padding=layer.padding, **common)


def _global_pool(layer: GlobalPool, common: dict[str, Any], seed: int, shape: Shape) -> Any:
    kind = keras.layers.GlobalMaxPooling2D if layer.type == "max" else keras.layers.GlobalAveragePooling2D
    return kind(keepdims=layer.keep, **common)


def _weights(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed=seed)


_Maker: TypeAlias = Callable[[Any, dict[str, Any], int, Shape], Any]
MAKERS: dict[type[Layer], _Maker] = {
    Rescale: lambda layer, common, seed, shape: keras.layers.Rescaling(list(layer.scale), list(layer.offset), **common),
    Conv: _conv,
    Depthwise: lambda layer, common, seed, shape: keras.layers.DepthwiseConv2D(
        layer.kernel,
        layer.stride,
        padding=layer.padding,
        use_bias=layer.bias,
        depthwise_initializer=_weights(seed),
        **common,
    ),
    Norm: _norm,
    Activation: _activation,
    Pad: lambda layer, common, seed, shape: keras.layers.ZeroPadding2D(layer.size, **common),
    Pool: _pool,
    GlobalPool: _global_pool,
    Flatten: lambda layer, common, seed, shape: keras.layers.Flatten(**common),
    Dense: lambda layer, common, seed, shape: keras.layers.Dense(
        layer.units, use_bias=layer.bias, kernel_initializer=_weights(seed), **common
    ),
    Dropout: lambda layer, common, seed, shape: keras.layers.Dropout(layer.rate, seed=seed, **common),
    Add: lambda layer, common, seed, shape: keras.layers.Add(**common),
    Multiply: lambda layer, common, seed, shape: keras.layers.Multiply(**common),
    Concat: lambda layer, common, seed, shape: keras.layers.Concatenate(axis=-1, **common),
}
FAST: dict[type[Layer], _Maker] = {Conv: _fast_conv, Norm: _fast_norm, Activation: _fast_activation}
