"""Recipes: the trip through plain data, and every value that is not allowed."""

import json

import pytest

from nas.errors import BlueprintError
from nas.leaderboard import LATER_RECIPE_COLUMNS, RECIPE_COLUMNS
from nas.recipe import RECIPE_GENES, STRENGTHS, Recipe


def test_a_recipe_survives_the_trip_through_json():
    recipe = Recipe(optimizer="sgd", learning_rate=0.01, batch_size=32, flip="both", erasing=0.25)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_what_is_left_out_has_its_default():
    assert Recipe.from_dict({}) == Recipe()


def test_the_leaderboard_has_a_column_for_every_part_of_a_recipe():
    assert sorted((*RECIPE_COLUMNS, *LATER_RECIPE_COLUMNS)) == sorted(RECIPE_GENES)


@pytest.mark.parametrize(
    ("epochs", "mixup", "cutmix"), [(1, 0.0, 0.0), (10, 0.0, 0.0), (20, 0.25, 0.1), (30, 0.5, 0.2), (300, 0.5, 0.2)]
)
def test_the_longer_a_training_the_more_often_it_mixes(epochs, mixup, cutmix):
    recipe = Recipe(mixup=0.5, cutmix=0.2, mixing_epochs=30, shift=0.1)
    assert recipe.planned(epochs) == Recipe(mixup=mixup, cutmix=cutmix, shift=0.1)


def test_mixtures_without_a_number_of_epochs_are_for_every_training():
    assert Recipe(mixup=0.5).planned(1) == Recipe(mixup=0.5)


def test_what_has_no_effect_is_as_by_default():
    odd = Recipe(optimizer="adam", momentum=0.5, loss="mse", label_smoothing=0.1, mixing_epochs=100, shift=0.1)
    assert odd.effective() == Recipe(optimizer="adam", loss="mse", shift=0.1)
    assert odd.idle() == {"momentum", "label_smoothing", "mixing_epochs"}
    full = Recipe(optimizer="sgd", momentum=0.5, label_smoothing=0.1, cutmix=0.5, mixing_epochs=100)
    assert full.effective() == full


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"optimizer": "sgdd"}, "optimizer: unknown value 'sgdd' (did you mean 'sgd'?)"),
        ({"optimizer": 1}, "optimizer: unknown value '1'"),
        ({"loss": "hinge"}, "loss: unknown value 'hinge'\n       allowed here: crossentropy, mse"),
        ({"schedule": "cosin"}, "schedule: unknown value 'cosin' (did you mean 'cosine'?)"),
        ({"flip": True}, "flip: unknown value 'True'"),
        ({"learning_rate": 0}, "learning_rate is a number from 1e-08 to 100; found 0"),
        ({"learning_rate": "1e-3"}, "learning_rate is a number from 1e-08 to 100; found '1e-3'"),
        ({"learning_rate": float("nan")}, "learning_rate is a number from 1e-08 to 100; found nan"),
        ({"weight_decay": -0.1}, "weight_decay is a number from 0 to 1; found -0.1"),
        ({"momentum": 1}, "momentum is a number from 0 to 0.9999; found 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is a number from 0 to 0.9; found 1.0"),
        ({"batch_size": 0}, "batch_size is a whole number from 1 to 65,536; found 0"),
        ({"batch_size": 32.0}, "batch_size is a whole number from 1 to 65,536; found 32.0"),
        ({"batch_size": True}, "batch_size is a whole number from 1 to 65,536; found True"),
        ({"mixing_epochs": 2.0}, "mixing_epochs is a whole number from 0 to 10,000; found 2.0"),
        ({"mixing_epochs": True}, "mixing_epochs is a whole number from 0 to 10,000; found True"),
        ({"learning_rat": 1.0}, "unknown training gene 'learning_rat' (did you mean 'learning_rate'?)"),
        *(({name: 1.1}, f"{name} is a number from 0 to 1; found 1.1") for name in STRENGTHS),
        *(({name: True}, f"{name} is a number from 0 to 1; found True") for name in STRENGTHS),
    ],
)
def test_a_value_that_is_not_allowed_is_told(wrong, told):
    with pytest.raises(BlueprintError) as caught:
        Recipe.from_dict(wrong)
    assert str(caught.value).startswith(told)
