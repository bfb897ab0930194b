"""Images per second of the shared trainer against a bare `model.fit` on in-memory float32 arrays.

Same network, batch size, pictures and validation in the same run, alternating, each in a fresh process; the time of an
epoch counts from the end of the one before it, so tracing is left out and checkpoints are counted in.

    NAS_DATA_DIR=… python benchmarks/trainer.py [--pictures 10000] [--epochs 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GENOTYPE = {
    "blocks": [
        {"block": "conv", "convs": 2, "filters": filters, "kernel": 3, "norm": "batch", "activation": "relu", "pool": "max"}
        for filters in (16, 32, 64)
    ],
    "head": "average",
    "optimizer": "adam",
    "schedule": "constant",
    "batch_size": 64,
}
WAYS = ("bare float32", "nas float32", "nas auto")


def main() -> None:
    """Print the median of each way and the ratio to the bare fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(measure(options.way, options.dataset, options.pictures, options.epochs))
        return
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(options.rounds):
        for way in WAYS if turn % 2 == 0 else reversed(WAYS):
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            speeds[way].append(float(answer.stdout.split()[-1]))
    bare = statistics.median(speeds[WAYS[0]])
    print("way,images_per_second,lowest,highest,ratio_to_bare")
    for way, found in speeds.items():
        middle = statistics.median(found)
        print(f"{way},{middle:.0f},{min(found):.0f},{max(found):.0f},{middle / bare:.2f}")


def measure(way: str, dataset: str, pictures: int, epochs: int) -> float:
    """Images per second of one way of training, after its first epoch."""
    import numpy as np

    from nas.blueprint import express
    from nas.datasets import open_cache, prepare
    from nas.datasets.split import split
    from nas.messages import Job
    from nas.training import trainer, worker

    worker.set_threads(2)
    card = prepare(dataset)
    blueprint, recipe = express(GENOTYPE, card.pictures)
    part = min(1.0, pictures / (sum(card.counts) * 0.9))
    images, labels = open_cache(card)
    train_index, validation_index = split(labels, 0, 0.1, part)
    ends: list[float] = []
    if way.startswith("bare"):
        import keras

        network = trainer.build(blueprint)
        trainer.compile_model(network, recipe, trainer.make_optimizer(recipe, 1), len(card.classes), blueprint.nodes[-1].layer)
        hot = keras.utils.to_categorical(labels, len(card.classes))
        as_float: list[Any] = [np.asarray(images[index], np.float32) for index in (train_index, validation_index)]

        class Clock(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                ends.append(time.perf_counter())

        network.fit(
            as_float[0],
            hot[train_index],
            batch_size=recipe.batch_size,
            validation_data=(as_float[1], hot[validation_index]),
            epochs=epochs,
            callbacks=[Clock()],
            verbose=0,
        )
    else:
        precision = "float32" if way.endswith("float32") else worker.machine(None, lambda *_: None)["precision"]
        with tempfile.TemporaryDirectory() as folder:
            files = str(Path(folder) / "checkpoint.npz"), str(Path(folder) / "model.keras")
            job = Job(0, blueprint, recipe, card, epochs, part, 0.1, 0, 2, precision, 0, *files)
            trainer.train(job, lambda _: ends.append(time.perf_counter()) is None)
    return len(train_index) * (len(ends) - 1) / (ends[-1] - ends[0])


if __name__ == "__main__":
    main()
