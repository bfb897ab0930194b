"""The pencil: how a block adds layers to a network, valid by construction.

One rule repairs what would not fit, and it is the only one: **a window that is larger than the picture is given `same`
padding, and a picture with a side of 1 is not shrunk any further** (the pooling is left out, the stride becomes 1).
So no genotype can ask for a network that cannot exist, but for a backbone that wants larger pictures, and for one of more than
`MOST_LAYERS` or wider than a layer may be. `blocks.py` holds the blocks; read that next.
"""

from __future__ import annotations

from typing import Literal, cast

from nas.blueprint.blueprint import Blueprint, Node, Origin
from nas.blueprint.layers import (
    ACTIVATIONS,
    NORMS,
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
    Padding,
    Pool,
    Rescale,
    Shape,
)
from nas.errors import BlueprintError, unknown

MOST_LAYERS = 3_000  # far more than was ever trained; without an end, a check of a space can take minutes
BATCH_MOMENTUM = 0.9  # a search trains for few steps: with Keras's 0.99 the untrained network would still be remembered
GROUP_CHANNELS = 8  # channels in one group of a group norm, where they divide evenly


class Sketch:
    """A network being drawn. Each method adds one layer behind `tip` and returns the sketch, so that calls chain."""

    def __init__(self, picture: Shape) -> None:
        self.picture = picture
        self.tip = "input"
        self.stage = ""  # in front of every layer's name, such as `block1_`
        self.momentum = BATCH_MOMENTUM  # of every batch normalisation
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {"input": picture}
        self._counts: dict[str, int] = {}  # how many layers of a stage and kind there are

    @property
    def shape(self) -> Shape:
        """The shape at the tip."""
        return self._shapes[self.tip]

    def shape_of(self, name: str) -> Shape:
        return self._shapes[name]

    def add(self, layer: Layer, *inputs: str, origin: Origin | None = None) -> Sketch:
        """Any primitive layer, behind the tip or behind the nodes named. Raises BlueprintError if it does not fit."""
        inputs = inputs or (self.tip,)
        kind = f"{self.stage}{layer.kind}"
        count = self._counts.get(kind, 0) + 1
        while (name := kind if count == 1 else f"{kind}{count}") in self._shapes:
            count += 1
        self._counts[kind] = count
        if len(self._nodes) >= MOST_LAYERS:
            raise BlueprintError(f"a network has at most {MOST_LAYERS:,} layers; use fewer blocks, or smaller ones")
        self._shapes[name] = layer.output(*(self._shapes[key] for key in inputs))
        self._nodes.append(Node(name, layer, inputs, origin))
        self.tip = name
        return self

    @property
    def rescaling(self) -> Rescale:
        """The first layer of a network: what it does to raw pixels."""
        layer = self._nodes[0].layer
        assert isinstance(layer, Rescale)
        return layer

    def rescale(self, scale: tuple[float, ...], offset: tuple[float, ...]) -> Sketch:
        return self.add(Rescale(scale, offset))

    def conv(self, filters: int, kernel: int, stride: int = 1, padding: str = "same", bias: bool = True) -> Sketch:
        _whole("filters", filters)
        _whole("kernel", kernel)
        _whole("stride", stride)
        stride = stride if min(self.shape[:2]) > 1 else 1
        return self.add(Conv(filters, kernel, stride, self._fit(kernel, padding), bias))

    def depthwise(self, kernel: int, stride: int = 1, padding: str = "same", bias: bool = True) -> Sketch:
        _whole("kernel", kernel)
        _whole("stride", stride)
        stride = stride if min(self.shape[:2]) > 1 else 1
        return self.add(Depthwise(kernel, stride, self._fit(kernel, padding), bias))

    def squeeze(self, part: float) -> Sketch:
        """Weigh each channel by what all of them say over the whole picture: squeeze-and-excitation (Hu et al. 2018,
        section 3), whose hidden layer has a `part` of the channels. A part of 0 adds nothing."""
        if isinstance(part, bool) or not isinstance(part, int | float) or not 0 <= part <= 1:
            raise BlueprintError(f"squeeze is a part of the channels from 0 to 1; found {part!r}")
        if not part:
            return self
        start, channels = self.tip, self.shape[-1]
        self.add(GlobalPool("average", keep=True)).conv(max(1, round(channels * part)), 1).activation("relu")
        self.conv(channels, 1).activation("sigmoid")
        return self.add(Multiply(), start, self.tip)

    def pool(self, type: str, size: int, stride: int, padding: str = "valid") -> Sketch:
        _whole("pool_size", size)
        _whole("pool_stride", stride)
        if min(self.shape[:2]) == 1:
            return self
        kind = cast(Literal["max", "average"], _one_of("pooling", type, ("max", "average")))
        return self.add(Pool(kind, size, stride, self._fit(size, padding)))

    def norm(self, type: str) -> Sketch:
        """`none` adds nothing. A group norm has groups of 8 channels, or as near below as divides them."""
        if type == "none":
            return self
        _one_of("normalisation", type, (*NORMS, "none"))
        kind = cast(Literal["batch", "layer", "group"], type)
        if kind == "group":
            channels = self.shape[-1]
            return self.add(Norm(kind, channels // next(n for n in range(GROUP_CHANNELS, 0, -1) if channels % n == 0)))
        return self.add(Norm(kind, momentum=self.momentum) if kind == "batch" else Norm(kind))

    def activation(self, type: str) -> Sketch:
        return self.add(Activation(_one_of("activation", type, ACTIVATIONS)))

    def dropout(self, rate: float) -> Sketch:
        """A rate of 0 adds nothing."""
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise BlueprintError(f"dropout is a part from 0 to below 1; found {rate!r}")
        return self.add(Dropout(float(rate))) if rate else self

    def flatten(self, how: str) -> Sketch:
        """From a picture to a row of features: `flatten`, global `average` or `max` pooling, or `both` of them together."""
        if _one_of("flattening", how, ("flatten", "average", "max", "both")) == "flatten":
            return self.add(Flatten())
        if how == "both":
            start = self.tip
            self.add(GlobalPool("average"), start)
            average = self.tip
            self.add(GlobalPool("max"), start)
            return self.join("concat", average, self.tip)
        return self.add(GlobalPool(cast(Literal["max", "average"], how)))

    def dense(self, units: int, bias: bool = True) -> Sketch:
        _whole("units", units)
        return self.add(Dense(units, bias))

    def join(self, how: Literal["add", "concat"], *names: str) -> Sketch:
        """Join the nodes named; those of an `add` must have one shape."""
        return self.add(Add() if how == "add" else Concat(), *names)

    def blueprint(self) -> Blueprint:
        return Blueprint(self.picture, tuple(self._nodes))

    def _fit(self, window: int, padding: str) -> Padding:
        _one_of("padding", padding, ("same", "valid"))
        return "same" if padding == "same" or window > min(self.shape[:2]) else "valid"


def _whole(name: str, value: object) -> None:
    """Raise BlueprintError for anything but a whole number that a layer can have."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100_000:
        raise BlueprintError(f"{name} is a whole number from 1 to 100,000; found {value!r}")


def _one_of(what: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise BlueprintError(unknown(what, value, allowed))
    return value
