"""Does a backbone help? One network on cats and dogs for the same time: from scratch, and with weights from CIFAR-10.

    NAS_DATA_DIR=… python benchmarks/transfer.py --folder transfer --run RUN [--time 5m] [--seeds 2] [--image-size 64]
    python benchmarks/transfer.py --folder transfer --report

RUN is a run on CIFAR-10 that was retrained. Its winner is trained anew from random weights (`scratch`), and stands, without its
head, as a backbone in front of a new one: trained further (`tuned`) or kept (`frozen`). The recipe is the winner's. A backbone
has the stem of the run on CIFAR-10, of stride 1, where the network for larger pictures would have a larger one; `fine` is
trained from random weights with that stem, so that weights alone tell it from `tuned`. Each is a run in the folder, made by
`nas train --time`; what is done is not done again. Each looks at the test part once, at its end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from finals import figures, last_fit

from nas.run import Run
from nas.space import Genotype

FROZEN = {"scratch": None, "fine": None, "tuned": False, "frozen": True}  # whether the backbone is; None where there is none
COLUMNS = ("way", "seed", "test_accuracy", "low", "high", "epochs", "parameters", "flops")
OUTSIDE = ("stem_filters", "stem_kernel", "stem_stride", "activation", "norm", "norm_momentum")  # genes of what is taken


def main() -> None:
    """Do what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="a run on CIFAR-10 that was retrained")
    parser.add_argument("--time", default="5m", help="of each training, its start included")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(",".join(COLUMNS))
    for seed in range(options.seeds):
        for way in FROZEN:
            run = Run(options.folder / f"{way}-{seed}")
            if not run.final.exists() and not options.report:
                train(options, way, seed, run)
            if run.final.exists():
                print(",".join((way, str(seed), *figures(run, COLUMNS[5:]))), flush=True)


def train(options: argparse.Namespace, way: str, seed: int, run: Run) -> None:
    """One training, in a process of its own."""
    space, genotype = network(options.run, way)
    file = options.folder / f"{way}.yaml"
    facts = {"dataset": "cats_dogs", "image_size": options.image_size, "validation_part": 0.0, "epochs": 20}
    place = options.folder / f"{way}-space.yaml"
    place.write_text(yaml.safe_dump(space, sort_keys=False), encoding="utf-8")
    file.write_text(yaml.safe_dump({**facts, "space": str(place), "genotype": genotype}, sort_keys=False), encoding="utf-8")
    words = ["train", str(file), f"--seed={seed}", f"--time={options.time}", f"--out={run.folder}"]
    subprocess.run([sys.executable, "-m", "nas", *words], check=True, stdout=sys.stderr)


def network(folder: Path, way: str) -> tuple[dict[str, Any], Genotype]:
    """The space and the genotype of one way, from the winner of a run."""
    genotype = dict(last_fit(Run(folder)).genotype)
    frozen, space = FROZEN[way], Run(folder).read_settings()["space"]
    if frozen is None:
        stem = {"stem_stride": 1} if way == "fine" else {}
        return {**space, "genes": {**space["genes"], **stem}}, {**genotype, **stem}
    kept = {key: value for key, value in genotype.items() if key not in (*OUTSIDE, "blocks")}
    genes = {"backbone": str(folder.absolute()), "backbone_frozen": frozen, **kept}
    group = {"repeat": [0, 1], "genes": {"block": "stage"}}
    return {"name": "transfer", "groups": {"blocks": group}, "genes": genes}, {"blocks": [], **genes}


if __name__ == "__main__":
    main()
