"""From a run to a folder for other programs: what `nas export` does.

The model is written in the format that was asked for, opened again in the runtime of that format, and compared with the
original on pictures of the validation part. Only what passes gets its name; until then it lies in a hidden folder beside it.
The test part stays closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from nas import leaderboard, plugins
from nas.blueprint import Blueprint
from nas.config import settings
from nas.errors import ConfigError, RunError, counted, listing
from nas.export import FORMATS
from nas.export.card import model_card
from nas.export.formats import FACTS, Order, check_packages, written
from nas.export.opened import no_model, open_model
from nas.export.parity import BATCHES, COUNTED, Parity, compared, latency
from nas.final import read_final
from nas.paths import folder_of
from nas.preparing import interrupts_told
from nas.provenance import version_of
from nas.run import Run, disk_told, write_whole
from nas.validation import Validation, validation_of
from nas.view import Plain, View

CARD = "MODEL_CARD.md"
TEMPORARY = ".nas-export."
EXAMPLES = 300  # pictures by which the scales of whole numbers are chosen
INPUT = "raw pixels 0-255, {} [n, height, width, channels]; normalisation is inside"
RESIZING = "the whole picture is squeezed to height × width, bilinear; upright as the camera says, transparency laid on white"


@dataclass(frozen=True)
class Exported:
    """What came out: the folder and the model in it, how it compares, bytes on disk, and batch → median seconds here."""

    folder: Path
    file: Path
    parity: Parity
    size: int
    seconds: dict[int, float]
    blueprint: Blueprint

    def lines(self) -> list[str]:
        """For the terminal; all but the last for the card."""
        speed = ", ".join(f"{_milliseconds(self.seconds[batch])} for {counted(batch, 'picture')}" for batch in BATCHES)
        costs = f"{self.blueprint.parameters:,} parameters, {self.blueprint.flops / 1e6:,.1f} MFLOPs a picture"
        return [
            *self.parity.lines(),
            f"{self.size / 1e6:.2f} MB, {costs}",
            f"on the machine that exported it: {speed} (medians)",
            f"written: {self.file}, {FACTS} and {CARD} beside it",
        ]


def export(
    run: str | Path | None,
    format: str = "keras",
    *,
    rank: int | None = None,
    number: int | None = None,
    final: bool = False,
    int8: bool = False,
    out: str | Path | None = None,
    data_dir: str | None = None,
    view: View | None = None,
) -> Exported:
    """Write a model of a run for other programs, and check that it answers as before.

    Args:
        format: an entry of `nas.export.FORMATS`.
        rank, number: which candidate, by the leaderboard; or `final`, the retrained one. Without any, the run's `best.keras`.
        int8: whole numbers of 8 bits, where the format knows them.
        out: a folder that is not there yet; by default `export/<format>` (`-int8`) in the run's.

    Raises RunFailed if the two do not agree, RunError or ConfigError for what is wrong in the input.
    """
    view = view or Plain()
    form, opened = FORMATS[format], Run.open(run)
    _check(format, int8)
    source = _source(opened, rank, number, final)
    facts = opened.read_settings()
    leaderboard.read_csv(opened.leaderboard)  # for the card: what is missing shows now
    read_final(opened)
    chosen = settings(None, facts["settings"], data_dir=data_dir)
    plugins.load_of_run(chosen.plugin, opened.folder)
    with disk_told(out or opened.folder / "export"), interrupts_told(view, "interrupted; nothing was exported"):
        target = _target(opened, out, f"{format}{'-int8' if int8 else ''}")
        found = validation_of(chosen, facts.get("data") or {}, view)
        places, what = _places(
            found, int8, seen=source == opened.best and (opened.final.exists() or not chosen.validation_part)
        )
        original = open_model(source)
        about = {
            **original.facts,
            "nas": version_of("nas"),
            "format": format,
            "file": form.file,
            "int8": int8,
            "input": INPUT.format("uint8" if int8 else "float32"),
            "resizing": RESIZING,
        }
        missing = [each for each in target.parents if not each.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        with _taken_back(missing), tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{TEMPORARY}{os.getpid()}.") as name:
            folder = Path(name) / "export"
            folder.mkdir()
            examples = found.pictures(places[:EXAMPLES], original.shape) if int8 else np.empty(0)
            file = written(format, Order(original, about, examples, int8), folder)
            write_whole(folder / FACTS, json.dumps(about, indent=1, ensure_ascii=False))
            again = open_model(file)
            parity = compared(original, again, found, places, what, int8)
            parity.check(file)
            seconds = {batch: latency(again, batch) for batch in BATCHES}
            blueprint = Blueprint.from_dict(original.facts["blueprint"])
            size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file() and each.name != FACTS)
            result = Exported(target, target / form.file, parity, size, seconds, blueprint)
            about |= {"checked": {**vars(parity), "bytes": result.size, "seconds": {str(k): v for k, v in seconds.items()}}}
            write_whole(folder / FACTS, json.dumps(about, indent=1, ensure_ascii=False))
            write_whole(
                folder / CARD,
                model_card(opened, facts, about, result.lines()[:-1], last=source == opened.best and opened.final.exists()),
            )
            if target.exists():
                target.rmdir()  # it is empty
            folder.rename(target)
    view.note("\n".join(result.lines()))
    return result


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e3:.2g} ms"


def _target(run: Run, out: str | Path | None, name: str) -> Path:
    """The folder of an export, which is not there yet, or empty. Raises InputError. What earlier exports that were killed have
    left beside it is removed."""
    target = folder_of(out, "--out") if out is not None else (run.folder / "export" / name).absolute()
    if target.exists() and any(target.iterdir()):
        raise RunError("is there already; give a folder that is not there yet by -o", str(target))
    for left in target.parent.glob(f"{TEMPORARY}*") if target.parent.is_dir() else ():
        process = left.name.removeprefix(TEMPORARY).partition(".")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return target


@contextlib.contextmanager
def _taken_back(folders: Sequence[Path]) -> Iterator[None]:
    """Folders that were made on the way go again if nothing came into them; the innermost is first."""
    try:
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _places(found: Validation, many: bool, seen: bool) -> tuple[list[int], str]:
    """Which pictures are asked about, and what they are in words; of at least 1,000 if `many`."""
    places = found.places
    if seen or not places:
        return (places + found.others)[: max(len(places), COUNTED)], "training pictures, which its last fit has seen"
    if many and len(places) < COUNTED:
        more = found.others[: COUNTED - len(places)]
        words = f"pictures ({len(places):,} of the validation part and {len(more):,} that it was trained on)"
        return places + more, words
    return places, "validation pictures"


def _check(format: str, int8: bool) -> None:
    """Raise ConfigError if the format cannot be written here."""
    form = FORMATS[format]
    if int8 and not form.int8:
        able = listing(name for name in FORMATS.names() if FORMATS[name].int8)
        raise ConfigError(f"only these formats know whole numbers of 8 bits: {able}", "--int8")
    check_packages(format, (*form.writes_with, *form.reads_with), f"--format {format}")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if form.tensorflow and backend != "tensorflow":
        raise ConfigError(f"is written by TensorFlow; found KERAS_BACKEND={backend}", f"--format {format}")


def _source(run: Run, rank: int | None, number: int | None, final: bool) -> Path:
    """The `.keras` file of what was asked for. Raises ConfigError or RunError."""
    if sum((rank is not None, number is not None, final)) > 1:
        raise ConfigError("give one of them alone", "--rank, --number, --final")
    if final and not run.final.exists():
        raise RunError(f"was not retrained, so it has no final model; 'nas retrain {run.name}' makes it", str(run.folder))
    if rank is None and number is None:
        if not run.best.exists():
            raise RunError(no_model(run), str(run.folder))
        return run.best
    rows = leaderboard.read_csv(run.leaderboard)
    key, wanted, option = ("rank", rank, "--rank") if rank is not None else ("number", number, "--number")
    row = next((row for row in rows if row[key] == wanted), None)
    if row is None:
        raise ConfigError(f"the leaderboard has no such candidate; found {wanted}, it has {len(rows)}", option)
    file = run.model(row["number"])
    if not file.exists():
        kept = sorted(int(each.stem) for each in file.parent.glob("*.keras") if each.stem.isdecimal())
        where = "here (or another driver trained it)" if run.read_settings()["settings"].get("storage") else "here"
        words = f"the model of #{row['number']} ({row['state']}) was not kept {where}"
        words += f"; kept are {listing(f'#{each}' for each in kept)}" if kept else ""
        raise RunError(words, str(run.folder))
    return file
