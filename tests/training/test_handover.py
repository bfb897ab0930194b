"""The model that is handed over: probabilities from any head, and clear words for a file that is none of ours."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from nas.errors import RunError
from nas.messages import DataCard
from nas.training.handover import class_probabilities, load_model, save_model
from nas.training.model import build
from nas.training.weights import weights_of
from tests.helpers import make_job

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("outputs", [np.array([[0.2, 0.8]]), np.array([[0.9, 0.3, 0.9]]), np.array([[0.7]]), np.zeros((1, 3))])
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
    np.testing.assert_allclose(np.asarray(plain(pixels)), np.asarray(network(pixels)), atol=0.02)


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
