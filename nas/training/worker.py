"""What a worker process can be asked for, by name: `machine`, `prepare`, `rehearse`, `train`.

The driver never imports this file; an executor does, in the process where the work is done.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import keras
import psutil

from nas.datasets import open_cache
from nas.datasets import prepare as prepare_data
from nas.messages import DataCard, DataRequest, Infeasible, Job, Outcome
from nas.training import trainer
from nas.training.batches import Batches, targets
from nas.training.model import build


def machine(_: None, told: Callable[[int, int], None]) -> dict[str, str]:
    """What this machine trains with: Keras, its backend, cores and memory, and the precision that is fast here."""
    backend = keras.backend.backend()
    return {
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "backend": backend,
        "keras": keras.version(),
        "precision": "bfloat16" if backend == "tensorflow" and _computes_bfloat16() else "float32",
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


def rehearse(jobs: list[Job], told: Callable[[int, int], None]) -> list[float]:
    """Build each job's network and train it for three steps: the seconds of one later step.

    So a mistake shows in seconds, and the time of a search can be foretold. Raises what Keras raises.
    """
    set_threads(jobs[0].threads)
    seconds = []
    for done, job in enumerate(jobs):
        told(done, len(jobs))
        images, labels = open_cache(job.data)
        network = build(job.blueprint, 0, job.precision)
        usable = (labels >= 0).nonzero()[0][: 3 * job.recipe.batch_size]
        outputs = int(network.output_shape[-1])
        batches = Batches(images, targets(labels, outputs), usable, job.recipe.batch_size)
        model = trainer.with_augmentation(network, job.recipe, 0)
        optimizer = trainer.make_optimizer(job.recipe, 3)
        trainer.compile_model(model, job.recipe, optimizer, outputs, job.blueprint.nodes[-1].layer)
        times = []
        for step in range(3):
            pictures, hot = batches[step % len(batches)]
            started = time.perf_counter()
            model.train_on_batch(pictures, hot)
            times.append(time.perf_counter() - started)
        seconds.append(min(times[1:]))
    return seconds


def train(job: Job, report: trainer.Report) -> Outcome:
    """Train a candidate; whatever Keras raises becomes an outcome, and its traceback goes to standard error (the log)."""
    set_threads(job.threads)
    try:
        return trainer.train(job, report)
    except Exception as problem:  # one bad candidate is one bad row
        traceback.print_exc()
        words = str(problem).strip().splitlines()
        text = f"{type(problem).__name__}: {words[0] if words else ''}"[:300]
        if isinstance(problem, MemoryError) or "ResourceExhausted" in text or "RESOURCE_EXHAUSTED" in str(problem):
            return Infeasible(f"out of memory with batch size {job.recipe.batch_size}")
        return Infeasible(text)


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
