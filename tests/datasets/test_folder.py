"""Folders of pictures: layouts, what is a class, what is refused, what is the test part."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.datasets.folder import load_folder
from nas.datasets.prepare import prepare
from nas.errors import DatasetError
from tests.datasets.test_images import bomb
from tests.helpers import class_folder, picture, save

RNG = np.random.default_rng(0)


def test_flat_folder_holds_out_one_in_seven(tmp_path: Path) -> None:
    class_folder(tmp_path, {"cat": 14, "dog": 21})
    train, test = load_folder(tmp_path, "train"), load_folder(tmp_path, "test")
    assert train.classes == ("cat", "dog")
    assert [test.labels.count(label) for label in (0, 1)] == [2, 3]
    assert not set(train.files) & set(test.files)
    assert len(train.files) + len(test.files) == 35
    assert load_folder(tmp_path, "test") == test


def test_pictures_that_come_later_do_not_move_the_others_from_part_to_part(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "data", {"cat": 140, "dog": 140})
    learned = set(load_folder(folder, "train").files)
    for number in range(7):
        shutil.copy(folder / "cat" / "000.png", folder / "cat" / f"!{number}.png")  # before all others
    now = set(load_folder(folder, "test").files)
    assert len(now) == 41
    assert len(now & learned) <= 1, "that one for which there is room"
    moved = folder.rename(tmp_path / "elsewhere")
    assert {file.relative_to(moved) for file in load_folder(moved, "test").files} == {file.relative_to(folder) for file in now}


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("training_set", "test_set"), ("Train", "valid")])
def test_train_folder_with_its_test_folder(tmp_path: Path, train: str, test: str) -> None:
    class_folder(tmp_path / train, {"cat": 9, "dog": 9})
    class_folder(tmp_path / test, {"cat": 3, "dog": 3})
    assert len(load_folder(tmp_path, "train").files) == 18
    assert {file.parent.parent.name for file in load_folder(tmp_path, "test").files} == {test}
    assert test in prepare(str(tmp_path)).test


def test_folder_beside_the_parts_is_no_class(tmp_path: Path) -> None:
    class_folder(tmp_path / "training_set", {"cat": 4, "dog": 4})
    class_folder(tmp_path / "test_set", {"cat": 2, "dog": 2})
    save(picture(RNG, 9, 9), tmp_path / "single_prediction" / "cat_or_dog_1.jpg")
    card = prepare(str(tmp_path))
    assert card.classes == ("cat", "dog")
    assert sum(card.counts) == 8


def test_test_part_may_be_garbage_as_it_stays_closed(tmp_path: Path) -> None:
    class_folder(tmp_path / "train", {"cat": 4, "dog": 4})
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "a.jpg").write_bytes(b"garbage")
    card = prepare(str(tmp_path))
    assert card.counts == (4, 4)
    assert card.skipped == ()


def test_grey_folder_is_grey_and_one_colour_picture_makes_it_colour(tmp_path: Path) -> None:
    class_folder(tmp_path, {"a": 5, "b": 5}, channels=1)
    assert prepare(str(tmp_path)).shape[2] == 1
    save(picture(RNG, 10, 12), tmp_path / "a" / "colour.png")
    save(picture(RNG, 10, 12), tmp_path / "a" / "colour2.png")
    assert prepare(str(tmp_path)).shape[2] == 3


def test_mixed_sizes_and_formats_become_one_square(tmp_path: Path) -> None:
    for suffix, size in ((".png", (20, 30)), (".jpg", (50, 24)), (".bmp", (24, 24)), (".webp", (24, 90))):
        class_folder(tmp_path, {"a": 3, "b": 3}, size, suffix)
    card = prepare(str(tmp_path))
    assert card.shape == (24, 24, 3)
    assert card.skipped == ()
    assert prepare(str(tmp_path), image_size=13).shape == (13, 13, 3)


def test_large_pictures_are_scaled_to_64_unless_asked(tmp_path: Path) -> None:
    class_folder(tmp_path, {"a": 3, "b": 3}, (100, 120))
    assert prepare(str(tmp_path)).shape == (64, 64, 3)
    assert prepare(str(tmp_path), image_size=96).shape == (96, 96, 3)


def test_what_is_no_picture_is_skipped_counted_and_listed(tmp_path: Path) -> None:
    class_folder(tmp_path / "train", {"a": 5, "b": 5})
    class_folder(tmp_path / "test", {"a": 1, "b": 1})
    inside = tmp_path / "train" / "a"
    (inside / "notes.txt").write_text("no picture")
    (inside / "empty.jpg").write_bytes(b"")
    (inside / "text.png").write_text("no picture")
    whole = save(picture(RNG, 60, 60), tmp_path / "whole.jpg").read_bytes()
    (inside / "half.jpg").write_bytes(whole[: len(whole) // 2])
    bomb(inside / "bomb.png", 60_000)
    card = prepare(str(tmp_path))
    assert card.counts == (5, 5)
    reasons = dict(card.skipped)
    assert set(reasons) == {"a/notes.txt", "a/empty.jpg", "a/text.png", "a/half.jpg", "a/bomb.png"}
    assert reasons["a/notes.txt"] == "is not a picture by its name"
    assert reasons["a/bomb.png"] == "declares a size that no photograph has"
    assert "damaged" in reasons["a/half.jpg"]


def test_unicode_names_travel(tmp_path: Path) -> None:
    class_folder(tmp_path / "Bäume und 花", {"Ahorn 🍁": 4, "čmelák": 4})
    save(picture(RNG, 9, 9), tmp_path / "Bäume und 花" / "čmelák" / "été – 猫.png")
    card = prepare(str(tmp_path / "Bäume und 花"))
    assert card.name == "Bäume und 花"
    assert card.classes == ("Ahorn 🍁", "čmelák")
    assert card.skipped == ()


def test_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    root = class_folder(tmp_path / "root", {"a": 4, "b": 4})
    secret = save(picture(RNG, 9, 9), tmp_path / "elsewhere" / "secret.png")
    (root / "a" / "out.png").symlink_to(secret)
    (root / "a" / "in.png").symlink_to(root / "a" / "000.png")
    found = load_folder(root, "train")
    assert dict(found.refused) == {str(Path("a/out.png")): "is a link that leaves the folder"}
    names = [file.name for part in ("train", "test") for file in load_folder(root, part).files]
    assert "in.png" in names
    (root / "c").mkdir()
    (root / "c" / "out.png").symlink_to(secret)
    with pytest.raises(DatasetError, match=r"'c' has no picture \(.*\); c.out.png is a link that leaves the folder"):
        load_folder(root, "train")


def test_link_to_a_folder_is_refused_and_counted(tmp_path: Path) -> None:
    root = class_folder(tmp_path / "root", {"a": 4, "b": 4})
    (root / "b" / "more.png").symlink_to(root / "a")
    assert dict(load_folder(root, "train").refused) == {str(Path("b/more.png")): "is a link to a folder"}


def test_link_that_leads_nowhere_or_to_itself_is_refused(tmp_path: Path) -> None:
    root = class_folder(tmp_path / "root", {"a": 4, "b": 4})
    (root / "a" / "loop.png").symlink_to("loop.png")
    (root / "a" / "nowhere.png").symlink_to("gone.png")
    assert dict(load_folder(root, "train").refused) == {"a/loop.png": "is no file", "a/nowhere.png": "is no file"}


@pytest.mark.parametrize("name", ["~no-such-user", "~no-such-user/pictures", "x" * 5000, "\x00"])
def test_folder_that_is_not_there_may_be_called_anything(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no data set and no folder"):
        prepare(name)
    with pytest.raises(DatasetError, match=f"^--data-dir: the folder '{name}' does not exist"):
        prepare("cats_dogs", name)


def test_class_folder_that_is_a_link_out_of_the_folder_gives_no_picture(tmp_path: Path) -> None:
    root = class_folder(tmp_path / "root", {"a": 4, "b": 4})
    class_folder(tmp_path / "elsewhere", {"c": 4})
    (root / "c").symlink_to(tmp_path / "elsewhere" / "c", target_is_directory=True)
    with pytest.raises(DatasetError, match="'c'"):
        load_folder(root, "train")


def test_named_pipe_is_no_picture(tmp_path: Path) -> None:
    """Reading one would wait for ever."""
    root = class_folder(tmp_path, {"a": 4, "b": 4})
    os.mkfifo(root / "a" / "pipe.png")
    assert [file for file, _ in load_folder(root, "train").refused] == [str(Path("a/pipe.png"))]


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no data set and no folder '.*nowhere'.*nas datasets"):
        prepare(str(tmp_path / "nowhere"))


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a file; a folder"):
        prepare(str(save(picture(RNG, 9, 9), tmp_path / "a.png")))


def test_pictures_without_class_folders(tmp_path: Path) -> None:
    save(picture(RNG, 9, 9), tmp_path / "a.png")
    with pytest.raises(DatasetError, match="one folder of pictures for each class; pictures lie in it directly"):
        prepare(str(tmp_path))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it has no folders"):
        prepare(str(tmp_path))


def test_single_class(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="single class 'only'"):
        prepare(str(class_folder(tmp_path, {"only": 5})))


def test_class_without_pictures(tmp_path: Path) -> None:
    class_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DatasetError, match="'hollow' has no picture"):
        prepare(str(tmp_path))


def test_class_whose_pictures_are_all_damaged(tmp_path: Path) -> None:
    class_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "broken").mkdir()
    for index in range(3):
        (tmp_path / "broken" / f"{index}.jpg").write_bytes(b"\xff\xd8\xff garbage")
    with pytest.raises(DatasetError, match="'broken' has no usable pictures"):
        prepare(str(tmp_path))


def test_folder_of_nothing_but_damaged_pictures(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"garbage")
    with pytest.raises(DatasetError, match="none of the 2 files is a picture that can be read"):
        prepare(str(tmp_path))


def test_real_cats_and_dogs(data_dir: Path) -> None:
    card = prepare("cats_dogs", str(data_dir), image_size=16)
    assert sum(card.counts) == 8_000
    assert card.classes == ("cats", "dogs")


def test_cats_and_dogs_that_are_not_here_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not on this machine") as problem:
        prepare("cats_dogs", str(tmp_path))
    assert "Kaggle" in str(problem.value)
