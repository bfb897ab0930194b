"""Paths as a person types them, what an output option means by one, and where what can be made anew is kept."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nas.errors import InputError

BEGINNING = 1_000  # bytes of a file by which it is seen what made it


def expanded(path: str | Path) -> Path:
    """`~` as the home folder. Unlike `Path.expanduser`, an unknown user's is taken as it stands."""
    return Path(os.path.expanduser(path))


def cache_root() -> Path:
    """Where decoded pictures, backbones and what JAX compiled are kept: NAS_CACHE_DIR, or the user's cache folder."""
    own = os.environ.get("NAS_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"
    return expanded(own) if own else base


def target_of(out: str | Path, option: str, mark: str) -> Path:
    """The file that is meant by an output option, links followed: checked before hours of work. What is there already is
    replaced only if it was made the same way: `mark` stands in the beginning of such a file. Raises InputError."""
    file = _meant(out, option)
    if not str(out).strip() or os.path.isdir(file):
        raise InputError(f"a file is expected; found {'nothing' if not str(out).strip() else 'a folder'}", f"{option} {out}")
    if os.path.exists(file) and not os.path.isfile(file):  # a device, a pipe: it would be replaced
        raise InputError("is no regular file", f"{option} {out}")
    if not os.path.isdir(file.parent):
        raise InputError(f"there is no folder {file.parent}", f"{option} {out}")
    if os.path.exists(file):
        with file.open("rb") as stream:
            begin = stream.read(BEGINNING)
        if begin and mark.encode() not in begin:
            raise InputError("is there already, and nothing that this would make; give another file", f"{option} {out}")
    return file


def folder_of(out: str | Path, option: str) -> Path:
    """The folder that is meant by an output option; what is there may be written into. Raises InputError."""
    folder = _meant(out, option)
    if not str(out).strip() or (os.path.exists(folder) and not os.path.isdir(folder)):
        raise InputError("a folder is expected", f"{option} {out}")
    return folder


def _meant(out: str | Path, option: str) -> Path:
    """A path, links followed. Raises InputError for one that can be none."""
    place = Path(os.path.realpath(expanded(out)))
    try:
        with contextlib.suppress(FileNotFoundError):
            place.lstat()
    except OSError as problem:
        raise InputError(f"cannot be made: {problem.strerror}", f"{option} {out}") from None
    return place
