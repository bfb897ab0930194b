"""Pictures per second of the shared trainer and of a bare `fit` on float32 arrays in memory, and what each choice brings.

Same network, batch size, pictures and validation in the same run, alternating, each in a fresh process; the time of an
epoch counts from the end of the one before it, so tracing is left out and checkpoints are counted in. Beside it the validation
accuracy after the last epoch (medians both), for choices that are made for its sake: the schedule, averages, batches.

    NAS_DATA_DIR=… python benchmarks/trainer.py [--pictures 10000] [--epochs 4] [--rounds 3] [--only 0 4 8]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GENOTYPE = {
    "stem_filters": 16,
    "blocks": [{"block": "stage"}] * 3,
    "head": "max",
    "optimizer": "adamw",
    "weight_decay": 0.05,
    "batch_size": 128,
}
WAYS = (
    "bare float32",
    "nas float32, Keras's normalisation",
    "nas float32",
    "nas auto, Keras's normalisation",
    "nas auto",
    "nas auto, batches tuned by Keras",
    "nas auto, memory given back",
    "nas auto, gelu",
    "nas auto, Keras's gelu",
    "nas auto, averaged weights",
    "nas auto, constant rate",
    "nas auto, flip and shift on bytes",
    "nas auto, flip and shift on bytes, batches made before",
    "nas auto, flip and shift in layers",
    "nas auto, not validated",
    "nas auto, batches of 64",
    "nas auto, batches of 64, Muon",
    "nas auto, batches of 64, Muon by Keras's iteration",
)


def main() -> None:
    """Print the median of each way and the ratio to the bare fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", type=int, metavar="N", help="these of the ways, counted from 0")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs: at least 2, for the first one is not counted")
    if options.way:
        print(*measure(options.way, options.dataset, options.pictures, options.epochs))
        return
    ways = [way for place, way in enumerate(WAYS) if not options.only or place in options.only]
    told: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(options.rounds):
        for way in ways if turn % 2 == 0 else reversed(ways):
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            speed, accuracy = map(float, answer.stdout.split()[-2:])
            told[way].append((speed, accuracy))
    first = statistics.median(speed for speed, _ in told[ways[0]])
    print("way;pictures_per_second;lowest;highest;ratio_to_the_first;accuracy")
    for way, found in told.items():
        speeds, accuracies = zip(*found, strict=True)
        middle = statistics.median(speeds)
        spread = f"{min(speeds):.0f};{max(speeds):.0f};{middle / first:.2f}"
        print(f"{way};{middle:.0f};{spread};{statistics.median(accuracies):.4f}")


def measure(way: str, dataset: str, pictures: int, epochs: int) -> tuple[float, float]:
    """Pictures per second of one way of training, after its first epoch, and its last validation accuracy."""
    import keras
    import numpy as np

    from nas.blueprint import express
    from nas.blueprint.layers import Activation
    from nas.config import settings
    from nas.datasets import open_cache, prepare
    from nas.datasets.split import split
    from nas.jobs import job_for
    from nas.messages import Candidate, News, Progress
    from nas.training import model, trainer, worker
    from nas.training.batches import Batches
    from nas.training.muon import Muon

    worker.set_threads(2)
    card = prepare(dataset)
    blueprint, recipe = express({**GENOTYPE, "activation": "gelu" if "gelu" in way else "relu"}, card.pictures)
    part = min(1.0, pictures / (sum(card.counts) * 0.9))
    images, labels = open_cache(card)
    train_index, validation_index = split(labels, 0, 0.1, part)
    ends: list[float] = []
    if way.startswith("bare"):
        network = trainer.build(blueprint)
        constant = trainer.make_optimizer(dataclasses.replace(recipe, schedule="constant"), 1)
        trainer.compile_model(network, recipe, constant, len(card.classes), blueprint.nodes[-1].layer)
        hot = keras.utils.to_categorical(labels, len(card.classes))
        as_float: list[Any] = [np.asarray(images[index], np.float32) for index in (train_index, validation_index)]

        class Clock(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                ends.append(time.perf_counter())

        fitted = network.fit(
            as_float[0],
            hot[train_index],
            batch_size=recipe.batch_size,
            validation_data=(as_float[1], hot[validation_index]),
            epochs=epochs,
            callbacks=[Clock()],
            verbose=0,
        )
        speed = len(train_index) * (len(ends) - 1) / (ends[-1] - ends[0])
        return speed, fitted.history["val_accuracy"][-1]
    if "given back" not in way:
        worker.keep_memory()
    if "tuned by Keras" in way:
        trainer.fed = lambda batches: batches
    if "Keras's normalisation" in way:
        model.FAST.clear()
    if "Keras's gelu" in way:
        model.FAST.pop(Activation)
    if "averaged" in way:
        recipe = dataclasses.replace(recipe, ema=0.99)
    if "on bytes" in way:
        recipe = dataclasses.replace(recipe, flip="horizontal", shift=0.125)
    if "made before" in way:  # what the pipeline takes is what these are faster
        make, made = Batches.__getitem__, {}

        def kept(batches: Batches, number: int) -> tuple[np.ndarray, ...]:
            key = (id(batches), number)
            if key not in made:
                made[key] = make(batches, number)
            return made[key]

        Batches.__getitem__ = kept  # type: ignore[method-assign]
    if "constant" in way:
        recipe = dataclasses.replace(recipe, schedule="constant")
    if "of 64" in way:
        recipe = dataclasses.replace(recipe, batch_size=64)
    if "Muon" in way:
        recipe = dataclasses.replace(recipe, optimizer="muon", learning_rate=0.01)
    if "Keras's iteration" in way:
        del Muon.zeropower_via_newtonschulz5
    if "in layers" in way:
        layers = [keras.layers.RandomFlip("horizontal", seed=1), keras.layers.RandomTranslation(0.125, 0.125, seed=2)]
        trainer.augmentation = lambda recipe, seed: layers

    accuracy = float("nan")  # where there is no validation

    def heard(news: News) -> bool:
        nonlocal accuracy
        if isinstance(news, Progress):
            ends.append(time.perf_counter())
            accuracy = news.metrics.get("val_accuracy", accuracy)
        return True

    precision = "float32" if "float32" in way else worker.machine(None, lambda *_: None)["precision"]
    held = 0.0 if "not validated" in way else 0.1
    chosen = settings(epochs=epochs, train_part=part, validation_part=held, threads=2, precision=precision)
    candidate = Candidate(0, {}, "", blueprint=blueprint, recipe=recipe)
    with tempfile.TemporaryDirectory() as folder:
        files = {"checkpoint": str(Path(folder) / "checkpoint.npz"), "model": str(Path(folder) / "model.keras")}
        job = dataclasses.replace(job_for(candidate, chosen, card), **files)
        trainer.train(job, heard)
    seen = len(train_index) if held else round(sum(card.counts) * part)
    return seen * (len(ends) - 1) / (ends[-1] - ends[0]), accuracy


if __name__ == "__main__":
    main()
