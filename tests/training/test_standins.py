"""What stands in for Keras's layers computes what they do, learns the same, and gives its weights to them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from nas.blueprint import Blueprint, Node, Pictures, express
from nas.blueprint.layers import Activation, Conv, Dropout, Flatten, GlobalPool
from nas.training.model import build
from nas.training.weights import set_weights, weights_of

pytestmark = pytest.mark.backend

GENOTYPE = {"stem_filters": 8, "blocks": [{"block": "stage"}], "dense": [{"units": 8, "norm": "batch"}]}
BLUEPRINT, _ = express(GENOTYPE, Pictures((8, 8, 3), 4, (127.0,) * 3, (64.0,) * 3))
RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(0, 255, (32, 8, 8, 3)).astype("float32")
TARGETS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 32)]


def trained(fast: bool) -> tuple[Any, list[float]]:
    model = build(BLUEPRINT, 3, fast=fast)
    model.compile(keras.optimizers.SGD(0.05), "categorical_crossentropy", jit_compile=False)
    losses = [float(model.train_on_batch(PICTURES, TARGETS)) for _ in range(5)]
    return model, losses


def kinds_of(model: Any) -> set[str]:
    return {type(layer).__name__ for layer in model.layers}


def test_same_steps_same_answers_and_the_same_weights_under_the_same_names() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the kernel is TensorFlow's")
    fast, losses = trained(fast=True)
    plain, expected = trained(fast=False)
    kinds = kinds_of(fast)
    assert {"FusedBatchNormalization", "BatchNormalization"} <= kinds, "of rows of features it is Keras's"
    assert "FusedBatchNormalization" not in kinds_of(plain)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    ours, theirs = weights_of(fast), weights_of(plain)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0.02, atol=2e-3, err_msg=name)
    set_weights(plain, ours)
    both = [np.asarray(model.predict(PICTURES, verbose=0)) for model in (fast, plain)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gelu_and_its_gradient_are_those_of_keras(precision: str) -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is TensorFlow's")
    behind = (Node("flat", Flatten(), ("active",)), Node("dropped", Dropout(0.5), ("flat",)))  # the last two are in float32
    blueprint = Blueprint((400, 1, 1), (Node("active", Activation("gelu"), ("input",)), *behind))
    ours, theirs = (build(blueprint, 0, precision, fast=fast) for fast in (True, False))
    assert kinds_of(ours) - kinds_of(theirs) == {"Gelu"}
    assert ours.get_layer("active").compute_dtype == precision
    features = tf.constant(np.linspace(-6, 6, 400, dtype="float32").reshape(1, 400, 1, 1))
    found = []
    for model in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(features)
            answer = model(features)
        found.append((answer.numpy(), tape.gradient(answer, features).numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 if precision == "float32" else 0.02)


def test_a_strided_kernel_of_one_pixel_learns_as_any_other() -> None:
    """Of 1 and 3 channels, where oneDNN's own gradient may write past its memory, and of 12, where it is right."""
    rng = np.random.default_rng(1)
    for channels, size, padding in ((1, 8, "same"), (3, 9, "same"), (12, 8, "valid"), (12, 9, "same")):
        strided = Node("strided", Conv(6, 1, 2, padding, True), ("input",))
        blueprint = Blueprint((size, size, channels), (strided, Node("pool", GlobalPool("average"), ("strided",))))
        model = build(blueprint, 3, fast=True)
        assert "Pointwise" in kinds_of(model)
        assert "Pointwise" not in kinds_of(build(blueprint, 3))
        assert model.get_layer("strided").output.shape[1:] == blueprint.shapes["strided"]
        pixels, targets = rng.normal(size=(16, size, size, channels)).astype("float32"), rng.normal(size=(16, 6))
        kernel, bias = (np.asarray(each, "float64") for each in weights_of(model).values())
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        model.train_on_batch(pixels, targets.astype("float32"))
        met = pixels[:, ::2, ::2].mean(axis=(1, 2), dtype="float64")
        error = 2 * (met @ kernel[0, 0] + bias - targets) / targets.size
        now = list(weights_of(model).values())
        np.testing.assert_allclose(now[0][0, 0], kernel[0, 0] - 0.5 * met.T @ error, atol=1e-5)
        np.testing.assert_allclose(now[1], bias - 0.5 * error.sum(axis=0), atol=1e-5)
