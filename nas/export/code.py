"""A blueprint as the Keras code that a person would have written: chains of layers that come again and again become functions.

Only text is made here, without Keras. The layers are made in the order of the blueprint's nodes, which is how `python.py` knows
whose weights are whose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nas.blueprint import Blueprint
from nas.blueprint.blueprint import Node
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

STARTS = (Conv, Depthwise)  # a chain begins with one
FOLLOWS = (Norm, Activation, Pool, Dropout)
KEPT_FOR = {Add: "shortcut", Concat: "before", Multiply: "features"}  # the name of what such a layer reads again
NORMS = {"batch": "BatchNormalization", "layer": "LayerNormalization", "group": "GroupNormalization"}


def code(blueprint: Blueprint, about: dict[str, Any], weights: str) -> str:
    """Python with one function `build()`; `about` gives the classes, `weights` the file beside it."""
    chains = _chains(blueprint)
    counts = Counter(_signature(blueprint, chain) for chain in chains if len(chain) > 1)
    often = [signature for signature, count in counts.items() if count > 1]
    helpers: dict[str, _Helper] = {}
    for signature in often:
        alike = [chain for chain in chains if _signature(blueprint, chain) == signature]
        helpers[signature] = _Helper(_unused(_name(alike[0]), helpers), blueprint, alike)
    height, width, channels = blueprint.picture
    classes = [str(name) for name in about["classes"]]
    shown = ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in classes[:20])
    told = f"{shown}{', …' if len(classes) > 20 else ''}".replace("\\", "\\\\").replace('"', "'")
    lines = [
        f'"""A network that nas found: {blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs a picture.',
        "",
        f"Classes, in the order of its outputs: {told}.",
        f"Its weights: `model = build()`, then `model.load_weights({weights!r})`.",
        '"""',
        "",
        "import keras",
        "from keras import layers",
        "",
        "",
    ]
    for helper in helpers.values():
        lines += [*helper.definition(), "", ""]
    lines += ["def build():", f"    inputs = keras.Input(({height}, {width}, {channels}))  # raw pixels 0–255"]
    lines += [f"    {line}" for line in _body(blueprint, chains, helpers)]
    lines += ["    return keras.Model(inputs, x)", "", "", 'if __name__ == "__main__":', "    build().summary()", ""]
    return "\n".join(lines)


def _chains(blueprint: Blueprint) -> list[list[Node]]:
    """All nodes in their order, those together that follow a convolution one by one and that nobody else reads between."""
    readers = Counter(name for node in blueprint.nodes for name in node.inputs)
    chains: list[list[Node]] = []
    for node in blueprint.nodes:
        last = chains[-1] if chains else []
        follows = last and isinstance(last[0].layer, STARTS) and node.inputs == (last[-1].name,)
        if follows and isinstance(node.layer, FOLLOWS) and readers[last[-1].name] == 1:
            last.append(node)
        else:
            chains.append([node])
    return chains


def _signature(blueprint: Blueprint, chain: Sequence[Node]) -> str:
    """Equal for chains that differ in nothing but what a function can be told: filters, kernel, stride."""
    return repr([_call(node.layer, blueprint.inputs_of(node)[0], "filters", "kernel", "stride") for node in chain])


def _name(chain: Sequence[Node]) -> str:
    words = [node.layer.type if isinstance(node.layer, Activation) else node.layer.kind for node in chain]
    return "_".join(words)


def _unused(name: str, helpers: dict[str, _Helper]) -> str:
    taken = {helper.name for helper in helpers.values()}
    return next(each for each in (name, *(f"{name}_{count}" for count in range(2, 1000))) if each not in taken)


class _Helper:
    """A function for chains that are alike; what differs among them is an argument."""

    def __init__(self, name: str, blueprint: Blueprint, alike: Sequence[Sequence[Node]]) -> None:
        self.name, self.blueprint, self.pattern = name, blueprint, alike[0]
        told = [_told(chain[0].layer) for chain in alike]
        # What most have is the argument's default; what all have is none.
        self.usual = {key: Counter(each[key] for each in told).most_common(1)[0][0] for key in told[0]}
        self.free = [key for key in told[0] if key == "filters" or len({each[key] for each in told}) > 1]

    def definition(self) -> Iterator[str]:
        arguments = [key if key == "filters" else f"{key}={self.usual[key]}" for key in self.free]
        yield f"def {self.name}({', '.join(['x', *arguments])}):"
        names = {key: key if key in self.free else str(value) for key, value in self.usual.items()}
        for place, node in enumerate(self.pattern):
            call = _call(node.layer, self.blueprint.inputs_of(node)[0], **names)
            yield f"    {'return' if place == len(self.pattern) - 1 else 'x ='} {call}(x)"

    def call(self, chain: Sequence[Node], argument: str) -> str:
        told = _told(chain[0].layer)
        other = [f"{key}={told[key]}" for key in self.free if key != "filters" and told[key] != self.usual[key]]
        filters = [str(told["filters"])] if "filters" in told else []
        return f"{self.name}({', '.join([argument, *filters, *other])})"


def _told(layer: Layer) -> dict[str, int]:
    """What a function may be told of a chain's first layer."""
    if isinstance(layer, Conv):
        return {"filters": layer.filters, "kernel": layer.kernel, "stride": layer.stride}
    assert isinstance(layer, Depthwise)
    return {"kernel": layer.kernel, "stride": layer.stride}


def _body(blueprint: Blueprint, chains: Sequence[Sequence[Node]], helpers: dict[str, _Helper]) -> Iterator[str]:
    """The statements between input and model. `x` is what was computed last; what is read again later gets a name first."""
    holds: dict[str, str] = {"input": "inputs"}  # node → variable
    last_read = {name: place for place, chain in enumerate(chains) for node in chain for name in node.inputs}
    current = "input"
    for place, chain in enumerate(chains):
        if current != "input" and last_read.get(current, -1) > place:
            reader = next(node for each in chains[place + 1 :] for node in each if current in node.inputs)
            word = KEPT_FOR.get(type(reader.layer), "branch")
            busy = {holds[name] for name, until in last_read.items() if until >= place and name in holds}
            name = next(each for each in (word, *(f"{word}_{count}" for count in range(2, 1000))) if each not in busy)
            yield f"{name} = x"
            holds[current] = name
        arguments = ["x" if name == current and name != "input" else holds[name] for name in chain[0].inputs]
        helper = helpers.get(_signature(blueprint, chain))
        if helper is not None:
            yield f"x = {helper.call(chain, arguments[0])}"
        else:
            for node in chain:
                many = isinstance(node.layer, Add | Multiply | Concat)
                given = f"[{', '.join(arguments)}]" if many else arguments[0]
                own = {key: str(value) for key, value in _told(node.layer).items()} if isinstance(node.layer, STARTS) else {}
                yield f"x = {_call(node.layer, blueprint.inputs_of(node)[0], **own)}({given})"
                arguments = ["x"]
        current = chain[-1].name


def _call(layer: Layer, shape: Shape, filters: str = "", kernel: str = "", stride: str = "") -> str:
    """The making of one layer."""
    if isinstance(layer, Conv | Depthwise):
        words = [filters, kernel] if isinstance(layer, Conv) else [kernel]
        words += [f"strides={stride}"] if stride != "1" else []
        return _made("Conv2D" if isinstance(layer, Conv) else "DepthwiseConv2D", *words, **_padding(layer), **_bias(layer.bias))
    return CALLS[type(layer)](layer, shape)


def _made(kind: str, *words: object, **named: object) -> str:
    return f"layers.{kind}({', '.join([*map(str, words), *(f'{key}={value}' for key, value in named.items())])})"


def _padding(layer: Conv | Depthwise | Pool) -> dict[str, object]:
    return {"padding": '"same"'} if layer.padding == "same" else {}


def _bias(bias: bool) -> dict[str, object]:
    return {} if bias else {"use_bias": False}


def _norm(layer: Any, shape: Shape) -> str:
    own: dict[str, object] = {"momentum": layer.momentum} if layer.type == "batch" else {}
    own |= {"groups": layer.groups} if layer.type == "group" else {}
    return _made(NORMS[layer.type], **own, epsilon=EPSILON[layer.type])


def _activation(layer: Any, shape: Shape) -> str:
    if layer.type == "prelu":
        return _made("PReLU", **({"shared_axes": [1, 2]} if len(shape) == 3 else {}))
    if layer.type == "leaky_relu":
        return _made("LeakyReLU", negative_slope=LEAK)
    return _made("Activation", f'"{layer.type}"')


def _pool(layer: Any, shape: Shape) -> str:
    kind = "MaxPooling2D" if layer.type == "max" else "AveragePooling2D"
    return _made(kind, layer.size, **({"strides": layer.stride} if layer.stride != layer.size else {}), **_padding(layer))


def _global_pool(layer: Any, shape: Shape) -> str:
    kind = "GlobalMaxPooling2D" if layer.type == "max" else "GlobalAveragePooling2D"
    return _made(kind, **({"keepdims": True} if layer.keep else {}))


CALLS: dict[type[Layer], Callable[[Any, Shape], str]] = {
    Rescale: lambda layer, shape: _made("Rescaling", list(layer.scale), list(layer.offset)),
    Norm: _norm,
    Activation: _activation,
    Pad: lambda layer, shape: _made("ZeroPadding2D", layer.size),
    Pool: _pool,
    GlobalPool: _global_pool,
    Flatten: lambda layer, shape: _made("Flatten"),
    Dense: lambda layer, shape: _made("Dense", layer.units, **_bias(layer.bias)),
    Dropout: lambda layer, shape: _made("Dropout", layer.rate),
    Add: lambda layer, shape: _made("Add"),
    Multiply: lambda layer, shape: _made("Multiply"),
    Concat: lambda layer, shape: _made("Concatenate"),
}
