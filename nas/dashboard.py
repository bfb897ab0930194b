"""optuna-dashboard on a run's study: what `nas dashboard` does. It changes nothing: the file is opened for reading."""

from __future__ import annotations

import signal
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from nas import interrupts
from nas.database import check_database, storage_of
from nas.errors import ConfigError, RunError, RunFailed, to_install
from nas.run import Run
from nas.view import View

HOST = "127.0.0.1"  # nobody else's machine reaches it


def dashboard(run: str | None, port: int, view: View) -> None:
    """Serve until Ctrl-C. Raises ConfigError if optuna-dashboard is not installed, RunFailed if the port is taken."""
    opened = Run.open(run)
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise ConfigError(f"needs optuna-dashboard, not installed here: {to_install('dashboard')}", "nas dashboard") from None
    if opened.read_settings()["settings"].get("storage") is not None:  # what is clicked there would be done to everybody's
        words = "keeps its study on a server, where optuna-dashboard could change it; 'nas report' shows it"
        raise RunError(words, str(opened.folder))
    if not opened.study.exists():
        raise RunError("there is no study", str(opened.study))
    check_database(opened.study)
    try:
        server = make_server(HOST, port, wsgi(storage_of(opened.study)), handler_class=_Quiet)
    except OSError as problem:
        raise RunFailed(f"port {port} cannot be used: {problem.strerror}; give another by --port") from None
    view.note(f"{opened.folder}: http://{HOST}:{port}/ (Ctrl-C ends it; what is changed there is not kept)")
    for number in interrupts.SIGNALS:  # raised in the middle of an answer, it would be taken for a fault of that
        signal.signal(number, lambda *_: interrupts.leave())
    server.serve_forever()


class _Quiet(WSGIRequestHandler):
    """Without a line for each request."""

    def log_message(self, *_: Any) -> None:
        pass
