"""How a Ray cluster is reached, what it is asked for, how patient one is with it, and what is said when it cannot do that."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nas.errors import ConfigError, RunFailed, first_line, to_install
from nas.machine import cores
from nas.messages import Cluster

ANSWER = 10.0  # seconds that a cluster may take to accept a connection
PATIENCE = 300.0  # seconds without any slot after which the cluster is taken to have no room
LONGER = 3_600.0  # the same, where it had: machines that were taken away may come back
PAUSE = 30.0  # seconds until another slot is asked for, after some whose machines were no use
TRIES = 3  # times that work is handed to such machines, where no other works
GONE = 20  # times that a job's place goes before it has begun
_names: dict[str, str] = {}  # address as it was given → as Ray calls it, of clusters that this process has connected to
OWN = "local"  # Ray's word for a cluster that is started here, whatever else runs on this machine


def connected(cluster: Cluster) -> Any:
    """Ray, connected to a cluster, or to one that it starts on this machine. Raises ConfigError if that cannot be."""
    try:
        import ray as found  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ConfigError(f"needs the package 'ray': {to_install('ray')}", "--executor") from None
    ray: Any = found
    address = cluster.address or os.environ.get("RAY_ADDRESS") or OWN
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if ":" in address and "://" not in address and _names.get(address, address) != there:
            raise ConfigError(f"this process is connected to the cluster at {there}; ray.shutdown() ends that", "--ray-address")
        return ray
    _answers(address)
    options = {"include_dashboard": False, "num_cpus": cores()} if address == OWN else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is told here
            _entered(ray, address, options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as problem:
        first, *others = str(problem).strip().splitlines() or [type(problem).__name__]
        words = f"no Ray cluster can be reached: {' '.join([first, *others[-1:]])}"
        if address != OWN:  # a wrong token looks like no answer
            words += "; one that asks for a token needs RAY_AUTH_MODE=token, and the token, here as well (docs/scaling.md)"
        raise ConfigError(words, "--ray-address") from None
    if "://" not in address:
        _names[address] = ray.get_runtime_context().gcs_address
    return ray


def _entered(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Connect; the server for clients, which Ray starts for each of them, comes up only sometimes (Ray 2.60)."""
    for left in reversed(range(TRIES)):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
            return
        except ConnectionError as problem:
            if not left or "client server failed" not in str(problem):
                raise


def _answers(address: str) -> None:
    """Raise ConfigError if nothing listens at `host:port`, or `ray://host:port`: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return  # such as `auto`
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as problem:
        raise ConfigError(f"no Ray cluster can be reached: {address}: {first_line(problem)}", "--ray-address") from None


@contextlib.contextmanager
def reached(ray: Any) -> Iterator[None]:
    """What Ray itself cannot do (its head is gone, its store is full) is told: RunFailed."""
    try:
        yield
    except BrokenPipeError:  # of what the driver prints
        raise
    except (ConnectionError, ray.exceptions.RayError) as problem:  # the first is what a client says whose connection broke
        raise RunFailed(f"the Ray cluster: {why(problem)}") from None
    except Exception as problem:  # what it says once it has given up has no class of its own
        if not str(problem).startswith("Ray Client is not connected"):
            raise
        raise RunFailed("the Ray cluster: the connection is lost (ray://)") from None


@dataclass
class Running:
    """A job that a slot has."""

    slot: Any
    job: Any
    spent: float
    calls: list[Any]  # that gave it the job, and pictures
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.began


class Unfit(Exception):
    """A machine cannot take a task."""


@dataclass
class Patience:
    """When slots are asked for again, and until when they are waited for."""

    trouble: str = ""  # of the last slot that could not work where it was
    useless: int = 0  # such slots since one has done something
    _since: float = field(default_factory=time.monotonic)  # when there was a slot last, or a first use for one
    _later: float = 0.0  # when slots are asked for again
    _worked: bool = False  # some slot, at some time

    def no_use(self, trouble: str) -> None:
        """A slot could not work where it was; the next may be put there again."""
        self.trouble, self.useless, self._later = trouble, self.useless + 1, time.monotonic() + PAUSE

    def asks(self, others: bool) -> bool:
        """Whether slots are asked for now; `others`: some are there, or on their way. Where none is, the first slot that was no
        use is replaced at once."""
        return time.monotonic() >= self._later or not (others or self.useless > 1)

    def begins(self) -> None:
        """There is a slot, or from now on a use for one."""
        self._since = time.monotonic()

    def breathes(self) -> None:
        """A slot is at work, whatever comes of it."""
        self._worked = True

    def works(self) -> None:
        """A slot has done something."""
        self.useless, self._worked = 0, True

    def later(self) -> None:
        """A slot was gone before it could be used: its machine may have left, or may have no room for a process."""
        self._later = time.monotonic() + PAUSE

    @property
    def over(self) -> bool:
        """Whether there has been no slot for too long."""
        return time.monotonic() > self._since + self.most

    @property
    def most(self) -> float:
        """Seconds without any slot that are too long."""
        return LONGER if self._worked else PATIENCE

    @property
    def at_its_end(self) -> bool:
        """Whether so many slots were no use that the next would be none either."""
        return self.useless >= TRIES


def places(ray: Any, cluster: Cluster) -> int:
    """How many candidates the whole cluster has room for, at most."""
    there = ray.cluster_resources()
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    return int(min(there.get(name, 0.0) / each for name, each in wanted.items() if each))


def no_room(ray: Any, cluster: Cluster, patience: Patience) -> str:
    """The message where no candidate had a place for too long."""
    there = ray.cluster_resources()
    words = (
        f"the Ray cluster has had no room for {patience.most:.0f} s: a candidate takes {cluster.cpus:g} CPUs and "
        f"{cluster.gpus:g} GPUs, all of the cluster together has {there.get('CPU', 0):g} and {there.get('GPU', 0):g} "
        "(--cpus-per-trial, --gpus-per-trial)"
    )
    return f"{words}; on a machine that it had: {patience.trouble}" if patience.trouble else words


def why(problem: Exception) -> str:
    """What went wrong in an actor, or what Ray says, in a line."""
    if getattr(problem, "actor_init_failed", False):  # a traceback, the problem itself at its end
        return str(problem).strip().splitlines()[-1][:200]
    return first_line(getattr(problem, "cause", None) or problem)[:200]
