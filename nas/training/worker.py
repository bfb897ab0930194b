"""What a worker process can be asked for, by name: `machine`, `prepare`, `fetch_backbone`, `rehearse`, `train`, `hand_over`,
`open_test`, `score`.

The driver never imports this file; an executor does, in the process where the work is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import keras
import psutil

from nas.datasets import open_cache
from nas.datasets import prepare as prepare_data
from nas.errors import DatasetError, OverMemory, first_line, print_traceback
from nas.machine import own_memory
from nas.messages import (
    Blocked,
    DataCard,
    DataRequest,
    Infeasible,
    Job,
    Outcome,
    OutOfMemory,
    Rehearsal,
    Rehearsed,
    Score,
    ScoreRequest,
)
from nas.run import disk_trouble
from nas.training import trainer
from nas.training.batches import Batches, Targets
from nas.training.epochs import Report
from nas.training.gpu import gpu, gpu_peak
from nas.training.model import build

STEPS = 2  # of a rehearsal, at least, behind the first
KEPT, MAPPED = 2**30, 2**25  # bytes of one allocation, and of free memory at the heap's end, that are kept; else of the first
TRIM, MAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h


def machine(_: None, told: Callable[[int, int], None]) -> dict[str, str]:
    """What this machine trains with: Keras, its backend, cores and memory, a GPU, and the precision that is fast here."""
    backend, found = keras.backend.backend(), gpu()
    fast = found.bfloat16 if found else backend == "tensorflow" and _computes_bfloat16()
    return {
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "backend": backend,
        "keras": keras.version(),
        "worker_memory": f"{own_memory() / 1e9:.2f} GB",  # before it has trained anything
        "precision": "bfloat16" if fast else "float32",
        **({"gpu": found.name, "gpu_memory": f"{found.memory / 1e9:.2f} GB"} if found else {}),
    }


def _computes_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 by itself; elsewhere it would be slower than float32."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            return "avx512_bf16" in stream.read()
    except OSError:
        return False


def prepare(request: DataRequest, told: Callable[[int, int], None]) -> DataCard:
    """Decode a data set's training part, or find it decoded. Raises DatasetError."""
    return prepare_data(request.name, request.folder, request.image_size, told)


def fetch_backbone(name: str, told: Callable[[int, int], None]) -> str:
    """Have a network of `keras.applications` at hand as a model file. Raises DatasetError."""
    from nas.training.applications import fetch_application

    return fetch_application(name)


def rehearse(rehearsal: Rehearsal, told: Callable[[int, int], None]) -> Rehearsed:
    """Build a job's network, train it for a few steps and look at a batch of validation.

    So a mistake shows in seconds, a network too large for the memory too, and the time of a search can be foretold. Raises
    OverMemory, or what Keras raises.
    """
    set_threads(rehearsal.job.threads)
    keep_memory()
    try:
        return _rehearsed(rehearsal, told)
    except Exception as problem:
        if _starved(problem):
            raise OverMemory(first_line(problem)) from None
        raise


def _rehearsed(rehearsal: Rehearsal, told: Callable[[int, int], None]) -> Rehearsed:
    job, began = rehearsal.job, time.perf_counter()
    images, labels = open_cache(job.data)
    network = build(job.blueprint, 0, job.precision, fast=True)
    usable = (labels >= 0).nonzero()[0]
    outputs = int(network.output_shape[-1])
    hot = Targets(labels, outputs)
    batches = Batches(images, hot, usable, job.recipe.batch_size, (job.seed, job.number), job.recipe)
    batches.set_epoch(0, job.epochs)
    validation = Batches(images, hot, usable, trainer.validation_batch(job.recipe))
    model = trainer.with_augmentation(network, job.recipe, 0)
    optimizer = trainer.make_optimizer(job.recipe, 3)
    trainer.compile_model(model, job.recipe, optimizer, outputs, job.blueprint.nodes[-1].layer, job.objective)
    model.train_on_batch(*batches[0])
    told(1, 3)
    looked = validation[0]
    model.test_on_batch(*looked)
    told(2, 3)
    start, memory = time.perf_counter() - began, own_memory()
    steps: list[float] = []
    looks: list[float] = []
    while len(steps) < STEPS or sum(steps) + sum(looks) < rehearsal.seconds:
        at = time.perf_counter()
        model.train_on_batch(*batches[len(steps) % len(batches)])
        steps.append(time.perf_counter() - at)
        if len(steps) % 3 == 0 or not looks:
            at = time.perf_counter()
            model.test_on_batch(*looked)
            looks.append(time.perf_counter() - at)
        memory = max(memory, own_memory())
        told(3, 3)
    return Rehearsed(start, statistics.median(steps), statistics.median(looks) / len(looked[0]), memory, gpu_peak())


def train(job: Job, report: Report) -> Outcome:
    """Train a candidate; whatever Keras raises becomes an outcome, and its traceback goes to standard error (the log)."""
    set_threads(job.threads)
    keep_memory()
    try:
        return trainer.train(job, report)
    except Exception as problem:  # one bad candidate is one bad row
        print_traceback()
        text = f"{type(problem).__name__}: {first_line(str(problem))}"[:300]
        full = disk_trouble(problem)
        folder = Path(job.checkpoint).parent
        if job.checkpoint and not folder.is_dir():
            return Blocked(f"the folder {folder} is gone")
        if full is not None or isinstance(problem, DatasetError):  # the next candidate would meet the same
            return Blocked(full or str(problem))
        return OutOfMemory(text) if _starved(problem) else Infeasible(text)


_OUT_OF_MEMORY = ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OutOfMemory", "out of memory", "can't allocate memory")
"""How TensorFlow, JAX and torch say it."""


def _starved(problem: Exception) -> bool:
    """Whether an error says that there is too little memory."""
    if isinstance(problem, MemoryError) or getattr(problem, "errno", None) == errno.ENOMEM:
        return True
    return any(sign in f"{type(problem).__name__}: {problem}" for sign in _OUT_OF_MEMORY)


def hand_over(job: Job, told: Callable[[int, int], None]) -> None:
    """Make a model at `job.model` of the best epoch in a checkpoint: where the time was over before a candidate was done."""
    trainer.hand_over(job)


def open_test(request: ScoreRequest, told: Callable[[int, int], None]) -> tuple[DataCard, int]:
    """Decode the test part on which a model is to be scored. Raises DatasetError or RunError."""
    from nas.training.scoring import open_test as opened

    return opened(request, told)


def score(request: ScoreRequest, told: Callable[[int, int], None]) -> Score:
    """Score a finished model on the test part as `open_test`, which alone opens it, has found it. Raises DatasetError or
    RunError."""
    from nas.training.scoring import score as look

    return look(request, told)


def set_threads(threads: int) -> None:
    """Fix the threads of one operation: results differ in the last digits between one and two.

    Only possible before the backend has started, so the first job of a process decides; JAX has no such setting.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            return
    elif backend == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        torch.set_num_threads(threads)


def keep_memory() -> None:
    """Have glibc keep what one step of a training frees for the next one, where it would give it back to the system and be
    given cleared pages again, up to a twelfth of the time (docs/measurements.md). Other C libraries stay as they are."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        # Some versions of glibc refuse thresholds of mapping beyond 32 MiB. By itself it raises that threshold no more once one
        # of the two was set: so where the first is refused the second is left alone.
        if any(library.mallopt(MAP, most) for most in (KEPT, MAPPED)):
            library.mallopt(TRIM, KEPT)
