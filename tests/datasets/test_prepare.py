"""The cache of decoded pictures: reused, re-made when the files or the cache changed, the same for the same content."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.datasets import open_cache, prepare
from nas.datasets.prepare import describe
from nas.errors import DatasetError
from nas.messages import DataCard
from tests.helpers import class_folder, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    class_folder(tmp_path / "pictures" / "train", {"a": 6, "b": 6})
    class_folder(tmp_path / "pictures" / "test", {"a": 1, "b": 1})
    return tmp_path / "pictures"


def written(card: DataCard) -> int:
    return (Path(card.cache) / "images.npy").stat().st_mtime_ns


def test_cache_holds_the_pictures(folder: Path) -> None:
    card = prepare(str(folder))
    images, labels = open_cache(card)
    assert isinstance(images, np.memmap)
    assert images.shape == (12, *card.shape)
    assert labels.tolist() == [0] * 6 + [1] * 6
    usable = images.astype(float)
    np.testing.assert_allclose(card.mean, usable.mean(axis=(0, 1, 2)), atol=1e-3)
    np.testing.assert_allclose(card.std, usable.std(axis=(0, 1, 2)), atol=1e-3)


def test_cache_is_reused(folder: Path) -> None:
    first = prepare(str(folder))
    before = written(first)
    assert prepare(str(folder)) == first
    assert written(first) == before


def test_progress_of_decoding_is_told_and_a_found_cache_tells_nothing(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare(str(folder), told=lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    told.clear()
    prepare(str(folder), told=lambda done, total: told.append((done, total)))
    assert told == []


def test_changed_file_makes_it_anew(folder: Path) -> None:
    first = prepare(str(folder))
    save(np.full((10, 12, 3), 7, np.uint8), folder / "train" / "a" / "000.png")
    second = prepare(str(folder))
    assert second.digest != first.digest
    assert (open_cache(second)[0][0] == 7).all()


def test_file_changed_to_the_same_size_makes_it_anew(folder: Path) -> None:
    file = folder / "train" / "a" / "000.bmp"
    save(np.full((10, 12, 3), 7, np.uint8), file)
    first = prepare(str(folder))
    size = file.stat().st_size
    save(np.full((10, 12, 3), 9, np.uint8), file)
    assert file.stat().st_size == size
    assert prepare(str(folder)).digest != first.digest


def test_touched_and_copied_folders_are_the_same_data(folder: Path, tmp_path: Path) -> None:
    first = prepare(str(folder))
    os.utime(folder / "train" / "a" / "000.png", (1, 1))
    assert prepare(str(folder)).digest == first.digest
    shutil.copytree(folder, tmp_path / "copy")
    assert prepare(str(tmp_path / "copy")).digest == first.digest


@pytest.mark.parametrize("damage", ["pixel", "cut", "labels", "fewer labels", "card", "card without counts"])
def test_damaged_cache_is_made_anew(folder: Path, damage: str) -> None:
    first = prepare(str(folder))
    cache = Path(first.cache)
    good = np.array(open_cache(first)[0])
    if damage == "pixel":
        pixels = np.load(cache / "images.npy", mmap_mode="r+")
        pixels[3, 0, 0, 0] ^= 1
        pixels.flush()
    elif damage == "cut":
        (cache / "images.npy").write_bytes((cache / "images.npy").read_bytes()[:500])
    elif damage == "labels":
        np.save(cache / "labels.npy", np.zeros(12, np.int64))
    elif damage == "fewer labels":
        np.save(cache / "labels.npy", np.zeros(5, np.int64))
    elif damage == "card":
        (cache / "card.json").write_text('{"digest": ')
    else:
        facts = json.loads((cache / "card.json").read_text())
        del facts["counts"]
        (cache / "card.json").write_text(json.dumps(facts))
    assert prepare(str(folder)) == first
    np.testing.assert_array_equal(open_cache(first)[0], good)


def test_no_half_made_cache_is_left_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "cache"))
    card = prepare(str(folder))
    assert [each for each in (tmp_path / "cache").iterdir() if each.suffix != ".lock"] == [Path(card.cache)]


def test_cache_that_cannot_be_made_says_what_to_do(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match="set NAS_CACHE_DIR to another folder"):
        prepare(str(folder))


def test_cache_that_is_gone_is_a_clear_error(folder: Path) -> None:
    card = prepare(str(folder))
    shutil.rmtree(card.cache)
    with pytest.raises(DatasetError, match="the decoded pictures cannot be read"):
        open_cache(card)


def test_description_counts_what_was_skipped(folder: Path) -> None:
    (folder / "train" / "a" / "notes.txt").write_text("")
    words = describe(prepare(str(folder)))
    assert "12 training pictures, 2 classes of 6" in words
    assert "skipped 1 files: a/notes.txt is not a picture by its name" in words
    assert "the folder 'test'" in words


@pytest.mark.parametrize("name", ["", "digitz"])
def test_unknown_name_is_a_clear_error(name: str) -> None:
    with pytest.raises(DatasetError, match=r"a name or a folder is needed|no data set and no folder 'digitz'"):
        prepare(name)


def test_data_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--data-dir: the folder .* does not exist"):
        prepare("cats_dogs", str(tmp_path / "nowhere"))
