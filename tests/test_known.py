"""Known networks: the baselines are the networks described, layer by layer, and any source of genotypes comes first in line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nas.blueprint import Blueprint, Pictures, express
from nas.config import settings
from nas.errors import ConfigError, RunError
from nas.known import known, read_genotype, written
from nas.ledger import Ledger
from nas.messages import Trained
from nas.recipe import Recipe
from nas.run import Run
from nas.searching import search
from nas.space import read_space
from nas.strategies import make_strategy
from nas.strategies.asking import Asking
from nas.view import Silent
from tests.helpers import SMALL_SEARCH, nas

CNN = read_space("cnn")
SIDES = {"cifar10": 32}
CONV32 = [("conv", 32, 3, 1, "valid"), ("activation", "relu")]
CONV64 = [("conv", 64, 3, 1, "valid"), ("activation", "relu")]
HALVED = [("pool", "max", 2, 2)]
BARE = {"validation_part": 0.0, "precision": "float32"}  # all pictures are trained on, as Keras does by itself
BASELINES: dict[str, tuple[int, list[Any], dict[str, Any], dict[str, Any]]] = {
    "three-blocks": (
        2,
        [
            *(*CONV32, *HALVED, *CONV32, *HALVED, *CONV64, *HALVED, ("flatten",)),
            *(("dense", 64), ("activation", "relu"), ("dropout", 0.5), ("dense", 2), ("activation", "sigmoid")),
        ],
        {"optimizer": "rmsprop", "batch_size": 16},
        {**BARE, "dataset": "cats_dogs", "image_size": 32, "epochs": 30, "train_part": 1024 / 4000},
    ),
    "two-pools-softmax": (
        2,
        [
            *(*CONV32, *HALVED, *CONV32, *HALVED, ("flatten",)),
            *(("dense", 128), ("activation", "relu"), ("dense", 2), ("activation", "softmax")),
        ],
        {"optimizer": "adam", "batch_size": 32, "shear": 0.1, "stretch": 0.1, "zoom": 0.2},
        {**BARE, "dataset": "cats_dogs", "image_size": 64, "epochs": 25, "train_part": 1.0},
    ),
    "two-pools-sigmoid": (
        2,
        [
            *(*CONV32, *HALVED, *CONV32, *HALVED, ("flatten",)),
            *(("dense", 128), ("activation", "relu"), ("dense", 1), ("activation", "sigmoid")),
        ],
        {"optimizer": "adam", "batch_size": 32, "shear": 0.1, "zoom": 0.2, "flip": "horizontal"},
        {**BARE, "dataset": "cats_dogs", "image_size": 64, "epochs": 25, "train_part": 1.0},
    ),
    "two-double-blocks": (
        10,
        [
            *(*CONV32, *CONV32, *HALVED, ("dropout", 0.25), *CONV32, *CONV32, *HALVED, ("dropout", 0.25), ("flatten",)),
            *(("dense", 256), ("activation", "relu"), ("dropout", 0.5), ("dense", 10), ("activation", "softmax")),
        ],
        {"optimizer": "adam", "batch_size": 128},
        {**BARE, "dataset": "cifar10", "epochs": 100, "train_part": 1.0},
    ),
}


def layers(blueprint: Blueprint) -> list[Any]:
    """What each layer is, in order, behind the scaling of the pixels."""
    names = {
        "conv": ("filters", "kernel", "stride", "padding"),
        "pool": ("type", "size", "stride"),
        "dense": ("units",),
        "dropout": ("rate",),
        "activation": ("type",),
    }
    first, *rest = blueprint.nodes
    assert first.layer.kind == "rescale"
    assert all(node.inputs == (before.name,) for before, node in zip(blueprint.nodes, rest, strict=False)), "a plain chain"
    return [(node.layer.kind, *(getattr(node.layer, name) for name in names.get(node.layer.kind, ()))) for node in rest]


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_is_the_network_described(name: str) -> None:
    classes, expected, recipe, data = BASELINES[name]
    path, genotype = read_genotype(f"baselines/{name}")
    chosen = settings(path)
    assert known([f"baselines/{name}"], CNN) == [genotype], "a point of the space cnn"
    assert chosen.space == "cnn"
    assert {key: getattr(chosen, key) for key in data} == data
    side = chosen.image_size or SIDES[chosen.dataset]
    blueprint, found = express(genotype, Pictures((side, side, 3), classes, (127.0,) * 3, (64.0,) * 3))
    assert layers(blueprint) == expected
    assert found == Recipe(**{"learning_rate": 1e-3, "schedule": "constant", **recipe})
    if name == "two-double-blocks":
        assert blueprint.parameters == 236_266


def mine(folder: Path, name: str, genotype: str = "{a: 1, b: 2}") -> Path:
    file = folder / name
    file.write_text(f"epochs: 3\ngenotype: {genotype}\n")
    return file


TABLE = read_space({"name": "table", "genes": {"a": {"range": [0, 9]}, "b": {"range": [0, 9]}}})


def test_file_folder_and_run_are_sources(tmp_path: Path) -> None:
    first = mine(tmp_path, "x.yaml")
    (tmp_path / "many").mkdir()
    mine(tmp_path / "many", "2.yaml", "{a: 2, b: 2}")
    mine(tmp_path / "many", "1.yaml", "{a: 1, b: 1}")
    expected = [{"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert known([str(first), str(tmp_path / "many")], TABLE) == expected

    result = search(TABLE, evaluate=lambda genotype, report: genotype["a"], budget=20, out=tmp_path / "run")
    best = known([str(tmp_path / "run")], TABLE)
    values = sorted((record.value or 0 for record in result.records), reverse=True)
    assert [genotype["a"] for genotype in best] == values[:5]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("genotype: {a: 1}\n", "the gene 'b' is missing"),
        ("genotype: {a: 1, b: 77}\n", "so it is not in the space 'table'"),
        ("epochs: 3\n", "has no 'genotype', so it describes no network"),
        ("genotype: 3\n", "has no 'genotype'"),
    ],
)
def test_what_is_no_point_of_the_space_is_told(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        known([str(tmp_path / "x.yaml")], TABLE)
    assert told in str(caught.value)


def test_sources_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'baselines/three-blocks'"):
        known(["baselines/three-block"], CNN)
    with pytest.raises(ConfigError, match="is a folder without a YAML file, and no run"):
        known([str(tmp_path)], CNN)


def test_known_networks_come_first_each_once_and_then_the_strategy() -> None:
    first = [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 3, "b": 4}]
    chosen = settings()
    asking = Asking(TABLE, make_strategy("random", TABLE, 0, chosen), chosen, None, first)
    ledger = Ledger(None, TABLE, "random")
    for number in range(4):
        candidate = asking.next(ledger.records(), number)
        assert candidate is not None
        ledger.add(candidate)
        ledger.tell(number, Trained(0.5), 1.0)
    records = ledger.records()
    assert [record.operator for record in records] == ["known", "known", "random", "random"]
    assert [record.genotype for record in records[:2]] == [first[0], first[2]]


@pytest.mark.slow
def test_search_that_starts_from_an_earlier_run_trains_its_best_first_after_a_restart_as_well(
    small_run: Path, tmp_path: Path
) -> None:
    from nas.resuming import resume

    options = {**SMALL_SEARCH, "epochs": 1, "strategy": "random", "start_from": (str(small_run),)}
    first = search(out=tmp_path / "run", view=Silent(), **{**options, "budget": 1})
    whole = resume(tmp_path / "run", view=Silent(), budget=4)
    assert [record.operator for record in whole.records] == ["known"] * 3 + ["random"]
    assert whole.records[0].genotype == first.records[0].genotype
    assert [record.genotype for record in whole.records[:3]] == known([str(small_run)], read_space(SMALL_SEARCH["space"]))


def test_start_from_something_wrong_is_one_message(tmp_path: Path) -> None:
    found = nas("search", "--dataset=digits", "--start-from=nowhere", "--out=run", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith("error: ")
    assert "nowhere" in found.stderr
    (tmp_path / "here.yaml").write_text("seed: 1\n")
    found = nas("search", "--dataset=digits", "--start-from=", "--out=run", cwd=tmp_path)
    assert found.stderr == "error: --start-from: a file, a folder of such files or a run is needed\n"
    assert not (tmp_path / "run").exists()


def test_a_candidate_that_is_saved_is_the_same_network_again(small_run: Path, tmp_path: Path) -> None:
    done = nas("show", small_run, "1", "--save=mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train it:  nas train mine.yaml" in done.stdout
    assert (tmp_path / "mine.yaml").read_text() == written(Run(small_run), 1)
    _, genotype = read_genotype(str(tmp_path / "mine.yaml"))
    ledger = Ledger(Run(small_run).study, read_space(SMALL_SEARCH["space"]), "random", reading=True)
    assert genotype == ledger.record(1).genotype
    ledger.close()
    assert settings(str(tmp_path / "mine.yaml")).dataset == "digits"
    for place in ("", "no/where.yaml", "."):
        refused = nas("show", small_run, "1", f"--save={place}", cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")


def test_what_could_not_be_read_again_is_not_saved(tmp_path: Path) -> None:
    space: dict[str, Any] = {"name": "mine", "genes": {"x": {"choice": [1, 2]}}}
    search(space, evaluate=lambda genes, _: genes["x"], strategy="random", budget=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="scored by a Python function, and are no networks"):
        written(Run(tmp_path / "run"), 0)


def test_a_candidate_of_a_space_that_is_another_now_is_not_saved(small_run: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(small_run, tmp_path / "run")))
    facts = run.read_settings()
    run.write_settings({**facts, "digests": {**facts["digests"], "space": "of long ago"}})
    with pytest.raises(RunError, match="its space is not the 'connected' that is there now"):
        written(run, 0)


def test_only_networks_are_listed_where_a_network_is_expected() -> None:
    with pytest.raises(ConfigError, match="there is no network 'nothing'") as problem:
        read_genotype("nothing")
    assert "baselines/three-blocks" in str(problem.value)
    assert "thorough" not in str(problem.value)
