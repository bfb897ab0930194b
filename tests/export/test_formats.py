"""What every format keeps, read back in its own runtime: the same answers, whatever the head; its classes; its card."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.datasets.prepare import load
from nas.errors import ConfigError, RunError, RunFailed
from nas.export import FORMATS
from nas.export.exporting import Exported, export
from nas.export.formats import Format, Order, written
from nas.export.opened import open_model
from nas.export.parity import CLOSE, Parity
from nas.predict import predict
from nas.provenance import version_of
from nas.view import Silent
from tests.helpers import make_job, save

pytestmark = pytest.mark.slow
NAMES = ["keras", "savedmodel", "onnx", "tflite", "python"]


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small search, to be exported from."""
    return Path(shutil.copytree(small_run, tmp_path_factory.mktemp("export") / "run"))


@pytest.fixture(scope="module")
def exported(run: Path) -> dict[str, Exported]:
    return {name: export(run, name, view=Silent()) for name in NAMES}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, part = tmp_path_factory.mktemp("scans"), load("digits", None, "test")
    return [save(part.images[index], folder / f"{index}.png") for index in range(70)]


@contextmanager
def for_now(name: str, form: Format) -> Iterator[None]:
    """A format that is in the table while this lasts."""
    FORMATS.register(name)(form)
    try:
        yield
    finally:
        del FORMATS._parts[name]


def test_all_formats_are_tried_here() -> None:
    assert FORMATS.names() == sorted(NAMES, key=FORMATS.names().index)


@pytest.mark.parametrize("name", NAMES)
def test_same_answers_from_the_picture_on(name: str, exported: dict[str, Exported], run: Path, scans: list[Path]) -> None:
    ours = predict(run, scans)
    for theirs in (predict(exported[name].folder, scans), predict(exported[name].file, scans)):
        for one, other in zip(ours, theirs, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_goes_with_it(name: str, exported: dict[str, Exported], run: Path) -> None:
    about = json.loads((exported[name].folder / "model.json").read_text())
    assert about["classes"] == list("0123456789")
    assert about["shape"] == [8, 8, 1]
    assert about["data"]["digest"] == open_model(run).facts["data"]["digest"]
    assert about["checked"]["pictures"] == 64
    assert about["checked"]["difference"] <= CLOSE
    assert about["checked"]["bytes"] > 1_000
    assert about["checked"]["agreement"] == 1.0
    assert 0 < about["checked"]["seconds"]["1"] < about["checked"]["seconds"]["32"] * 32
    assert about["nas"] == version_of("nas")


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_the_card_load_it(name: str, exported: dict[str, Exported], scans: list[Path], tmp_path: Path) -> None:
    """As somebody would who has the folder and the card, and not nas."""
    as_the_card_says(exported[name].folder, scans[0], tmp_path)


def as_the_card_says(export: Path, scan: Path, tmp_path: Path, close: float = CLOSE) -> None:
    """Run the lines of an export's card on a scan, and compare what they print with what `nas predict` does."""
    folder = Path(shutil.copytree(export, tmp_path / "given"))
    shutil.copy(scan, folder / "picture.jpg")
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "MODEL_CARD.md").read_text(), re.DOTALL)
    assert "nas" not in lines.split()
    assert len([line for line in lines.splitlines() if line and not line.startswith(("import ", "from "))]) <= 5
    (folder / "load.py").write_text(lines)
    found = subprocess.run([sys.executable, "load.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr
    told: dict[str, float] = json.loads(found.stdout.splitlines()[-1].replace("'", '"'))
    assert told == pytest.approx(predict(folder, [scan])[0].probabilities, abs=close)


@pytest.mark.parametrize("name", ["keras", "onnx"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "binary"])
def test_lines_of_the_card_give_probabilities(name: str, output: str, two_classes: Any, tmp_path: Path) -> None:
    from nas.export.card import _loading
    from nas.training.handover import load_model, save_model
    from nas.training.model import build
    from nas.training.weights import weights_of

    job = make_job(two_classes, tmp_path, {"blocks": [{"filters": 8}], "output": output, "loss": "mse"})
    save_model(job, weights_of(build(job.blueprint, 3)), {"number": 1})
    original = load_model(Path(job.model))
    written(name, Order(original, original.facts, np.empty(0)), tmp_path)
    about = {**original.facts, "format": name, "int8": False}
    (tmp_path / "model.json").write_text(json.dumps(about))
    height, width, channels = original.shape
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(tmp_path / "picture.jpg", "PNG")
    lines = [line for line in _loading(about) if not line.startswith("```")]
    (tmp_path / "load.py").write_text("\n".join(lines[2:-2]))
    found = subprocess.run([sys.executable, "load.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr
    told: dict[str, float] = json.loads(found.stdout.splitlines()[-1].replace("'", '"'))
    expected = dict(zip(("green", "red"), original.probabilities(pixels[None])[0], strict=True))
    assert told == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "binary"])
def test_one_probability_for_each_class_whatever_the_head(name: str, output: str, two_classes: Any, tmp_path: Path) -> None:
    from nas.training.handover import load_model, save_model
    from nas.training.model import build
    from nas.training.weights import weights_of

    genotype = {"blocks": [{"filters": 8}], "output": output, "loss": "mse"}
    job = make_job(two_classes, tmp_path, genotype)
    save_model(job, weights_of(build(job.blueprint, 3)), {"number": 1})
    original = load_model(Path(job.model))
    file = written(name, Order(original, original.facts, np.empty(0)), tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(original.facts))
    pixels = np.random.default_rng(0).integers(0, 256, (5, *original.shape), dtype=np.uint8)
    again = open_model(file)
    assert again.classes == ("green", "red")
    np.testing.assert_allclose(again.probabilities(pixels), original.probabilities(pixels), atol=1e-5)
    outputs = np.asarray(again.answer(pixels.astype(np.float32)))
    assert outputs.shape[1] == (1 if output == "binary" and not FORMATS[name].tensorflow else 2)


def test_onnx_file_knows_its_classes_alone(exported: dict[str, Exported], tmp_path: Path) -> None:
    alone = Path(shutil.copy(exported["onnx"].file, tmp_path / "alone.onnx"))
    assert open_model(alone).classes == tuple("0123456789")


def test_files_without_what_is_known_of_them_are_refused(exported: dict[str, Exported], tmp_path: Path) -> None:
    for name in ("tflite", "python"):
        alone = Path(shutil.copy(exported[name].file, tmp_path))
        with pytest.raises(RunError, match=r"needs its model.json beside it"):
            open_model(alone)


@pytest.mark.parametrize("name", ["onnx", "tflite", "savedmodel"])
def test_damaged_files_are_told(name: str, exported: dict[str, Exported], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported[name].folder, tmp_path / "damaged"))
    file = folder / FORMATS[name].file
    file = file / "saved_model.pb" if file.is_dir() else file
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match="cannot be read as a model"):
        open_model(folder).probabilities(np.zeros((1, 8, 8, 1)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": list("012345678")}, "its network is not for 9 classes"),
        ({"classes": ["a"] * 10}, "has no two classes, or one twice"),
        ({"classes": []}, "has no two classes"),
        ({"shape": [100_000, 100_000, 1]}, "has a shape that no picture has"),
        ({"shape": [0, 0, 1]}, "has a shape that no picture has"),
        ({"shape": [8, 8, "1"]}, "has a shape that no picture has"),
        ({"shape": None}, "has no list 'shape'"),
    ],
)
def test_what_lies_beside_is_checked(
    changes: dict[str, Any], words: str, exported: dict[str, Exported], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exported["tflite"].folder, tmp_path / "changed"))
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, **changes}))
    with pytest.raises(RunError, match=f"cannot be read as a model: .*{words}"):
        open_model(folder)


def test_onnx_file_trusts_nothing_that_lies_beside_it(exported: dict[str, Exported], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported["onnx"].folder, tmp_path / "beside"))
    (folder / "model.json").write_text("{}")
    assert open_model(folder / "model.onnx").classes == tuple("0123456789")


def test_code_that_ends_the_program_is_told(exported: dict[str, Exported], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported["python"].folder, tmp_path / "code"))
    for code, words in (("import sys\nsys.exit(7)", "ends the program"), ("pass", "has no function 'build'")):
        (folder / "model.py").write_text(code)
        with pytest.raises(RunError, match=words):
            open_model(folder)


def test_data_that_have_other_classes_now_are_told(tmp_path: Path) -> None:
    from nas.errors import DatasetError
    from nas.searching import search
    from tests.helpers import class_folder

    data = class_folder(tmp_path / "data", {"red": 20, "green": 20})
    small = {"space": "connected", "budget": 1, "epochs": 1, "max_flops": 2_000_000, "seed": 1}
    search(dataset=str(data), out=tmp_path / "run", view=Silent(), **small)
    class_folder(data, {"azure": 20})
    with pytest.raises(DatasetError, match="has other classes than when the run began: azure, green, red"):
        export(tmp_path / "run", view=Silent())
    shutil.rmtree(data / "azure")
    (data / "red" / "000.png").unlink()
    found = export(tmp_path / "run", view=Silent())
    assert found.parity.lines()[0].startswith(f"{found.parity.pictures} validation pictures: ")


def test_pictures_that_were_trained_on_are_not_called_validation_pictures(run: Path) -> None:
    """Of this run 20% are validation pictures, 359; an accuracy in whole numbers wants a thousand."""
    words = json.loads((export(run, "tflite", int8=True, out=run / "again", view=Silent()).folder / "model.json").read_text())
    assert words["checked"]["what"] == "pictures (359 of the validation part and 641 that it was trained on)"
    card = (run / "again" / "MODEL_CARD.md").read_text()
    assert "These are figures of the original in float32" in card
    assert "1,000 pictures (359 of the validation part and 641 that it was trained on): accuracy" in card


def test_whole_numbers_that_cost_too_much_are_not_exported(run: Path, tmp_path: Path) -> None:
    keras = FORMATS["keras"]

    def write(order: Order, folder: Path) -> None:
        from nas.training.handover import write_model

        model = open_model(order.original.file).model
        model.get_layer("rescale").offset = [40.0]
        write_model(model, order.about, folder / "model.keras")

    words = r"is not as good as the original: its accuracy is 0\.\d+ instead of 0\.\d+ on 1,000 p"
    with for_now("coarse", Format("model.keras", "", write, keras.read, int8=True)), pytest.raises(RunFailed, match=words):
        export(run, "coarse", int8=True, out=tmp_path / "coarse", view=Silent())
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_of_few_pictures_it_is_said_how_little_they_say() -> None:
    (accuracy, _) = Parity("validation pictures", 64, 0.01, 1.0, 100, 0.9, 0.89).lines()
    assert (
        accuracy == "100 validation pictures: accuracy 0.8900 (original 0.9000); so few pictures say little: 2% of them are 2.0"
    )
    with pytest.raises(RunFailed, match=r"0\.8700 instead of 0\.9000 on 1,000 pictures"):
        Parity("validation pictures", 64, 0.01, 1.0, 1_000, 0.9, 0.87).check(Path("model.tflite"))
    Parity("validation pictures", 64, 0.01, 1.0, 1_000, 0.9, 0.881).check(Path("model.tflite"))


def test_what_a_killed_export_left_is_swept_up_by_the_next(run: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f".nas-export.{dead.pid}.abc"
    left.mkdir()
    export(run, out=tmp_path / "new", view=Silent())
    assert not left.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


def test_whole_numbers_are_smaller_and_as_good(
    run: Path, exported: dict[str, Exported], scans: list[Path], tmp_path: Path
) -> None:
    found = export(run, "tflite", int8=True, view=Silent())
    assert found.folder == run / "export" / "tflite-int8"
    assert found.parity.counted == 1_000
    assert found.size < exported["tflite"].size
    as_the_card_says(found.folder, scans[0], tmp_path, close=2 / 256)  # its answers are such steps, and need not add up to 1
    ours, theirs = predict(run, scans), predict(found.folder, scans)
    same = sum(
        next(iter(one.probabilities)) == next(iter(other.probabilities)) for one, other in zip(ours, theirs, strict=True)
    )
    assert same >= 60


def test_what_answers_otherwise_is_not_exported(run: Path, tmp_path: Path) -> None:
    """A format whose writer loses the normalisation, as it has happened to others."""
    keras = FORMATS["keras"]

    def write(order: Order, folder: Path) -> None:
        from nas.training.handover import load_model, write_model

        model = load_model(order.original.file).model
        model.get_layer("rescale").offset = [0.0]
        write_model(model, order.about, folder / "model.keras")

    words = "does not answer as the original does: probabilities differ by up to"
    with for_now("broken", Format("model.keras", "", write, keras.read)), pytest.raises(RunFailed, match=words):
        export(run, "broken", out=tmp_path / "broken", view=Silent())
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_candidates_by_rank_and_number(run: Path, tmp_path: Path) -> None:
    from nas.leaderboard import read_csv

    rows = read_csv(run / "leaderboard.csv")
    by_rank = export(run, rank=2, out=tmp_path / "rank", view=Silent())
    by_number = export(run, number=rows[1]["number"], out=tmp_path / "number", view=Silent())
    assert (
        by_rank.file.read_bytes() == by_number.file.read_bytes() == (run / "models" / f"{rows[1]['number']}.keras").read_bytes()
    )
    with pytest.raises(ConfigError, match="--rank: the leaderboard has no such candidate; found 9, it has 3"):
        export(run, rank=9, view=Silent())
    with pytest.raises(RunError, match="was not retrained"):
        export(run, final=True, view=Silent())
    with pytest.raises(ConfigError, match="give one of them alone"):
        export(run, rank=1, number=1, view=Silent())


def test_what_cannot_be_exported_is_told_at_once(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown format 'onxx' \(did you mean 'onnx'\?\)"):
        export(run, "onxx", view=Silent())
    with pytest.raises(ConfigError, match="only these formats know whole numbers of 8 bits: tflite"):
        export(run, "onnx", int8=True, view=Silent())
    with pytest.raises(RunError, match="is there already"):
        export(run, "keras", out=run, view=Silent())
    absent = Format("x", "", FORMATS["keras"].write, FORMATS["keras"].read, "absent", ("no_such_package",))
    words = r"needs no_such_package, not installed here: .*pip install -e '\.\[absent\]'"
    with for_now("absent", absent), pytest.raises(ConfigError, match=words):
        export(run, "absent", view=Silent())
