"""The network as Keras code: short, readable, and the same network."""

from __future__ import annotations

import random
import statistics
from typing import Any

import numpy as np
import pytest

from nas.blueprint import BLOCKS, Blueprint, Pictures, Sketch, express
from nas.blueprint.layers import ACTIVATIONS, NORMS
from nas.blueprint.stages import UNITS
from nas.export.code import code
from nas.space import read_space
from tests.helpers import GENOTYPE

PICTURES = Pictures((32, 32, 3), 3, (127.0,) * 3, (64.0,) * 3)
ABOUT = {"classes": ["ant", 'b"ee', "c\\at\n"]}


def built(blueprint: Blueprint) -> Any:
    space: dict[str, Any] = {"__name__": "model"}
    exec(code(blueprint, ABOUT, "w.h5"), space)
    return space["build"]()


def same(blueprint: Blueprint) -> None:
    """The code makes the layers of the blueprint, each with the same inputs, in the same order, of the same shapes."""
    from nas.training.model import build

    ours, theirs = built(blueprint), build(blueprint)
    assert ours.count_params() == theirs.count_params() == blueprint.parameters
    assert [type(layer) for layer in ours.layers] == [type(layer) for layer in theirs.layers]
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        left, right = one.get_config(), other.get_config()
        for key in left.keys() - {"name", "dtype", "seed", "kernel_initializer", "depthwise_initializer"}:
            assert left[key] == right[key], (other.name, key)
        one.set_weights(other.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, *blueprint.picture)).astype("float32")
    np.testing.assert_allclose(ours.predict_on_batch(pixels), theirs.predict_on_batch(pixels), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "connected", "modern"])
def test_code_of_random_networks_makes_the_same_network(name: str) -> None:
    space = read_space(name)
    for seed in range(4):
        same(express(space.sample(random.Random(seed)), PICTURES)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "genes", [{"activation": each} for each in ACTIVATIONS] + [{"norm": each} for each in (*NORMS, "none")]
)
def test_code_knows_every_layer(genes: dict[str, Any]) -> None:
    same(express({"blocks": [{"filters": 16, **genes}, {"filters": 16, "pool": "average", **genes}]}, PICTURES)[0])


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_code_knows_every_unit(unit: str) -> None:
    stage = {"block": "stage", "unit": unit, "depth": 2, "squeeze": 0.25}
    same(express({"blocks": [stage, {**stage, "widen": 1.0}]}, PICTURES)[0])


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS.names())
def test_code_knows_every_block(block: str) -> None:
    same(express({"blocks": [{"block": block, **({} if block == "stage" else {"filters": 8})}] * 2}, PICTURES)[0])


@pytest.mark.slow
def test_code_knows_a_block_whose_join_is_where_another_begins() -> None:
    """A region begins with a layer that reads one other: with more it could not be the argument of a function."""

    @BLOCKS.register("crossed")
    def crossed(net: Sketch, *, filters: int) -> None:
        start = net.conv(filters, 1).tip
        first = net.conv(filters, 3).tip
        net.join("add", start, first)
        second = net.conv(filters, 3).tip
        net.join("add", start, second)

    try:
        same(express({"blocks": [{"block": "crossed", "filters": 8}] * 3}, PICTURES)[0])
    finally:
        del BLOCKS._parts["crossed"]


def test_code_is_short_and_has_functions_for_what_comes_again() -> None:
    stage = {"block": "stage", "depth": 1}
    text = code(express({"blocks": [stage] * 3, "head": "average"}, PICTURES)[0], ABOUT, "w.h5")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) < 50
    assert text.count("layers.Conv2D(") == 3, "for nine convolutions"
    assert "def conv_pool_norm_relu(x, filters):" in text
    assert "def residual(x, filters):" in text
    assert text.count("x = residual(x, ") == 3


def test_code_of_modern_networks_is_some_forty_lines() -> None:
    space, lengths = read_space("modern"), []
    for seed in range(30):
        text = code(express(space.sample(random.Random(seed)), PICTURES)[0], ABOUT, "w.h5")
        lengths.append(len([line for line in text.splitlines() if line.strip()]))
    assert statistics.median(lengths) < 50
    assert max(lengths) < 80


def test_functions_for_what_comes_again_call_each_other() -> None:
    """A squeeze is in residual units of one stage and in dense ones of another: three functions, the inner one for both."""
    own = {"block": "stage", "depth": 2, "squeeze": 0.25}
    stages = [{**own, "unit": "residual"}, {**own, "unit": "dense"}] * 2
    text = code(express({"blocks": stages}, PICTURES)[0], ABOUT, "w.h5")
    assert "def squeeze(x, filters, hidden):" in text
    assert text.count("GlobalAveragePooling2D(keepdims=True)") == 1
    assert text.index("def squeeze(") < text.index("def residual(") < text.index("def build(")


def test_class_names_cannot_end_the_text_they_stand_in() -> None:
    text = code(express(GENOTYPE, Pictures((8, 8, 1), 3, (1.0,), (1.0,)))[0], {"classes": ['"""\nimport os', "\\", "ok"]}, "w")
    compiled = compile(text, "code", "exec")
    assert "os" not in compiled.co_names
