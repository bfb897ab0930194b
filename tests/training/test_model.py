"""From blueprint to Keras: the counted parameters and shapes, every primitive layer, and the precision asked for."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from nas.blueprint import Blueprint, Node, Pictures, express
from nas.blueprint.layers import ACTIVATIONS, Activation, Conv, Layer, Norm, Pool
from nas.blueprint.plain import KINDS
from nas.space import read_space
from nas.training.model import MAKERS, build
from nas.training.weights import weights_of

pytestmark = pytest.mark.backend
PICTURES = Pictures((12, 10, 3), 4, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0))
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3)).astype("float32")


def sampled(space: str, seed: int) -> Blueprint:
    return express(read_space(space).sample(random.Random(seed)), PICTURES)[0]


@pytest.mark.parametrize("space", ["cnn", "connected"])
@pytest.mark.parametrize("seed", range(4))
def test_keras_counts_what_the_blueprint_counts(space: str, seed: int) -> None:
    blueprint = sampled(space, seed)
    model = build(blueprint)
    assert model.count_params() == blueprint.parameters
    for node in blueprint.nodes:
        assert tuple(model.get_layer(node.name).output.shape[1:]) == blueprint.shapes[node.name]


def test_every_kind_of_layer_is_built() -> None:
    assert set(MAKERS) == set(KINDS.values())


@pytest.mark.parametrize(
    "layer",
    [
        *(Activation(name) for name in ACTIVATIONS),
        Norm("batch"),
        Norm("layer"),
        Norm("group", 3),
        *(Conv(6, 3, stride, padding, bias) for stride in (1, 2) for padding in ("same", "valid") for bias in (True, False)),
        *(Pool(kind, 3, 2, padding) for kind in ("max", "average") for padding in ("same", "valid")),
    ],
    ids=repr,
)
def test_layer_has_its_counted_parameters_and_shape(layer: Layer) -> None:
    blueprint = Blueprint((12, 10, 3), (Node("only", layer, ("input",)),))
    model = build(blueprint)
    assert model.count_params() == blueprint.parameters
    assert model.output_shape[1:] == blueprint.shapes["only"]
    assert np.isfinite(keras.ops.convert_to_numpy(model(PIXELS))).all()


def test_pixels_are_brought_to_mean_zero_and_deviation_one() -> None:
    blueprint, _ = express({"blocks": [{"filters": 4}]}, PICTURES)
    model = build(blueprint)
    rescaled = keras.Model(model.input, model.get_layer("rescale").output)
    found = keras.ops.convert_to_numpy(rescaled(np.broadcast_to(np.array(PICTURES.mean, "float32"), (1, 12, 10, 3))))
    assert np.abs(found).max() < 1e-4
    one_more = np.array(PICTURES.mean, "float32") + np.array(PICTURES.std, "float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(rescaled(np.broadcast_to(one_more, (1, 12, 10, 3)))), 1, atol=1e-3)


def test_weights_follow_from_the_seed() -> None:
    blueprint = sampled("connected", 0)
    first, again, other = (weights_of(build(blueprint, seed)) for seed in (1, 1, 2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert any((value != other[name]).any() for name, value in first.items())


def test_bfloat16_keeps_weights_and_output_in_float32() -> None:
    model = build(sampled("cnn", 1), precision="bfloat16")
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    found = model(PIXELS)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    computed: dict[str, Any] = {layer.name: layer.compute_dtype for layer in model.layers[1:]}
    assert computed["rescale"] == "float32"
    assert [kind for kind in list(computed.values())[-2:]] == ["float32"] * 2, "the last dense layer and its activation"
    assert "bfloat16" in set(computed.values())
