"""The GPU that a worker computes on, as JAX sees it; TensorFlow's package for CPUs sees none, and torch's is not asked.

Several workers share one: `quiet.py` tells JAX to take memory as it needs it, so what a rehearsal has held at most says how
many there is room for (`nas/forecast.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

BFLOAT16 = 8.0  # the compute capability from which on an NVIDIA GPU multiplies bfloat16 by itself (Ampere)


class Gpu(NamedTuple):
    """A GPU: its name, the bytes that JAX may take of it in one process, and whether bfloat16 is fast there."""

    name: str
    memory: int
    bfloat16: bool


def gpu() -> Gpu | None:
    """The one that is computed on, or None for processors."""
    device = _device()
    if device is None:
        return None
    limit = int((device.memory_stats() or {}).get("bytes_limit", 0))
    try:
        capability = float(getattr(device, "compute_capability", 0))
    except ValueError:  # of another maker it is a word
        capability = 0.0
    return Gpu(str(device.device_kind), limit, capability >= BFLOAT16)


def gpu_peak() -> int:
    """The bytes that this process has held there at most; 0 without a GPU."""
    device = _device()
    return 0 if device is None else int((device.memory_stats() or {}).get("peak_bytes_in_use", 0))


def _device() -> Any:
    if keras.backend.backend() != "jax":
        return None
    import jax  # type: ignore[import-not-found, unused-ignore]

    device = jax.local_devices()[0]
    return device if device.platform in ("gpu", "cuda", "rocm") else None
