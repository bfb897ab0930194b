"""What several test files share: pictures on disk, small jobs for the trainer, and the command line as a real process."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from nas.blueprint import express
from nas.executors import Work
from nas.executors.processes import Processes
from nas.messages import DataCard, Job, Lost, Outcome, Progress
from nas.view import Silent

ROOT = Path(__file__).parent.parent

# Quick to train and with all that makes a curve depend on random numbers: dropout, augmentation, a schedule.
GENOTYPE: dict[str, Any] = {
    "blocks": [{"block": "conv", "filters": 16, "norm": "batch", "pool": "max", "dropout": 0.1}],
    "dense": [{"units": 32, "dropout": 0.1}],
    "head": "flatten",
    "optimizer": "adamw",
    "learning_rate": 5e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "batch_size": 32,
    "shift": 0.06,
}
PLAIN: dict[str, Any] = {"blocks": [{"filters": 8, "norm": "none", "pool": "none"}], "schedule": "constant"}
SMALL_SEARCH: dict[str, Any] = {
    "dataset": "digits",
    "space": "connected",
    "strategy": "genetic",
    "budget": 3,
    "epochs": 2,
    "seed": 3,
    "max_flops": 600_000,
    "threads": 1,
}


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings as words of a command line."""
    return [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]


def picture(rng: np.random.Generator, height: int, width: int, channels: int = 3, hue: int = 0) -> np.ndarray:
    """Noise, uint8, with one channel (or the top half, of a grey one) brightened by class."""
    pixels = rng.integers(0, 120, (height, width, channels))
    if channels == 1:
        pixels[: height // 2 if hue else None] += 100
    else:
        pixels[..., hue % channels] += 120
    return pixels.astype(np.uint8)


def save(pixels: np.ndarray, file: Path, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if pixels.shape[-1] != 1 else pixels[..., 0]).save(file, **options)
    return file


def class_folder(
    root: Path, counts: dict[str, int], size: tuple[int, int] = (10, 12), suffix: str = ".png", channels: int = 3, seed: int = 0
) -> Path:
    """`counts[name]` pictures in `root/name`."""
    rng = np.random.default_rng(seed)
    for hue, (name, count) in enumerate(counts.items()):
        for index in range(count):
            save(picture(rng, *size, channels, hue), root / name / f"{index:03d}{suffix}")
    return root


def cifar_folder(root: Path, each: int = 40) -> Path:
    """CIFAR-10's official layout, written as Python 2 wrote it: protocol 2, strings of bytes."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        labels = [index % 10 for index in range(each)]
        data = rng.integers(0, 256, (each, 3072), dtype=np.uint8)
        dump_python2({b"batch_label": name.encode(), b"labels": labels, b"data": data}, folder / name)
    names = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]
    dump_python2({b"label_names": names, b"num_vis": 3072}, folder / "batches.meta")
    return folder


class _Python2(pickle._Pickler):  # the pure Python one can be told how to write bytes
    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


def dump_python2(content: Any, file: Path) -> None:
    with file.open("wb") as stream:
        _Python2(stream, protocol=2).dump(content)


NETWORK = """
dataset: digits
epochs: 2
space: connected
genotype:
  blocks:
    - {block: conv, convs: 1, filters: 16, kernel: 3, activation: relu, norm: batch, pool: max, dropout: 0.0}
    - {block: residual, convs: 2, filters: 16, kernel: 3, activation: relu, norm: batch, pool: max, dropout: 0.0}
  head: average
  head_dropout: 0.0
  output: softmax
  loss: crossentropy
  optimizer: adamw
  learning_rate: 0.005
  weight_decay: 0.01
  schedule: cosine
  batch_size: 32
  label_smoothing: 0.0
  flip: none
  shift: 0.06
  erasing: 0.0
"""
"""A network with its settings, as `nas train` reads it."""


def make_job(card: DataCard, folder: Path, genotype: dict[str, Any] | None = None, **changes: Any) -> Job:
    blueprint, recipe = express(genotype or GENOTYPE, card.pictures)
    job = Job(
        number=1,
        blueprint=blueprint,
        recipe=recipe,
        data=card,
        epochs=4,
        train_part=0.5,
        validation_part=0.25,
        seed=5,
        threads=1,
        precision="float32",
        patience=0,
        objective="accuracy",
        class_weight="none",
        checkpoint=str(folder / "1.npz"),
        model=str(folder / "1.keras"),
    )
    return dataclasses.replace(job, **changes)


def train_fresh(job: Job, heard: Callable[[Progress], bool] = lambda _: True, log: Path | None = None) -> Outcome:
    """Train a job in a process of its own; a lost one is sent out again."""
    executor = Processes(Work("nas.training.worker:train", heard, log=str(log) if log else None))
    try:
        while True:
            executor.submit(job.number, job)
            outcome = wait_for(executor)
            if not isinstance(outcome, Lost):
                return outcome
    finally:
        executor.close()


def wait_for(executor: Any, seconds: float = 120) -> Outcome:
    """The first outcome an executor gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for finished in executor.finished(1.0):
            return finished.outcome
    raise AssertionError(f"no outcome in {seconds:.0f} seconds")


def command_of(process: psutil.Process) -> str:
    """The command that a process was started with, or nothing where it ended since it was listed."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def workers(driver: int | None = None) -> list[psutil.Process]:
    """Processes in which a driver's jobs run: the children of its fork server, not the server itself, nor of a browser or of
    Ray that runs beside it."""
    servers = [each for each in psutil.Process(driver).children() if "forkserver" in command_of(each)]
    return [worker for server in servers for worker in server.children()]


class Listening(Silent):
    """A view that keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def needed(module: str, what: str) -> None:
    """Skip a test that needs a package, or a whole file of them; where nothing may be skipped, fail."""
    if importlib.util.find_spec(module) is None:
        assert not os.environ.get("NAS_NO_SKIP"), f"{what} is needed here"
        pytest.skip(f"{what} is not installed: it is part of the extra 'dev'")


def until(condition: Callable[[], Any], what: str, seconds: float = 90) -> None:
    """Wait until something holds, as long as a slow machine may need."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} seconds for {what}"
        time.sleep(0.05)


def nas(*words: object, cwd: Path, env: dict[str, str] | None = None, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """`nas WORDS` in a process of its own."""
    command = [sys.executable, "-m", "nas", *map(str, words)]
    variables = {**os.environ, "COLUMNS": "160", **(env or {})}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout, check=False)


@contextmanager
def busy_driver(executor: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A driver with one busy worker, as processes of their own: the ids of both. The driver is killed at the end."""
    code = f"""
from nas.executors import EXECUTORS, Work
executor = EXECUTORS["{executor}"](Work("tests.executors.jobs:busy", lambda _: True))
executor.submit(0, {str(folder / "pid")!r})
while True:
    executor.finished(1.0)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until(lambda: (folder / "pid").exists() and (folder / "pid").read_text(), "a busy worker")
        yield driver.pid, int((folder / "pid").read_text())
    finally:
        driver.kill()
        driver.wait()


def started(folder: Path, **changes: object) -> subprocess.Popen[str]:
    """A small search as a process that leads a group of its own, as a terminal would start it."""
    command = [sys.executable, "-m", "nas", "search", *as_options({**SMALL_SEARCH, **changes}), f"--out={folder}"]
    return subprocess.Popen(
        command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def python(code: str, cwd: Path, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, from a file as a user would have it."""
    file = cwd / "script.py"
    file.write_text(code, encoding="utf-8")
    command = [sys.executable, str(file)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout, check=False)


def without_seconds(leaderboard: Path) -> list[dict[str, str]]:
    """The rows of a leaderboard but for the one column that a clock decides."""
    with leaderboard.open(encoding="utf-8", newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


def read_final(file: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Of `final.csv`: (figure, class) → the row."""
    with file.open(encoding="utf-8", newline="") as stream:
        return {(row["figure"], row["class"]): row for row in csv.DictReader(stream)}
