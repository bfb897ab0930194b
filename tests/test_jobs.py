"""What settings left open mean for data: how many epochs, of how many pictures, and whether pictures are mirrored."""

import dataclasses

import pytest

from nas.config import settings
from nas.datasets.prepare import prepare
from nas.jobs import MOST_EPOCHS, in_epochs_of_a_search, networks_of, resolved, training_pictures
from nas.messages import DataCard
from nas.space import read_space

MACHINE = {"precision": "float32"}


def card_of(pictures: int) -> DataCard:
    return DataCard("some", "", ("a", "b"), (32, 32, 3), (127.0,) * 3, (64.0,) * 3, (pictures // 2,) * 2, "", "")


@pytest.mark.parametrize(
    ("pictures", "options", "epochs", "each"),
    [
        (50_000, {}, 1, 30_000),
        (2_000, {"validation_part": 0.5}, 30, 1_000),
        (50_000, {"preset": "quick"}, 1, 15_000),
        (2_000, {"preset": "quick", "validation_part": 0.5}, 15, 1_000),
        (2_000, {"preset": "quick", "validation_part": 0.5, "epochs": 2}, 2, 1_000),
        (50_000, {"train_pictures": 5_000}, 6, 5_000),
        (50_000, {"seen_pictures": 1}, 1, 30_000),
        (100, {"preset": "thorough"}, MOST_EPOCHS, 75),
        (100, {"validation_part": 0.9999}, MOST_EPOCHS, 0.01),  # of each class one is left, whatever the part says
    ],
)
def test_of_fewer_pictures_a_candidate_sees_as_many_in_more_epochs(pictures, options, epochs, each):
    chosen = resolved(settings(**options), card_of(pictures), MACHINE)
    assert chosen.epochs == epochs
    assert training_pictures(card_of(pictures), chosen) == pytest.approx(each, rel=0.15)


def test_a_time_is_told_in_epochs_as_a_search_has_them():
    """A third of the pictures in training and a tenth looked at, which costs a third: 11/30 of a training on all."""
    card = card_of(50_000)
    chosen = resolved(settings(validation_part=0.1, train_part=1 / 2.7, epochs=1), card, MACHINE)
    assert in_epochs_of_a_search(60.0, chosen, card) == pytest.approx(22.0)


@pytest.mark.parametrize(("pictures", "batch"), [(40, 40), (1_000, 64)])
def test_a_batch_is_no_larger_than_the_data_whatever_a_search_shows_of_them(pictures, batch):
    _, recipe = networks_of(card_of(pictures))({"blocks": [{"block": "conv", "filters": 4}], "batch_size": 64})
    assert recipe.batch_size == batch


@pytest.mark.parametrize(("mirrored", "flip"), [(True, "horizontal"), (False, "none")])
def test_pictures_are_mirrored_where_they_mean_the_same_then(mirrored, flip):
    import random

    card = dataclasses.replace(card_of(1_000), mirrored=mirrored)
    _, recipe = networks_of(card)(read_space("modern").sample(random.Random(0)))
    assert recipe.flip == flip


def test_digits_mean_something_else_in_a_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path))
    assert not prepare("digits").mirrored
