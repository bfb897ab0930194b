"""The wheel: built without a network, installed beside the tested packages, it brings its search spaces along."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (wheel,) = folder.glob("nas-*.whl")
    words = ["--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(folder / "site"), str(wheel)]
    run([sys.executable, "-m", "pip", "install", *words], folder)
    return folder


def run(command: list[str], cwd: Path, **env: str) -> str:
    variables = {**os.environ, **env}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def nas(installed: Path, cwd: Path, *words: str) -> str:
    return run([sys.executable, "-m", "nas", *words], cwd, PYTHONPATH=str(installed / "site"))


def test_wheel_holds_the_package_and_its_files_and_nothing_else(installed: Path) -> None:
    (wheel,) = installed.glob("nas-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"nas"}
    for folder in ("search_spaces", "configs"):
        ours = {f"nas/{folder}/{file.name}" for file in (ROOT / folder).glob("*.yaml")}
        assert ours
        assert ours <= set(names)
    modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / "nas").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_spaces_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import nas, nas.shipped; print(nas.__file__); print(*nas.shipped.shipped('search_spaces').values())"
    module, *files = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(installed / "site")).split()
    assert Path(module).is_relative_to(installed)
    assert files
    assert all(Path(file).is_relative_to(installed) for file in files)
    assert "cnn" in nas(installed, tmp_path, "spaces")
    assert (
        nas(installed, tmp_path, "spaces", "show", "cnn").strip() == (ROOT / "search_spaces" / "cnn.yaml").read_text().strip()
    )


def test_command_is_installed(installed: Path) -> None:
    (entries,) = (installed / "site").glob("nas-*.dist-info/entry_points.txt")
    assert "nas = nas.__main__:main" in entries.read_text()
