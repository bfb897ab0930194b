"""optuna-dashboard on a run's study: what `nas dashboard` does. It changes nothing: the file is opened for reading."""

from __future__ import annotations

from nas.errors import ConfigError, RunFailed
from nas.ledger import storage_of
from nas.run import Run
from nas.view import View

HOST = "127.0.0.1"  # nobody else's machine reaches it


def dashboard(run: str | None, port: int, view: View) -> None:
    """Serve until Ctrl-C. Raises ConfigError if optuna-dashboard is not installed, RunFailed if the port is taken."""
    opened = Run.open(run)
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise ConfigError("needs optuna-dashboard, not installed here: pip install 'nas[dashboard]'", "nas dashboard") from None
    storage = storage_of(opened.study)
    view.note(f"{opened.folder}: http://{HOST}:{port}/ (Ctrl-C ends it; what is changed there is not kept)")
    try:
        run_server(storage, host=HOST, port=port)
    except OSError as problem:
        raise RunFailed(f"port {port} cannot be used: {problem.strerror}; give another by --port") from None
