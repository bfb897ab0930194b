"""What travels to another machine and back: files of a job, and pictures that are fetched once."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.datasets import open_cache
from nas.datasets.cache import sound
from nas.datasets.fetched import at_hand
from nas.errors import RunFailed
from nas.executors.parcel import Written, content_of, packed, unpacked
from nas.messages import DataCard, Rehearsal
from nas.paths import cache_root
from tests.helpers import make_job


def test_files_of_a_job_travel_there_and_what_it_writes_comes_back(two_classes: DataCard, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    job = make_job(two_classes, tmp_path / "here")
    Path(job.checkpoint).write_bytes(b"three epochs")
    parcel = packed(job)
    assert parcel.files == {"checkpoint": b"three epochs"}
    there = unpacked(parcel, tmp_path / "there", lambda card: "elsewhere")
    assert Path(there.checkpoint).read_bytes() == b"three epochs"
    assert {Path(there.checkpoint).parent, Path(there.model).parent} == {tmp_path / "there"}
    assert there.data == dataclasses.replace(job.data, cache="elsewhere")
    assert dataclasses.replace(there, checkpoint=job.checkpoint, model=job.model, data=job.data) == job

    written = Written(there)
    assert written.fresh() == {}
    (tmp_path / "new").write_bytes(b"four epochs")
    (tmp_path / "new").replace(there.checkpoint)
    Path(there.model).write_bytes(b"a model")
    assert written.fresh() == {"checkpoint": b"four epochs", "model": b"a model"}
    assert written.fresh() == {}


def test_what_holds_a_job_is_unpacked_and_anything_else_is_as_it_was(two_classes: DataCard, tmp_path: Path) -> None:
    job = make_job(two_classes, tmp_path)
    there = unpacked(packed(Rehearsal(job, 2.0)), tmp_path, lambda card: "elsewhere")
    assert (there.seconds, there.job.data.cache) == (2.0, "elsewhere")
    assert unpacked(packed("a word"), tmp_path, lambda card: "elsewhere") == "a word"


def test_pictures_that_lie_here_are_not_fetched(two_classes: DataCard) -> None:
    def never() -> dict[str, bytes]:
        raise AssertionError("fetched")

    assert at_hand(two_classes, never) == two_classes.cache


@pytest.mark.parametrize(
    "damage",
    [lambda file: os.truncate(file, 1_000), lambda file: os.truncate(file, 0), lambda file: file.write_bytes(b"nothing")],
)
def test_damaged_pictures_are_fetched_anew(
    two_classes: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], Any]
) -> None:
    """Though the card beside them is whole: as on a machine that was switched off while it wrote."""
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "cache"))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(two_classes.cache, elsewhere)
    damage(elsewhere / "images.npy")
    card = dataclasses.replace(two_classes, cache=str(elsewhere))
    place = Path(at_hand(card, lambda: content_of(two_classes.cache)))
    assert place != elsewhere
    assert sound(place)
    damage(place / "images.npy")
    monkeypatch.setattr("nas.datasets.fetched._read", set())  # the next process has read none yet
    assert Path(at_hand(card, lambda: content_of(two_classes.cache))) == place
    assert sound(place)


def test_pictures_are_fetched_once_for_all_that_ask(
    two_classes: DataCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "another machine"))
    card = dataclasses.replace(two_classes, cache="/not/here")
    fetched: list[int] = []
    places: list[str] = []

    def fetch() -> dict[str, np.ndarray]:
        fetched.append(1)
        return content_of(two_classes.cache)

    threads = [threading.Thread(target=lambda: places.append(at_hand(card, fetch))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(fetched), len(places), len(set(places))) == (1, 4, 1)
    images, labels = open_cache(dataclasses.replace(card, cache=places[0]))
    first, own = open_cache(two_classes)
    assert (images == first).all()
    assert (labels == own).all()


def test_pictures_that_arrive_damaged_are_told_and_not_kept(
    two_classes: DataCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "another machine"))
    content = {name: np.array(each) for name, each in content_of(two_classes.cache).items()}
    content["images.npy"][-1] ^= 1
    with pytest.raises(RunFailed, match="did not arrive as they were sent"):
        at_hand(dataclasses.replace(two_classes, cache="/not/here"), lambda: content)
    assert [each.suffix for each in (cache_root() / "fetched").iterdir()] == [".lock"]
