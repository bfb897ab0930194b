"""The tour: its notebook has the commands of the page, and each is one that the command line knows. `benchmarks/tour.py` runs
them all."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from types import ModuleType

import pytest

from tests.helpers import ROOT


@pytest.fixture(scope="module")
def tour() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tour", ROOT / "benchmarks" / "tour.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notebook_is_made_from_the_page(tour: ModuleType) -> None:
    page, notebook = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("tour.md", "tour.ipynb"))
    assert notebook == tour.notebook(page), "python benchmarks/tour.py --notebook"
    code = [cell["source"] for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    assert [line.removeprefix("!") for source in code for line in source.splitlines()] == tour.commands(page)


def test_every_command_is_one_the_command_line_knows(tour: ModuleType) -> None:
    for command in tour.commands((ROOT / "docs" / "tour.md").read_text(encoding="utf-8")):
        _, verb, *words = shlex.split(command)
        answer = subprocess.run([sys.executable, "-m", "nas", verb, "--help"], capture_output=True, text=True, check=True)
        for option in (word.partition("=")[0] for word in words if word.startswith("-")):
            assert option in re.split(r"[\s,]+", answer.stdout), command


def test_every_picture_of_the_page_is_there() -> None:
    import re

    page = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    for file in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (ROOT / "docs" / file).is_file(), file
