"""Fixtures for all tests. Decoded pictures go to a folder of this session, so no test meets what another run left behind."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.datasets import prepare
from nas.messages import DataCard
from tests.helpers import SMALL_SEARCH, as_options, class_folder, nas

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # and `nohup` that a terminal was closed
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
USUAL = 10.0  # seconds of a search with one candidate and one epoch, on two idle cores
_DATA_DIR = os.environ.get("NAS_DATA_DIR")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing outside this session is read or written: no cache, no data directory, no download by Keras."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.delenv("NAS_DATA_DIR", raising=False)
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets, where the person who runs the tests has them."""
    if not _DATA_DIR:
        pytest.skip("NAS_DATA_DIR is not set: no real CIFAR-10 and no real cats and dogs here")
    return Path(_DATA_DIR).resolve()


@pytest.fixture(scope="session")
def digits() -> DataCard:
    return prepare("digits")


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> DataCard:
    """A folder of 2 × 40 small colour pictures, prepared."""
    return prepare(str(class_folder(tmp_path_factory.mktemp("two"), {"red": 40, "green": 40})))


@pytest.fixture(scope="session")
def pace(tmp_path_factory: pytest.TempPathFactory) -> float:
    """By what to multiply a time that a test gives to a search: 1 on two idle cores of today, more where it is slower now."""
    folder, began = tmp_path_factory.mktemp("pace"), time.monotonic()
    one = as_options({**SMALL_SEARCH, "budget": 1, "epochs": 1})
    assert nas("search", *one, "--out=run", cwd=folder, timeout=600).returncode == 0
    return max(1.0, (time.monotonic() - began) / USUAL)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small search on digits, never disturbed: only to be read."""
    from nas.searching import search
    from nas.view import Silent

    folder = tmp_path_factory.mktemp("runs") / "small"
    search(out=folder, view=Silent(), **SMALL_SEARCH)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of the distribution, without a window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        words = "no Chromium here: pages cannot be opened"
        if os.environ.get("NAS_NO_SKIP"):
            pytest.fail(words)
        pytest.skip(words)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()
