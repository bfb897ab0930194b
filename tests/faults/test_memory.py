"""The driver's memory does not grow with the candidates, and no worker outlives its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import SMALL_SEARCH, python

SCRIPT = """
import psutil
import nas
from nas.view import Silent

class Watching(Silent):
    def __init__(self):
        self.memory, self.left = [], 0

    def finished(self, record, best):
        self.memory.append(psutil.Process().memory_info().rss)
        own = psutil.Process().pid
        working = sum(each.ppid() != own for each in psutil.Process().children(recursive=True))
        self.left += max(0, working - 1)  # the other worker's candidate

view = Watching()
nas.search(view=view, out="run", **{options!r})
print(len(view.memory), max(view.memory[8:]) - view.memory[7], view.left)
"""

TINY = {
    "name": "tiny",
    "groups": {"blocks": {"repeat": 1, "genes": {"filters": {"ordered": [2, 4, 6, 8]}, "norm": "none"}}},
    "genes": {"learning_rate": {"range": [0.001, 0.1]}, "batch_size": 64},
}


@pytest.mark.slow
def test_after_twenty_candidates_the_driver_holds_what_it_held_after_eight(tmp_path: Path) -> None:
    few = {"budget": 20, "epochs": 1, "train_part": 0.05, "pruner": "none", "workers": 2}
    options = {**SMALL_SEARCH, "strategy": "random", "space": TINY, **few}
    found = python(SCRIPT.format(options=options), tmp_path, timeout=300)
    assert found.returncode == 0, found.stderr
    count, grown, left = map(int, found.stdout.split())
    assert (count, left) == (20, 0)
    assert grown < 50e6
