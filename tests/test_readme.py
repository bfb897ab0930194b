"""The README's examples are true: its Python runs, its space is a space, its commands and columns exist."""

from __future__ import annotations

import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nas.errors import SpaceError
from nas.leaderboard import COLUMNS
from nas.space import read_space
from nas.yamlfile import parse
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def python_block(word: str) -> str:
    (found,) = [block for block in blocks("python") if word in block]
    return found


def test_the_search_from_python_finds_the_optimum_of_its_toy(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(python_block("evaluate=evaluate"), encoding="utf-8")
    answer = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "{'depth': 40, 'kind': 'residual'} 1" in answer.stdout
    assert "genotype" in answer.stdout


@pytest.mark.slow
def test_the_plugin_with_a_block_a_data_set_and_a_strategy_works_in_a_search(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(python_block("register_block"), encoding="utf-8")
    (tmp_path / "space.yaml").write_text(
        "name: mine\n"
        "groups: {blocks: {repeat: [1, 2], genes: {block: wide, filters: {ordered: [4, 8]}}}}\n"
        "genes: {learning_rate: {range: [1e-3, 1e-2], log: true}}\n",
        encoding="utf-8",
    )
    words = "search --plugin=mine.py --space=space.yaml --dataset=stripes --strategy=first-fit --budget=2 --epochs=3 --out=run"
    command = [sys.executable, "-m", "nas", *words.split()]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "&" in (tmp_path / "run" / "leaderboard.csv").read_text(encoding="utf-8")  # the joined kernels of `wide`
    assert (tmp_path / "run" / "best.keras").is_file()


def test_the_space_in_yaml_is_a_space_of_networks() -> None:
    (text,) = blocks("yaml")
    space = read_space(parse(text, "README", SpaceError).data)
    assert space.describes_networks
    assert space.check(space.sample(random.Random(0)))


def test_every_command_is_one_the_command_line_knows() -> None:
    commands = [
        line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.startswith("nas ")
    ]
    assert len(commands) >= 9
    for command in commands:
        verb, *words = shlex.split(command)[1:]
        answer = subprocess.run([sys.executable, "-m", "nas", verb, "--help"], capture_output=True, text=True, check=True)
        known = set(re.findall(r"--[a-z][a-z0-9-]*", answer.stdout))
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, command


def test_every_column_of_the_leaderboard_is_documented_or_lies_between_those_that_are() -> None:
    (table,) = re.findall(r"Columns of `leaderboard.csv`.*?\n\nOrder", README, re.DOTALL)
    named = set(re.findall(r"`(\w+)`", table))
    recipe = COLUMNS[COLUMNS.index("optimizer") : COLUMNS.index("erasing") + 1]
    assert set(COLUMNS) - set(recipe) <= named


def test_every_promise_names_tests_that_are_there() -> None:
    """`file.py::test_name_…` in the table of promises: one test of that file whose name begins so."""
    named = re.findall(
        r"`(test_\w+\.py)(?:::(test_\w+?)(_?…)?)?`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    )
    assert len(named) > 30
    for file, name, more in named:
        (path,) = (ROOT / "tests").rglob(file)
        found = re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        matching = [each for each in found if each == name or (more and each.startswith(name))]
        assert not name or len(matching) == 1, f"{file}::{name}{more} is {matching}"
