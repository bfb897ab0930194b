"""docs/strategies.md names every setting of the genetic algorithm with the default that it has."""

from __future__ import annotations

import json

from nas.config import GeneticSettings
from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_every_setting_stands_there_with_its_default() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    written = {cells[1].strip(" `"): cells[2].strip(" `") for cells in rows if len(cells) == 5}
    defaults = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in GeneticSettings().model_dump().items()
    }
    assert {name: written.get(name) for name in defaults} == defaults
