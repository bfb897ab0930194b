"""A backbone: layers of a network that was trained before, with its weights, kept or trained further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.blueprint import Blueprint, Pictures, check_networks, express, summary
from nas.datasets.prepare import prepare
from nas.errors import BlueprintError, DatasetError, InputError, SpaceError
from nas.messages import DataCard, Job, Trained
from nas.preparing import note_backbones
from nas.resuming import resume
from nas.run import write_whole
from nas.searching import search
from nas.space import read_space
from nas.training.backbone import fetch
from nas.training.handover import load_model
from nas.training.model import build
from nas.training.trainer import train
from nas.training.worker import train as work
from nas.view import Silent
from tests.helpers import SMALL_SEARCH, Listening, make_job, nas, without_seconds

pytestmark = pytest.mark.backend

FIRST: dict[str, Any] = {
    "stem_filters": 8,
    "blocks": [{"block": "stage", "unit": "inception", "squeeze": 0.25}, {"block": "conv", "filters": 12, "norm": "batch"}],
    "head": "average",
    "batch_size": 32,
}
HEARD = lambda news: True  # noqa: E731


@pytest.fixture(scope="module")
def trained(digits: DataCard, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A network that was trained for an epoch; its model is at `job.model`."""
    job = make_job(digits, tmp_path_factory.mktemp("first"), FIRST, epochs=1)
    assert isinstance(train(job, HEARD), Trained)
    return job


def second(job: Job, **genes: Any) -> dict[str, Any]:
    return {"backbone": job.model, "blocks": [], "head": "average", "learning_rate": 0.01, "batch_size": 32, **genes}


def layers_of(file: str) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in load_model(Path(file)).model.layers}


def test_backbone_sees_and_says_what_the_network_did(trained: Job, digits: DataCard, tmp_path: Path) -> None:
    """On data with another normalisation too: pixels are given to it as they were to the network."""
    other = dataclasses.replace(digits, mean=(90.0,), std=(17.0,))
    job = make_job(other, tmp_path, second(trained))
    network = build(job.blueprint, fast=True)
    fetch(network, job.blueprint)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype("float32")
    import keras

    original = load_model(Path(trained.model)).model
    old = keras.Model(original.input, original.get_layer("head_global_pool").output)
    new = keras.Model(network.input, network.get_layer("head_global_pool").output)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(new(pixels)), keras.ops.convert_to_numpy(old(pixels)), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_layers_keep_their_weights_and_others_learn(
    frozen: bool, trained: Job, digits: DataCard, tmp_path: Path
) -> None:
    job = make_job(digits, tmp_path, second(trained, backbone_frozen=frozen), epochs=2)
    assert isinstance(train(job, HEARD), Trained)
    old, new = layers_of(trained.model), layers_of(job.model)
    origins = {node.name: node.origin for node in job.blueprint.nodes if node.origin is not None}
    moved = [
        name
        for name, origin in origins.items()
        if any(not np.array_equal(*pair) for pair in zip(new[name], old[origin.layer], strict=True))
    ]
    with_weights = [name for name in origins if new[name]]
    assert len(with_weights) > 8
    assert moved == ([] if frozen else with_weights)


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_kept_drops_nothing(frozen: bool, digits: DataCard, tmp_path: Path) -> None:
    block = {"block": "conv", "filters": 6, "norm": "none", "dropout": 0.5}
    first = make_job(digits, tmp_path, {**FIRST, "blocks": [block, block]}, epochs=1)
    assert isinstance(train(first, HEARD), Trained)
    network = build(express(second(first, backbone_frozen=frozen), digits.pictures)[0])
    import keras

    taken = keras.Model(network.input, network.get_layer("head_global_pool").output)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype("float32")
    training, after = (keras.ops.convert_to_numpy(taken(pixels, training=each)) for each in (True, False))
    assert np.array_equal(training, after) == frozen


def test_training_goes_on_from_its_checkpoint(trained: Job, digits: DataCard, tmp_path: Path) -> None:
    """What it has learned since is not fetched away."""
    whole = make_job(digits, tmp_path / "whole", second(trained, backbone_frozen=False), epochs=3)
    parts = make_job(digits, tmp_path / "parts", second(trained, backbone_frozen=False), epochs=3)
    for job in (whole, parts):
        Path(job.model).parent.mkdir()
    curves: dict[str, list[float]] = {"whole": [], "parts": []}

    class _Ended(Exception):
        pass

    def ends(news: Any) -> bool:
        if hasattr(news, "epoch") and news.epoch == 2:
            raise _Ended
        return True

    def keeps(name: str) -> Any:
        return lambda news: not hasattr(news, "epoch") or curves[name].append(news.value) is None

    train(whole, keeps("whole"))
    with pytest.raises(_Ended):
        train(parts, ends)
    train(parts, keeps("parts"))
    assert curves["parts"] == curves["whole"]


def test_part_of_a_backbone_and_blocks_behind_it(trained: Job, digits: DataCard) -> None:
    blueprint, _ = express(second(trained, backbone_stages=1, blocks=[{"filters": 5}]), digits.pictures)
    whole, _ = express(second(trained, blocks=[{"filters": 5}]), digits.pictures)
    taken = [node for node in blueprint.nodes if node.origin is not None]
    assert {node.origin.layer.split("_")[0] for node in taken if node.origin} == {"stem", "block1"}
    assert len(taken) < sum(node.origin is not None for node in whole.nodes)
    assert summary(blueprint).startswith("[C8-")
    assert summary(blueprint).endswith("] | C5-P")
    further, _ = express(second(trained, backbone_frozen=False, blocks=[{"filters": 5}]), digits.pictures)
    assert summary(further).startswith("(C8-")
    assert build(blueprint).count_params() == blueprint.parameters


def test_blueprint_with_a_backbone_survives_the_ledger_and_is_told_apart(trained: Job, digits: DataCard) -> None:
    frozen, free, fresh = (
        express(genotype, digits.pictures)[0]
        for genotype in (second(trained), second(trained, backbone_frozen=False), {**FIRST, "blocks": FIRST["blocks"]})
    )
    assert Blueprint.from_dict(frozen.to_dict()) == frozen
    assert len({frozen.digest, free.digest, fresh.digest}) == 3


def test_backbone_may_have_a_backbone(trained: Job, digits: DataCard, tmp_path: Path) -> None:
    middle = make_job(digits, tmp_path, second(trained, blocks=[{"filters": 6}]), epochs=1)
    assert isinstance(train(middle, HEARD), Trained)
    blueprint, _ = express(second(middle), digits.pictures)
    network = build(blueprint)
    fetch(network, blueprint)
    assert network.count_params() == blueprint.parameters
    assert {node.origin.file for node in blueprint.nodes if node.origin} == {middle.model}


def test_model_that_was_changed_since_stops_the_search(trained: Job, digits: DataCard, tmp_path: Path) -> None:
    file = tmp_path / "copy.keras"
    write_whole(file, Path(trained.model).read_bytes())
    job = make_job(digits, tmp_path, {**second(trained), "backbone": str(file)})
    network = build(job.blueprint)
    retrained = dataclasses.replace(job, blueprint=express(FIRST, digits.pictures)[0], model=str(file), seed=1)
    assert isinstance(train(retrained, HEARD), Trained)
    with pytest.raises(DatasetError, match="is not the file that it was"):
        fetch(network, job.blueprint)
    file.unlink()
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        fetch(network, job.blueprint)
    assert "cannot be read" in getattr(work(job, HEARD), "reason", "")


def test_what_is_no_backbone_is_told(trained: Job, digits: DataCard, tmp_path: Path) -> None:
    (tmp_path / "words.keras").write_text("words")
    whole = Path(trained.model or "").read_bytes()
    at = whole.index(b"model.weights.h5") + 5_000  # within the weights, which only a training reads
    (tmp_path / "bits.keras").write_bytes(whole[:at] + bytes(255 - byte for byte in whole[at : at + 40]) + whole[at + 40 :])
    colour = Pictures((32, 32, 3), 2, (127.0,) * 3, (64.0,) * 3)
    for genes, pictures, told in (
        ({"backbone": str(tmp_path / "gone.keras")}, digits.pictures, "cannot be read: No such file"),
        ({"backbone": str(tmp_path)}, digits.pictures, "cannot be read: No such file"),
        ({"backbone": str(tmp_path / "words.keras")}, digits.pictures, "cannot be read as a model"),
        ({"backbone": str(tmp_path / "bits.keras")}, digits.pictures, "cannot be read as a model: its part model.weights.h5"),
        ({"backbone": 3}, digits.pictures, "a model file or a run folder; found 3"),
        ({"backbone_frozen": "yes"}, digits.pictures, "true or false; found 'yes'"),
        ({"backbone_stages": -1}, digits.pictures, "a whole number from 0; found -1"),
        ({}, colour, "for pictures of 1 channel, these have 3"),
    ):
        with pytest.raises(BlueprintError, match=told):
            express({**second(trained), **genes}, pictures)


def test_backbone_for_larger_pictures_is_told(digits: DataCard, tmp_path: Path) -> None:
    genotype = {"blocks": [{"block": "stage", "depth": 0, "pool": "stride"}], "head": "average", "batch_size": 32}
    job = make_job(digits, tmp_path, genotype, epochs=1)
    layers = {**job.blueprint.to_dict()}
    for node in layers["nodes"]:
        if node["kind"] == "conv":
            node["padding"] = "valid"
    job = dataclasses.replace(job, blueprint=Blueprint.from_dict(layers))
    assert isinstance(train(job, HEARD), Trained)
    tiny = Pictures((2, 2, 1), 2, (127.0,), (64.0,))
    with pytest.raises(BlueprintError, match=r"is for larger pictures .*backbone_stages"):
        express({"backbone": job.model, "blocks": [], "head": "average"}, tiny)


def test_space_with_a_backbone_is_checked_on_its_pictures(trained: Job) -> None:
    space = {
        "name": "transfer",
        "groups": {"blocks": {"repeat": [0, 1], "genes": {"filters": 8}}},
        "genes": {"backbone": trained.model, "backbone_frozen": {"choice": [True, False]}},
    }
    check_networks(read_space(space))
    with pytest.raises(SpaceError, match="cannot be read"):
        check_networks(read_space({**space, "genes": {"backbone": "gone.keras"}}))


@pytest.mark.slow
def test_search_with_the_best_of_an_earlier_run_as_its_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {**SMALL_SEARCH, "budget": 1, "epochs": 1}
    assert search(out=tmp_path / "first", view=Silent(), **first).best is not None
    (tmp_path / "transfer.yaml").write_text(
        "name: transfer\n"
        "groups: {blocks: {repeat: [0, 1], genes: {filters: {ordered: [4, 8]}}}}\n"
        "genes: {backbone: first, backbone_frozen: {choice: [true, false]}, backbone_stages: {ordered: [1, 2]}}\n",
        encoding="utf-8",
    )
    second = ("search", "--dataset=digits", "--space=transfer.yaml", "--strategy=random", "--budget=2", "--epochs=1")
    answer = nas(*second, "--out=second", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "the backbone first was trained on these pictures: unless that held out" in answer.stdout
    rows = without_seconds(tmp_path / "second" / "leaderboard.csv")
    assert len(rows) == 2
    assert "infeasible" not in {row["state"] for row in rows}
    shown = nas("show", "second", rows[0]["number"], cwd=tmp_path).stdout
    assert f" as block1_conv in {tmp_path / 'first' / 'best.keras'}" in shown
    model = tmp_path / "first" / "best.keras"
    kept = model.read_bytes()
    write_whole(model, next(iter((tmp_path / "second" / "models").glob("*.keras"))).read_bytes())
    monkeypatch.chdir(tmp_path)
    view = Listening()
    note_backbones(read_space("transfer.yaml"), prepare("digits", image_size=12), view)
    assert view.notes[0].startswith("the backbone first was trained on pictures of the same name, digits: ")
    with pytest.raises(InputError, match="the backbone 'first' is no longer the model that it was"):
        resume("second", Silent(), budget=3)
    write_whole(model, kept)
    assert len(resume("second", Silent(), budget=3).records) == 3
    model.unlink()
    with pytest.raises(InputError, match="the backbone 'first' cannot be read"):
        resume("second", Silent(), budget=4)


def test_network_without_blocks_is_no_backbone(digits: DataCard, tmp_path: Path) -> None:
    job = make_job(digits, tmp_path, {"blocks": [], "head": "average", "batch_size": 32}, epochs=1)
    assert isinstance(train(job, HEARD), Trained)
    with pytest.raises(BlueprintError, match="has no blocks to take"):
        express({"backbone": job.model, "blocks": [], "head": "average"}, digits.pictures)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_child_goes_on_with_what_its_parents_backbone_has_learned(
    frozen: bool, trained: Job, digits: DataCard, tmp_path: Path
) -> None:
    parent = make_job(digits, tmp_path / "parent", second(trained, backbone_frozen=False), epochs=3)
    still = {"optimizer": "sgd", "learning_rate": 1e-8, "backbone_frozen": frozen}
    child = make_job(digits, tmp_path / "child", second(trained, **still), epochs=1)
    for job in (parent, child):
        Path(job.model).parent.mkdir()
    assert isinstance(train(parent, HEARD), Trained)
    assert isinstance(train(dataclasses.replace(child, inherits=parent.model), HEARD), Trained)
    first, learned, now = (layers_of(job.model) for job in (trained, parent, child))
    for node in child.blueprint.nodes:
        if node.origin is not None and node.layer.kind == "conv":
            expected = first[node.origin.layer] if frozen else learned[node.name]
            np.testing.assert_allclose(now[node.name][0], expected[0], atol=1e-5)
            assert not np.allclose(first[node.origin.layer][0], learned[node.name][0], atol=1e-3)
