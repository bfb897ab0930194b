"""The database of a study as a file: how SQLite is asked for it, whether it is whole, what it says of its troubles."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
from sqlalchemy import URL

from nas.errors import Damaged, RunError, RunFailed, first_line
from nas.run import disk_trouble

PATIENCE = 60  # seconds to wait for another program that has locked the database: a browser, a backup


def without_candidates(file: Path) -> bool:
    """Whether there is a database, whole or only begun, in which no candidate was entered yet."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT 1 FROM trials LIMIT 1").fetchone() is None
        except sqlite3.OperationalError as problem:
            return "no such table" in str(problem)
        except sqlite3.Error:
            return False


def storage_of(file: Path, reading: bool = True) -> optuna.storages.BaseStorage:
    """Optuna's storage of a study's file; one for `reading` cannot write. Raises what SQLAlchemy raises."""
    return optuna.storages.RDBStorage(_url(file, reading), {"connect_args": {"timeout": PATIENCE}})


def _url(file: Path, reading: bool) -> str:
    """For SQLAlchemy, from an object of its own: a path may hold characters that mean something in a URL."""
    if reading:  # Optuna makes tables that it does not find
        name = file.resolve().as_uri().replace("file://", "file:", 1)
        return URL.create("sqlite", database=name, query={"mode": "ro", "uri": "true"}).render_as_string()
    return URL.create("sqlite", database=str(file)).render_as_string()


def check_database(file: Path) -> None:
    """Raise Damaged if SQLite finds the file to be, RunError if it cannot be opened."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            answer = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as problem:
        full = disk_trouble(problem)
        if full is not None:
            raise RunFailed(f"{file}: {full}") from None
        raise RunError(f"cannot be opened now: {problem}; is another program using it?", str(file)) from None
    except (sqlite3.Error, UnicodeDecodeError) as problem:  # what SQLite says may hold bytes of the file
        raise Damaged(f"is damaged: {problem}", str(file)) from None
    if answer != "ok":
        raise Damaged(f"is damaged: {answer}", str(file))


def said(problem: BaseException) -> str:
    """What the database said, rather than what SQLAlchemy or Optuna make of it."""
    for each in (problem, problem.__cause__):
        if getattr(each, "orig", None) is not None:
            return first_line(str(each.orig))  # type: ignore[union-attr]
    return first_line(str(problem))
