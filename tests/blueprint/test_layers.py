"""Primitive layers: shapes, parameters and FLOPs against numbers counted by hand, and what does not fit."""

import pytest

from nas.blueprint.layers import (
    Activation,
    Add,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    Multiply,
    Norm,
    Pad,
    Pool,
    Rescale,
)
from nas.blueprint.plain import KINDS, from_dict, to_dict
from nas.errors import BlueprintError

PICTURE = (32, 30, 3)


@pytest.mark.parametrize(
    ("layer", "inputs", "output", "parameters", "flops"),
    [
        # 3·3·3·16 weights and 16 biases; at each of 32·30 places 2·27·16 + 16 operations
        (Conv(16), [PICTURE], (32, 30, 16), 448, 32 * 30 * (864 + 16)),
        (Conv(16, 5, padding="valid", bias=False), [PICTURE], (28, 26, 16), 1200, 28 * 26 * 2400),
        (Conv(8, 3, stride=2), [(5, 4, 2)], (3, 2, 8), 152, 3 * 2 * (288 + 8)),
        (Conv(8, 3, stride=2, padding="valid"), [(5, 4, 2)], (2, 1, 8), 152, 2 * 1 * (288 + 8)),
        # each channel by its own 3×3 weights and a bias: at each place 2·9 + 1 operations
        (Depthwise(3, stride=2), [(5, 4, 7)], (3, 2, 7), 70, 3 * 2 * 7 * 19),
        (Depthwise(5, padding="valid", bias=False), [(8, 7, 3)], (4, 3, 3), 75, 4 * 3 * 3 * 50),
        (Pad(2), [(5, 4, 7)], (9, 8, 7), 0, 0),
        (Pool("max", 2, 2), [(5, 4, 7)], (2, 2, 7), 0, 2 * 2 * 7 * 4),
        (Pool("average", 3, 2, "same"), [(5, 4, 7)], (3, 2, 7), 0, 3 * 2 * 7 * 9),
        (Norm("batch"), [(4, 4, 6)], (4, 4, 6), 24, 2 * 96),
        (Norm("layer"), [(4, 4, 6)], (4, 4, 6), 12, 2 * 96),
        (Norm("group", 3), [(4, 4, 6)], (4, 4, 6), 12, 2 * 96),
        (Norm("batch"), [(10,)], (10,), 40, 20),
        (Activation("relu"), [(4, 4, 6)], (4, 4, 6), 0, 96),
        (Activation("prelu"), [(4, 4, 6)], (4, 4, 6), 6, 96),
        (Activation("prelu"), [(10,)], (10,), 10, 10),
        (GlobalPool("max"), [(4, 4, 6)], (6,), 0, 96),
        (GlobalPool("average", keep=True), [(4, 4, 6)], (1, 1, 6), 0, 96),
        (Flatten(), [(4, 5, 6)], (120,), 0, 0),
        (Dense(10), [(120,)], (10,), 1210, 2410),
        (Dense(10, bias=False), [(120,)], (10,), 1200, 2400),
        (Dropout(0.5), [(4, 4, 6)], (4, 4, 6), 0, 0),
        (Rescale((1.0,) * 3, (0.0,) * 3), [PICTURE], PICTURE, 0, 0),
        (Add(), [(4, 4, 6)] * 3, (4, 4, 6), 0, 192),
        (Multiply(), [(4, 4, 6), (1, 1, 6)], (4, 4, 6), 0, 96),
        (Concat(), [(4, 4, 6), (4, 4, 2), (4, 4, 1)], (4, 4, 9), 0, 0),
    ],
)
def test_a_layer_is_counted_as_by_hand(layer, inputs, output, parameters, flops):
    assert layer.output(*inputs) == output
    assert layer.parameters(*inputs) == parameters
    assert layer.flops(*inputs) == flops


@pytest.mark.parametrize(
    ("layer", "inputs", "told"),
    [
        (Conv(8, 5, padding="valid"), [(4, 9, 1)], "a conv of 5×5 does not fit into 4×9"),
        (Pool("max", 3, 2), [(9, 2, 1)], "a pool of 3×3 does not fit into 9×2"),
        (Conv(8), [(120,)], "conv needs a picture (height, width, channels); found the shape (120,)"),
        (Dense(8), [(4, 4, 1)], "dense needs a row of features; found the shape (4, 4, 1)"),
        (Norm("group", 4), [(4, 4, 6)], "6 channels cannot be split into 4 groups"),
        (Add(), [(4, 4, 1), (4, 4, 2)], "only equal shapes can be added; found (4, 4, 1), (4, 4, 2)"),
        (Concat(), [(4, 4, 1), (4, 2, 1)], "only pictures of one size can be concatenated; found (4, 4, 1), (4, 2, 1)"),
    ],
)
def test_what_does_not_fit_is_told(layer, inputs, told):
    with pytest.raises(BlueprintError) as caught:
        layer.output(*inputs)
    assert str(caught.value) == told


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_survives_the_trip_through_plain_data(kind):
    arguments = {"rescale": ((1.0, 2.0), (0.0, 0.5)), "conv": (8,), "dense": (8,)}
    layer = KINDS[kind](*arguments.get(kind, ()))
    assert from_dict(to_dict(layer)) == layer
    as_in_json = {key: list(value) if isinstance(value, tuple) else value for key, value in to_dict(layer).items()}
    assert from_dict(as_in_json) == layer


def test_a_wrong_kind_or_field_is_told_the_nearest():
    with pytest.raises(BlueprintError, match=r"unknown layer 'cnov' \(did you mean 'conv'\?\)"):
        from_dict({"kind": "cnov"})
    with pytest.raises(BlueprintError, match=r"conv: unknown field 'filter' \(did you mean 'filters'\?\)"):
        from_dict({"kind": "conv", "filter": 3})
