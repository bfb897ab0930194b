"""A child's first weights: what its parent computed, wherever it differs in nothing else."""

from __future__ import annotations

import copy
import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nas.blueprint import express
from nas.blueprint.express import Pictures
from nas.blueprint.matching import matched, segments
from nas.messages import DataCard, Progress, Trained
from nas.space import Genotype
from nas.training.inherit import Weights, inherit, inherited
from nas.training.model import build
from nas.training.trainer import train
from tests.helpers import GENOTYPE, make_job

PICTURES = Pictures((16, 16, 3), 10, (127.0,) * 3, (64.0,) * 3)
UNITS = ("residual", "dense", "inception", "separable", "inverted")


def stages(*blocks: dict[str, Any], **genes: Any) -> Genotype:
    whole = {"unit": "residual", "widen": 2.0, "depth": 1, "squeeze": 0.0}
    return {"stem_filters": 16, "blocks": [{"block": "stage", **whole, **each} for each in blocks], "head": "average", **genes}


def convs(*filters: tuple[int, int], block: str = "conv", **genes: Any) -> Genotype:
    blocks = [{"block": block, "filters": width, "convs": count, "norm": "batch"} for width, count in filters]
    return {"blocks": blocks, "head": "average", **genes}


def weights_in(network: Any) -> Weights:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def trained_somehow(network: Any, rng: np.random.Generator) -> None:
    """Other weights than a network begins with, statistics and offsets too."""
    for layer in network.layers:
        if layer.weights:
            scales = [np.sqrt(3 / np.prod(each.shape[:-1])) if each.ndim > 1 else 0.3 for each in layer.get_weights()]
            arrays = [rng.normal(0, scale, each.shape) for scale, each in zip(scales, layer.get_weights(), strict=True)]
            if len(arrays) == 4:  # a normalisation's factor and variance
                arrays[0], arrays[3] = 1 + arrays[0], 1 + np.abs(arrays[3])
            layer.set_weights(arrays)


def answers_of_both(parent: Genotype, child: Genotype) -> tuple[np.ndarray, np.ndarray]:
    """What a parent and its child answer to the same pictures, as logits, before the child is trained."""
    rng = np.random.default_rng(0)
    old, new = express(parent, PICTURES)[0], express(child, PICTURES)[0]
    theirs, ours = build(old, 1), build(new, 2)
    trained_somehow(theirs, rng)
    for name, arrays in inherited(new, old, weights_in(theirs), weights_in(ours), np.random.default_rng(3)).items():
        ours.get_layer(name).set_weights(arrays)
    pictures = rng.integers(0, 256, (8, *PICTURES.shape)).astype("float32")
    found = []
    for network in (theirs, ours):  # before the softmax, which could hide a difference
        logits = keras.Model(network.input, network.get_layer("dense").output)
        found.append(np.asarray(logits(pictures, training=False)))
    return found[0], found[1]


OPERATORS = {
    "nothing": {},
    "a wider stage": {0: {"widen": 2.5}},
    "a deeper stage": {0: {"depth": 2}},
    "a deeper last stage": {1: {"depth": 3}},
    "a larger kernel": {0: {"kernel": 5}, 1: {"kernel": 5}},
    "all of it": {0: {"widen": 2.5, "depth": 3, "kernel": 5}, 1: {"widen": 2.5, "depth": 3, "kernel": 7}},
}


@pytest.mark.parametrize("squeeze", [0.0, 0.25])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_child_answers_as_its_parent_did(operator: str, unit: str, squeeze: float) -> None:
    blocks = [{"unit": unit, "squeeze": squeeze, "depth": depth} for depth in (1, 2)]
    changed = [{**block, **OPERATORS[operator].get(place, {})} for place, block in enumerate(blocks)]
    before, after = answers_of_both(stages(*blocks), stages(*changed))
    assert before.std(axis=0).max() > 0.1, "or it would be the same whatever the weights are"
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0, 1), (1, 1)),
        ((1, 0), (1, 1)),
        ((1, 0, 1), (1, 1, 1)),
        ((0, 0, 0), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 1)),
        ((0, 0), (2, 1)),
    ],
)
def test_a_stages_first_unit_is_inserted_too(before: tuple[int, ...], after: tuple[int, ...], unit: str) -> None:
    parent, child = (stages(*({"unit": unit, "depth": depth} for depth in depths)) for depths in (before, after))
    old, new = answers_of_both(parent, child)
    assert old.std(axis=0).max() > 0.1
    np.testing.assert_allclose(new, old, rtol=0, atol=1e-5 * np.abs(old).max())


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (stages({}, activation="prelu"), stages({"depth": 2, "widen": 2.5}, activation="prelu")),
        (stages({}, activation="silu"), stages({"depth": 2}, activation="silu", stem_filters=24)),
        (stages({}, head="both", head_dropout=0.2), stages({"widen": 3.0}, head="both")),
        (convs((8, 1), (16, 2), dense=[{"units": 32}]), convs((16, 1), (16, 2), dense=[{"units": 48}])),
        (convs((8, 1), (8, 1), head="flatten"), convs((16, 1), (24, 1), head="flatten")),
        (convs((8, 2), (16, 2), block="residual"), convs((16, 2), (24, 2), block="residual")),
        (convs((8, 2), (8, 2), block="dense"), convs((16, 2), (8, 3), block="dense")),
    ],
)
def test_child_of_other_blocks_answers_as_its_parent_did(parent: Genotype, child: Genotype) -> None:
    before, after = answers_of_both(parent, child)
    assert before.std(axis=0).max() > 0.1
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_copies_of_a_channel_do_not_weigh_the_same() -> None:
    """Or the same gradients would keep them the same for ever."""
    old, new = (express(convs((8, 1), (16, 1)), PICTURES)[0], express(convs((16, 1), (16, 1)), PICTURES)[0])
    theirs, ours = weights_in(build(old, 1)), weights_in(build(new, 2))
    kernel = inherited(new, old, theirs, ours, np.random.default_rng(0))["block2_conv"][0]
    lengths = np.abs(kernel).sum(axis=(0, 1, 3))
    assert len(set(np.round(lengths, 6))) == 16


def test_what_does_not_fit_begins_at_random() -> None:
    old = express(stages({}), PICTURES)[0]
    new = express(stages({}, {"unit": "inverted"}, norm="layer"), PICTURES)[0]
    theirs, ours = weights_in(build(old, 1)), weights_in(build(new, 2))
    found = inherited(new, old, theirs, ours, np.random.default_rng(0))
    assert {name: [each.shape for each in arrays] for name, arrays in found.items()} == {
        name: [each.shape for each in arrays] for name, arrays in ours.items()
    }
    np.testing.assert_array_equal(found["stem_norm"][0], ours["stem_norm"][0])


def test_units_are_seen_as_what_they_are_when_one_is_inserted() -> None:
    old, new = (express(stages({"depth": 2}, {"depth": depth}), PICTURES)[0] for depth in (1, 2))
    inserted = [node.name for node in new.nodes if node.name not in matched(new, old)]
    units = [[node.name for node in each.nodes] for each in segments(new) if each.unit]
    assert inserted in units
    assert all(name.startswith("block2_") for name in inserted)


def test_child_with_another_recipe_starts_at_its_parents_accuracy(digits: DataCard, tmp_path: Path) -> None:
    scores: list[float] = []

    def heard(news: object) -> bool:
        if isinstance(news, Progress):
            scores.append(news.value)
        return True

    (tmp_path / "parent").mkdir()
    parent = make_job(digits, tmp_path / "parent", epochs=4)
    assert isinstance(train(parent, heard), Trained)
    reached = max(scores)
    assert reached > 0.5
    scores.clear()
    (tmp_path / "child").mkdir()
    slow = {**GENOTYPE, "optimizer": "sgd", "learning_rate": 1e-8}
    child = make_job(digits, tmp_path / "child", slow, epochs=1)
    assert isinstance(train(dataclasses.replace(child, inherits=parent.model), heard), Trained)
    assert scores == [pytest.approx(reached, abs=0.02)]


@pytest.mark.parametrize("file", ["gone.keras", "damaged.keras", "foreign.keras"])
def test_without_its_parents_model_a_child_begins_at_random(file: str, digits: DataCard, tmp_path: Path) -> None:
    (tmp_path / "damaged.keras").write_bytes(b"no model")
    job = make_job(digits, tmp_path, epochs=1)
    train(job, lambda _: True)
    with zipfile.ZipFile(job.model) as model, zipfile.ZipFile(tmp_path / "foreign.keras", "w") as foreign:
        for name in model.namelist():  # of a version with layers that this one does not know
            foreign.writestr(name, model.read(name).replace(b'"kind": "conv"', b'"kind": "wavelet"'))
    blueprint = express(stages({}), PICTURES)[0]
    network = build(blueprint, 1)
    before = copy.deepcopy(weights_in(network))
    assert not inherit(network, blueprint, tmp_path / file, 0)
    for name, arrays in weights_in(network).items():
        for one, other in zip(arrays, before[name], strict=True):
            np.testing.assert_array_equal(one, other)


def test_shrunk_kernels_lie_between_the_parents_and_random_ones(tmp_path: Path) -> None:
    from nas.training.handover import write_model

    blueprint = express(stages({}, activation="prelu"), PICTURES)[0]
    parent = build(blueprint, 1)
    trained_somehow(parent, np.random.default_rng(0))
    kernels = {node.name for node in blueprint.nodes if node.layer.kind in ("conv", "dense", "depthwise")}
    about = {"classes": list("abcdefghij"), "shape": list(PICTURES.shape), "blueprint": blueprint.to_dict()}
    write_model(parent, about, tmp_path / "parent.keras")
    network = build(blueprint, 2)
    theirs, begun = weights_in(parent), copy.deepcopy(weights_in(network))
    assert inherit(network, blueprint, tmp_path / "parent.keras", 0, shrink=0.25)
    for name, arrays in weights_in(network).items():
        for place, (now, old, new) in enumerate(zip(arrays, theirs[name], begun[name], strict=True)):
            shrunk = name in kernels and place == 0
            np.testing.assert_allclose(now, 0.75 * old + 0.25 * new if shrunk else old, atol=1e-6)
