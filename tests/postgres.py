"""A real PostgreSQL server for tests, on a port of its own, with a password, gone when it is left."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers import until

PASSWORD = "not written anywhere"
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is; distributions keep them out of the PATH."""
    folders = [folder for pattern in FOLDERS for folder in glob.glob(pattern)]
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))


class Server:
    """A server that can be stopped and started again; `address` is that of an empty database."""

    def __init__(self, command: list[object], who: dict[str, Any], port: int) -> None:
        self._command, self._who, self._port = command, who, port
        self.address = f"postgresql://someone@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        self._running = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, **self._who)
        until(lambda: _answers(self._port), "PostgreSQL")

    def stop(self) -> None:
        self._running.send_signal(signal.SIGINT)  # connections are cut
        self._running.wait()


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs meanwhile, whose password is PASSWORD."""
    initdb, postgres = program("initdb"), program("postgres")
    assert initdb, "where there is 'postgres' there is 'initdb'"
    assert postgres
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    who: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}  # not root
    who["cwd"] = folder
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if "user" in who:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        data = folder / "data"
        words = [
            initdb,
            "-D",
            data,
            "-U",
            "someone",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        ]
        subprocess.run(words, check=True, capture_output=True, **who)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        made = Server([postgres, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"], who, port)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(host="127.0.0.1", port=port, user="someone", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
