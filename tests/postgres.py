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

from tests.helpers import until

PASSWORD = "not written anywhere"
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is; distributions keep them out of the PATH."""
    folders = [folder for pattern in FOLDERS for folder in glob.glob(pattern)]
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that runs meanwhile, for a database that is empty; its password is PASSWORD."""
    initdb, postgres = program("initdb"), program("postgres")
    assert initdb, "where there is 'postgres' there is 'initdb'"
    assert postgres
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}  # it will not be root
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if who:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        data = folder / "data"
        words = [initdb, "-D", data, "-U", "someone", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8"]
        subprocess.run(words, check=True, cwd=folder, capture_output=True, **who)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        running = subprocess.Popen([postgres, "-D", data, *options], cwd=folder, stderr=subprocess.DEVNULL, **who)
        try:
            until(lambda: _answers(port), "PostgreSQL")
            yield f"postgresql://someone@127.0.0.1:{port}/postgres"
        finally:
            running.send_signal(signal.SIGQUIT)
            running.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(host="127.0.0.1", port=port, user="someone", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
