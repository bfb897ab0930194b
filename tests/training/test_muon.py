"""Muon for convolutions: what it steps, and that its step is that of Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from nas.blueprint import Pictures, express
from nas.training.model import build
from nas.training.muon import Muon

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (6, 6), (1152, 128), (1, 8)])
def test_iteration_on_the_square_gives_what_the_matrix_gives(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(1).normal(size=shape).astype("float32")
    ours = np.asarray(Muon(0.01, 0.0).zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(matrix), 5))
    theirs = np.asarray(keras.optimizers.Muon(0.01).zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(matrix), 5))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    singular = np.linalg.svd(ours, compute_uv=False)
    assert singular.min() > 0.5, "near the nearest orthogonal matrix"
    assert singular.max() < 1.3


def test_steps_of_a_matrix_are_those_of_keras() -> None:
    rng = np.random.default_rng(2)
    begun, gradients = rng.normal(size=(12, 6)).astype("float32"), rng.normal(size=(3, 12, 6)).astype("float32")
    ends = []
    for optimizer in (Muon(0.02, 0.1), keras.optimizers.Muon(0.02, weight_decay=0.1, adam_weight_decay=0.1)):
        variable = keras.Variable(begun, name="kernel")
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        ends.append(np.asarray(variable))
    assert np.abs(ends[0] - begun).max() > 0.01
    np.testing.assert_allclose(*ends, atol=1e-5)


def test_matrices_and_kernels_but_the_first_and_the_last_are_stepped_by_it() -> None:
    genotype = {
        "stem_filters": 8,
        "blocks": [{"block": "stage", "unit": "separable", "squeeze": 0.5, "widen": 2.0}],
        "dense": [{"units": 12}],
        "output": "softmax",
    }
    network = build(express(genotype, Pictures((12, 12, 3), 5, (127.0,) * 3, (64.0,) * 3))[0], fast=True)
    optimizer = Muon(0.01, 0.1)
    optimizer.build(network.trainable_variables)
    stepped = {
        variable.path
        for variable, second in zip(network.trainable_variables, optimizer.adam_velocities, strict=True)
        if second is None
    }
    kernels = {variable.path for variable in network.trainable_variables if variable.path.endswith("kernel")}
    adamw = {path for path in kernels if "depthwise" in path} | {"stem_conv/kernel", "dense/kernel"}
    assert len(adamw) == 4
    assert stepped == kernels - adamw
