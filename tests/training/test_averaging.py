"""Averaged weights: what is left of the first ones, for every optimizer, and after how many steps the average is slow."""

import keras
import numpy as np
import pytest

from nas.recipe import OPTIMIZERS, Recipe
from nas.training.trainer import make_optimizer


def averages(recipe: Recipe, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The average after so many steps of a weight that is what the step's number is, and the same by hand."""
    weight = keras.Variable(np.zeros((4, 4), "float32"), name="kernel")
    optimizer = make_optimizer(recipe, steps)
    optimizer.build([weight])
    by_hand = np.zeros((4, 4))
    for step in range(steps):
        optimizer.iterations.assign(step)
        weight.assign(np.full((4, 4), step + 1.0))
        optimizer._update_model_variables_moving_average([weight])
        kept = min(recipe.ema, step / (10 + step))
        by_hand = kept * by_hand + (1 - kept) * (step + 1)
    return np.array(optimizer._model_variables_moving_average[0]), by_hand


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_average_is_fast_at_first_whatever_the_optimizer(name):
    found, by_hand = averages(Recipe(optimizer=name, ema=0.98, schedule="constant"), 80)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    assert 65 < found[0, 0] < 75, "of the last ten steps or so"


def test_an_average_is_as_slow_as_asked_in_the_end():
    found, by_hand = averages(Recipe(ema=0.5, schedule="constant"), 80)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    assert found[0, 0] == pytest.approx(79, abs=0.1)


def test_a_step_averages():
    weight = keras.Variable(np.ones((4, 4), "float32"), name="kernel")
    optimizer = make_optimizer(Recipe(optimizer="sgd", ema=0.9, schedule="constant"), 1)
    optimizer.apply([keras.ops.ones((4, 4))], [weight])
    average = np.array(optimizer._model_variables_moving_average[0])
    np.testing.assert_allclose(average, np.array(weight), rtol=1e-6, err_msg="nothing but what the first step has made")
