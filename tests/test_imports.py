"""The floors: imports go down only, heavy libraries have one place each, and quick verbs load none of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT, python

PACKAGE = ROOT / "nas"
FLOORS: dict[str, tuple[str, ...]] = {
    "words": ("errors", "registry", "paths", "quiet", "csvtext"),
    "nouns": (
        *("space", "blueprint", "messages", "recipe", "config", "run", "yamlfile", "shipped", "plugins", "machine"),
        *("pace", "timed", "changes"),
    ),
    "worker": ("training", "datasets", "answers", "figures"),
    "driver": (
        *("driver", "driving", "keeping", "interrupts", "strategies", "pruners", "ledger", "recorded", "salvage"),
        *(
            "distributions",
            "database",
            "shared",
            "joint",
            "server",
            "claims",
            "executors",
            "leaderboard",
            "result",
            "view",
            "logs",
        ),
    ),
    "stories": (
        "searching",
        "retraining",
        "retrainplan",
        "retrainparts",
        "retrainpace",
        "comparison",
        "single",
        "fitting",
        "final",
        "known",
        "planning",
        "resuming",
        "preparing",
        "evaluator",
        "forecast",
        "jobs",
        "provenance",
        "predict",
        "evaluate",
        "export",
        "explain",
        "compare",
        "dashboard",
        "validation",
        "report",
        "printing",
    ),
    "door": ("cli", "__main__"),
}
BELOW: dict[str, tuple[str, ...]] = {
    "words": ("words",),
    "nouns": ("words", "nouns"),
    "worker": ("words", "nouns", "worker"),
    "driver": ("words", "nouns", "driver"),
    "stories": ("words", "nouns", "worker", "driver", "stories"),
    "door": tuple(FLOORS),
}
PLACES = {
    "keras": ("training/", "datasets/cifar.py", "export/"),
    "tensorflow": ("training/", "export/"),
    "onnx": ("export/onnx.py",),
    "onnxruntime": ("export/onnx.py",),
    "ai_edge_litert": ("export/tflite.py",),
    "torch": ("training/",),
    "jax": ("training/",),
    "optuna": ("ledger.py", "database.py", "shared.py", "joint.py", "server.py", "distributions.py", "strategies/optuna.py"),
    "sqlalchemy": ("ledger.py", "database.py", "shared.py", "server.py", "claims.py"),
    "psycopg": ("server.py",),
    "deap": ("strategies/genetic.py", "strategies/variation.py"),
    "ray": ("executors/cluster.py",),
    "sklearn": ("datasets/", "figures.py", "report/facts.py"),
    "matplotlib": ("final.py", "explain.py", "compare.py"),
    "plotly": ("report/",),
    "tensorboard": ("logs.py",),
    "optuna_dashboard": ("dashboard.py",),
    "PIL": ("datasets/", "explain.py"),
    "typer": ("cli/",),
}
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOOR_OF = {part: floor for floor, parts in FLOORS.items() for part in parts}


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports anywhere, and whether at its top."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = set(ast.iter_child_nodes(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node in top) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute here"
            if node.module == "nas":
                yield from ((f"nas.{name.name}", node in top) for name in node.names)
            else:
                yield str(node.module), node in top


def test_every_module_has_a_floor() -> None:
    assert {part_of(file) for file in MODULES} - {"__init__"} == set(FLOOR_OF)


# The package's own `__init__` loads its names lazily; what is loaded is tested below.
@pytest.mark.parametrize("file", [f for f in MODULES if part_of(f) != "__init__"], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_module_imports_its_own_floor_and_those_below(file: Path) -> None:
    allowed = BELOW[FLOOR_OF[part_of(file)]]
    for module, _ in imports(file):
        if module.startswith("nas.") and module != "nas.__version__":
            assert FLOOR_OF[module.split(".")[1]] in allowed, f"{module} stands above"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_module_imports_heavy_libraries_only_in_their_place(file: Path) -> None:
    place = file.relative_to(PACKAGE).as_posix()
    for module, top in imports(file):
        allowed = PLACES.get(module.split(".")[0])
        if allowed is not None:
            assert place.startswith(allowed), f"{place} imports {module}"
            assert not (top and module == "keras" and not place.startswith("training/")), "only inside a function here"


def test_words_need_nothing_but_the_standard_library() -> None:
    import sys

    for name in FLOORS["words"]:
        for module, _ in imports(PACKAGE / f"{name}.py"):
            assert module.split(".")[0] in {*sys.stdlib_module_names, "nas"}


HEAVY = "keras tensorflow jax torch ray deap optuna pandas pydantic"


def loaded(words: list[str], cwd: Path) -> list[str]:
    code = f"""
import sys
sys.argv = ["nas", *{words!r}]
from nas.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *[name for name in {HEAVY.split()!r} if name in sys.modules])
"""
    found = python(code, cwd)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("verb", [[], ["search"], ["leaderboard"], ["predict"], ["spaces"]])
def test_help_loads_nothing_heavy(verb: list[str], tmp_path: Path) -> None:
    assert loaded([*verb, "--help"], tmp_path) == []


def test_leaderboard_loads_nothing_heavy(small_run: Path, tmp_path: Path) -> None:
    assert loaded(["leaderboard", str(small_run), "--where", "epochs > 0", "--json"], tmp_path) == []


def test_spaces_load_nothing_heavy(tmp_path: Path) -> None:
    assert loaded(["spaces"], tmp_path) == []


def test_package_itself_loads_nothing_heavy(tmp_path: Path) -> None:
    found = python(f"import sys, nas\nprint([name for name in {HEAVY.split()!r} if name in sys.modules])", tmp_path)
    assert found.stdout == "[]\n", found.stderr
