"""optuna-dashboard on a run: it serves the study to this machine, and cannot change it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import nas, until

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_study_is_served_and_cannot_be_changed(small_run: Path, browser: Any, tmp_path: Path) -> None:
    run, port = Path(shutil.copytree(small_run, tmp_path / "run")), free_port()
    before = (run / "study.db").read_bytes()
    command = [sys.executable, "-m", "nas", "dashboard", str(run), f"--port={port}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy this process has learned of
    try:
        found: list[bytes] = []

        def answers() -> bool:
            try:
                with opener.open(f"http://127.0.0.1:{port}/api/studies", timeout=30) as answer:
                    found.append(answer.read())
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, server.communicate()
            return bool(found)

        until(answers, "the dashboard")
        (study,) = json.loads(found[0])["study_summaries"]
        assert study["study_name"] == "nas"
        delete = urllib.request.Request(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}", method="DELETE")
        with pytest.raises(urllib.error.HTTPError):
            opener.open(delete, timeout=30)
        trouble: list[str] = []
        page = browser.new_page()
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda problem: trouble.append(str(problem)))
        page.on("request", lambda asked: trouble.append(asked.url) if f"127.0.0.1:{port}" not in asked.url else None)
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("1. nas").first.wait_for(timeout=90_000)
        page.goto(f"http://127.0.0.1:{port}/dashboard/studies/{study['study_id']}")
        page.get_by_text("Hyperparameter Importance").first.wait_for(timeout=90_000)
        page.close()
        assert trouble == []
    finally:
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}/" in out
    assert (run / "study.db").read_bytes() == before


def test_port_that_is_taken_is_told(small_run: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = nas("dashboard", small_run, f"--port={port}", cwd=tmp_path)
    assert found.returncode == 1
    assert f"port {port} cannot be used: Address already in use" in found.stderr
    assert "Traceback" not in found.stderr
