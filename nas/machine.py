"""What this machine gives: cores, and memory."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # version 2, version 1
SPARED = 0.1  # part of the memory that is left to the driver and to everything else


def default_threads(workers: int) -> int:
    """Threads of one candidate: the cores that this process may use, divided among the workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, workers))


def default_memory(workers: int) -> int:
    """Bytes of one candidate: the memory of this machine, or of the container around it, but for a tenth, divided."""
    total = psutil.virtual_memory().total
    for file in _CGROUP_LIMITS:
        try:
            total = min(total, int(Path(file).read_text()))
        except (OSError, ValueError):  # not there, or `max`
            continue
    return int(total * (1 - SPARED) / max(1, workers))


def own_memory() -> int:
    """Bytes that this process holds for itself: without the files that it has mapped, which the system can drop."""
    facts = psutil.Process().memory_info()
    return int(facts.rss - getattr(facts, "shared", 0))
