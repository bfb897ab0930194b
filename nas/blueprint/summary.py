"""A network in one short line, for tables: `C32x2-P | C64x2-P | D256`.

Blocks are parted by bars. `C32x2` two convolutions of 32 filters (`k5` when the kernel is not 3), `/2` a stride, `P`
pooling, `W` a convolution of each channel by itself, `+` a residual sum, `&` a concatenation, `*` channels weighed
(squeeze-and-excitation), `D256` a dense layer; the output layer is left out. A backbone stands in square brackets where its
weights are kept as they are, in round ones where they are trained further.
"""

from __future__ import annotations

import re

from nas.blueprint.blueprint import Blueprint, Node
from nas.blueprint.layers import Add, Concat, Conv, Dense, Depthwise, Multiply, Pool


def summary(blueprint: Blueprint) -> str:
    """The line for one blueprint."""
    stages: dict[str, list[str]] = {}
    brackets: dict[str, tuple[str, str]] = {}
    for node in blueprint.nodes[:-2]:  # the last two are the output
        mark = _mark(node)
        if mark:
            stage = re.match(r"(block\d+|backbone)_", node.name)
            key = stage[1] if stage else node.name
            stages.setdefault(key, []).append(mark)
            if node.origin is not None:
                brackets[key] = ("[", "]") if node.origin.frozen else ("(", ")")
    parts = []
    for key, marks in stages.items():
        opening, closing = brackets.get(key, ("", ""))
        parts.append(f"{opening}{'-'.join(_counted(marks))}{closing}")
    return " | ".join(parts) or "no hidden layer"


def _mark(node: Node) -> str:
    layer = node.layer
    if isinstance(layer, Conv):
        kernel = f"k{layer.kernel}" if layer.kernel != 3 else ""
        return f"C{layer.filters}{kernel}" + (f"/{layer.stride}" if layer.stride > 1 else "")
    if isinstance(layer, Depthwise):
        return "W" + (f"k{layer.kernel}" if layer.kernel != 3 else "") + (f"/{layer.stride}" if layer.stride > 1 else "")
    if isinstance(layer, Pool):
        return "P"
    if isinstance(layer, Dense):
        return f"D{layer.units}"
    return next((mark for kind, mark in ((Add, "+"), (Concat, "&"), (Multiply, "*")) if isinstance(layer, kind)), "")


def _counted(marks: list[str]) -> list[str]:
    """Equal neighbours drawn together: `C32, C32, P` becomes `C32x2, P`."""
    together: list[tuple[str, int]] = []
    for mark in marks:
        if together and together[-1][0] == mark:
            together[-1] = (mark, together[-1][1] + 1)
        else:
            together.append((mark, 1))
    return [mark if count == 1 else f"{mark}x{count}" for mark, count in together]
