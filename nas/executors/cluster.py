"""How a Ray cluster is reached, what it has room for, and what is said when that cannot be. `patience.py` is the waiting."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from nas.errors import ConfigError, NasError, RunFailed, first_line, to_install
from nas.machine import cores
from nas.messages import Cluster

Note: TypeAlias = Callable[[str], None]
ANSWER = 10.0  # seconds that a cluster may take to accept a connection, or to make the first actor
CLIENTS = 3  # times that Ray's server for clients is asked for
OPTION = "--ray-address"
OWN = "local"  # Ray's word for a cluster that is started here, whatever else runs on this machine
ADDRESSES = "auto, HOST:PORT or ray://HOST:PORT"
_MODE = "RAY_AUTH_MODE"
_TRIES = ("RAY_NUM_REDIS_GET_RETRIES", "3")  # of a head that listens, each after a second with a line of its own; usually 20
_TOKEN = Path(".ray") / "auth_token"  # in the home folder
_GONE = ("Ray Client is not connected", "Client is shutting down", "closed channel")  # said by a client without its head
_names: dict[str, str] = {}  # address as it was given → as Ray calls it, of clusters that this process has connected to


def connected(cluster: Cluster, note: Note = lambda words: None) -> Any:
    """Ray, connected to a cluster, or to one that it starts on this machine; what that does or waits for is noted. Raises
    ConfigError for an address that is none, or if Ray is not installed, and RunFailed if the cluster cannot be reached or used.
    """
    address = _address(cluster)
    if address != OWN:
        os.environ.setdefault(*_TRIES)
    try:
        import ray as found  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ConfigError(f"needs the package 'ray': {to_install('ray')}", "--executor") from None
    ray: Any = found
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if ":" in address and "://" not in address and _names.get(address, address) != there:
            raise ConfigError(f"this process is connected to the cluster at {there}; ray.shutdown() ends that", OPTION)
        return ray
    try:
        _answers(_whereabouts(address))
        asked = os.environ.get(_MODE)
        if "://" in address:
            note(f"connecting to {address}")
        _enter(ray, address, note)
        if os.environ.get(_MODE) == "token" and address != OWN and "://" not in address:
            _check_token(ray, asked)
    except (OSError, OverflowError, ValueError, RuntimeError, ray.exceptions.RayError) as problem:
        raise RunFailed(f"{OPTION}: the Ray cluster at {address} cannot be reached: {_trouble(problem)}") from None
    if "://" not in address:
        _names[address] = ray.get_runtime_context().gcs_address
    return ray


def _address(cluster: Cluster) -> str:
    """Where the cluster is; raises ConfigError for what is no address."""
    given = cluster.address is not None
    address = cluster.address if cluster.address is not None else os.environ.get("RAY_ADDRESS") or OWN
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if address not in (OWN, "auto") and not (host and port.isdecimal()):
        words = f"'{address}' is no address of a cluster: {ADDRESSES} is expected; without one, Ray starts on this machine"
        raise ConfigError(words, OPTION if given else "RAY_ADDRESS")
    return address


def is_own(cluster: Cluster) -> bool:
    """Whether it is one that is started here, which nobody joins."""
    return _address(cluster) == OWN


def _whereabouts(address: str) -> str:
    """What Ray finds for `auto`, as far as one can know that; a head that died has left its address behind."""
    if address != "auto":
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


def _enter(ray: Any, address: str, note: Note) -> None:
    """Connect; the server for clients, which Ray starts for each of them, comes up only sometimes (Ray 2.60)."""
    options = {"include_dashboard": False, "num_cpus": cores()} if address == OWN else {}
    token = Path.home() / _TOKEN
    had = token.exists()
    logging.getLogger("ray.util.client").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray\.util\.client")
    for left in reversed(range(CLIENTS)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is told here
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
            if not had and token.exists():
                note(f"Ray has made a token, {token}; clusters that were started without one cannot be used by 'auto' now")
            return
        except ConnectionError as problem:
            if not left or "client server failed" not in str(problem):
                raise


def _check_token(ray: Any, asked: str | None) -> None:
    """Raise RunFailed if a cluster without a token was entered with one, as Ray does of itself where it finds one (2.60): such
    a driver is let in, but cannot have an actor."""

    class Nothing:
        def here(self) -> None: ...

    probe = ray.remote(Nothing).options(num_cpus=0).remote()
    try:
        ray.get(probe.here.remote(), timeout=ANSWER)
    except ray.exceptions.GetTimeoutError:  # a cluster that is busy, or without a machine yet
        pass
    except ray.exceptions.RayError as problem:
        if "never ran" not in str(problem):
            raise
        ray.shutdown()
        if asked is None:
            os.environ.pop(_MODE)
        words = (
            "the cluster was started without a token, and with the one on this machine Ray can make no worker there: start it"
        )
        hint = f"anew with {_MODE}=token (docs/scaling.md), or set {_MODE}=disabled here as well"
        raise RunFailed(f"{OPTION}: {words} {hint}") from None
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
    return first_line(problem)


@contextlib.contextmanager
def reached(ray: Any) -> Iterator[None]:
    """What Ray itself cannot do (its head is gone, its store is full) is told: RunFailed."""
    try:
        yield
    except BrokenPipeError:  # of what the driver prints
        raise
    except NasError:
        raise
    except Exception as problem:
        if any(words in str(problem) for words in _GONE):  # it may be of any class
            raise RunFailed("the Ray cluster: the connection to its head is lost (ray://)") from None
        if not isinstance(problem, (ConnectionError, ray.exceptions.RayError)):
            raise
        raise RunFailed(f"the Ray cluster: {why(problem)}") from None


def places(ray: Any, cluster: Cluster) -> int:
    """How many candidates the whole cluster has room for, at most."""
    there = ray.cluster_resources()
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    return int(min(there.get(name, 0.0) / each for name, each in wanted.items() if each))


def first_of(ray: Any, calls: list[Any], timeout: float) -> list[Any]:
    """The first of some calls to be answered, waited for so long; none if there are no calls."""
    if not calls:
        time.sleep(timeout)
        return []
    ready, _ = ray.wait(calls, num_returns=1, timeout=timeout)
    return ready  # type: ignore[no-any-return]


def too_large(ray: Any, cluster: Cluster) -> str:
    """What a candidate takes, and what there is of it, for a message."""
    there = ray.cluster_resources()
    wanted = f"--cpus-per-trial={cluster.cpus:g} and --gpus-per-trial={cluster.gpus:g}"
    return f"a candidate takes {wanted}, and there are in all {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"


def why(problem: Exception) -> str:
    """What went wrong in an actor, or what Ray says, in a line."""
    if getattr(problem, "actor_init_failed", False):  # a traceback, the problem itself at its end
        return str(problem).strip().splitlines()[-1][:200]
    return first_line(getattr(problem, "cause", None) or problem)[:200]
