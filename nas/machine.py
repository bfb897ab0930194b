"""What this machine gives: cores, and memory.

Memory may be limited by control groups (Linux; of a container, a batch system, a desktop session), one nested in another.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

_LIMITS = ("memory.max", "memory.limit_in_bytes")  # control groups of version 2, of version 1
_EVENTS = ("memory.events", "memory.oom_control")
EACH = 2_000_000_000  # bytes for a worker on a CPU: `nas plan` foretells half of it for networks up to 60 MFLOPs
PATIENCE = 60.0  # seconds that a machine without memory is given to have some again
SPARED = 0.1  # part of the memory that is left to the driver and to everything else


def cores() -> int:
    """Those that this process may use: by its affinity, and by the time that its control groups give it (of a container)."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError, IndexError, ZeroDivisionError):  # not there, or `max`
            quota, period = _quota(group)
            if quota > 0:  # -1 is no limit
                found = min(found, math.ceil(quota / period))
    return max(1, found)


def _quota(group: Path) -> tuple[int, int]:
    """Microseconds on processors in each period of so many, of version 2 or 1."""
    if (group / "cpu.max").exists():
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota), int(period)
    return int((group / "cpu.cfs_quota_us").read_text()), int((group / "cpu.cfs_period_us").read_text())


def default_threads(workers: int) -> int:
    """Threads of one candidate: the cores that this process may use, divided among the workers."""
    return max(1, cores() // max(1, workers))


def workers_with_room() -> int:
    """How many candidates train at once with a thread each and memory enough (docs/scaling.md has why one thread)."""
    return max(1, min(cores(), default_memory(1) // EACH))


def default_memory(workers: int) -> int:
    """Bytes of one candidate: the memory of this machine, or of the narrowest group around it, but for a tenth, divided."""
    total = psutil.virtual_memory().total
    for group in memory_groups():
        for name in _LIMITS:
            try:
                total = min(total, int((group / name).read_text()))
            except (OSError, ValueError):  # not there, or `max`
                continue
    return int(total * (1 - SPARED) / max(1, workers))


def scarce_memory() -> bool:
    """Whether hardly any memory of this machine is free at the moment."""
    memory = psutil.virtual_memory()
    return bool(memory.available < SPARED * memory.total)


def wait_for_memory(seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Give what took all memory some time to end, or to be ended: what is begun meanwhile would be the next to go."""
    end = time.monotonic() + seconds
    while scarce_memory() and time.monotonic() < end:
        meanwhile()
        time.sleep(0.5)


def own_memory() -> int:
    """Bytes that this process holds for itself: without the files that it has mapped, which the system can drop."""
    facts = psutil.Process().memory_info()
    return int(facts.rss - getattr(facts, "shared", 0))


def memory_groups(process: int | str = "self") -> list[Path]:
    """The control groups that a process is in and that may limit its memory, each followed by those around it."""
    return _groups("memory", process)


def _groups(controller: str, process: int | str = "self") -> list[Path]:
    found: list[Path] = []
    try:
        lines = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path(f"/sys/fs/cgroup/{controller}" if controllers else "/sys/fs/cgroup")
        own = root / path.lstrip("/")
        found += [each for each in (own, *own.parents) if each.is_relative_to(root)]
    return found


def kills_for_memory(groups: Sequence[Path]) -> int:
    """How many processes the system has ended for want of memory in the innermost of these groups that says it, or, if none
    does, on the whole machine; 0 where it does not say."""
    for file in (*(group / name for group in groups for name in _EVENTS), Path("/proc/vmstat")):
        try:
            lines = file.read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        except (OSError, ValueError, StopIteration):
            continue
    return 0
