"""Keras builds what a blueprint says: the counted parameters, the shape of every layer, and a step of training that works."""

import inspect
import random

import numpy as np
import pytest

from nas.blueprint import BLOCKS, Pictures, express
from nas.blueprint.blocks import POOLS, block_genes
from nas.blueprint.layers import ACTIVATIONS, NORMS
from nas.blueprint.stages import UNITS
from nas.shipped import shipped
from nas.space import read_space

pytestmark = [pytest.mark.slow, pytest.mark.backend]

SHAPES = [(1, 1, 1), (3, 5, 3), (8, 8, 1), (32, 32, 3)]
EXTREMES = {
    "filters": (1, 40),
    "convs": (1, 3),
    "kernel": (1, 7),
    "padding": ("same", "valid"),
    "activation": ACTIVATIONS,
    "norm": (*NORMS, "none"),
    "pool": POOLS,
    "pool_size": (1, 3),
    "pool_stride": (1, 3),
    "dropout": (0.0, 0.9),
    "widen": (0.1, 3.0),
    "depth": (0, 2),
    "expansion": (1, 6),
    "unit": tuple(UNITS),
    "squeeze": (0.0, 1.0),
}


def pictures(shape, classes=3):
    return Pictures(shape, classes, (127.0,) * shape[2], (64.0,) * shape[2])


@pytest.fixture(autouse=True)
def _clear():
    yield
    import keras

    keras.utils.clear_session(free_memory=False)  # which would take longer than most of these tests


def built(blueprint):
    """The Keras model, after comparing it with its blueprint."""
    from nas.training.model import build

    model = build(blueprint)
    assert model.count_params() == blueprint.parameters
    for node in blueprint.nodes:
        assert model.get_layer(node.name).output.shape[1:] == blueprint.shapes[node.name]
    return model


@pytest.mark.parametrize("name", shipped("search_spaces"))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_networks_of_a_shipped_space_have_the_counted_parameters_and_shapes(name, shape):
    space, rng = read_space(name), random.Random(f"{name}{shape}")
    for _ in range(2):
        blueprint, _ = express(space.sample(rng), pictures(shape))
        built(blueprint)


def _every_extreme():
    for block in BLOCKS.names():
        genes = block_genes(block)
        needed = {key: EXTREMES[key][1] for key, default in genes.items() if default is inspect.Parameter.empty}
        for key in genes:
            for value in EXTREMES[key]:
                yield pytest.param(block, {**needed, key: value}, id=f"{block}-{key}-{value}")


@pytest.mark.parametrize(("block", "genes"), list(_every_extreme()))
def test_a_block_at_an_extreme_of_a_gene_is_built_as_counted(block, genes):
    for shape, repeat in (((9, 7, 2), 2), ((2, 3, 1), 1)):
        built(express({"blocks": [{"block": block, **genes}] * repeat}, pictures(shape))[0])


@pytest.mark.parametrize("block", BLOCKS.names())
@pytest.mark.parametrize("extreme", [0, -1], ids=["lowest", "highest"])
def test_a_block_with_all_genes_at_an_extreme_trains_a_step(block, extreme):
    genes = {key: EXTREMES[key][extreme] for key in block_genes(block)}
    blueprint, _ = express({"blocks": [{"block": block, **genes}]}, pictures((9, 7, 2)))
    model = built(blueprint)
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(1)
    loss = model.train_on_batch(rng.uniform(0, 255, (6, 9, 7, 2)).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 2] * 2])
    assert np.isfinite(loss)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_of_a_stage_is_built_as_counted_with_everything_at_once(unit):
    genes = {"unit": unit, "depth": 2, "kernel": 5, "expansion": 3, "squeeze": 0.25, "pool": "stride", "dropout": 0.1}
    for norm in ("none", "batch"):
        built(express({"stem_filters": 8, "blocks": [{"block": "stage", "norm": norm, **genes}] * 2}, pictures((9, 7, 2)))[0])


def test_stem_and_what_all_blocks_share_are_built_as_counted():
    genes = {"stem_filters": 8, "stem_kernel": 5, "stem_stride": 2, "activation": "silu", "norm": "batch", "norm_momentum": 0.8}
    blueprint, _ = express({**genes, "blocks": [{"block": "stage"}, {"block": "conv", "filters": 4}]}, pictures((9, 7, 2)))
    model = built(blueprint)
    assert model.get_layer("stem_conv").strides == (2, 2)
    assert {model.get_layer(node.name).momentum for node in blueprint.nodes if node.layer.kind == "norm"} == {0.8}
    assert {node.layer.type for node in blueprint.nodes if node.layer.kind == "activation"} == {"silu", "softmax"}


@pytest.mark.parametrize("norm", [*NORMS, "none"])
@pytest.mark.parametrize("head", ["flatten", "average", "max", "both"])
def test_the_head_is_built_as_counted(norm, head):
    dense = [{"units": 12, "norm": norm, "activation": "prelu", "dropout": 0.5}, {"units": 5, "norm": norm}]
    built(express({"blocks": [], "head": head, "head_dropout": 0.5, "dense": dense}, pictures((4, 3, 2)))[0])
