"""CIFAR-10 in its official python batches, read without trusting them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from nas.datasets.cache import open_cache
from nas.datasets.prepare import load, prepare
from nas.errors import DatasetError
from tests.helpers import cifar_folder, dump_python2


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


def test_batches_are_read_from_the_data_directory(tmp_path: Path) -> None:
    cifar_folder(tmp_path)
    card = prepare("cifar10", str(tmp_path))
    assert card.shape == (32, 32, 3)
    assert card.counts == (20,) * 10
    assert card.classes[:2] == ("airplane", "automobile")


def test_the_folder_of_the_batches_may_be_named_itself(tmp_path: Path) -> None:
    assert sum(prepare("cifar10", str(cifar_folder(tmp_path))).counts) == 200


def test_pixels_are_in_rows_of_red_green_and_blue(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    planes = np.zeros((20, 3, 32, 32), np.uint8)
    planes[:, 0, 5, 7], planes[:, 2, 9, 1] = 200, 100
    labels = [index % 10 for index in range(20)]
    dump_python2({b"labels": labels, b"data": planes.reshape(20, 3072)}, folder / "data_batch_1")
    first = open_cache(prepare("cifar10", str(tmp_path)))[0][0]
    assert first[5, 7].tolist() == [200, 0, 0]
    assert first[9, 1].tolist() == [0, 0, 100]


def test_batches_written_by_python_3_are_read(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    for protocol in (2, 5):
        data = np.full((10, 3072), 9, np.uint8)
        content = pickle.dumps({b"labels": list(range(10)), b"data": data}, protocol=protocol)
        (folder / "data_batch_1").write_bytes(content)
        assert sum(prepare("cifar10", str(tmp_path)).counts) == 170


@pytest.mark.parametrize("file", ["data_batch_3", "batches.meta"])
def test_malicious_pickle_is_refused_and_nothing_runs(tmp_path: Path, file: str) -> None:
    folder = cifar_folder(tmp_path)
    (folder / file).write_bytes(pickle.dumps({b"data": Malicious(tmp_path / "harm")}))
    with pytest.raises(DatasetError, match=f"{file}: is no CIFAR batch: it asks for"):
        prepare("cifar10", str(tmp_path))
    assert not (tmp_path / "harm").exists()


def test_test_batch_stays_closed(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    (folder / "test_batch").write_bytes(pickle.dumps(Malicious(tmp_path / "harm")))
    assert sum(prepare("cifar10", str(tmp_path)).counts) == 200
    with pytest.raises(DatasetError, match="test_batch"):
        load("cifar10", str(tmp_path), "test")


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps({b"labels": [1]}), pickle.dumps([1, 2])])
def test_damaged_batch_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    folder = cifar_folder(tmp_path)
    (folder / "data_batch_2").write_bytes(content)
    with pytest.raises(DatasetError, match="CIFAR"):
        prepare("cifar10", str(tmp_path))


def test_missing_batch_is_named(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    (folder / "data_batch_4").unlink()
    with pytest.raises(DatasetError, match="data_batch_4: cannot be read: No such file"):
        prepare("cifar10", str(tmp_path))


def test_without_a_network_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("urllib.request._opener", None)  # which would learn of it for the rest of this process
    with pytest.raises(DatasetError, match="cannot be downloaded") as problem:
        prepare("cifar10", str(tmp_path))
    assert "--data-dir" in str(problem.value)


def test_real_cifar10(data_dir: Path) -> None:
    card = prepare("cifar10", str(data_dir))
    assert card.counts == (5_000,) * 10
    assert card.classes[3] == "cat"
    assert len(load("cifar10", str(data_dir), "test").labels) == 10_000
