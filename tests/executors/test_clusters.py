"""Ray clusters that run by themselves: how they are found and entered, what is said of those that are of no use, and what
becomes of a search when a machine of it, or its head, goes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers import ROOT, SMALL_SEARCH, as_options, command_of, nas, needed, python, until, without_seconds

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    needed("ray", "Ray")
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)


@contextlib.contextmanager
def started_cluster(mode: str = "token", **others: str) -> Iterator[tuple[dict[str, str], int, int]]:
    """A cluster that was started by `ray start`, with other variables for itself, and asks for a token unless `mode` is
    `disabled`: the variables by which it is found and entered, its port, and that of `ray://`. Its GPU is one that Ray only
    counts."""
    home = tempfile.mkdtemp()  # short: the paths of sockets may have 107 characters
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        main, port, agent = (each.getsockname()[1] for each in free)
    variables = {"RAY_TMPDIR": home, "RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # Ray does not tell its server for clients which port it has chosen for that agent itself.
    ports = [f"--ray-client-server-port={port}", f"--runtime-env-agent-port={agent}"]
    words = [
        "start",
        "--head",
        "--block",
        f"--port={main}",
        "--num-cpus=2",
        "--num-gpus=1",
        "--include-dashboard=false",
        *ports,
    ]
    command = [str(Path(sys.executable).with_name("ray")), *words, "--disable-usage-stats"]
    log = Path(home) / "log.txt"
    with log.open("w") as stream:
        head = subprocess.Popen(command, env={**os.environ, **variables, **others}, stdout=stream, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Ray runtime started" in log.read_text(), "the head of the cluster")
        yield variables, main, port
    finally:
        family = psutil.Process(head.pid).children(recursive=True)
        head.terminate()  # it ends what it has started
        head.wait(timeout=30)
        _, alive = psutil.wait_procs(family, timeout=30)
        for each in alive:
            each.kill()
        shutil.rmtree(home, ignore_errors=True)


def kill_head() -> None:
    """End the cluster that was started, without a word."""
    (head,) = [each for each in psutil.Process().children() if {"start", "--head"} <= set(command_of(each).split())]
    for _ in range(2):  # it may have started another one meanwhile
        for each in (*head.children(recursive=True), head):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def test_a_cluster_that_runs_already_until_its_head_goes(small_run: Path, tmp_path: Path) -> None:
    with started_cluster() as (variables, head, port):
        as_on_this_machine(small_run, tmp_path, variables, head, port)
        one_sentence_when_the_head_goes(tmp_path, variables, port)


def as_on_this_machine(small_run: Path, folder: Path, variables: dict[str, str], head: int, port: int) -> None:
    """Found by `auto`, then reached as a client, with a quarter of a GPU for each candidate."""
    words = as_options({**SMALL_SEARCH, "budget": 1, "executor": "ray", "ray_address": "auto", "gpus_per_trial": 0.25})
    found = nas("search", *words, "--out=there", cwd=folder, env=variables, timeout=300)
    assert found.returncode == 0, found.stderr
    stranger = {**variables, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    found = nas("search", *words, "--out=none", cwd=folder, env=stranger, timeout=300)
    assert found.returncode == 1, found.stderr
    assert "at auto cannot be reached: it asks for a token, and this machine has none or another one" in " ".join(
        found.stderr.split()
    )
    # By an address that Ray, once connected, calls by another name.
    found = nas("resume", "there", "--budget=2", f"--ray-address=localhost:{head}", cwd=folder, env=variables, timeout=300)
    assert found.returncode == 0, found.stderr
    address = f"--ray-address=ray://127.0.0.1:{port}"
    found = nas("resume", "there", f"--budget={SMALL_SEARCH['budget']}", address, cwd=folder, env=variables, timeout=300)
    assert found.returncode == 0, found.stderr
    assert without_seconds(folder / "there" / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")


def one_sentence_when_the_head_goes(folder: Path, variables: dict[str, str], port: int) -> None:
    """As a client; the search goes on here."""
    words = as_options({**SMALL_SEARCH, "epochs": 2_000, "executor": "ray", "ray_address": f"ray://127.0.0.1:{port}"})
    environment = {**os.environ, **variables, "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "nas", "search", *words, "--out=long"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    driver = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
    try:
        checkpoints = folder / "long" / "checkpoints"
        until(lambda: any(checkpoints.glob("[0-9]*.npz")) or driver.poll() is not None, "a candidate in the middle", 120)
        kill_head()
        _, errors = driver.communicate(timeout=180)
    finally:
        driver.kill()
        driver.communicate()
    assert driver.returncode == 1, errors
    assert "error: the Ray cluster: the connection to its head has failed: " in errors
    assert "go on with: nas resume long" in " ".join(errors.split())
    assert "Traceback" not in errors
    found = nas("resume", "long", "--executor=processes", "--time=20s", cwd=folder, timeout=300)
    assert found.returncode == 0, found.stderr


IN_AND_OUT = """
import os
os.environ |= {entering!r}
from nas.errors import RunFailed
from nas.executors.cluster import connected
from nas.messages import Cluster
import ray
try:
    connected(Cluster("auto"))
except RunFailed as problem:
    assert "it makes no worker" in str(problem), problem
assert not ray.is_initialized()
assert not {{"RAY_AUTH_MODE", "RAY_NUM_REDIS_GET_RETRIES"}} & set(os.environ)
os.environ["RAY_AUTH_MODE"] = "disabled"
connected(Cluster("auto"))
assert ray.get(ray.remote(lambda: 1).remote(), timeout=60) == 1
ray.shutdown()
"""
TWICE = """
import os
os.environ |= {variables!r}
from nas.executors import cluster
from nas.messages import Cluster
cluster.CLIENTS = 2
cluster.connected(Cluster({address!r}), note=print)
"""
GONE = """
import os
os.environ |= {variables!r}
from ray._private import services
services.find_gcs_addresses = set
from nas.searching import search
search(dataset="digits", executor="ray", ray_address="auto")
"""


def test_a_cluster_without_a_token_and_one_that_has_gone_are_told(tmp_path: Path) -> None:
    """And where no connection comes about, Ray is left as it was."""
    words = ("search", "--dataset=digits", "--executor=ray")
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "home" / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    with started_cluster(mode="disabled", RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S="0") as (variables, head, port):
        entering = {"RAY_TMPDIR": variables["RAY_TMPDIR"], "HOME": str(tmp_path / "home")}  # Ray uses a token that it finds
        found = nas(*words, "--ray-address=auto", cwd=tmp_path, env=entering, timeout=180)
        assert found.returncode == 1, found.stderr
        told = " ".join(found.stderr.split())
        assert "--ray-address: the Ray cluster at auto was reached, but it makes no worker (" in told
        assert "if the cluster was started without a token, it makes none for who has one" in told
        found = python(IN_AND_OUT.format(entering=entering), tmp_path, timeout=180)
        assert found.returncode == 0, found.stderr
        seconds = {"INITIAL_CONNECTION_TIMEOUT_S": "3", "MAX_CONNECTION_TIMEOUT_S": "3", "RECONNECT_GRACE_PERIOD": "1"}
        hasty = {**variables, **{f"RAY_CLIENT_{name}": value for name, value in seconds.items()}}
        found = nas(*words, cwd=tmp_path, env={**hasty, "RAY_ADDRESS": f"ray://127.0.0.1:{head}"}, timeout=180)
        assert found.returncode == 1, found.stderr
        assert "RAY_ADDRESS: the Ray cluster at ray://127.0.0.1" in found.stderr
        assert "nothing that serves clients" in " ".join(found.stderr.split())
        # This one has no patience with its own server for clients, so that never comes up in time. Ray says so in several ways.
        found = python(TWICE.format(variables=hasty, address=f"ray://127.0.0.1:{port}"), tmp_path, timeout=180)
        trouble = "its server for clients has not come up ("
        assert found.stdout.count(f"the cluster is asked again: {trouble}") == 1
        assert f"--ray-address: the Ray cluster at ray://127.0.0.1:{port} cannot be reached: {trouble}" in found.stderr
        kill_head()
        # It has left a file with its address behind. Other clusters on this machine, such as those of other tests, would be
        # taken before it.
        found = python(GONE.format(variables=variables), tmp_path, timeout=180)
    told = "nas.errors.ServiceFailed: --ray-address: the Ray cluster at auto cannot be reached: [Errno 111] Connection refused"
    assert told in found.stderr


TWO_NODES = """
import json
from pathlib import Path
from ray.cluster_utils import Cluster
from nas.searching import search
from nas.view import Silent

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)

class Watching(Silent):
    def __init__(self):
        self.notes, self.done, self.epochs, self.busy, self.most = [], 0, set(), set(), 0
    def note(self, text):
        self.notes.append(text)
        if "its place on the cluster is gone" in text:
            self.busy.remove(int(text.partition(":")[0].split()[0].removeprefix("#")))
    def started(self, candidate, label):
        self.busy.add(candidate.number)
        if self.done == 2:
            self.most = max(self.most, len(self.busy))
    def progress(self, news, curve):
        self.epochs.add((news.number, news.epoch, news.metrics["seconds"]))  # told again, one has the same seconds
        if self.done == 0 and news.epoch == 5:
            cluster.remove_node(second, allow_graceful=False)
            self.done = 1
    def finished(self, record, best):
        self.busy.remove(record.number)
        if self.done == 1:
            cluster.add_node(num_cpus=1)
            self.done = 2

view = Watching()
result = search(executor="ray", ray_address=cluster.address, workers=2, out="run", view=view, **OPTIONS)
lost = [note for note in view.notes if "its place on the cluster is gone" in note]
again = len(view.epochs) - len({each[:2] for each in view.epochs})
import ray

ray.shutdown()
cluster.shutdown()
told = [[record.state for record in result.records], lost, view.done, again, view.most]
Path("told.json").write_text(json.dumps(told))  # Ray prints as well
"""


def test_a_node_that_leaves_and_one_that_joins(tmp_path: Path) -> None:
    few = {**SMALL_SEARCH, "budget": 6, "pruner": "none", "epochs": 8}
    found = python(TWO_NODES.replace("OPTIONS", repr(few)), tmp_path, timeout=400)
    assert found.returncode == 0, found.stderr
    states, lost, done, again, most = json.loads((tmp_path / "told.json").read_text())
    assert states == ["trained"] * 6
    assert (len(lost), done) == (1, 2), "the candidate on the machine that left was lost, and one joined"
    assert "it goes on after epoch" in lost[0]
    assert most == 2, "the machine that joined was given something to do: each has a CPU for one"
    assert again <= 1, "no more than the epoch whose checkpoint was on its way was trained again"
