"""One search with a fixed seed, killed (`kill -9`) at random moments, half in the driver and half in workers, and resumed.

    python benchmarks/chaos.py [--kills 20] [--every 12] [--candidates 60] [--epochs 27] [--seed 0]

Prints whether the final leaderboard equals that of the run that was never disturbed, but for the column of seconds, and how
many epochs were trained twice. Exit code 1 if the leaderboards differ, if more epochs were trained again than there were kills,
if a process outlived its driver, or if the search was over before all kills.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

# Notes every epoch that a worker begins.
COUNTER = """
import multiprocessing
if multiprocessing.parent_process() is not None:
    from nas.training import epochs
    begin = epochs.Epochs.on_epoch_begin
    def noted(self, epoch, logs=None):
        with open({notes!r}, "a") as stream:
            stream.write(f"{{self.job.number}}/{{epoch}}\\n")
        begin(self, epoch, logs)
    epochs.Epochs.on_epoch_begin = noted
"""


def main() -> None:
    """Run both searches and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=12, help="mean seconds between two kills")
    parser.add_argument("--candidates", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        started = time.monotonic()
        if search("calm", options).wait():
            sys.exit("the undisturbed run failed")
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.0f} s, {len(rows('calm'))} candidates, {epochs('calm').total()} epochs", flush=True)
        kills, orphans = disturbed(options)
        trained = epochs("stormy")
        twice = trained.total() - len(trained)
        same = rows("calm") == rows("stormy")
        print(f"leaderboard equal to the undisturbed run's: {'yes' if same else 'NO'}")
        print(f"epochs trained: {trained.total()}, of them again: {twice}, after {kills} kills; processes left: {orphans}")
        sys.exit(0 if same and twice <= kills == options.kills and not orphans else 1)


def disturbed(options: argparse.Namespace) -> tuple[int, int]:
    """The same search, killed at moments drawn at random, by turns in the driver and a worker; how often it was, and how many
    processes outlived their driver."""
    rng, left = random.Random(options.seed), 0
    driver = search("stormy", options)
    for kill in range(options.kills):
        moment = rng.uniform(0, 2 * options.every)
        try:
            driver.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        else:
            print(f"  the search was over before kill {kill + 1}")
            return kill, left
        own = psutil.Process(driver.pid)
        family = own.children(recursive=True)
        found = [each for each in family if each.ppid() != own.pid]
        if kill % 2:
            while not found:  # between two candidates: a worker is what shall be hit
                time.sleep(0.02)
                found = [each for each in own.children(recursive=True) if each.ppid() != own.pid]
            victim = found[0]
            victim.kill()
            print(f"  kill {kill + 1}: a worker, after {moment:.1f} s", flush=True)
            continue
        driver.kill()
        driver.wait()
        orphans = psutil.wait_procs(family, timeout=30)[1]
        left += len(orphans)
        print(f"  kill {kill + 1}: the driver, after {moment:.1f} s", flush=True)
        driver = resumed("stormy", options)
    if driver.wait():
        sys.exit("the resumed run failed")
    return int(options.kills), left


def search(name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start the search in the folder `name`."""
    plugin, notes = Path(f"{name}.py").absolute(), Path(f"{name}.txt").absolute()
    plugin.write_text(COUNTER.format(notes=str(notes)))
    words = [f"--budget={options.candidates}", f"--epochs={options.epochs}", f"--seed={options.seed}", f"--out={name}"]
    fixed = ["--dataset=digits", "--space=connected", "--strategy=genetic", "--max-flops=2M", f"--plugin={plugin}"]
    return start("search", *words, *fixed)


def resumed(name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Go on; a run that was killed before it had written its first file is begun again, as a user would."""
    if (Path(name) / "run.yaml").exists():
        return start("resume", name)
    return search(name, options)


def start(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nas", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def rows(name: str) -> list[dict[str, str]]:
    """The leaderboard without the column that a clock decides."""
    with (Path(name) / "leaderboard.csv").open(newline="", encoding="utf-8") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


def epochs(name: str) -> Counter[str]:
    """`candidate/epoch` → how often it was begun."""
    return Counter(Path(f"{name}.txt").read_text().splitlines())


if __name__ == "__main__":
    main()
