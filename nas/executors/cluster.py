"""How a Ray cluster is reached, what it has room for, and what is said when that cannot be. `patience.py` is the waiting."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import re
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError, ServiceFailed, first_line, to_install
from nas.executors.base import Note
from nas.machine import cores
from nas.messages import Cluster

ANSWER = 10.0  # seconds that a cluster may take to accept a connection, or to make the first actor before that is told
SLOW = 50.0  # seconds that the first actor may take after that
CLIENTS = 5  # times that Ray's server for clients is asked for
OPTION, VARIABLE = "--ray-address", "RAY_ADDRESS"
OWN = "local"  # Ray's word for a cluster that is started here, whatever else runs on this machine
AUTO = "auto"
ADDRESSES = "auto, HOST:PORT or ray://HOST:PORT"
_MODE = "RAY_AUTH_MODE"
_TRIES = {"RAY_NUM_REDIS_GET_RETRIES": "3"}  # of a head that listens, each a second and a line of its own; usually 20
_ONCE = {"RAY_ENABLE_AUTO_CONNECT": "0"}  # or Ray starts a cluster of its own when one is asked for anything that has gone
_TOKEN = Path(".ray") / "auth_token"  # in the home folder
_CLIENT = "ray.util.client"
_NO_SERVER = "Initialization failure from server"  # how Ray says that its server for clients has not come up; why, follows
_names: dict[str, str] = {}  # `host:port` as it was given → as Ray calls it, of clusters that this process has connected to
_started: set[str] = set()  # clusters that this process has started


class _MakesNoWorker(Exception):
    """A cluster that was reached, and is of no use."""


def connected(cluster: Cluster, note: Note = lambda words: None) -> Any:
    """Ray, connected to a cluster, or to one that it starts on this machine; what that does or waits for is noted.

    A process that is connected already stays so, whatever `auto` or `ray://` says. Raises ConfigError for an address that is
    none, if Ray is not installed, or if this process is connected to a cluster at another `host:port`; ServiceFailed if the
    cluster cannot be reached or used, and then this process is not connected to it.
    """
    address, source = _address(cluster)
    ray = _imported(_ONCE if address == OWN else _ONCE | _TRIES)
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in (OWN, AUTO) and "://" not in address and _names.get(address, address) != there:
            raise ConfigError(f"this process is connected to the cluster at {there}; ray.shutdown() ends that", source)
        return ray
    try:
        _answers(_whereabouts(address))
        if "://" in address:
            note(f"connecting to {address}")
        with _undone(ray):
            _enter(ray, address, note)
            if os.environ.get(_MODE, "").lower() == "token" and address != OWN and "://" not in address:
                _probe(ray, note)
    except _MakesNoWorker as problem:
        raise ServiceFailed(f"{source}: the Ray cluster at {address} was reached, but {problem}") from None
    except (OSError, OverflowError, ValueError, RuntimeError, ray.exceptions.RayError) as problem:
        if address == OWN:
            raise ServiceFailed(f"--executor=ray: Ray cannot be started on this machine: {_trouble(problem)}") from None
        raise ServiceFailed(f"{source}: the Ray cluster at {address} cannot be reached: {_trouble(problem)}") from None
    if "://" not in address:
        there = _names[address] = ray.get_runtime_context().gcs_address
        _started.update([there] if address == OWN else [])
    return ray


def _address(cluster: Cluster) -> tuple[str, str]:
    """Where the cluster is, and what says so: the variable holds also for `auto`, as for Ray. Raises ConfigError for what is no
    address."""
    address, source = cluster.address, OPTION
    if address is None or (address == AUTO and os.environ.get(VARIABLE)):
        address, source = os.environ.get(VARIABLE) or OWN, VARIABLE
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":")
    if address not in (OWN, AUTO) and not ((scheme == "ray" or "://" not in address) and host and port.isdecimal()):
        words = f"'{address}' is no address of a cluster: {ADDRESSES} is expected; without one, Ray starts on this machine"
        raise ConfigError(words, source)
    return address, source


def _imported(variables: dict[str, str]) -> Any:
    """Ray, with variables that it reads when it is imported first; those that are set have their way."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ConfigError(f"needs the package 'ray': {to_install('ray')}", "--executor") from None
    finally:
        for name in added:
            del os.environ[name]
    return ray


def is_own(ray: Any) -> bool:
    """Whether the cluster is one that was started here by a search, which nobody joins."""
    return bool(_started) and ray.get_runtime_context().gcs_address in _started


def _whereabouts(address: str) -> str:
    """What Ray finds for `auto`, as far as one can know that; a head that died has left its address behind."""
    if address != AUTO:
        return address
    try:
        from ray._private.services import get_ray_address_from_environment  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # it is no part of what Ray promises
        return address
    return str(get_ray_address_from_environment(address, None))


def _answers(address: str) -> None:
    """Raise OSError if nothing listens at `host:port`, or `ray://host:port`: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()


@contextlib.contextmanager
def _undone(ray: Any) -> Iterator[None]:
    """Where no connection comes about, this process is not connected, and has not the mode for tokens that Ray sets where it
    finds one (2.60); only what Ray logs as a client stays silent."""
    asked = os.environ.get(_MODE)
    ray.shutdown()  # of a client whose head has gone
    try:
        yield
    except BaseException:
        ray.shutdown()
        if asked is None and os.environ.pop(_MODE, None) is not None:
            with contextlib.suppress(ImportError, AttributeError):
                importlib.import_module("ray._raylet").Config.initialize("")  # it reads the variable again
        raise


def _enter(ray: Any, address: str, note: Note) -> None:
    """Connect; the server for clients, which Ray starts for each of them, comes up only sometimes (Ray 2.60)."""
    options = {"include_dashboard": False, "num_cpus": cores()} if address == OWN else {}
    token = Path.home() / _TOKEN
    had = token.exists()
    if "://" in address:  # what Ray logs as a client is told here
        logging.getLogger(_CLIENT).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=_CLIENT.replace(".", r"\."))
    for left in reversed(range(CLIENTS)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is told here
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
            if not had and token.exists():
                note(f"Ray has made a token, {token}; clusters that were started without one cannot be used by 'auto' now")
            return
        except ConnectionError as problem:
            if not left or _NO_SERVER not in str(problem):
                raise
            note(f"the cluster is asked again: {_trouble(problem)}")


def _probe(ray: Any, note: Note) -> None:
    """Raise _MakesNoWorker if the cluster has none for this driver: Ray takes a token of itself where it finds one (2.60), and
    lets a driver with one into a cluster that was started without, but makes no actor for it."""

    class Nothing:
        def here(self) -> None: ...

    probe = ray.remote(Nothing).options(num_cpus=0).remote()
    answer = probe.here.remote()
    try:
        if not ray.wait([answer], timeout=ANSWER)[0]:
            note(f"the cluster has made no worker in {ANSWER:.0f} s; waiting for {SLOW:.0f} s more")
            ray.wait([answer], timeout=SLOW)
        ray.get(answer, timeout=0)
    except ray.exceptions.GetTimeoutError:  # it may have no machine yet
        pass
    except ray.exceptions.RayError as problem:
        hint = "if the cluster was started without a token, it makes none for who has one, as this machine has: start it anew"
        words = f"it makes no worker ({why(problem)}); {hint} with {_MODE}=token (docs/scaling.md)"
        raise _MakesNoWorker(f"{words}, or set {_MODE}=disabled here as well") from None
    ray.kill(probe)


def _trouble(problem: BaseException) -> str:
    """Why no connection came about, in a line; Ray tells it in pages, or as what was tried last."""
    said = " ".join(str(each) for each in (problem, problem.__cause__, problem.__context__) if each is not None)
    if "uthenticationError" in said or "InvalidAuthToken" in said or "oken authentication" in said:
        words = (
            "it asks for a token, and this machine has none or another one: copy the head's ~/.ray/auth_token to this machine"
        )
        return f"{words} and set {_MODE}=token (docs/scaling.md)"
    if "client connection timeout" in said:
        words = "nothing that serves clients (ray://, 10001 if no other port was chosen) has answered"
        return f"{words}; a token that is missing here, or another one, looks the same (docs/scaling.md)"
    if "Method not found" in said:
        return "what answers there is no head of a cluster (6379 if no other port was chosen; with ray:// it is 10001)"
    if "ersion mismatch" in said:  # which versions follow in lines of their own
        return " ".join(str(problem).split())[:300]
    if _NO_SERVER in str(problem):  # and where in Ray's files, before why
        return f"its server for clients has not come up ({str(problem).strip().splitlines()[-1][:300]})"
    return first_line(problem)


@contextlib.contextmanager
def reached(ray: Any) -> Iterator[None]:
    """What Ray itself cannot do (its head is gone, its store is full) is told: ServiceFailed."""
    try:
        yield
    except BrokenPipeError:  # of what the driver prints
        raise
    except NasError:
        raise
    except Exception as problem:
        if is_lost(ray, problem):
            raise ServiceFailed(f"the Ray cluster: the connection to its head has failed: {why(problem)}") from None
        if not isinstance(problem, ray.exceptions.RayError):
            raise
        raise ServiceFailed(f"the Ray cluster: {why(problem)}") from None


def is_lost(ray: Any, problem: Exception) -> bool:
    """Whether there is no way to the head any more; what Ray raises then may be of any class (2.60)."""
    kinds = {each.__name__ for each in type(problem).__mro__}
    return bool(kinds & {"ConnectionError", "RpcError"}) or "closed channel" in str(problem) or not ray.is_initialized()


def places(ray: Any, cluster: Cluster) -> int:
    """How many candidates all machines of the cluster have room for, at most."""
    return sum(_places_on(node["Resources"], cluster) for node in ray.nodes() if node["Alive"])


def _places_on(there: dict[str, float], cluster: Cluster) -> int:
    """On one machine; a part of a GPU is one of the same GPU."""
    found = [there.get("CPU", 0.0) / cluster.cpus]
    if cluster.gpus >= 1:
        found.append(there.get("GPU", 0.0) / cluster.gpus)
    elif cluster.gpus:
        found.append(there.get("GPU", 0.0) * math.floor(1 / cluster.gpus + 1e-6))
    return math.floor(min(found) + 1e-6)


def first_of(ray: Any, calls: list[Any], timeout: float) -> list[Any]:
    """The first of some calls to be answered, waited for so long; none if there are no calls."""
    if not calls:
        time.sleep(timeout)
        return []
    ready, _ = ray.wait(calls, num_returns=1, timeout=timeout)
    return ready  # type: ignore[no-any-return]


def room(ray: Any, cluster: Cluster) -> str:
    """What a candidate takes, what there is of it, and what of that is free, for a message."""
    wanted = f"--cpus-per-trial={cluster.cpus:g} and --gpus-per-trial={cluster.gpus:g}"
    there, free = (
        f"{found.get('CPU', 0):g} CPUs and {found.get('GPU', 0):g} GPUs"
        for found in (ray.cluster_resources(), ray.available_resources())
    )
    return f"a candidate takes {wanted}, and there are in all {there}, {free} of them free"


def why(problem: Exception) -> str:
    """What went wrong in an actor, or what Ray says, in a line."""
    if getattr(problem, "actor_init_failed", False):  # a traceback, the problem itself at its end
        return str(problem).strip().splitlines()[-1][:200]
    if details := re.search(r'details = "(.+)"', str(problem)):  # of gRPC, in the middle of a page
        return details[1][:200]
    return first_line(getattr(problem, "cause", None) or problem)[:200]
