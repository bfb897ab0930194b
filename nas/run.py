"""A run: one folder `results/<run>/`, the paths in it, and how files are written there.

Nothing is ever half-written: a file gets a temporary name, is synced and renamed. One driver at a time holds the lock; it
goes with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.errors import RunError, RunFailed, SpaceError
from nas.paths import expanded
from nas.space import read_space
from nas.yamlfile import dumped, read

RESULTS = Path("results")
BEST = "best.keras"  # the best model, in a run folder
PARTS = ("models", "checkpoints")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+")  # as `write_whole` calls what it is writing


def write_whole(file: Path, data: str | bytes) -> None:
    """Write `file` so that a reader, or a crash, meets the old content or the new, never a part."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            # A file name on disk may hold bytes that are no text; they are written as escapes.
            stream.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        _sync_folder(file.parent)
    except OSError as problem:
        problem.filename = str(file)  # for the message; not every call of the system says it
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the disk keep a new name in a folder, should the power fail. Where a folder cannot be synced, the system does it."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@contextlib.contextmanager
def disk_told(place: str | Path = "") -> Iterator[None]:
    """What the disk does not take, or does not have any more, is told as a sentence: RunFailed. It names the file, or `place`
    where the system does not say which one."""
    try:
        yield
    except OSError as problem:
        problem.filename = problem.filename or str(place) or None
        where = f"{problem.filename}: " if problem.filename else ""
        raise RunFailed(disk_trouble(problem) or f"{where}{problem.strerror or problem}") from None


def disk_trouble(problem: BaseException) -> str | None:
    """What is wrong with the disk, in words, if that is what an error says (a full one, one that cannot be written)."""
    if isinstance(problem, OSError) and problem.errno in _FULL:
        where = f"{problem.filename}: " if problem.filename else ""
        return f"{where}{os.strerror(problem.errno)}"
    if os.strerror(errno.ENOSPC) in str(problem) or "database or disk is full" in str(problem):
        return os.strerror(errno.ENOSPC)  # HDF5 and SQLite tell it in words
    return None


class Run:
    """The folder of one search. `create` makes a new one, `open` finds an old one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: Any = None

    @property
    def study(self) -> Path:
        return self.folder / "study.db"

    @property
    def leaderboard(self) -> Path:
        return self.folder / "leaderboard.csv"

    @property
    def settings(self) -> Path:
        return self.folder / "run.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def best(self) -> Path:
        return self.folder / BEST

    @property
    def final(self) -> Path:
        """The figures of the test part. Where it is, `best.keras` is the retrained model and stays that."""
        return self.folder / "final.csv"

    def model(self, number: int) -> Path:
        return self.folder / "models" / f"{number}.keras"

    def checkpoint(self, number: int) -> Path:
        return self.folder / "checkpoints" / f"{number}.npz"

    @classmethod
    def create(cls, out: str | Path | None, label: str) -> Run:
        """A new folder: `out`, or the first of `results/<label>-1`, `-2`, … that is not there yet. Raises RunError."""
        cls.check_new(out)
        folder = expanded(out) if out is not None else RESULTS
        label = re.sub(r"[^\w.-]", "_", label).lstrip(".")[:80]  # of a data set's name, which may be anything
        try:
            if out is None:
                RESULTS.mkdir(exist_ok=True)
                for count in itertools.count(1):
                    folder = RESULTS / f"{label}-{count}"
                    with contextlib.suppress(FileExistsError):  # another search may take the same name at this moment
                        folder.mkdir()
                        break
            for part in (folder, *(folder / name for name in PARTS)):
                part.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise RunError(f"cannot be made: {problem.strerror}", f"--out {folder}") from None
        return cls(folder)

    @staticmethod
    def check_new(out: str | Path | None) -> None:
        """Raise RunError if `out` is taken: before the data is prepared, so that a slip shows at once."""
        if out is None:
            return
        folder = _text(expanded(out))
        if os.path.exists(folder / "run.yaml"):
            words = (
                f"holds a run already; give another --out, or go on with a search by 'nas resume {shlex.quote(str(folder))}'"
            )
            raise RunError(words, str(folder))
        if os.path.exists(folder) and (not folder.is_dir() or not _hollow(folder)):
            raise RunError("is not empty; give a folder that is not there yet", f"--out {folder}")
        missing = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise RunError(f"cannot be made: {problem.strerror}", f"--out {folder}") from None
        finally:
            for each in missing:
                with contextlib.suppress(OSError):
                    each.rmdir()

    @classmethod
    def open(cls, folder: str | Path | None) -> Run:
        """A run that is there; the newest in `results/` where none is named. Raises RunError."""
        if folder is None:
            runs = sorted(RESULTS.glob("*/run.yaml"), key=lambda file: file.stat().st_mtime)
            if not runs:
                raise RunError("there is no run in results/ yet; start one with 'nas search'")
            return cls(runs[-1].parent)
        folder = _text(expanded(folder))
        if not os.path.isfile(folder / "run.yaml"):
            known = sorted(file.parent.as_posix() for file in RESULTS.glob("*/run.yaml"))
            hint = f"\n       runs here: {', '.join(known)}" if known else ""
            raise RunError(f"is no run folder (it has no run.yaml){hint}", str(folder))
        return cls(folder)

    def lock(self) -> None:
        """Hold the run for this process. Raises RunError naming the process and host that hold it, or if the folder is such
        that writing in it would be writing elsewhere."""
        from filelock import FileLock, Timeout

        for each in self.folder.iterdir():
            if each.is_symlink() or (each.name in PARTS and not each.is_dir()):
                raise RunError(
                    f"'{each.name}' in it is a {'link' if each.is_symlink() else 'file'}; remove it", str(self.folder)
                )
        for name in PARTS:
            (self.folder / name).mkdir(exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=1)  # who looks whether it is driven holds it for a moment
        owner = self.folder / ".driver"
        try:
            lock.acquire()
        except Timeout:
            who = owner.read_text() if owner.exists() else "another process"
            raise RunError(f"is in use by {who}; wait for it, or end it", str(self.folder)) from None
        try:
            for file in self.folder.iterdir():  # what a driver that was killed had begun to write
                if _TEMPORARY.fullmatch(file.name) and file.is_file():
                    file.unlink(missing_ok=True)
            write_whole(owner, f"process {os.getpid()} on {socket.gethostname()}")
        except OSError:
            lock.release()
            raise
        self._lock = lock

    def driven(self) -> bool:
        """Whether a driver holds the run at this moment."""
        from filelock import FileLock, Timeout

        if not (self.folder / ".lock").exists():
            return False
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that can only be read
            return False

    def unlock(self) -> None:
        if self._lock is not None:
            (self.folder / ".driver").unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    @property
    def name(self) -> str:
        """The folder as one types it in a shell."""
        return shlex.quote(str(self.folder))

    def write_settings(self, facts: dict[str, Any]) -> None:
        """`run.yaml`: the resolved settings and everything needed to do the run again."""
        write_whole(self.settings, dumped(facts))

    def read_settings(self) -> dict[str, Any]:
        """What `write_settings` wrote. Raises RunError if the file is damaged."""
        data = read(self.settings, RunError).data
        for key in ("settings", "digests", "space"):
            if not isinstance(data, dict) or not isinstance(data.get(key), dict):
                raise RunError(f"is damaged: it has no '{key}'", str(self.settings))
        for key in ("data", "versions"):
            if not isinstance(data.get(key), dict | None):
                raise RunError(f"is damaged: '{key}' is {data[key]!r}"[:300], str(self.settings))
        if not isinstance(data["settings"].get("strategy"), str):
            raise RunError("is damaged: its settings have no 'strategy'", str(self.settings))
        try:
            read_space(data["space"])
        except SpaceError as problem:
            raise RunError(f"is damaged: {problem}", str(self.settings)) from None
        found: dict[str, Any] = data
        return found


def _text(folder: Path) -> Path:
    """A path whose name is text: SQLite and YAML know no other. Raises RunError."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        words = str(folder).encode(errors="backslashreplace").decode()
        raise RunError("is a name with bytes that are no text in UTF-8; give another", words) from None
    return folder


def _hollow(folder: Path) -> bool:
    """Whether a folder holds nothing, or only what a driver makes that was killed before it had begun."""
    skeleton = {*PARTS, ".lock", ".driver"}
    return all(
        (each.name in skeleton and not (each.is_dir() and any(each.iterdir()))) or _TEMPORARY.fullmatch(each.name)
        for each in folder.iterdir()
    )
