"""The model that is handed over: probabilities from any head, and clear words for a file that is none of ours."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from nas.answers import class_probabilities
from nas.errors import RunError
from nas.messages import DataCard
from nas.training.handover import load_model, save_model
from nas.training.model import build
from nas.training.weights import weights_of
from tests.helpers import make_job

pytestmark = pytest.mark.backend


ANSWERS = [[0.2, 0.8], [0.9, 0.3, 0.9], [0.7], [0.0] * 3, [1e-38] * 3]


@pytest.mark.parametrize("outputs", [np.array([each]) for each in ANSWERS])
def test_probabilities_of_any_head_are_one_for_each_class(outputs: np.ndarray) -> None:
    shares = class_probabilities(outputs)
    assert shares.shape[1] == max(2, outputs.shape[1])
    assert shares.sum() == pytest.approx(1)


def test_single_unit_is_the_second_class() -> None:
    np.testing.assert_allclose(class_probabilities(np.array([[0.7]])), [[0.3, 0.7]])


def test_file_knows_its_classes_and_loads_in_plain_keras(digits: DataCard, tmp_path: Path) -> None:
    job = make_job(digits, tmp_path)
    network = build(job.blueprint, 3, "bfloat16")
    save_model(job, weights_of(network), {"number": 1})
    with zipfile.ZipFile(job.model) as archive:
        facts = json.loads(archive.read("nas.json"))
    assert facts["classes"] == list("0123456789")
    assert facts["data"]["digest"] == digits.digest
    plain = keras.saving.load_model(job.model, safe_mode=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(plain(pixels)), keras.ops.convert_to_numpy(network(pixels)), atol=0.02
    )


def test_files_that_are_no_model_of_ours_are_refused(tmp_path: Path) -> None:
    garbage, foreign = tmp_path / "garbage.keras", tmp_path / "foreign.keras"
    garbage.write_bytes(b"garbage")
    pixels = keras.Input((4,))
    keras.Model(pixels, keras.layers.Dense(2)(pixels)).save(foreign)
    with pytest.raises(RunError, match="cannot be read as a model"):
        load_model(garbage)
    with pytest.raises(RunError, match="was not made by nas"):
        load_model(foreign)
    with pytest.raises(RunError, match="does not exist"):
        load_model(tmp_path / "gone.keras")
    with pytest.raises(RunError, match="cannot be read as a model: Is a directory"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("member", "old", "new", "told"),
    [
        ("nas.json", '"classes"', '"klasses"', "cannot be read as a model: its member nas.json has no list 'classes'"),
        ("nas.json", '"9"', '"9", "10"', "its network is not for 11 classes and pictures of 8×8×1"),
        ("nas.json", "8,", "9,", "its network is not for 10 classes and pictures of 9×9×1"),
        ("config.json", '"valid"', '"vapid"', "cannot be read as a model: "),
        ("config.json", '"pool_size": [2, 2]', '"pool_size": [20, 20]', "cannot be read as a model: |its network fails: "),
    ],
)
def test_model_that_was_changed_is_told(digits: DataCard, tmp_path: Path, member: str, old: str, new: str, told: str) -> None:
    job = make_job(digits, tmp_path)
    save_model(job, weights_of(build(job.blueprint, 3)), {"number": 1})
    with zipfile.ZipFile(job.model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old.encode() in parts[member]
    parts[member] = parts[member].replace(old.encode(), new.encode())
    with zipfile.ZipFile(job.model, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match=told):
        load_model(Path(job.model)).probabilities(np.zeros((1, 8, 8, 1)))


def test_code_in_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Lambda layer holds Python's bytecode; Keras's safe mode refuses it."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.keras"
    pixels = keras.Input((8, 8, 1))
    evil = keras.layers.Lambda(lambda x: [__import__("os").mkdir("exploded"), x][1], output_shape=(8, 8, 1))(pixels)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(evil))
    keras.Model(pixels, outputs).save(file)
    if (tmp_path / "exploded").exists():  # building it may have run it
        (tmp_path / "exploded").rmdir()
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("nas.json", json.dumps({"classes": ["a", "b"], "shape": [8, 8, 1]}))
    with pytest.raises(RunError, match="cannot be read as a model"):
        load_model(file)
    assert not (tmp_path / "exploded").exists()
