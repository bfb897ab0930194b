"""docs/spaces.md names every gene, with the default that it has."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
import yaml

from nas.blueprint.blocks import block_genes
from nas.blueprint.express import DENSE_GENES, NETWORK_GENES, Pictures, express
from nas.blueprint.stages import UNITS
from nas.recipe import FLIPS, LOSSES, OPTIMIZERS, SCHEDULES, Recipe
from tests.helpers import ROOT

PICTURES = Pictures((32, 32, 3), 10, (127.0,) * 3, (64.0,) * 3)
PAGE = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return next(part for part in PAGE.split("\n## ") if part.startswith(title))


def defaults(text: str) -> dict[str, list[str]]:
    """Gene → what the cells behind it say, of all tables in a text."""
    found = {}
    for line in re.findall(r"^\| (`.+) \|$", text, re.MULTILINE):
        names, *cells = [cell.strip() for cell in line.split(" | ")]
        several = re.findall(r"`(\w+)`", names)
        for place, name in enumerate(several):
            each = [cell.split(", ") for cell in cells]
            found[name] = [some[place] if len(some) == len(several) else some[0] for some in each]
    return found


def as_written(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "needed"
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


def test_every_gene_of_the_recipe_is_there_with_its_default() -> None:
    written = defaults(section("Genes of the recipe"))
    for field in dataclasses.fields(Recipe):
        assert written[field.name][0] == as_written(field.default), field.name
    for value in (*OPTIMIZERS, *LOSSES, *SCHEDULES, *FLIPS, *UNITS):
        assert f"`{value}`" in PAGE, value


@pytest.mark.parametrize(("column", "block"), [(0, "conv"), (1, "residual"), (2, "dense")])
def test_every_gene_of_a_block_is_there_with_its_default(column: int, block: str) -> None:
    written = defaults(section("The group `blocks`").split("| gene of `stage` |")[0])
    own = block_genes(block)
    for name, cells in written.items():
        assert cells[column] == (as_written(own[name]) if name in own else "–"), name
    assert own.keys() <= written.keys()


def test_every_gene_of_a_stage_is_there_with_its_default() -> None:
    written = defaults(section("The group `blocks`").split("| gene of `stage` |")[1])
    assert {name: cells[0] for name, cells in written.items()} == {
        name: as_written(value) for name, value in block_genes("stage").items()
    }


def test_genes_of_the_whole_network_are_there_with_defaults_that_change_nothing() -> None:
    written = {name: cells[0] for name, cells in defaults(section("Genes of the whole network")).items()}
    assert set(NETWORK_GENES) == set(written)
    genotype = {"stem_filters": 8, "blocks": [{"block": "stage", "unit": "residual"}]}
    before = express(genotype, PICTURES)
    told = {
        name: yaml.safe_load(cell.strip("`"))
        for name, cell in written.items()
        if cell not in ("–", "none") and name not in genotype
    }
    assert len(told) > 5
    for name, value in told.items():
        assert express({**genotype, name: value}, PICTURES) == before, name


def test_genes_of_dense_layers_are_there() -> None:
    assert set(DENSE_GENES) <= set(re.findall(r"`(\w+)`", section("The group `dense`")))
