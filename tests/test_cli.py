"""The command line as a person uses it: real processes, exit codes, one message on standard error."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from nas.searching import search
from tests.helpers import ROOT, as_options, class_folder, nas, without_seconds

VERBS = ["search", "resume", "leaderboard", "show", "predict", "evaluate", "export", "datasets", "spaces"]
TINY = as_options({"dataset": "digits", "space": "connected", "max-flops": "3M", "budget": 2, "epochs": 1, "seed": 1})


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), *(["spaces", verb] for verb in ("show", "check", "sample"))])
def test_help(verb: list[str], tmp_path: Path) -> None:
    found = nas(*verb, "--help", cwd=tmp_path)
    assert found.returncode == 0
    assert found.stdout.startswith("Usage: ")
    assert found.stderr == ""
    for name in VERBS if not verb else []:
        assert name in found.stdout


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = nas("--version", cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{told}\n", "")


@pytest.mark.slow
def test_search_then_resume(tmp_path: Path) -> None:
    """Without --out the folder is named by data and strategy; the next one gets the next number."""
    found = nas("search", "--strategy=random", *TINY, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    folder = tmp_path / "results" / "digits-random-1"
    assert len(without_seconds(folder / "leaderboard.csv")) == 2
    assert "1,437 training pictures, 10 classes" in found.stdout
    assert re.search(r"about .* for 2 candidates", found.stdout), "the time is foretold"
    assert "nas predict results/digits-random-1 PICTURE" in found.stdout
    assert found.stdout.count(" trained ") >= 2
    assert found.stderr == ""
    again = nas("resume", "results/digits-random-1", "--budget=3", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(without_seconds(folder / "leaderboard.csv")) == 3
    assert [each.name for each in (tmp_path / "results").iterdir()] == ["digits-random-1"]


def test_leaderboard_best_first(small_run: Path, tmp_path: Path) -> None:
    found = nas("leaderboard", small_run, cwd=tmp_path)
    assert found.returncode == 0
    header, *rows = found.stdout.splitlines()
    assert header.split()[:4] == ["rank", "number", "state", "val_accuracy"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]


def test_leaderboard_as_json(small_run: Path, tmp_path: Path) -> None:
    rows = json.loads(nas("leaderboard", small_run, "--json", cwd=tmp_path).stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    stored = without_seconds(small_run / "leaderboard.csv")
    assert [str(row["parameters"]) for row in rows] == [row["parameters"] for row in stored]


def test_leaderboard_top_where_and_sort(small_run: Path, tmp_path: Path) -> None:
    def rows(*words: str) -> list[dict[str, float]]:
        return json.loads(nas("leaderboard", small_run, "--json", *words, cwd=tmp_path).stdout)

    everything = rows()
    assert rows("--top=1") == everything[:1]
    middle = sorted(row["parameters"] for row in everything)[1]
    assert rows("--where", f"parameters < {middle}") == [row for row in everything if row["parameters"] < middle]
    assert [row["parameters"] for row in rows("--sort=parameters")] == sorted(row["parameters"] for row in everything)
    assert rows("--where", "epochs > 99") == []


def test_leaderboard_of_the_newest_run_is_the_default(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine").symlink_to(small_run, target_is_directory=True)
    assert nas("leaderboard", cwd=tmp_path).stdout == nas("leaderboard", small_run, cwd=tmp_path).stdout


def test_show_prints_layers_recipe_and_curve(small_run: Path, tmp_path: Path) -> None:
    best = without_seconds(small_run / "leaderboard.csv")[0]
    found = nas("show", small_run, best["number"], cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert f"{int(best['parameters']):,}" in found.stdout.split("total")[1]
    assert f"digest {best['digest']}" in found.stdout
    assert "8×8×1" in found.stdout
    assert "optimizer adamw" in found.stdout
    assert found.stdout.count("  epoch ") == int(best["epochs"])
    counted = sum(int(match.replace(",", "")) for match in re.findall(r"^\w+ +[\d×]+ +([\d,]+)  ", found.stdout, re.M))
    assert counted == int(best["parameters"])


def test_show_names_the_genes_in_which_a_child_is_not_its_parent(tmp_path: Path) -> None:
    space = {"name": "toy", "genes": {"x": {"range": [0, 99]}, "y": {"choice": ["a", "b"]}}}
    run = tmp_path / "run"
    result = search(space, evaluate=lambda genes, _: genes["x"], budget=14, seed=1, out=run)
    child = next(record for record in result.records if len(record.parents) == 1)
    parent = result.records[child.parents[0]]
    differing = [
        f"{name} was {parent.genotype[name]}, is {child.genotype[name]}"
        for name in ("x", "y")
        if parent.genotype[name] != child.genotype[name]
    ]
    found = nas("show", run, child.number, cwd=tmp_path)
    assert f"\nfrom #{parent.number}: {'; '.join(differing)}\n" in found.stdout
    assert "\nfrom #" not in nas("show", run, 0, cwd=tmp_path).stdout


def test_show_names_the_genes_that_a_child_has_from_its_second_parent(tmp_path: Path) -> None:
    space = {"name": "toy", "genes": {f"x{each}": {"range": [0.0, 1.0]} for each in range(4)}}
    run = tmp_path / "run"
    result = search(space, evaluate=lambda genes, _: sum(genes.values()), budget=40, seed=1, out=run)
    crossed = [record for record in result.records if len(record.parents) == 2]
    for child in crossed[:3]:
        first, second = (result.records[parent].genotype for parent in child.parents)
        told = [
            f"{name} was {first[name]}, is {value}" + (f" (as in #{child.parents[1]})" if value == second[name] else "")
            for name, value in child.genotype.items()
            if value != first[name]
        ]
        assert f"\nfrom #{child.parents[0]}: {'; '.join(told)}\n" in nas("show", run, child.number, cwd=tmp_path).stdout
    assert crossed


def test_spaces_are_listed_and_shown(tmp_path: Path) -> None:
    listed = nas("spaces", cwd=tmp_path)
    assert listed.returncode == 0
    assert {"cnn", "connected"} <= {line.split()[0] for line in listed.stdout.splitlines() if line}
    shown = nas("spaces", "show", "cnn", cwd=tmp_path)
    assert "name: cnn" in shown.stdout
    (tmp_path / "mine.yaml").write_text(shown.stdout)
    checked = nas("spaces", "check", "mine.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "fine" in checked.stdout


def test_samples_of_a_space_follow_from_the_seed(tmp_path: Path) -> None:
    first, again, other = (
        nas("spaces", "sample", "connected", "-n", 2, "--seed", seed, cwd=tmp_path).stdout for seed in (1, 1, 2)
    )
    assert first == again != other
    genotypes = [json.loads(line) for line in first.splitlines() if line.startswith("{")]
    assert len(genotypes) == 2
    assert all(2 <= len(genotype["blocks"]) <= 4 for genotype in genotypes)
    assert first.count("parameters") == 2


def test_data_sets_say_where_they_are_or_how_to_get_them(tmp_path: Path) -> None:
    class_folder(tmp_path / "data" / "cats_dogs" / "training_set", {"cats": 1, "dogs": 1})
    found = nas("datasets", "--data-dir", tmp_path / "data", cwd=tmp_path)
    assert found.returncode == 0
    assert f"on this machine: {tmp_path / 'data' / 'cats_dogs'}" in found.stdout
    assert "comes with scikit-learn" in found.stdout
    assert "downloaded by Keras at first use" in found.stdout


BAD = [
    ("search --strategy=genetc", "did you mean 'genetic'?"),
    ("search --strategy=optuna --sampler=tpee", "unknown sampler 'tpee'"),
    ("search --space=cnnn", "no search space 'cnnn' (did you mean 'cnn'?)"),
    ("search --dataset=digitz", "no data set and no folder 'digitz'"),
    ("search --config=wrong.yaml", "wrong.yaml, line 2"),
    ("search --config=nowhere.yaml", "no configuration 'nowhere.yaml'"),
    ("search --pruner=ahsa", "--pruner: "),
    ("search --budget=-1", "--budget: "),
    ("search --budget=many", "--budget"),
    ("search --epochs=0", "--epochs: "),
    ("search --time=nonsense", "--time: a time such as"),
    ("search --max-params=lots", "--max-params: a number such as"),
    ("search --max-params=1", "is within the limits"),
    ("search --precision=half", "--precision: "),
    ("search --executor=cloud", "unknown executor 'cloud'"),
    ("search --workers=0", "--workers: "),
    ("search --image-size=1", "--image-size: "),
    ("search --train-part=1.5", "--train-part: "),
    ("search --plugin=nowhere.py", "no Python file 'nowhere.py'"),
    ("search --out=holds", "holds a run already"),
    ("search --out=full", "is not empty"),
    (f"search --out={'a' * 300}", "File name too long"),
    (f"search --dataset=digits --start-from={'a' * 300}", "there is no "),
    (f"train baselines/three-blocks --out={'a' * 300}", "File name too long"),
    (f"evaluate RUN digits --out={'a' * 300}", "File name too long"),
    ("search --no-such-option", "--no-such-option"),
    ("search --data-dir=nowhere --dataset=cats_dogs", "--data-dir: the folder 'nowhere' does not exist"),
    ("resume nowhere", "is no run folder"),
    ("leaderboard nowhere", "is no run folder"),
    ("leaderboard", "no run in results/ yet"),
    ("leaderboard RUN --where", "--where"),
    ("leaderboard RUN --where=size<3", "unknown column 'size'"),
    ("leaderboard RUN --where=nonsense", "cannot be understood"),
    ("leaderboard RUN --sort=size", "unknown column 'size'"),
    ("show RUN 99", "there is no candidate 99"),
    ("show nowhere 1", "is no run folder"),
    ("predict nowhere a.png", "no such run folder or model"),
    ("predict RUN nowhere.png", "no such picture"),
    ("spaces show nowhere", "no search space 'nowhere'"),
    ("spaces check wrong.yaml", "wrong.yaml"),
    ("frobnicate", "frobnicate"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[words for words, _ in BAD])
def test_bad_input_is_one_message_and_exit_code_2(small_run: Path, tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "wrong.yaml").write_text("seed: 1\nbudgte: 3\n")
    (tmp_path / "holds").symlink_to(small_run, target_is_directory=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    before = sorted(each.name for each in tmp_path.rglob("*"))
    given = words.replace("RUN", str(small_run)).split()
    if given[0] == "search" and "--dataset" not in words:
        given.append("--dataset=digits")
    found = nas(*given, cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert len(re.findall(r"^error: |^Error: ", found.stderr, re.MULTILINE)) == 1
    assert sorted(each.name for each in tmp_path.rglob("*")) == before, "no run folder is left behind"


def test_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    found = nas("leaderboard", "nowhere", "--debug", cwd=tmp_path)
    assert found.returncode != 0
    assert "Traceback" in found.stderr
