"""The fused normalisation computes what Keras's does, learns the same, and gives its weights to it."""

from __future__ import annotations

import numpy as np
import pytest

from nas.blueprint import Pictures, express
from nas.training.model import build
from nas.training.weights import set_weights, weights_of

GENOTYPE = {"stem_filters": 8, "blocks": [{"block": "stage"}], "dense": [{"units": 8, "norm": "batch"}]}
BLUEPRINT, _ = express(GENOTYPE, Pictures((8, 8, 3), 4, (127.0,) * 3, (64.0,) * 3))
RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(0, 255, (32, 8, 8, 3)).astype("float32")
TARGETS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 32)]


def trained(fast: bool) -> tuple[object, list[float]]:
    import keras

    model = build(BLUEPRINT, 3, fast=fast)
    model.compile(keras.optimizers.SGD(0.05), "categorical_crossentropy", jit_compile=False)
    losses = [float(model.train_on_batch(PICTURES, TARGETS)) for _ in range(5)]
    return model, losses


def test_same_steps_same_answers_and_the_same_weights_under_the_same_names() -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the kernel is TensorFlow's")
    fast, losses = trained(fast=True)
    plain, expected = trained(fast=False)
    kinds = {type(layer).__name__ for layer in fast.layers}  # type: ignore[attr-defined]
    assert {"FusedBatchNormalization", "BatchNormalization"} <= kinds, "of rows of features it is Keras's"
    assert "FusedBatchNormalization" not in {type(layer).__name__ for layer in plain.layers}  # type: ignore[attr-defined]
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    ours, theirs = weights_of(fast), weights_of(plain)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0.02, atol=2e-3, err_msg=name)
    set_weights(plain, ours)
    both = [np.asarray(model.predict(PICTURES, verbose=0)) for model in (fast, plain)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)
