"""What the network sees: evidence is where the class is, layers are the network's own, the sheet is a whole page or picture."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from nas.answers import HandedOver
from nas.datasets.prepare import load
from nas.errors import InputError, RunError
from nas.explain import evidence, explain
from nas.export.opened import open_model
from nas.view import Silent
from tests.helpers import nas, save


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(load("digits", None, "test").images[0], tmp_path / "a <b> scan.png")


def test_evidence_is_where_the_answer_comes_from() -> None:
    """A model that looks at one corner alone: bright there is the second class."""

    def answer(pictures: np.ndarray) -> np.ndarray:
        bright = pictures[:, :4, :4].mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)

    loaded = HandedOver(answer, ("dark", "bright"), (20, 20, 3), {"mean": [0.0, 0.0, 0.0]}, Path("model"))
    found = evidence(loaded, np.full((20, 20, 3), 255, np.uint8), 1)
    assert found[:4, :4].min() > 0.1
    assert found[8:, :].max() == found[:, 8:].max() == 0
    against = evidence(loaded, np.full((20, 20, 3), 255, np.uint8), 0)
    np.testing.assert_allclose(against, -found, atol=1e-6)


def test_pictures_of_one_pixel_have_evidence_too() -> None:
    loaded = HandedOver(lambda pictures: np.full((len(pictures), 2), 0.5), ("a", "b"), (1, 1, 1), {}, Path("model"))
    assert evidence(loaded, np.zeros((1, 1, 1), np.uint8), 0).shape == (1, 1)


def test_layers_are_those_of_the_network(small_run: Path) -> None:
    from nas.training.insight import first_filters, seen

    loaded = open_model(small_run)
    picture = load("digits", None, "test").images[0]
    layers = seen(loaded, picture)
    nodes = {node["name"]: node["kind"] for node in loaded.facts["blueprint"]["nodes"]}
    assert layers
    assert all(layer.name in nodes for layer in layers)
    assert [layer.name for layer in layers] == [name for name in nodes if name in {layer.name for layer in layers}]
    convs = [layer for layer in layers if nodes[layer.name] == "conv"]
    assert len(convs) == sum(kind == "conv" for kind in nodes.values())
    filters = first_filters(loaded)
    assert filters is not None
    assert filters.shape[-1] == convs[0].channels.shape[-1]
    active = [layer for layer in layers if layer.kind == "Activation"]
    assert active
    assert all(np.isfinite(layer.channels).all() for layer in active)
    theirs = keras.Model(loaded.model.input, loaded.model.get_layer(convs[0].name).output)
    np.testing.assert_allclose(
        convs[0].channels, keras.ops.convert_to_numpy(theirs(picture[None].astype(np.float32)))[0], atol=1e-4
    )


@pytest.mark.slow
def test_sheets_on_the_command_line(small_run: Path, scan: Path, tmp_path: Path) -> None:
    found = nas("explain", small_run, scan, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    text = (tmp_path / "a <b> scan-seen.html").read_text(encoding="utf-8")
    assert "<h1>a &lt;b&gt; scan.png: what the network sees</h1>" in text
    assert text.count("data:image/png;base64,") > 10
    assert "http" not in text.replace("http-equiv", "")
    assert nas("explain", small_run, scan, "-o", "sheet.png", cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        sheet.load()
        assert sheet.width > 500
        assert sheet.height > 300


def test_what_cannot_be_explained_is_told(small_run: Path, scan: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a sheet is a page \(\.html\) or a picture \(\.png\); found '\.pdf'"):
        explain(small_run, scan, tmp_path / "x.pdf", Silent())
    with pytest.raises(InputError, match="there is no such picture"):
        explain(small_run, tmp_path / "gone.png", view=Silent())
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff garbage")
    with pytest.raises(InputError, match="is not a JPEG"):
        explain(small_run, tmp_path / "damaged.jpg", tmp_path / "x.html", Silent())
    assert not (tmp_path / "x.html").exists()
    before = scan.read_bytes()
    with pytest.raises(InputError, match="is there already, and nothing that this would make; give another file"):
        explain(small_run, scan, scan, Silent())
    assert scan.read_bytes() == before
    sheet = explain(small_run, scan, tmp_path / "sheet.png", Silent())
    assert explain(small_run, scan, tmp_path / "sheet.png", Silent()) == sheet, "a sheet is replaced by another"
    with pytest.raises(InputError, match="would be written over; give another file"):
        explain(small_run, sheet, sheet, Silent())


def test_exports_have_no_layers_to_show(scan: Path) -> None:
    from nas.training.insight import seen

    loaded = HandedOver(lambda pictures: np.full((len(pictures), 2), 0.5), ("a", "b"), (8, 8, 1), {}, Path("model.onnx"))
    with pytest.raises(RunError, match=r"model\.onnx: is an export; what layers see is told of the run itself"):
        seen(loaded, np.zeros((8, 8, 1), np.uint8))
