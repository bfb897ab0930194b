"""Predictions with the best model of a run."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.datasets.prepare import load
from nas.errors import InputError, RunError
from nas.predict import predict
from tests.helpers import nas, save


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(load("digits", None, "test").images[0], tmp_path / "scan.png")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff garbage")
    return tmp_path / "damaged.jpg"


def test_each_class_has_a_probability_the_likeliest_first(small_run: Path, scan: Path) -> None:
    (found,) = predict(small_run, [scan])
    assert set(found.probabilities) == set("0123456789")
    shares = list(found.probabilities.values())
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_model_file_and_run_folder_are_the_same(small_run: Path, scan: Path) -> None:
    assert predict(small_run / "best.keras", [scan]) == predict(small_run, [scan])


def test_predictions_are_as_good_as_the_leaderboard_says(small_run: Path, tmp_path: Path) -> None:
    """The test part was never seen; a model well above chance on validation is so here, read back from files."""
    from tests.helpers import without_seconds

    told = float(without_seconds(small_run / "leaderboard.csv")[0]["val_accuracy"])
    part = load("digits", None, "test")
    files = [save(part.images[index], tmp_path / f"{index}.png") for index in range(0, 360, 4)]
    right = [next(iter(each.probabilities)) for each in predict(small_run, files)] == part.labels[::4].astype(str)
    assert np.mean(right) == pytest.approx(told, abs=0.2)


def test_picture_of_any_size_and_colour_will_do(small_run: Path, tmp_path: Path) -> None:
    big = save(np.zeros((90, 60, 4), np.uint8), tmp_path / "big.webp", lossless=True)
    assert len(predict(small_run, [big])[0].probabilities) == 10


def test_damaged_picture_has_a_reason_and_the_others_an_answer(small_run: Path, scan: Path, damaged: Path) -> None:
    bad, good = predict(small_run, [damaged, scan])
    assert bad.reason
    assert bad.probabilities == {}
    assert len(good.probabilities) == 10


def test_what_is_not_there_is_named(small_run: Path, scan: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.png: there is no such picture"):
        predict(small_run, [tmp_path / "nowhere.png"])
    with pytest.raises(RunError, match="no such run folder or model"):
        predict(tmp_path / "nowhere", [scan])
    with pytest.raises(RunError, match="is no run folder"):
        predict(tmp_path, [scan])
    with pytest.raises(RunError, match="cannot be read as a model"):
        predict(scan, [scan])


def test_run_without_a_trained_model_says_so(tmp_path: Path, scan: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("settings: {}\n")
    with pytest.raises(RunError, match="no trained model yet"):
        predict(tmp_path / "run", [scan])


def test_command_line_answers_and_is_otherwise_silent(small_run: Path, scan: Path, tmp_path: Path) -> None:
    found = nas("predict", small_run, scan, cwd=tmp_path)
    assert found.returncode == 0
    likeliest = next(iter(predict(small_run, [scan])[0].probabilities))
    assert found.stdout.startswith(f"{scan}: {likeliest} ")
    assert found.stderr == ""


def test_a_picture_is_not_written_over(small_run: Path, scan: Path, tmp_path: Path) -> None:
    before = scan.read_bytes()
    found = nas("predict", small_run, scan, "--csv", scan, cwd=tmp_path)
    assert found.returncode == 2
    assert "is there already, and nothing that this would make; give another file" in found.stderr
    assert scan.read_bytes() == before


def test_a_csv_of_the_same_kind_is_replaced_and_nothing_else(small_run: Path, scan: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    before = (run / "study.db").read_bytes()
    found = nas("predict", run, scan, "--csv", run / "study.db", cwd=tmp_path)
    assert (found.returncode, (run / "study.db").read_bytes()) == (2, before)
    (tmp_path / "out.csv").write_text("file,class_1,probability_1,reason\n")
    assert nas("predict", run, scan, "--csv", "out.csv", "--top", 1, cwd=tmp_path).returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


def test_a_pipe_is_not_waited_for(small_run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png: is no regular file"):
        predict(small_run, [tmp_path / "pipe.png"])
    with pytest.raises(InputError, match="there is no picture in this folder"):
        predict(small_run, [tmp_path])


def test_command_line_with_a_damaged_picture_exits_2(small_run: Path, scan: Path, damaged: Path, tmp_path: Path) -> None:
    found = nas("predict", small_run, damaged, scan, cwd=tmp_path)
    assert found.returncode == 2
    assert f"error: {damaged}: " in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout.startswith(f"{scan}: ")


def test_folders_are_looked_at_with_all_that_is_below_them(small_run: Path, scan: Path, damaged: Path, tmp_path: Path) -> None:
    below = tmp_path / "below" / "deeper"
    below.mkdir(parents=True)
    (below / ".thumbs").mkdir()
    for name in ("b.png", "a.png", ".hidden.png", ".thumbs/d.png"):
        (below / name).write_bytes(scan.read_bytes())
    (below / "notes.txt").write_text("no picture by its name")
    (below / "c.jpg").write_bytes(damaged.read_bytes())
    found = predict(small_run, [scan, tmp_path / "below"])
    assert [Path(one.file).name for one in found] == ["scan.png", "a.png", "b.png", "c.jpg"]
    assert [bool(one.reason) for one in found] == [False, False, False, True]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no picture in this folder"):
        predict(small_run, [tmp_path / "empty"])


@pytest.mark.slow
def test_csv_has_a_row_for_each_picture_and_reasons_for_the_damaged(small_run: Path, damaged: Path, tmp_path: Path) -> None:
    """More pictures than go through the network at once."""
    part, folder = load("digits", None, "test"), tmp_path / "ünïcode, folder"
    for index in range(70):
        save(part.images[index], folder / f"{index:02d}.png")
    (folder / "99.jpg").write_bytes(damaged.read_bytes())
    found = nas("predict", small_run, folder, "--csv", tmp_path / "out.csv", "--top", 2, cwd=tmp_path)
    assert found.returncode == 2, "one is unreadable"
    assert found.stdout.startswith("71 pictures, 1 of them unreadable")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 71
    for row, told in zip(rows[:3], predict(small_run, [folder / f"{index:02d}.png" for index in range(3)]), strict=True):
        likely = list(told.probabilities.items())[:2]
        assert (row["class_1"], row["class_2"]) == (likely[0][0], likely[1][0])
        assert float(row["probability_2"]) == pytest.approx(likely[1][1], abs=1e-5)
    assert rows[-1]["file"].endswith("99.jpg")
    assert rows[-1]["class_1"] == ""
    assert rows[-1]["reason"].startswith("is ")


@pytest.mark.parametrize(
    ("target", "words"), [("gone/out.csv", "there is no folder"), (".", "a file is expected"), ("fifo", "is no regular file")]
)
def test_csv_that_cannot_be_written_is_told_before_anything_is_done(
    small_run: Path, scan: Path, tmp_path: Path, target: str, words: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = nas("predict", small_run, scan, "--csv", target, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: --csv {target}: {words}")


def test_link_to_a_folder_has_a_row_with_a_reason(small_run: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "one.png").write_bytes(scan.read_bytes())
    (tmp_path / "scans" / "others").symlink_to(tmp_path)
    seen, link = predict(small_run, [tmp_path / "scans"])
    assert seen.probabilities
    assert (Path(link.file).name, link.reason) == ("others", "cannot be read (Is a directory)")


def test_csv_follows_a_link(small_run: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert nas("predict", small_run, scan, "--csv", "link.csv", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("file,class_1")
