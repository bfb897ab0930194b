"""A model scored on a data set: figures are those of counting, in whatever order the classes come, of the part asked for."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nas.datasets.prepare import load
from nas.errors import DatasetError, InputError
from nas.evaluate import evaluate
from nas.predict import predict
from nas.run import Run
from nas.training.handover import MEMBER
from nas.view import Silent
from tests.helpers import Listening, class_folder, nas, save


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test scans of four digits, in one folder for each class."""
    folder, part = tmp_path_factory.mktemp("labelled") / "digits", load("digits", None, "test")
    for label in (7, 1, 0, 3):
        for index in np.flatnonzero(np.asarray(part.labels) == label)[:14]:
            save(part.images[index], folder / str(label) / f"{index}.png")
    return folder


def test_accuracy_is_what_predictions_are(small_run: Path, labelled: Path) -> None:
    files = sorted(labelled.rglob("*.png"))
    hits = sum(next(iter(one.probabilities)) == Path(one.file).parent.name for one in predict(small_run, files))
    found = evaluate(small_run, str(labelled), part="all", view=Silent())
    assert found.pictures == len(files) == 56
    assert found.accuracy.value == pytest.approx(hits / 56, abs=1e-5)
    assert found.classes == tuple("0123456789"), "those of the model"
    assert [sum(row) for row in found.confusion] == [14, 14, 0, 14, 0, 0, 0, 14, 0, 0]


def test_without_a_word_it_is_the_part_that_a_search_never_sees(small_run: Path, labelled: Path) -> None:
    assert evaluate(small_run, str(labelled), view=Silent()).pictures == 8, "one in seven of each class"
    assert evaluate(small_run, "digits", view=Silent()).pictures == 360


def test_pictures_of_other_sizes_and_colours_are_brought_to_the_models(small_run: Path, tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"3": 8, "5": 8}, size=(30, 21))
    (folder / "3" / "broken.jpg").write_bytes(b"\xff\xd8\xff garbage")
    assert evaluate(small_run, str(folder), part="all", view=Silent()).pictures == 16


def test_classes_that_the_model_does_not_know_are_named(small_run: Path, tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"3": 8, "cats": 8})
    with pytest.raises(DatasetError, match="the class 'cats' is none of the model's: 0, 1, 2"):
        evaluate(small_run, str(folder), view=Silent())
    with pytest.raises(InputError, match="unknown part 'half'; allowed here: test, all"):
        evaluate(small_run, "digits", part="half", view=Silent())


def test_small_folders_without_anything_to_hold_out(small_run: Path, tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "few", {"3": 2, "5": 2})
    with pytest.raises(DatasetError, match="has no usable picture in this part; --part all takes every picture"):
        evaluate(small_run, str(folder), view=Silent())
    assert evaluate(small_run, str(folder), part="all", view=Silent()).pictures == 4


def test_a_look_at_the_test_part_before_the_retraining_is_told(small_run: Path, labelled: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    words = "this run is not retrained yet: what is chosen by these figures, its test part can no longer judge"
    for data, final, told in (("digits", False, True), (str(labelled), False, False), ("digits", True, False)):
        if final:
            (run / "final.csv").touch()
        evaluate(run, data, part="all" if data != "digits" else "test", view=(view := Listening()))
        assert (words in view.notes) == told


def test_a_look_is_told_however_the_folder_is_written(
    small_run: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(Path(shutil.copytree(small_run, tmp_path / "run")))
    facts = run.read_settings()
    run.write_settings(
        {**facts, "settings": {**facts["settings"], "dataset": f"{labelled.parent}/../{labelled.parent.name}/{labelled.name}"}}
    )
    monkeypatch.chdir(labelled.parent)
    evaluate(run.folder, f"./{labelled.name}", part="all", view=(view := Listening()))
    assert any(note.startswith("this run is not retrained yet") for note in view.notes)


def test_a_model_that_does_not_say_of_what_data_it_is(small_run: Path, labelled: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(small_run / "best.keras") as whole, zipfile.ZipFile(tmp_path / "bare.keras", "w") as bare:
        for name in whole.namelist():
            facts = {**json.loads(whole.read(MEMBER)), "data": "of somebody"} if name == MEMBER else None
            bare.writestr(name, whole.read(name) if facts is None else json.dumps(facts))
    assert evaluate(tmp_path / "bare.keras", str(labelled), part="all", view=Silent()).pictures == 56


def test_figures_of_a_run_are_not_written_over(small_run: Path) -> None:
    with pytest.raises(InputError, match="is a run, whose own figures would be written over"):
        evaluate(small_run, "digits", out=small_run, view=Silent())


@pytest.mark.slow
def test_on_the_command_line_with_files(small_run: Path, labelled: Path, tmp_path: Path) -> None:
    found = nas("evaluate", small_run, labelled, "--part=all", "-o", "figures", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("56 pictures of ")
    assert "accuracy" in found.stdout
    assert "class and what was answered" in found.stdout
    with (tmp_path / "figures" / "figures.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["figure"]: row["value"] for row in csv.DictReader(stream) if not row["class"]}
    assert rows["pictures"] == "56"
    assert 0 <= float(rows["accuracy"]) <= 1
    assert (tmp_path / "figures" / "confusion.png").stat().st_size > 1_000
