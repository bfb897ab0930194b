"""Blueprints: sums over layers with add and concat counted by hand, the trip through plain data, what is no network."""

import json

import pytest

from nas.blueprint import Blueprint, Node, Sketch
from nas.blueprint.layers import Activation, Conv, Dense, Flatten, Pool
from nas.errors import BlueprintError


def tiny(picture=(4, 4, 2)):
    """Two convolutions added to a third, then beside the first, and a head."""
    net = Sketch(picture)
    net.conv(3, 3).activation("relu")
    start = net.tip
    net.conv(3, 1, bias=False)
    net.join("add", start, net.tip)
    net.join("concat", start, net.tip)
    net.flatten("average").dense(5)
    return net.blueprint()


def test_a_network_with_add_and_concat_is_counted_as_by_hand():
    blueprint = tiny()
    assert list(blueprint.shapes.items()) == [
        ("input", (4, 4, 2)),
        ("conv", (4, 4, 3)),
        ("activation", (4, 4, 3)),
        ("conv2", (4, 4, 3)),
        ("add", (4, 4, 3)),
        ("concat", (4, 4, 6)),
        ("global_pool", (6,)),
        ("dense", (5,)),
    ]
    assert blueprint.parameters == (9 * 2 * 3 + 3) + 3 * 3 + (6 * 5 + 5)
    convs = 16 * (2 * 9 * 2 * 3 + 3) + 16 * 2 * 3 * 3
    assert blueprint.flops == convs + 48 + 48 + 96 + (2 * 6 * 5 + 5)  # relu, add, pooling, dense
    assert blueprint.activations == 4 * 48 + 96 + 6 + 5
    assert blueprint.memory(batch_size=10) == 4 * (2 * 10 * 299 + 4 * 101)


def test_a_blueprint_survives_the_trip_through_json():
    blueprint = tiny()
    again = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))
    assert again == blueprint
    assert again.digest == blueprint.digest


def test_the_digest_is_the_same_in_every_process_and_release():
    assert Blueprint((2, 2, 1), (Node("flatten", Flatten(), ("input",)),)).digest == "6c23fe8922c9"


def test_the_digest_does_not_depend_on_names():
    pools = (Node("a", Pool(), ("input",)), Node("b", Flatten(), ("a",)))
    other = (Node("x", Pool(), ("input",)), Node("y", Flatten(), ("x",)))
    assert Blueprint((4, 4, 1), pools).digest == Blueprint((4, 4, 1), other).digest


def test_the_digest_tells_networks_and_pictures_apart():
    digests = {tiny().digest, tiny((5, 4, 2)).digest, tiny((4, 4, 3)).digest}
    assert len(digests) == 3
    assert tiny().digest == tiny().digest


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ((), "a network needs at least one layer"),
        ((Node("a", Conv(3), ("input",)), Node("a", Conv(3), ("a",))), "the layer 'a' stands there twice"),
        ((Node("input", Conv(3), ("input",)),), "the layer 'input' stands there twice"),
        ((Node("a", Conv(3), ("b",)), Node("b", Conv(3), ("a",))), "a: no layer 'b' before this one"),
        ((Node("a", Conv(3), ()),), "a: no layer '' before this one"),
        ((Node("a", Dense(3), ("input",)),), "dense needs a row of features"),
        ((Node("a", Conv(3), ("input",)), Node("b", Conv(3), ("input",))), "no layer reads 'a', and it is not the last one"),
    ],
)
def test_what_is_no_network_cannot_be_made(nodes, told):
    with pytest.raises(BlueprintError) as caught:
        Blueprint((4, 4, 1), nodes)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"picture": [4, 4, 1]},
        {"picture": None, "nodes": []},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "filters": 3}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "name": "a", "inputs": ["input"]}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "name": "a", "inputs": None, "filters": 3}]},
        {"picture": [4, 4, 1], "nodes": ["conv"]},
        {"picture": [4, 4, 1], "nodes": [{"kind": ["conv"], "name": "a", "inputs": ["input"]}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "name": "a", "inputs": ["input"], "filters": 3, "stride": 0}]},
        {"picture": [4, 4, "1"], "nodes": [{"kind": "flatten", "name": "a", "inputs": ["input"]}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "name": "a", "inputs": ["input"], "filters": "3"}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "conv", "name": "a", "inputs": ["input"], "filters": True}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "norm", "name": "a", "inputs": ["input"], "type": "batch'"}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "norm", "name": "a", "inputs": ["input"], "momentum": "0.9"}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "norm", "name": "a", "inputs": ["input"], "momentum": float("inf")}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "activation", "name": "a", "inputs": ["input"], "type": 'relu")\nprint("'}]},
        {"picture": [4, 4, 1], "nodes": [{"kind": "rescale", "name": "a", "inputs": ["input"], "scale": ["1"], "offset": [0]}]},
        [],
        None,
    ],
)
def test_damaged_data_is_refused_as_no_blueprint(data):
    with pytest.raises(BlueprintError):
        Blueprint.from_dict(data)


def test_inputs_of_gives_the_shapes_that_a_node_reads():
    blueprint = tiny()
    joined = next(node for node in blueprint.nodes if node.name == "concat")
    assert blueprint.inputs_of(joined) == [(4, 4, 3), (4, 4, 3)]


def test_two_layers_alike_are_two_layers():
    net = Sketch((4, 4, 1)).activation("relu").activation("relu")
    assert [node.name for node in net.blueprint().nodes] == ["activation", "activation2"]
    assert net.blueprint().nodes[1] == Node("activation2", Activation("relu"), ("activation",))
