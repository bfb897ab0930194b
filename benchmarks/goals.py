"""How good is what a search hands over? A search with its retraining, and beside it what it has to beat, in one sitting.

    NAS_DATA_DIR=… python benchmarks/goals.py --folder goals/cats-15m --dataset cats_dogs --image-size 64 --time 15m
    python benchmarks/goals.py --folder goals/cats-15m --report

In the folder: `search`, a run of `--time` in all, its retraining included; `random-K`, random candidates of the same space,
each trained as long as the search's winner was in its last fit; `alone`, a random candidate that has the whole time; and
`baseline`, a tutorial's network trained for the whole time by a bare Keras `fit` on float32 arrays in memory. What is there is
not done again; interrupted runs are begun anew, for their time would be another. Each looks at the test part once, at its end.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from finals import figures, last_fit

from nas.config import seconds
from nas.run import Run

COLUMNS = ("what", "test_accuracy", "low", "high", "seconds", "epochs", "parameters", "flops", "network")
BASELINES = {"cifar10": "two-double-blocks", "cats_dogs": "two-pools-sigmoid"}
START = 30.0  # seconds that a run of one candidate takes beside its training: the data, the rehearsal, its one epoch
PARTS = ("search", "baseline", "random", "alone")
FIRST_DRAWN = 1_000  # seed of the first random candidate; one that a search has would be the search's own


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--time", default="30m")
    parser.add_argument("--space", default="modern")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=3, help="random candidates")
    parser.add_argument("--last", type=float, help="seconds of a winner's last fit, of a search that is not in the folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to do now; the rest may follow")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        print(bare_fit(options.fit, options.dataset, options.image_size, seconds(options.time)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.report:
        run_all(options)
    report(options.folder)


def run_all(options: argparse.Namespace) -> None:
    """Every part that was asked for and is not done yet."""
    whole = float(seconds(options.time))
    one = ("--strategy=random", "--budget=1", "--epochs=1", "--pruner=none")
    if "search" in options.parts:
        search(options, "search", whole, "--strategy=genetic", "--budget=1000", f"--seed={options.seed}")
    if "baseline" in options.parts and not (options.folder / "baseline.csv").exists():
        baseline(options)
    if "random" in options.parts:
        found = Run(options.folder / "search")
        if options.last is None and not found.final.exists():
            sys.exit(
                "--parts random: they take as long as the last fit of the part 'search', which is not done yet (or --last)"
            )
        last = options.last or last_fit(found).seconds
        for number in range(options.random):
            search(options, f"random-{number}", last + START, *one, f"--seed={FIRST_DRAWN + number}")
    if "alone" in options.parts:
        search(options, "alone", whole, *one, f"--seed={FIRST_DRAWN}")


def search(options: argparse.Namespace, name: str, limit: float, *words: str) -> None:
    """One search with its retraining, in a process of its own."""
    run = Run(options.folder / name)
    if run.final.exists():
        return
    shutil.rmtree(run.folder, ignore_errors=True)
    size = (f"--image-size={options.image_size}",) if options.image_size else ()
    data = (f"--dataset={options.dataset}", f"--space={options.space}", f"--preset={options.preset}", *size)
    command = [sys.executable, "-m", "nas", "search", *data, *words, f"--time={limit:.0f}", "--retrain", f"--out={run.folder}"]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=sys.stderr)
    print(f"{name}: {time.monotonic() - began:.0f} s in all", file=sys.stderr, flush=True)


def row(name: str, run: Run) -> tuple[str, ...]:
    """What came out of a run; the seconds are those of its last fit."""
    value, low, high, *costs = figures(run, ("epochs", "parameters", "flops"))
    record = last_fit(run)
    return (name, value, low, high, f"{record.seconds:.0f}", *costs, record.architecture)


def baseline(options: argparse.Namespace) -> None:
    """The tutorial's network, in a process of its own."""
    name = BASELINES[options.dataset]
    size = ("--image-size", str(options.image_size)) if options.image_size else ()
    words = ("--folder", str(options.folder), "--dataset", options.dataset, *size, "--time", options.time, "--fit", name)
    answer = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    (options.folder / "baseline.csv").write_text(answer.stdout.splitlines()[-1] + "\n", encoding="utf-8")


def bare_fit(name: str, dataset: str, image_size: int | None, limit: float) -> str:
    """Train a baseline by `model.fit` until the time is over, and score it: a row of the report."""
    import keras
    import numpy as np

    from nas.blueprint import express
    from nas.datasets import open_cache, prepare
    from nas.datasets.prepare import prepare_test
    from nas.figures import wilson
    from nas.known import read_genotype
    from nas.training import model, trainer, worker
    from nas.training.augment import augmentation
    from nas.training.batches import targets

    began = time.monotonic()
    worker.set_threads(2)
    card = prepare(dataset, None, image_size)
    blueprint, recipe = express(read_genotype(f"baselines/{name}")[1], card.pictures)
    network = model.build(blueprint, 0)
    pixels_in = keras.Input(card.shape)
    changes = [keras.layers.RandomFlip("horizontal", seed=0)] if recipe.flip == "horizontal" else []
    changed = pixels_in
    for layer in [*changes, *augmentation(recipe, 0)]:
        changed = layer(changed)
    fitted = keras.Model(pixels_in, network(changed))
    outputs = int(network.output_shape[-1])
    trainer.compile_model(fitted, recipe, trainer.make_optimizer(recipe, 1), outputs, blueprint.nodes[-1].layer)
    images, labels = open_cache(card)
    usable = np.flatnonzero(labels >= 0)
    pixels, hot = np.asarray(images[usable], "float32"), targets(labels[usable], outputs)
    count = 0

    class Ends(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.model.stop_training = time.monotonic() - began > limit

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            nonlocal count
            count = epoch  # that are whole

    fitted.fit(pixels, hot, batch_size=recipe.batch_size, epochs=100_000, verbose=0, callbacks=[Ends()])
    tested = prepare_test(dataset, None, card, lambda done, total: None)
    pictures, truth = open_cache(tested)
    found = network.predict(np.asarray(pictures, "float32"), verbose=0)
    guesses = (found[:, 0] > 0.5).astype(int) if outputs == 1 else found.argmax(axis=1)
    hits, total = int((guesses == truth).sum()), int((truth >= 0).sum())
    low, high = wilson(hits, total)
    return (
        f"baseline,{hits / total:.4f},{low:.4f},{high:.4f},{limit:.0f},{count},{blueprint.parameters},{blueprint.flops},{name}"
    )


def report(folder: Path) -> None:
    """One row for each part, and the median and best of the random candidates."""
    print(",".join(COLUMNS))
    drawn = []
    for run in sorted(place for place in folder.iterdir() if (place / "final.csv").exists()):
        found = row(run.name, Run(run))
        print(",".join(found))
        drawn += [float(found[1])] if run.name.startswith("random-") else []
    if (folder / "baseline.csv").exists():
        print((folder / "baseline.csv").read_text(encoding="utf-8").strip())
    if drawn:
        print(f"random candidates: median {statistics.median(drawn):.4f}, best {max(drawn):.4f} of {len(drawn)}")


if __name__ == "__main__":
    main()
