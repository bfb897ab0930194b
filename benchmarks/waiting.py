"""Does an epoch end when it is done? Seconds of equal epochs, by a bare `fit` on arrays and by batches as `nas` feeds them.

    python benchmarks/waiting.py [--pictures 6000] [--epochs 30]

On TensorFlow `fit` has `tf.data` tune itself, whose thread may keep the end of an epoch waiting (docs/measurements.md, "Epochs
that waited"). Prints for each way the middle, the longest, and how many took a fourth more than the shortest; the first epoch,
in which the network is traced, is left out. The pictures are noise.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

WAYS = ("bare", "keras", "nas")  # arrays; our batches as Keras reads them; our batches as they are fed to it


def main() -> None:
    """Each way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(*measured(options.way, options.pictures, options.epochs))
        return
    print("way,median,longest,waited,of")
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        took = [float(each) for each in answer.stdout.split()]
        waited = sum(each > 1.25 * min(took) for each in took)
        print(f"{way},{statistics.median(took):.2f},{max(took):.2f},{waited},{len(took)}", flush=True)


def measured(way: str, pictures: int, epochs: int) -> list[float]:
    """Seconds of each epoch but the first."""
    import keras
    import numpy as np

    from nas.training.batches import Batches, fed, targets
    from nas.training.worker import set_threads

    set_threads(2)
    rng = np.random.default_rng(0)
    images, hot = rng.integers(0, 256, (pictures, 32, 32, 3), dtype=np.uint8), targets(rng.integers(0, 10, pictures), 10)
    convolutions = [keras.layers.Conv2D(32, 3, activation="relu"), keras.layers.Conv2D(64, 3, 2, activation="relu")]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((32, 32, 3)), *convolutions, *head])
    model.compile("adam", "categorical_crossentropy")
    took: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            took.append(time.perf_counter() - self.began)

    common = {"epochs": epochs, "verbose": 0, "callbacks": [Clock()]}
    batches = Batches(images, hot, np.arange(pictures), 64, (0,))
    if way == "bare":
        model.fit(images.astype(np.float32), hot, batch_size=64, **common)
    else:
        model.fit(fed(batches) if way == "nas" else batches, shuffle=False, **common)
    return took[1:]


if __name__ == "__main__":
    main()
