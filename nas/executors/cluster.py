"""How a Ray cluster is reached, and what is said when it cannot do what it is asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from nas.errors import ConfigError, RunFailed, first_line, to_install
from nas.messages import Cluster

ANSWER = 10.0  # seconds that a cluster may take to accept a connection
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
        if ":" in address and "://" not in address and address != there:
            raise ConfigError(f"this process is connected to the cluster at {there}; ray.shutdown() ends that", "--ray-address")
        return ray
    _answers(address)
    options = {"include_dashboard": False} if address == OWN else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as problem:
        raise ConfigError(f"no Ray cluster can be reached: {first_line(problem)}", "--ray-address") from None
    return ray


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
    except ray.exceptions.RayError as problem:
        raise RunFailed(f"the Ray cluster: {why(problem)}") from None


def no_room(ray: Any, cluster: Cluster, seconds: float, trouble: str) -> str:
    """The message where no candidate had a place for so long; `trouble` is that of the last place that was no use."""
    there = ray.cluster_resources()
    words = (
        f"the Ray cluster has had no room for {seconds:.0f} s: a candidate takes {cluster.cpus:g} CPUs and {cluster.gpus:g} "
        f"GPUs, all of the cluster together has {there.get('CPU', 0):g} and {there.get('GPU', 0):g} "
        "(--cpus-per-trial, --gpus-per-trial)"
    )
    return f"{words}; on a machine that it had: {trouble}" if trouble else words


def why(problem: Exception) -> str:
    """The first line of what went wrong in an actor, or of what Ray says."""
    return first_line(getattr(problem, "cause", None) or problem)[:200]
