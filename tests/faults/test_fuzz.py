"""Two thousand damaged files: spaces, configurations, pictures and run folders, the same ones every time.

Whatever is in them, the user reads one message: no exception but the project's own leaves an entry point, nothing hangs,
nothing takes gigabytes, nothing is written outside the run's folder, and no warning of a library is seen.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from nas import cli, interrupts
from nas.blueprint import Pictures, check_networks, express
from nas.config import Settings
from nas.config import settings as read_settings
from nas.datasets import images, prepare
from nas.datasets.prepare import describe
from nas.errors import ConfigError, NasError
from nas.salvage import salvage
from nas.shipped import shipped
from nas.space import read_space
from nas.yamlfile import dumped, parse
from tests.faults.mutations import BYTES, TEXT, damage, mutated, pictures
from tests.helpers import picture, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and names of open folders are Linux's")

SECONDS = 30  # that an example may take: far more than any needs
MEMORY = 2 * 2**30  # bytes that reading a space, a configuration or a picture may take
PHOTOS = pictures(np.random.default_rng(0))
SPACES = [file.read_bytes() for file in shipped("search_spaces").values()]
SPACES.append(b"""\
name: own
genes:
  x: {range: [0.0, 1.0]}
  n: {range: [1, 50], step: 3}
  kind: {choice: [a, 2, true], when: {n: [4, 7]}}
  rate: {range: [1e-4, 1], log: true}
groups:
  parts: {repeat: [0, 3], genes: {y: {ordered: [1, 2, 3]}, z: {range: [0, 9], when: {y: 3}}}}
""")
EVERYTHING = Settings().model_dump(mode="json") | {
    **{"time": "1h30m", "trial_time": "10m", "max_params": "500k", "trial_memory": "2G", "data_dir": "data"},
    **{"image_size": 32, "train_part": 0.5, "validation_part": 0.2, "threads": 2, "plugin": ["a.py"]},
}
CONFIGS = [*(file.read_bytes() for file in shipped("configs").values()), dumped(EVERYTHING).encode()]


def examples(count: int) -> Callable[[Any], Any]:
    """A decorator: `count` examples, each from random numbers of its own."""

    def decorate(test: Any) -> Any:
        chosen = settings(
            max_examples=count,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),  # another seed is no simpler example
            suppress_health_check=list(HealthCheck),
        )
        return chosen(given(seed=st.integers(0, 2**64 - 1))(test))

    return decorate


class Hung(BaseException):
    """Passes through whatever catches exceptions."""


def hung(number: int, frame: FrameType | None) -> None:
    raise Hung(f"{SECONDS} seconds were not enough")


CHANGES = {  # audit events → how many paths come first, and where their directory's number stands
    "open": (1, None),
    "sqlite3.connect": (1, None),
    "os.rename": (2, 2),
    "os.link": (2, 2),
    "os.symlink": (2, 2),
    "os.remove": (1, 1),
    "os.rmdir": (1, 1),
    "os.mkdir": (1, 2),
    "os.chmod": (1, 2),
    "os.utime": (1, 3),
    "os.truncate": (1, None),
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_writable: tuple[str, ...] | None = None  # folders, while somebody watches
_elsewhere: list[str] = []


def heard(event: str, args: tuple[Any, ...]) -> None:
    """Notes a change of what lies outside the folders that may be written to."""
    if _writable is None or event not in CHANGES or (event == "open" and not (args[2] or 0) & WRITES):
        return
    count, at = CHANGES[event]
    for path in args[event == "os.symlink" : count]:
        # An open file was noted when it was opened; a database by the name `file:` is one that is not made.
        if isinstance(path, int) or (text := os.fsdecode(path)).startswith("file:"):
            continue
        folder = args[at] if at is not None else -1
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}") if folder > -1 else os.getcwd(), text)
        # A link is followed by what opens it (mostly); it is itself what is renamed or removed.
        follows = event == "open" and not args[2] & os.O_NOFOLLOW
        parent, name = os.path.split(text)
        place = os.path.realpath(text) if follows else os.path.join(os.path.realpath(parent), name)
        if not any(place == own or place.startswith(f"{own}/") for own in _writable) and "__pycache__" not in place:
            _elsewhere.append(f"{event} {text}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the examples of this file lie, one after the other; what is temporary goes to a folder beside them."""
    import keras  # noqa: F401  with it comes matplotlib, which makes a folder for itself when it is first loaded

    sys.addaudithook(heard)
    base = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        (base / "temporary").mkdir()
        patch.setattr(tempfile, "tempdir", str(base / "temporary"))
        yield base


def fresh(place: Path) -> Path:
    """An empty folder for one example."""
    shutil.rmtree(place / "example", ignore_errors=True)
    (place / "example").mkdir()
    return place / "example"


@contextlib.contextmanager
def guarded(place: Path, *writable: Path, memory: int | None = MEMORY) -> Iterator[None]:
    """What is inside must neither hang, nor warn, nor write anywhere but to `writable`, the cache and temporary folders."""
    global _writable
    own = [*writable, place / "temporary", Path(os.environ["NAS_CACHE_DIR"]), Path(os.environ["KERAS_HOME"]), Path("/dev")]
    before = resource.getrlimit(resource.RLIMIT_AS)
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + memory, before[1]))
    handler = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)
        images.be_quiet()
        _elsewhere.clear()
        _writable = tuple(map(os.path.realpath, own))
        try:
            yield
        finally:
            _writable = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            resource.setrlimit(resource.RLIMIT_AS, before)
    assert _elsewhere == []
    assert [str(each.message) for each in said] == []


def nas(*words: object) -> None:
    """`nas WORDS` in this process ends with an exit code of ours, and with one message where that is not 0."""
    out, error = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(stream, encoding="utf-8") for stream in (out, error)]
    handlers = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nas", *map(str, words)])
        patch.setattr(interrupts, "second", interrupts.second)
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for stream in streams:
                stream.flush()
    said = error.getvalue().decode()
    code = ended.value.code
    note(f"nas {words[0]}: {code} {said}")
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert "--debug shows where" not in said, "an exception that nobody expected"
    assert len(re.findall("^(?:error|Error): ", said, re.MULTILINE)) == (code != 0)
    assert code != 0 or said == ""


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file of a folder with its bytes, every link with where it leads."""
    found: dict[str, bytes | str] = {}
    for at, folders, files in os.walk(folder):
        for each in (Path(at) / name for name in (*folders, *files)):
            kept = os.readlink(each) if each.is_symlink() else each.read_bytes() if each.is_file() else "a folder"
            found[str(each.relative_to(folder))] = kept
    return found


@contextlib.contextmanager
def damaged(
    small_run: Path, place: Path, rng: random.Random, name: str, *happens: str, **guards: Any
) -> Iterator[tuple[Path, Path]]:
    """A copy of a run in which something has happened to one file, and a folder that is none of its business."""
    folder = fresh(place)
    run, outside = folder / "run", folder / "outside"
    shutil.copytree(small_run, run)
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    save(picture(np.random.default_rng(1), 9, 9), outside / "a.png")
    before = contents(outside)
    note(f"{name}: {damage(run, name, outside, rng, *([happens] if happens else []))}")
    with guarded(place, run, **guards):
        yield run, outside
    assert contents(outside) == before


@examples(400)
def test_a_damaged_space_is_told_or_can_be_searched(place: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder = fresh(place)
    file = folder / "mine.yaml"
    file.write_bytes(mutated(rng.choice(SPACES), rng, TEXT, most=2))
    with guarded(place), contextlib.suppress(NasError):
        space = read_space(file)
        if space.describes_networks:
            check_networks(space)
        space.size()
        for _ in range(3):
            genotype = space.sample(rng)
            assert space.check(genotype) == genotype
            assert space.repair(genotype, rng) == genotype
            if space.describes_networks:
                express(genotype, Pictures((32, 32, 3), 10, (127.0,) * 3, (64.0,) * 3))


@examples(500)
def test_a_damaged_configuration_is_told_or_read(place: Path, seed: int) -> None:
    rng = random.Random(seed)
    file = fresh(place) / "mine.yaml"
    file.write_bytes(mutated(rng.choice(CONFIGS), rng, TEXT, most=2))
    with guarded(place), contextlib.suppress(NasError):
        found = read_settings(file)
        written = parse(dumped(found.model_dump(mode="json")), "run.yaml", ConfigError).data
        assert read_settings(None, written) == found


@examples(320)
def test_a_damaged_picture_has_a_reason_or_pixels(place: Path, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(sorted(PHOTOS))
    file = fresh(place) / name
    file.write_bytes(mutated(PHOTOS[name], rng, BYTES))
    for look in (images.measure, partial(images.decode, height=16, width=12, channels=rng.choice((1, 3)))):
        with guarded(place):
            try:
                look(file)
            except Exception as problem:
                reason = images.why(problem)
                assert reason.strip()
                assert len(reason.splitlines()) == 1


@examples(80)
def test_a_damaged_folder_of_pictures_is_told_or_prepared(place: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder = fresh(place)
    (folder / "outside").mkdir()
    for part in rng.choice((("",), ("train", "test"))):
        for name in ("a", "b"):
            (folder / "set" / part / name).mkdir(parents=True)
            for photo in rng.sample(sorted(PHOTOS), 4):
                (folder / "set" / part / name / photo).write_bytes(PHOTOS[photo])
    for _ in range(rng.randint(1, 3)):
        struck = rng.choice(sorted((folder / "set").rglob("*")))
        note(f"{struck}: {damage(struck.parent, struck.name, folder / 'outside', rng)}")
    with guarded(place), contextlib.suppress(NasError):
        describe(prepare(str(folder / "set"), image_size=rng.choice((None, 12))))


LOOKED_AT = ("run.yaml", "run.yaml", "study.db", "study.db", "study.db", "leaderboard.csv", "leaderboard.csv")
CONDITIONS = ("parameters < 200000", "state = trained and val_accuracy > 0.1", "epochs != 2", "val_loss <= nan", "digest = 0")
COLUMNS = ("parameters", "val_accuracy", "state", "reason", "rank")


@pytest.mark.slow
@examples(60)
def test_a_damaged_run_is_told_or_shown(small_run: Path, place: Path, seed: int) -> None:
    rng = random.Random(seed)
    with damaged(small_run, place, rng, rng.choice(LOOKED_AT)) as (run, _):
        before = contents(run)
        nas("leaderboard", run)
        nas("leaderboard", run, "--where", rng.choice(CONDITIONS), "--sort", rng.choice(COLUMNS))
        nas("leaderboard", run, "--json")
        nas("show", run, rng.randrange(3))
        salvage(run / "study.db")
        assert contents(run) == before, "to look at a run changes nothing"


@examples(60)
def test_a_damaged_model_is_told_or_predicts(small_run: Path, place: Path, seed: int) -> None:
    rng = random.Random(seed)
    with damaged(small_run, place, rng, rng.choice(("best.keras",) * 9 + ("run.yaml",)), memory=None) as (run, outside):
        nas("predict", run, outside / "a.png")


RESUMED = (
    *("run.yaml", "run.yaml", "run.yaml", "study.db", "study.db", "leaderboard.csv", "best.keras", "models", "checkpoints"),
    *("models/0.keras", "log.txt", ".lock", ".driver"),
)


@examples(25)
def test_a_damaged_run_is_told_or_resumed(small_run: Path, place: Path, seed: int) -> None:
    """Its budget is used up, so that nothing is left to train."""
    rng = random.Random(seed)
    name = rng.choice(RESUMED)
    happens = ("changed", "a folder", "a link out") if name == "study.db" else ()  # without a ledger it would begin anew
    with damaged(small_run, place, rng, name, *happens, memory=None) as (run, _):
        nas("resume", run, "--budget=3", "--time=10s")
