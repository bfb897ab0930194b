"""A network as a picture: its layers from top to bottom, what goes round them on the left. SVG, from the blueprint alone."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from nas.blueprint import Blueprint
from nas.blueprint.blueprint import Node
from nas.blueprint.layers import Activation, Add, Concat, Conv, Dense, Depthwise, Dropout, GlobalPool, Multiply, Norm, Pool

HEIGHT, GAP, LEFT, LANE = 26, 12, 90, 14
WIDTH, LETTER = 250, 6.3  # of a box at least, and of a letter in it
COLOURS = {"conv": "#d3e6f5", "pool": "#fce3c8", "dense": "#d9ead3", "join": "#eadcf4", "other": "#eef1f4"}


def drawing(blueprint: Blueprint) -> str:
    """An SVG of one column of boxes; layers that keep the shape and stand behind a convolution share its box."""
    boxes = blueprint.chains(lambda first, node: isinstance(node.layer, Norm | Activation | Dropout))
    width = max(WIDTH, *(round(LETTER * len(_label(box))) + 16 for box in boxes)) if boxes else WIDTH
    place = {node.name: at for at, box in enumerate(boxes) for node in box}
    place["input"] = -1
    rows = [_row(-1, "pixels", _shape(blueprint.picture), "other", width)]
    rows += [_box(blueprint, at, box, width) for at, box in enumerate(boxes)]
    lines = list(_lines(boxes, place, width))
    height = (len(boxes) + 1) * (HEIGHT + GAP) + 4
    wide = LEFT + width + 110
    words = f"the layers of a network with {blueprint.parameters:,} parameters"
    head = (
        f'<svg viewBox="0 0 {wide} {height}" width="{wide}" role="img" aria-label="{words}" xmlns="http://www.w3.org/2000/svg">'
    )
    return "\n".join([head, *lines, *rows, "</svg>"])


def _label(box: Sequence[Node]) -> str:
    return " · ".join(_words(node) for node in box)


def _box(blueprint: Blueprint, at: int, box: Sequence[Node], width: int) -> str:
    first = box[0].layer
    kind = "other"
    for name, kinds in (
        ("conv", (Conv, Depthwise)),
        ("pool", (Pool, GlobalPool)),
        ("dense", (Dense,)),
        ("join", (Add, Multiply, Concat)),
    ):
        if isinstance(first, kinds):
            kind = name
    return _row(at, _label(box), _shape(blueprint.shapes[box[-1].name]), kind, width)


def _words(node: Node) -> str:
    layer = node.layer
    if isinstance(layer, Conv | Depthwise):
        many = f" {layer.filters}" if isinstance(layer, Conv) else " of each channel"
        return f"conv {layer.kernel}×{layer.kernel}{many}" + (f" / {layer.stride}" if layer.stride > 1 else "")
    if isinstance(layer, Pool):
        return f"{layer.type} pool {layer.size}×{layer.size}"
    if isinstance(layer, GlobalPool):
        return f"{layer.type} of the picture"
    if isinstance(layer, Dense):
        return f"dense {layer.units}"
    if isinstance(layer, Dropout):
        return f"dropout {layer.rate:g}"
    return layer.type if isinstance(layer, Activation | Norm) else layer.kind


def _row(at: int, words: str, shape: str, kind: str, width: int) -> str:
    top = (at + 1) * (HEIGHT + GAP) + 2
    middle = top + HEIGHT / 2 + 4
    return (
        f'<rect x="{LEFT}" y="{top}" width="{width}" height="{HEIGHT}" rx="5" fill="{COLOURS[kind]}" stroke="#9aa5b1"/>'
        f'<text x="{LEFT + width / 2}" y="{middle}" text-anchor="middle" font-size="12">{html.escape(words)}</text>'
        f'<text x="{LEFT + width + 10}" y="{middle}" font-size="11" fill="#52606d">{shape}</text>'
    )


def _lines(boxes: Sequence[Sequence[Node]], place: dict[str, int], width: int) -> Iterator[str]:
    """A line from each box to those that read it: straight to the next, round on the left to others, in lanes that are free."""
    busy: list[int] = []  # until which row each lane is taken
    for at, box in enumerate(boxes):
        for name in box[0].inputs:
            source = place[name]
            bottom, top = (source + 1) * (HEIGHT + GAP) + 2 + HEIGHT, (at + 1) * (HEIGHT + GAP) + 2
            if source == at - 1:
                x = LEFT + width / 2
                yield f'<path d="M{x} {bottom}V{top}" stroke="#52606d" fill="none"/>'
                continue
            lane = next((each for each, until in enumerate(busy) if until <= source), len(busy))
            busy[lane : lane + 1] = [at]
            x = max(4, LEFT - 12 - lane * LANE)
            way = f"M{LEFT} {bottom - HEIGHT / 2}H{x}V{top + HEIGHT / 2}H{LEFT}"
            yield f'<path d="{way}" stroke="#8f6bb3" fill="none" stroke-width="1.5"/>'


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
