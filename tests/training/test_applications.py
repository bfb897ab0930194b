"""Networks of `keras.applications` as backbones: translated, they see what the original sees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nas.blueprint import Pictures, express
from nas.blueprint.backbone import application_file, is_application
from nas.errors import DatasetError
from nas.training.applications import Untranslated, fetch_application, write_application
from nas.training.backbone import fetch
from nas.training.model import build
from tests.helpers import class_folder, nas, without_seconds

pytestmark = pytest.mark.backend

FAMILIES = ["MobileNet", "MobileNetV2", "EfficientNetB0"]
LARGE = ["VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "EfficientNetV2B0", "Xception"]
SIDE = 96
SPACE = """name: transfer
groups: {blocks: {repeat: 1, genes: {filters: 8}}}
genes: {backbone: MobileNetV2, backbone_stages: {ordered: [2, 3]}, head: average, batch_size: 8}
"""


def original(name: str, side: int) -> Any:
    """The application with random weights and random statistics."""
    keras.utils.set_random_seed(3)
    network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3))
    rng = np.random.default_rng(4)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    return network


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_translated_network_sees_what_the_original_sees(name: str, tmp_path: Path) -> None:
    """From raw pixels and with exact costs; those that are built quickly, at another size than they were written for."""
    side = 224 if name in FAMILIES else SIDE
    network = original(name, side)
    file = tmp_path / "made" / "backbone.keras"
    write_application(name, network, file)
    pictures = Pictures((SIDE, SIDE, 3), 2, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0))
    blueprint, _ = express({"backbone": str(file), "blocks": [], "head": "average"}, pictures)
    ours = build(blueprint)
    fetch(ours, blueprint)
    last = next(node.name for node in reversed(blueprint.nodes) if node.origin is not None)
    pixels = np.random.default_rng(5).integers(0, 256, (2, SIDE, SIDE, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(keras.Model(ours.input, ours.get_layer(last).output)(pixels))
    same = network
    if side != SIDE:
        same = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
        same.set_weights(network.get_weights())
    prepared = sys.modules[getattr(keras.applications, name).__module__].preprocess_input
    wanted = keras.ops.convert_to_numpy(same(prepared(pixels.copy())))
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-3 * float(np.abs(wanted).max()))
    assert ours.count_params() == blueprint.parameters
    few, _ = express({"backbone": str(file), "backbone_stages": 2, "blocks": [], "head": "average"}, pictures)
    assert 0 < few.parameters < blueprint.parameters


def test_layer_without_a_counterpart_is_told(tmp_path: Path) -> None:
    with pytest.raises(Untranslated, match="the activation 'hard_silu'"):
        write_application("MobileNetV3Small", original("MobileNetV3Small", 224), tmp_path / "backbone.keras")
    assert not list(tmp_path.iterdir())


def test_that_it_cannot_be_translated_is_told_before_anything_is_downloaded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path))
    with pytest.raises(DatasetError, match="MobileNetV3Small has the activation 'hard_silu', so it cannot be a backbone"):
        fetch_application("MobileNetV3Small")


def test_name_of_no_application_is_told_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match=r"MobilNetV2.*did you mean 'MobileNetV2'"):
        fetch_application("MobilNetV2")


@pytest.fixture
def downloaded(tmp_path: Path) -> dict[str, str]:
    """An environment: Keras's own cache with weights of MobileNetV2 as a download leaves them, and an empty cache of ours."""
    models = tmp_path / "keras" / "models"
    models.mkdir(parents=True)
    original("MobileNetV2", 224).save(models / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5")
    return {"NAS_CACHE_DIR": str(tmp_path / "cache"), "KERAS_HOME": str(tmp_path / "keras")}


@pytest.fixture
def prepared(tmp_path: Path) -> list[str]:
    """The words of a search in a folder with pictures and a space that names an application."""
    (tmp_path / "transfer.yaml").write_text(SPACE, encoding="utf-8")
    class_folder(tmp_path / "pictures", {"cat": 12, "dog": 12})
    return ["search", "--dataset=pictures", "--space=transfer.yaml", "--strategy=random", "--epochs=1", "--max-flops=none"]


@pytest.mark.slow
def test_search_with_an_application_by_name(tmp_path: Path, prepared: list[str], downloaded: dict[str, str]) -> None:
    """Where its file was removed it is made again, equal, so a search goes on with it."""
    answer = nas(*prepared, "--budget=1", "--out=run", cwd=tmp_path, env=downloaded)
    assert answer.returncode == 0, answer.stderr
    assert "fetching the backbone MobileNetV2" in answer.stdout + answer.stderr
    (file,) = Path(downloaded["NAS_CACHE_DIR"]).glob("backbones/MobileNetV2*.keras")
    file.unlink()
    answer = nas("resume", "run", "--budget=2", cwd=tmp_path, env=downloaded)
    assert answer.returncode == 0, answer.stderr
    assert file.exists()
    assert {row["state"] for row in without_seconds(tmp_path / "run" / "leaderboard.csv")} == {"trained"}


def test_weights_that_cannot_be_fetched_are_told(tmp_path: Path, prepared: list[str]) -> None:
    """Without network, or as here with one in which nobody answers."""
    homes = {"KERAS_HOME": str(tmp_path / "keras"), "NAS_CACHE_DIR": str(tmp_path / "cache")}
    answer = nas(*prepared, "--budget=1", "--out=run", cwd=tmp_path, env={"https_proxy": "http://127.0.0.1:9", **homes})
    assert answer.returncode == 2
    assert "the weights of MobileNetV2 cannot be fetched" in answer.stderr
    assert str(tmp_path / "keras" / "models") in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "run").exists()


def test_what_is_called_like_a_folder_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_application("MobileNetV2")
    (tmp_path / "MobileNetV2").mkdir()
    assert not is_application("MobileNetV2")
    assert not is_application("results/first")
    assert not is_application(3)
    assert application_file("VGG16").name.startswith("VGG16-")
