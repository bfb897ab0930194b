"""What does each value of a gene bring? One good network, and the same with one thing changed, trained equally long.

    NAS_DATA_DIR=… python benchmarks/genes.py --csv genes.csv [--epochs 3] [--pictures 9000] [--only unit stem]
    python benchmarks/genes.py --csv genes.csv --report

Ranges of `search_spaces/modern.yaml` come from it (docs/results.md). Every training is a row of the CSV when it is done, and
is not done again (with the same options; others want another CSV). Scores are of validation pictures; no test part is opened.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from fidelity import ready, trained
from rows import append, rows

from nas.config import settings
from nas.jobs import job_for, networks_of
from nas.messages import Candidate

COLUMNS = ("change", "seed", "parameters", "flops", "seconds", "curve")
STAGE: dict[str, Any] = {"block": "stage", "unit": "residual", "widen": 2.0, "depth": 1, "kernel": 3, "pool": "max"}
BASE: dict[str, Any] = {
    "stem_filters": 16,
    "blocks": [{**STAGE, "depth": 0}, STAGE, STAGE],
    "activation": "relu",
    "norm_momentum": 0.9,
    "head": "max",
    "head_dropout": 0.1,
    "optimizer": "muon",
    "learning_rate": 0.01,
    "weight_decay": 0.05,
    "schedule": "cosine",
    "batch_size": 128,
    "label_smoothing": 0.1,
    "flip": "horizontal",
    "shift": 0.125,
}


def stages(*depths: int, **genes: Any) -> dict[str, Any]:
    """Stages of these depths, with other genes in those that have units."""
    return {"blocks": [{**STAGE, "depth": depth, **(genes if depth else {})} for depth in depths]}


def every(**genes: Any) -> dict[str, Any]:
    """The base's stages, with other genes in each."""
    return {"blocks": [{**stage, **genes} for stage in BASE["blocks"]]}


CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "optimizer adamw 0.003": {"optimizer": "adamw", "learning_rate": 0.003},
    "optimizer adam 0.003": {"optimizer": "adam", "learning_rate": 0.003},
    "optimizer sgd 0.1": {"optimizer": "sgd", "learning_rate": 0.1},
    "optimizer sgd 0.03": {"optimizer": "sgd", "learning_rate": 0.03},
    "optimizer rmsprop 0.001": {"optimizer": "rmsprop", "learning_rate": 0.001},
    "loss mse": {"loss": "mse", "label_smoothing": 0.0},
    "output sigmoid": {"output": "sigmoid"},
    "unit dense": stages(0, 1, 1, unit="dense"),
    "unit inception": stages(0, 1, 1, unit="inception"),
    "unit separable": stages(0, 1, 1, unit="separable"),
    "unit inverted": stages(0, 1, 1, unit="inverted", expansion=4),
    "pool average": every(pool="average"),
    "pool stride": every(pool="stride"),
    "depth 0 0 0": stages(0, 0, 0),
    "depth 0 0 1": stages(0, 0, 1),
    "depth 1 1 1": stages(1, 1, 1),
    "depth 0 1 2": stages(0, 1, 2),
    "stages 2": stages(0, 1),
    "stages 4": stages(0, 1, 1, 1),
    "kernel 5": stages(0, 1, 1, kernel=5),
    "widen 3 2 2": {"blocks": [{**STAGE, "depth": 0, "widen": 3.0}, STAGE, STAGE]},
    "widen 2 2 1.5": {"blocks": [{**STAGE, "depth": 0}, STAGE, {**STAGE, "widen": 1.5}]},
    "stem 8": {"stem_filters": 8},
    "stem 24": {"stem_filters": 24},
    "stem_kernel 5": {"stem_kernel": 5},
    "stem 32 stride 2": {"stem_filters": 32, "stem_stride": 2},
    "squeeze 0.25": stages(0, 1, 1, squeeze=0.25),
    "dropout 0.1": stages(0, 1, 1, dropout=0.1),
    "activation silu": {"activation": "silu"},
    "activation gelu": {"activation": "gelu"},
    "activation leaky_relu": {"activation": "leaky_relu"},
    "activation prelu": {"activation": "prelu"},
    "activation elu": {"activation": "elu"},
    "norm layer": {"norm": "layer"},
    "norm group": {"norm": "group"},
    "norm_momentum 0.8": {"norm_momentum": 0.8},
    "norm_momentum 0.95": {"norm_momentum": 0.95},
    "head average": {"head": "average"},
    "head both": {"head": "both"},
    "head flatten": {"head": "flatten"},
    "dense layer of 128": {"dense": [{"units": 128}]},
    "head_dropout 0": {"head_dropout": 0.0},
    "head_dropout 0.3": {"head_dropout": 0.3},
    "learning_rate 0.003": {"learning_rate": 0.003},
    "learning_rate 0.02": {"learning_rate": 0.02},
    "learning_rate 0.04": {"learning_rate": 0.04},
    "weight_decay 0.01": {"weight_decay": 0.01},
    "weight_decay 0.2": {"weight_decay": 0.2},
    "schedule onecycle": {"schedule": "onecycle"},
    "schedule constant": {"schedule": "constant"},
    "batch_size 32": {"batch_size": 32},
    "batch_size 64": {"batch_size": 64},
    "batch_size 256": {"batch_size": 256},
    "label_smoothing 0": {"label_smoothing": 0.0},
    "label_smoothing 0.2": {"label_smoothing": 0.2},
    "ema 0.98": {"ema": 0.98},
    "shift 0": {"shift": 0.0},
    "rotation 0.03": {"rotation": 0.03},
    "zoom 0.1": {"zoom": 0.1},
    "shear 0.1": {"shear": 0.1},
    "stretch 0.1": {"stretch": 0.1},
    "brightness 0.1": {"brightness": 0.1},
    "contrast 0.1": {"contrast": 0.1},
    "erasing 0.25": {"erasing": 0.25},
    "cutmix 0.5": {"cutmix": 0.5},
    "mixup 0.25": {"mixup": 0.25},
    "randaugment 0.25": {"randaugment": 0.25},
}


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=9_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=("",), help="changes that begin so")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.report:
        train(options)
    report(options.csv)


def train(options: argparse.Namespace) -> None:
    """All trainings that the CSV does not have yet."""
    chosen = settings(
        dataset=options.dataset,
        image_size=options.image_size,
        epochs=options.epochs,
        train_pictures=options.pictures,
        seed=options.seed,
        pruner="none",
    )
    chosen, card = ready(chosen)
    done = {(row["change"], row["seed"]) for row in rows(options.csv)}
    for change, genes in CHANGES.items():
        if not change.startswith(tuple(options.only)) or (change, str(options.seed)) in done:
            continue
        genotype = {**BASE, **genes}
        blueprint, recipe = networks_of(card)(genotype)
        curve, seconds = trained(job_for(Candidate(0, genotype, "", blueprint=blueprint, recipe=recipe), chosen, card))
        scores = " ".join(f"{value:.4f}" for value in curve)
        row = (change, options.seed, blueprint.parameters, blueprint.flops, round(seconds, 1), scores)
        append(options.csv, COLUMNS, row)
        print(f"{change}: {max(curve):.4f} in {seconds:.0f} s", file=sys.stderr, flush=True)


def report(file: Path) -> None:
    """For each change the mean best score over the seeds, and the time and the FLOPs against the base."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(file):
        found.setdefault(row["change"], []).append(row)
    time_of = {change: statistics.median(float(row["seconds"]) for row in own) for change, own in found.items()}
    print("change,seeds,score,seconds,of_the_base's,mflops")
    for change, own in found.items():
        score = statistics.mean(max(map(float, row["curve"].split()), default=0.0) for row in own)
        part = time_of[change] / time_of.get("none", float("nan"))
        print(f"{change},{len(own)},{score:.4f},{time_of[change]:.0f},{part:.2f},{int(own[0]['flops']) / 1e6:.1f}")


if __name__ == "__main__":
    main()
