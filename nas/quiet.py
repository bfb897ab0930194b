"""Before Keras is loaded: its environment, what it shall not take along, and silence for the notices that C++ code writes.

They go to standard error and are not for users; errors are raised as exceptions and pass through.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from nas.paths import cache_root

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is loaded
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default where the CPU has no VNNI; Eigen is slower
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # else torch would open the GPU in the process that forks workers

# Else JAX's first worker would take three quarters of the GPU's memory, and the next have none
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# JAX compiles a network before its first step, which takes longer than a short epoch: once for all processes, not once for each
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_root() / "jax"))
os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2 * 10**9))  # bytes


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Send this process's standard error, C++ code included, to nowhere."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def unasked(*packages: str) -> Iterator[None]:
    """For whatever is imported inside, packages that it can do without are not installed, unless they are loaded already."""
    absent = [name for name in packages if name not in sys.modules]
    try:
        sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: whoever imports it meets an ImportError
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
