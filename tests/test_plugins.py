"""A user's own block, data set and strategy, from files outside the package, in the driver and in the workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas import plugins
from nas.errors import ConfigError, InputError
from tests.helpers import nas, without_seconds

BLOCK = """
import nas

@nas.register_block("bottleneck")
def bottleneck(net, *, filters: int, squeeze: int = 2):
    net.conv(filters // squeeze, 1).activation("relu").conv(filters, 3).norm("batch").activation("relu")
"""
SPACE = """
name: mine
groups:
  blocks:
    repeat: [1, 2]
    genes:
      block: bottleneck
      filters: {ordered: [8, 16]}
      squeeze: {ordered: [2, 4]}
genes:
  learning_rate: {range: [1e-3, 1e-2], log: true}
"""
DATASET = """
import nas
import numpy as np

@nas.register_dataset("stripes")
def stripes(part, data_dir):
    \"\"\"Stripes that lie or stand.\"\"\"
    assert part == "train", "a search reads no other part"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (80, 8, 8, 1)).astype(np.uint8)
    images[:40, ::2] += 150
    images[40:, :, ::2] += 150
    return nas.Arrays(images, np.repeat([0, 1], 40), ("lying", "standing"))
"""
STRATEGY = """
import nas
import random

@nas.register_strategy("plain")
class Plain:
    \"\"\"Draws by the number alone.\"\"\"

    def __init__(self, space, seed, settings):
        self.space = space

    def propose(self, records, number):
        return nas.Proposal(self.space.sample(random.Random(number + len(records))), operator="drawn")
"""


def write(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content, encoding="utf-8")
    return name


@pytest.mark.slow
def test_own_block_data_set_and_strategy_in_one_search_that_can_be_resumed(tmp_path: Path) -> None:
    words = [
        "--space",
        write(tmp_path, "mine.yaml", SPACE),
        "--dataset=stripes",
        "--strategy=plain",
        "--budget=1",
        "--epochs=2",
    ]
    for name, content in (("block.py", BLOCK), ("dataset.py", DATASET), ("strategy.py", STRATEGY)):
        words += ["--plugin", write(tmp_path, name, content)]
    found = nas("search", *words, "--out=run", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "stripes: 80 training pictures, 2 classes of 40" in found.stdout
    again = nas("resume", "run", "--budget=2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    rows = without_seconds(tmp_path / "run" / "leaderboard.csv")
    assert {(row["state"], row["strategy"], row["operator"]) for row in rows} == {("trained", "plain", "drawn")}
    assert len(rows) == 2
    write(tmp_path, "open.py", DATASET.replace('    assert part == "train", "a search reads no other part"\n', ""))
    scored = nas("evaluate", "run", "stripes", "--plugin=open.py", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert "80 pictures of the test part of stripes" in scored.stdout


def test_own_parts_are_known_to_the_other_verbs(tmp_path: Path) -> None:
    block, space = write(tmp_path, "block.py", BLOCK), write(tmp_path, "mine.yaml", SPACE)
    assert nas("spaces", "check", space, "--plugin", block, cwd=tmp_path).returncode == 0
    unknown = nas("spaces", "check", space, cwd=tmp_path)
    assert unknown.returncode == 2
    assert "unknown block 'bottleneck'" in unknown.stderr
    listed = nas("datasets", "--plugin", write(tmp_path, "dataset.py", DATASET), cwd=tmp_path)
    assert "Stripes that lie or stand." in listed.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise ValueError('no such thing')", "fails: ValueError: no such thing"),
        ("def broken(:\n", "fails: SyntaxError"),
        ("import a_package_that_is_not_there", "fails: ModuleNotFoundError"),
        (BLOCK.replace("bottleneck", "conv"), "the block 'conv' is registered already"),
        ("import sys\nsys.exit(0)", "fails: SystemExit"),
    ],
)
def test_plugin_that_fails_is_a_clear_message(tmp_path: Path, content: str, message: str) -> None:
    found = nas("search", "--dataset=digits", "--plugin", write(tmp_path, "mine.py", content), cwd=tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert [each.name for each in tmp_path.iterdir() if each.name != "__pycache__"] == ["mine.py"]


def test_plugin_is_loaded_once(tmp_path: Path) -> None:
    count = tmp_path / "count.txt"
    write(tmp_path, "mine.py", f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\n")
    plugins.load(str(tmp_path / "mine.py"))
    plugins.load(str(tmp_path / "." / "mine.py"))
    assert count.read_text() == "x"


def test_name_that_is_taken_by_another_plugin_is_refused(tmp_path: Path) -> None:
    plugins.load(str(tmp_path / write(tmp_path, "one.py", STRATEGY.replace('"plain"', '"taken"'))))
    with pytest.raises(InputError, match="'taken' is registered already"):
        plugins.load(str(tmp_path / write(tmp_path, "two.py", STRATEGY.replace('"plain"', '"taken"'))))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Python file"):
        plugins.load(str(tmp_path / "nowhere.py"))
