"""A blueprint as the Keras code that a person would have written: what comes again and again becomes a function.

Only text is made here, without Keras, of the parts that `parts.py` finds. The layers are made in the order of the blueprint's
nodes, which is how `python.py` knows whose weights are whose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

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
from nas.export.parts import Chain, Part, Region, parts_of

JOINS = (Add, Concat, Multiply)
KEPT_FOR = {Add: "shortcut", Concat: "before", Multiply: "features"}  # the name of what such a layer reads again
NORMS = {"batch": "BatchNormalization", "layer": "LayerNormalization", "group": "GroupNormalization"}


def code(blueprint: Blueprint, about: dict[str, Any], weights: str) -> str:
    """Python with one function `build()`; `about` gives the classes, `weights` the file beside it."""
    height, width, channels = blueprint.picture
    classes = [str(name) for name in about["classes"]]
    shown = ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in classes[:20])
    told = f"{shown}{', …' if len(classes) > 20 else ''}".replace("\\", "\\\\").replace('"', "'")
    lines = [
        f'"""A network that nas found: {blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs a picture.',
        "",
        f"Classes, in the order of its outputs: {told}.",
        f"With its weights: `build({weights!r})`.",
        '"""',
        "",
        "import keras",
        "from keras import layers",
        "",
        "",
    ]
    writer = _Writer(blueprint)
    for helper in writer.helpers.values():
        lines += [*writer.definition(helper), "", ""]
    lines += ["def build(weights=None):", f"    inputs = keras.Input(({height}, {width}, {channels}))  # raw pixels 0–255"]
    lines += [f"    {line}" for line in writer.body()]
    lines += [
        "    model = keras.Model(inputs, x)",
        "    if weights:",
        "        model.load_weights(weights)",
        "    return model",
        "",
    ]
    return "\n".join(lines)


class _Helper:
    """A function for parts that are alike; what differs among them is an argument."""

    def __init__(self, name: str, alike: Sequence[Part]) -> None:
        self.name, self.pattern = name, alike[0]
        groups: dict[tuple[tuple[str, int], ...], list[int]] = {}  # what is equal in each of them is one argument
        for place, column in enumerate(zip(*(part.numbers for part in alike), strict=True)):
            groups.setdefault(column, []).append(place)
        self.places: dict[str, list[int]] = {}  # argument → which numbers of the part it stands for
        self.usual: dict[str, str] = {}  # argument → its default: what most have
        for column, places in sorted(groups.items(), key=lambda item: (item[0][0][0] != "filters", -item[1][-1])):
            key = column[0][0]
            if key == "filters" or len(set(column)) > 1:  # what all have is no argument
                word = "hidden" if key in self.places and key == "filters" else key
                name = _unused(word, self.places)
                self.places[name] = places
                if key != "filters":
                    self.usual[name] = str(Counter(value for _, value in column).most_common(1)[0][0])

    @property
    def arguments(self) -> str:
        return ", ".join(["x", *(f"{name}={self.usual[name]}" if name in self.usual else name for name in self.places)])

    @property
    def words(self) -> list[str]:
        """The numbers of the part as they stand in the function."""
        words = [str(value) for _, value in self.pattern.numbers]
        for name, places in self.places.items():
            for place in places:
                words[place] = name
        return words

    def call(self, argument: str, words: Sequence[str]) -> str:
        given = {name: words[places[0]] for name, places in self.places.items()}
        own = [word for name, word in given.items() if name not in self.usual]
        other = [f"{name}={word}" for name, word in given.items() if name in self.usual and word != self.usual[name]]
        return f"{self.name}({', '.join([argument, *own, *other])})"


class _Writer:
    """Statements, and the functions that make them fewer."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.parts = parts_of(blueprint)
        alike: dict[str, list[Part]] = {}
        for part in _all(self.parts):
            alike.setdefault(self._signature(part), []).append(part)
        self.helpers: dict[str, _Helper] = {}  # those that others call come first
        taken = {"x", "build", "keras", "layers", "inputs", *KEPT_FOR.values()}
        for signature, parts in sorted(alike.items(), key=lambda item: len(list(item[1][0].chains()))):
            if len(parts) > 1:
                name = _unused(parts[0].name, taken)
                taken.add(name)
                self.helpers[signature] = _Helper(name, parts)
        while self.helpers:
            saved = self._saved()
            least = min(saved, key=lambda signature: saved[signature])
            if saved[least] > 0:
                break
            del self.helpers[least]

    def _saved(self) -> dict[str, int]:
        """Signature → lines that its function saves."""
        bodies = {signature: list(self.definition(helper)) for signature, helper in self.helpers.items()}
        text = "\n".join([*self.body(), *(line for lines in bodies.values() for line in lines[1:])])
        saved = {}
        for signature, lines in bodies.items():
            calls, inside = text.count(f" {self.helpers[signature].name}("), len(lines) - 1
            saved[signature] = calls * inside - (calls + inside + 3)
        return saved

    def definition(self, helper: _Helper) -> Iterator[str]:
        pattern = helper.pattern
        *statements, last = self._statements([pattern], {pattern.first.inputs[0]: "x"}, helper.words, inside=True)
        yield f"def {helper.name}({helper.arguments}):"
        yield from (f"    {line}" for line in statements)
        yield f"    return {last.removeprefix('x = ')}"

    def body(self) -> Iterator[str]:
        words = [str(value) for part in self.parts for _, value in part.numbers]
        return self._statements(self.parts, {"input": "inputs"}, words)

    def _statements(self, parts: list[Part], holds: dict[str, str], words: list[str], inside: bool = False) -> Iterator[str]:
        """What computes the parts one after the other. `holds`: node → variable. `x` is what was computed last; what is read
        again later gets a name first. `inside`: of the part itself, not a call of its function."""
        steps = list(self._steps(parts, inside))
        last_read = {name: place for place, step in enumerate(steps) for name in step.first.inputs}
        ((current, variable),) = holds.items()
        for place, step in enumerate(steps):
            if variable == "x" and last_read.get(current, -1) > place:
                layer = next(each.first.layer for each in steps[place + 1 :] if current in each.first.inputs)
                word = KEPT_FOR.get(type(layer), "branch")
                busy = {holds[name] for name, until in last_read.items() if until >= place and name in holds}
                name = _unused(word, busy)
                yield f"{name} = x"
                holds[current] = name
            arguments = ["x" if name == current and variable == "x" else holds[name] for name in step.first.inputs]
            own, words = words[: len(step.numbers)], words[len(step.numbers) :]
            helper = None if inside and step is parts[0] else self.helpers.get(self._signature(step))
            if helper is not None:
                yield f"x = {helper.call(arguments[0], own)}"
            else:
                assert isinstance(step, Chain)
                yield from self._layers(step, arguments, own)
            current, variable = step.last.name, "x"

    def _steps(self, parts: Sequence[Part], inside: bool = False) -> Iterator[Part]:
        """Parts, those without a function taken apart."""
        for part in parts:
            if isinstance(part, Region) and (inside or self._signature(part) not in self.helpers):
                yield from self._steps(part.parts)
            else:
                yield part

    def _layers(self, chain: Chain, arguments: list[str], words: Sequence[str]) -> Iterator[str]:
        for node in chain.nodes:
            given = f"[{', '.join(arguments)}]" if isinstance(node.layer, JOINS) else arguments[0]
            own = dict(zip((key for key, _ in chain.numbers), words, strict=True)) if node is chain.first else {}
            yield f"x = {_call(node.layer, self.blueprint.inputs_of(node)[0], **own)}({given})"
            arguments = ["x"]

    def _signature(self, part: Part) -> str:
        """Equal for parts that differ in nothing but what a function can be told."""
        places = {part.first.inputs[0]: -1}
        facts = []
        for place, chain in enumerate(part.chains()):
            read = [places[name] for name in chain.first.inputs] if isinstance(part, Region) else []
            blanks = {key: key for key, _ in chain.numbers}
            calls = [
                _call(node.layer, self.blueprint.inputs_of(node)[0], **(blanks if node is chain.first else {}))
                for node in chain.nodes
            ]
            facts.append((read, calls))
            places[chain.last.name] = place
        return repr(facts)


def _all(parts: Sequence[Part]) -> Iterator[Part]:
    """Parts and what they are made of, where a function could be made of it."""
    for part in parts:
        if isinstance(part, Region):
            yield part
            yield from _all(part.parts)
        elif len(part.nodes) > 1:
            yield part


def _unused(word: str, taken: Container[str]) -> str:
    """The word, or with the first number behind it that nothing else has."""
    return next(each for each in (word, *(f"{word}_{count}" for count in range(2, 1000))) if each not in taken)


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
