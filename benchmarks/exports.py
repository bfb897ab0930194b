"""What does a model keep in other formats? For each: bytes, latency, parity, and accuracy on the whole test part.

    NAS_DATA_DIR=… python benchmarks/exports.py --run goals/cats-40m/search --csv exports.csv [--pictures FOLDER]
    python benchmarks/exports.py --csv exports.csv --report

A row of the CSV for each run and format; what is there is not done again. The exports lie in `export/` in the run's folder.
With `--pictures`, what each format says of some pictures is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from rows import append, rows

from nas.evaluate import evaluate
from nas.export.exporting import export
from nas.export.parity import BATCHES
from nas.run import Run
from nas.view import Silent

FORMATS = ("keras", "savedmodel", "onnx", "tflite", "tflite --int8", "python")
COLUMNS = (
    "run",
    "format",
    "bytes",
    *(f"ms_{batch}" for batch in BATCHES),
    "difference",
    "agreement",
    "accuracy",
    "low",
    "high",
)


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="a run that was retrained")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--report", action="store_true", help="export nothing")
    options = parser.parse_args()
    if not options.report:
        for name in FORMATS:
            one(options.csv, Run.open(options.run), name)
        if options.pictures:
            for name in FORMATS:
                print(f"{name}:")
                folder = options.run / "export" / name.replace(" --", "-")
                subprocess.run([sys.executable, "-m", "nas", "predict", folder, options.pictures], check=True)
    report(options.csv)


def one(file: Path, run: Run, name: str) -> None:
    """One format of one run."""
    if any((row["run"], row["format"]) == (str(run.folder), name) for row in rows(file)):
        return
    folder = run.folder / "export" / name.replace(" --", "-")
    if not folder.exists():
        export(run.folder, name.split()[0], final=True, int8="--int8" in name, view=Silent())
    checked = json.loads((folder / "model.json").read_text(encoding="utf-8"))["checked"]
    score = evaluate(folder, run.read_settings()["settings"]["dataset"], view=Silent())
    speed = [f"{checked['seconds'][str(batch)] * 1e3:.2f}" for batch in BATCHES]
    accuracy = score.accuracy
    parity = [f"{checked['difference']:.1e}", f"{checked['agreement']:.4f}"]
    row = [str(run.folder), name, checked["bytes"], *speed, *parity, accuracy.value, accuracy.low, accuracy.high]
    append(file, COLUMNS, row)


def report(file: Path) -> None:
    """All rows, as a table."""
    print(f"{os.cpu_count()} cores")
    for row in rows(file):
        print("  ".join(row.values()))


if __name__ == "__main__":
    main()
