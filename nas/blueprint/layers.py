"""Primitive layers as data: what a blueprint is made of.

Each knows its output shape, its parameters and its FLOPs, so that a network's cost is known before anything is built.
Shapes are without the batch: `(height, width, channels)` for pictures, `(features,)` after flattening.
`training/model.py` turns them into Keras layers one by one; `sketch.py` puts them together; read that next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from nas.errors import BlueprintError, listing

Shape: TypeAlias = tuple[int, ...]

EPSILON = {"batch": 1e-3, "layer": 1e-5, "group": 1e-5}  # of normalisations, added to the variance
LEAK = 0.1  # slope of `leaky_relu` below zero
Padding = Literal["same", "valid"]

ACTIVATIONS = ("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softmax")
NORMS = ("batch", "layer", "group")


@dataclass(frozen=True)
class Layer:
    """Base: by default a layer has one input, keeps its shape, and has no parameters and no FLOPs worth counting."""

    kind: ClassVar[str]

    def output(self, *inputs: Shape) -> Shape:
        """Shape after this layer. Raises BlueprintError if the inputs do not fit."""
        return inputs[0]

    def parameters(self, *inputs: Shape) -> int:
        """Numbers that are stored, moving statistics included: what Keras's `count_params` says."""
        return 0

    def flops(self, *inputs: Shape) -> int:
        """Floating-point operations for one picture, forwards; a multiply-add counts as 2."""
        return 0


def _window(side: int, kernel: int, stride: int, padding: str) -> int:
    """Length of one side after a window has passed over it."""
    return -(-side // stride) if padding == "same" else (side - kernel) // stride + 1


def _slide(layer: Conv | Depthwise | Pool, size: int, shape: Shape) -> tuple[int, int]:
    if len(shape) != 3:
        raise BlueprintError(f"{layer.kind} needs a picture (height, width, channels); found the shape {shape}")
    sides = [_window(side, size, layer.stride, layer.padding) for side in shape[:2]]
    if min(sides) < 1:
        raise BlueprintError(f"a {layer.kind} of {size}×{size} does not fit into {shape[0]}×{shape[1]}")
    return sides[0], sides[1]


@dataclass(frozen=True)
class Rescale(Layer):
    """Raw pixels 0–255 to `pixel · scale + offset`, one number for each channel: the normalisation of the training data."""

    kind = "rescale"
    scale: tuple[float, ...]
    offset: tuple[float, ...]


@dataclass(frozen=True)
class Conv(Layer):
    """A 2-D convolution. Parameters: kernel² · channels · filters, plus filters with a bias."""

    kind = "conv"
    filters: int
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    bias: bool = True  # off where a norm follows: the norm's offset does the same work

    def output(self, *inputs: Shape) -> Shape:
        return (*_slide(self, self.kernel, inputs[0]), self.filters)

    def parameters(self, *inputs: Shape) -> int:
        return self.kernel**2 * inputs[0][2] * self.filters + self.filters * self.bias

    def flops(self, *inputs: Shape) -> int:
        height, width, _ = self.output(*inputs)
        return height * width * (2 * self.kernel**2 * inputs[0][2] * self.filters + self.filters * self.bias)


@dataclass(frozen=True)
class Depthwise(Layer):
    """A 2-D convolution of each channel by itself (Chollet 2017, section 2). Parameters: kernel² · channels, plus channels
    with a bias."""

    kind = "depthwise"
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    bias: bool = True

    def output(self, *inputs: Shape) -> Shape:
        return (*_slide(self, self.kernel, inputs[0]), inputs[0][2])

    def parameters(self, *inputs: Shape) -> int:
        return inputs[0][2] * (self.kernel**2 + self.bias)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(self.output(*inputs)) * (2 * self.kernel**2 + self.bias)


@dataclass(frozen=True)
class Norm(Layer):
    """Batch, layer or group normalisation over the channels.

    `groups` is used by `group` only and divides the channels; `momentum` by `batch` only: the part of the moving statistics
    that is kept at each step.
    """

    kind = "norm"
    type: Literal["batch", "layer", "group"] = "batch"
    groups: int = 1
    momentum: float = 0.9

    def output(self, *inputs: Shape) -> Shape:
        if self.type == "group" and inputs[0][-1] % self.groups:
            raise BlueprintError(f"{inputs[0][-1]} channels cannot be split into {self.groups} groups")
        return inputs[0]

    def parameters(self, *inputs: Shape) -> int:
        return inputs[0][-1] * (4 if self.type == "batch" else 2)  # batch also keeps a moving mean and variance

    def flops(self, *inputs: Shape) -> int:
        return 2 * math.prod(inputs[0])


@dataclass(frozen=True)
class Activation(Layer):
    """A function of each number. `prelu` has one learned slope for each channel."""

    kind = "activation"
    type: str = "relu"

    def parameters(self, *inputs: Shape) -> int:
        return inputs[0][-1] if self.type == "prelu" else 0

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])


@dataclass(frozen=True)
class Pad(Layer):
    """Zeros around the picture, `size` on each side."""

    kind = "pad"
    size: int = 1

    def output(self, *inputs: Shape) -> Shape:
        height, width, channels = inputs[0]
        return (height + 2 * self.size, width + 2 * self.size, channels)


@dataclass(frozen=True)
class Pool(Layer):
    """Maximum or average over a `size`×`size` window; windows overlap where `stride` is smaller than `size`."""

    kind = "pool"
    type: Literal["max", "average"] = "max"
    size: int = 2
    stride: int = 2
    padding: Padding = "valid"

    def output(self, *inputs: Shape) -> Shape:
        return (*_slide(self, self.size, inputs[0]), inputs[0][2])

    def flops(self, *inputs: Shape) -> int:
        return math.prod(self.output(*inputs)) * self.size**2


@dataclass(frozen=True)
class GlobalPool(Layer):
    """Maximum or average of each channel over the whole picture: a row of features, or with `keep` a picture of 1×1."""

    kind = "global_pool"
    type: Literal["max", "average"] = "average"
    keep: bool = False

    def output(self, *inputs: Shape) -> Shape:
        return (1, 1, inputs[0][-1]) if self.keep else (inputs[0][-1],)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])


@dataclass(frozen=True)
class Flatten(Layer):
    """All numbers of the picture in a row."""

    kind = "flatten"

    def output(self, *inputs: Shape) -> Shape:
        return (math.prod(inputs[0]),)


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer. Parameters: features · units, plus units with a bias."""

    kind = "dense"
    units: int
    bias: bool = True

    def output(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != 1:
            raise BlueprintError(f"dense needs a row of features; found the shape {inputs[0]}")
        return (self.units,)

    def parameters(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.units + self.units * self.bias

    def flops(self, *inputs: Shape) -> int:
        return 2 * inputs[0][0] * self.units + self.units * self.bias


@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a part `rate` of the numbers to zero in training (Srivastava et al. 2014)."""

    kind = "dropout"
    rate: float = 0.5


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two or more inputs of one shape: a residual connection."""

    kind = "add"

    def output(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise BlueprintError(f"only equal shapes can be added; found {listing(inputs)}")
        return inputs[0]

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0]) * (len(inputs) - 1)


@dataclass(frozen=True)
class Multiply(Layer):
    """A picture times a second one of 1×1: each channel weighed by a number."""

    kind = "multiply"

    def output(self, *inputs: Shape) -> Shape:
        if len(inputs) != 2 or inputs[1] != (1, 1, inputs[0][-1]):
            raise BlueprintError(f"only a picture and one number for each channel can be multiplied; found {listing(inputs)}")
        return inputs[0]

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])


@dataclass(frozen=True)
class Concat(Layer):
    """Two or more inputs side by side along the channels; height and width must be equal."""

    kind = "concat"

    def output(self, *inputs: Shape) -> Shape:
        if len({shape[:-1] for shape in inputs}) != 1:
            raise BlueprintError(f"only pictures of one size can be concatenated; found {listing(inputs)}")
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))
