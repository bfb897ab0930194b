"""Logs for TensorBoard, read back by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.leaderboard import read_csv
from nas.resuming import resume
from nas.searching import search
from nas.single import train
from nas.view import Silent
from tests.helpers import NETWORK, SMALL_SEARCH, python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "run"
    search(out=folder, view=Silent(), tensorboard=True, **{**SMALL_SEARCH, "budget": 1})
    resume(folder, Silent(), budget=2)
    return folder


def events(folder: Path) -> list[Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return [event for file in sorted(folder.iterdir()) for event in EventFileLoader(str(file)).Load()]


def scores_of(run: Path, number: int) -> dict[int, float]:
    """Epoch → score of a candidate."""
    return {
        event.step: value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
        for event in events(run / "tensorboard" / str(number))
        for value in event.summary.value
        if value.tag == "score"
    }


def test_each_candidate_has_its_curve(run: Path) -> None:
    for row in read_csv(run / "leaderboard.csv"):
        curve = [float(each) for each in str(row["curve"]).split()]
        assert scores_of(run, int(row["number"])) == pytest.approx(dict(enumerate(curve, 1)), abs=1e-4)


def test_each_candidate_has_its_hyperparameters_and_its_end(run: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    for row in read_csv(run / "leaderboard.csv"):
        found = {
            value.tag: plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for event in events(run / "tensorboard" / str(row["number"]))
            for value in event.summary.value
            if value.tag.startswith("_hparams_/")
        }
        begun = found["_hparams_/session_start_info"].session_start_info
        assert begun.hparams["learning_rate"].number_value == pytest.approx(row["learning_rate"])
        assert begun.hparams["optimizer"].string_value == row["optimizer"]
        assert begun.hparams["parameters"].number_value == row["parameters"]
        assert found["_hparams_/session_end_info"].session_end_info.status == 1


def test_one_network_that_is_trained_has_its_curve(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NETWORK)
    done = train(str(tmp_path / "mine.yaml"), Silent(), tmp_path / "run", tensorboard=True)
    assert scores_of(done.folder, 0) == pytest.approx(dict(enumerate(done.result.records[0].curve, 1)), abs=1e-4)


def test_driver_writes_logs_without_tensorflow_and_goes_on_without_a_disk(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, that is told once."""
    code = """
import sys
from pathlib import Path
from nas.logs import Logged, check_tensorboard
from nas.messages import Candidate, Progress, Record
from nas.view import Plain

check_tensorboard()
for name in ("logs", "file"):
    view = Logged(Plain(sys.stdout), Path(name))
    view.view.begin(2, ())
    view.started(Candidate(0, {"x": 0.5, "kind": "a", "on": True}, ""), "")
    view.progress(Progress(0, 1, 0.5, {"val_accuracy": 0.5}), (0.5,))
    view.finished(Record(0, {}, "trained", 0.5, curve=(0.5,)), None)
    view.end()
print("LOADED", "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    (tmp_path / "file").write_text("")
    found = python(code, tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.endswith("LOADED False False\n")
    assert found.stdout.count("no more logs for TensorBoard: ") == 1
    assert found.stderr == ""
    assert len(events(tmp_path / "logs" / "0")) > 2
