"""The network as a picture: every layer is in it, and every connection that leaves the line."""

from __future__ import annotations

import random
import xml.etree.ElementTree as tree

import pytest

from nas.blueprint import Pictures, express
from nas.report.drawing import drawing
from nas.space import read_space

PICTURES = Pictures((32, 32, 3), 10, (127.0,) * 3, (64.0,) * 3)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["cnn", "connected", "modern"])
def test_every_layer_and_every_connection_is_drawn(name: str) -> None:
    space = read_space(name)
    for seed in range(5):
        blueprint, _ = express(space.sample(random.Random(seed)), PICTURES)
        drawn = tree.fromstring(drawing(blueprint))
        boxes = drawn.findall(f"{SVG}rect")
        tops = [float(box.get("y", 0)) for box in boxes]
        assert tops == sorted(set(tops)), "one below the other"
        words = " · ".join(text.text or "" for text in drawn.findall(f"{SVG}text"))
        assert words.count("conv ") == sum(node.layer.kind in ("conv", "depthwise") for node in blueprint.nodes)
        hidden = sum(node.layer.kind in ("norm", "activation", "dropout") for node in blueprint.nodes)
        joined = len(blueprint.nodes) + 1 - len(boxes)
        assert 0 <= joined <= hidden, "only what keeps the shape shares a box"
        inputs = sum(len(node.inputs) for node in blueprint.nodes)
        assert len(drawn.findall(f"{SVG}path")) == inputs - joined, "a line for each input that is not inside a box"


def test_lines_that_pass_each_other_have_lanes_of_their_own() -> None:
    stage = {"block": "stage", "unit": "residual", "squeeze": 0.25}
    drawn = drawing(express({"blocks": [stage]}, PICTURES)[0])
    ways = [line for line in drawn.splitlines() if "8f6bb3" in line]
    assert len(ways) == 2
    assert len({way.split("H")[1].split("V")[0] for way in ways}) == 2
