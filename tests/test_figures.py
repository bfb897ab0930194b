"""The last score: figures as by scikit-learn, intervals and calibration as in their papers, on the test part alone."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.datasets import open_cache, prepare
from nas.datasets.cache import repeated
from nas.datasets.prepare import prepare_test
from nas.errors import DatasetError
from nas.figures import calibration_error, figures, wilson
from nas.final import figure_lines, write_figures
from nas.messages import DataCard
from nas.run import Run
from tests.helpers import class_folder, read_final

CLASSES = ("ant", "bee", "<cat>")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
SURE = np.eye(3)[[0, 0, 1, 2, 1, 1, 0, 2, 2, 2]]


def value(name: str, of: str = "", probabilities: np.ndarray = SURE, labels: np.ndarray = LABELS) -> float:
    return next(each.value for each in figures(probabilities, labels, CLASSES).figures if (each.name, each.of) == (name, of))


def test_figures_of_a_table_one_can_count() -> None:
    found = figures(SURE, LABELS, CLASSES)
    assert found.confusion == ((2, 1, 1), (1, 2, 0), (0, 0, 3))
    assert found.pictures == 10
    assert value("accuracy") == 0.7
    assert [value("accuracy", name) for name in CLASSES] == pytest.approx([0.5, 2 / 3, 1.0], abs=1e-6)
    assert value("balanced_accuracy") == pytest.approx((0.5 + 2 / 3 + 1) / 3, abs=1e-6)
    assert value("f1") == pytest.approx((4 / 7 + 2 / 3 + 6 / 7) / 3, abs=1e-6)
    assert value("calibration_error") == pytest.approx(0.3), "always sure, right in seven of ten"


def test_interval_is_wilsons() -> None:
    low, high = wilson(81, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-4)  # Newcombe 1998, table I, method 3
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1, abs=1e-9)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.8, 0.2]] * 10)
    assert calibration_error(probabilities, np.array([0] * 8 + [1] * 2)) == pytest.approx(0, abs=1e-9)
    assert calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.3)


def test_a_class_without_test_pictures_has_no_figure_and_no_part_in_the_means() -> None:
    labels = np.array([0, 0, 1])
    found = figures(SURE[:3], labels, CLASSES)
    assert [each.of for each in found.figures if each.of] == ["ant", "bee"]
    # Pairs of an ant and none: 12, of which 4 are in order and 6 undecided; of a bee and none: 12, 6 in order, 5 undecided.
    assert value("auc", probabilities=SURE[:7], labels=LABELS[:7]) == pytest.approx((7 / 12 + 8.5 / 12) / 2, abs=1e-6)
    assert "auc" not in {each.name for each in figures(SURE[:4], LABELS[:4], CLASSES).figures}, "all of one class"
    sure = np.eye(3)[labels]
    assert value("f1", probabilities=sure, labels=labels) == 1, "a class that is not there does not count"


def test_two_classes_have_an_auc() -> None:
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    found = figures(chances, np.array([0, 1, 0, 1]), ("a", "b"))
    assert next(each.value for each in found.figures if each.name == "auc") == pytest.approx(0.75)


def test_the_last_page_is_a_table_a_matrix_and_a_picture(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", "x")
    found = figures(SURE, LABELS, CLASSES)
    write_figures(run.final, found, {"winner": 3, "epochs": 20})
    rows = read_final(run.final)
    assert float(rows["accuracy", ""]["value"]) == 0.7
    assert float(rows["accuracy", ""]["low"]) < 0.7 < float(rows["accuracy", ""]["high"])
    assert rows["accuracy", "<cat>"]["value"] == "1.0"
    assert (rows["winner", ""]["value"], rows["pictures", ""]["value"]) == ("3", "10")
    with (run.folder / "confusion.csv").open(newline="") as stream:
        assert list(csv.reader(stream))[1] == ["ant", "2", "1", "1"]
    with Image.open(run.folder / "confusion.png") as picture:
        assert min(picture.size) > 300
    lines = figure_lines(found, "title")
    assert lines[0] == "title"
    assert any(line.startswith("  accuracy           0.7000  (95%: 0.3968 to 0.8922)") for line in lines)


@pytest.mark.parametrize("count", [2, 60])
def test_class_names_of_any_kind_can_be_drawn(count: int, tmp_path: Path) -> None:
    names = tuple(f"${number}_{{x}} {'ü' * 30}" for number in range(count))
    labels = np.arange(count)
    run = Run.create(tmp_path / "run", "x")
    write_figures(run.final, figures(np.eye(count), labels, names), {})
    with Image.open(run.folder / "confusion.png") as picture:
        assert max(picture.size) < 2500


def test_test_part_is_scaled_as_the_training_part_and_holds_other_pictures(tmp_path: Path) -> None:
    class_folder(tmp_path / "data", {"a": 30, "b": 30})
    card = prepare(str(tmp_path / "data"), image_size=8)
    test = prepare_test(str(tmp_path / "data"), None, card)
    assert (test.shape, test.classes, test.mean) == (card.shape, card.classes, card.mean)
    assert (sum(card.counts), sum(test.counts)) == (52, 8)
    seen = {picture.tobytes() for picture in open_cache(card)[0]}
    assert not any(picture.tobytes() in seen for picture in open_cache(test)[0])


def test_test_part_of_a_folder_that_has_changed_since_it_was_learned_is_refused(tmp_path: Path) -> None:
    """What is held out now may be what was learned from."""
    folder = class_folder(tmp_path / "data", {"a": 30, "b": 30})
    card = prepare(str(folder), image_size=8)
    shutil.copy(folder / "a" / "000.png", folder / "a" / "new.png")
    told = r"its training pictures have changed since they were learned from, so .*; put them back as they were"
    with pytest.raises(DatasetError, match=told):
        prepare_test(str(folder), None, card)
    (folder / "a" / "new.png").unlink()
    assert sum(prepare_test(str(folder), None, card).counts) == 8


def test_pictures_of_both_parts_are_counted(tmp_path: Path) -> None:
    class_folder(tmp_path / "data" / "train", {"a": 9, "b": 9})
    class_folder(tmp_path / "data" / "test", {"a": 5, "b": 5}, seed=1)
    for name in ("x", "y"):  # twice the same one
        shutil.copy(tmp_path / "data" / "train" / "a" / "003.png", tmp_path / "data" / "test" / "b" / f"{name}.png")
    card = prepare(str(tmp_path / "data"), image_size=8)
    test = prepare_test(str(tmp_path / "data"), None, card)
    assert (repeated(test, card), repeated(card, test), repeated(card, card)) == (2, 1, 18)


def test_test_part_with_other_classes_is_refused(tmp_path: Path) -> None:
    class_folder(tmp_path / "data" / "train", {"a": 5, "b": 5})
    class_folder(tmp_path / "data" / "test", {"a": 5, "c": 5})
    card: DataCard = prepare(str(tmp_path / "data"))
    with pytest.raises(DatasetError, match="its test part has other classes than its training part: a, c"):
        prepare_test(str(tmp_path / "data"), None, card)
