"""The model that is handed over: one `.keras` file in float32 that takes raw pixels and knows its classes.

Class names, picture size and normalisation travel in the file as an extra member `nas.json`; Keras ignores it when loading.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from nas.answers import HandedOver, classes_and_shape
from nas.blueprint.backbone import MEMBER, MOST_FACTS
from nas.errors import RunError, first_line
from nas.messages import Job
from nas.run import write_whole
from nas.training.model import build
from nas.training.weights import Arrays, set_weights


def save_model(job: Job, weights: Arrays, facts: dict[str, Any]) -> None:
    """Rebuild a job's network in float32 with trained `weights` and write it to `job.model`, whole or not at all."""
    network = build(job.blueprint)
    set_weights(network, weights)
    about = {
        "classes": list(job.data.classes),
        "shape": list(job.data.shape),
        "mean": list(job.data.mean),
        "std": list(job.data.std),
        "data": {"name": job.data.name, "digest": job.data.digest},
        "blueprint": job.blueprint.to_dict(),
        **facts,
    }
    write_model(network, about, Path(job.model))


def write_model(network: Any, about: dict[str, Any], target: Path) -> None:
    """Write a network, and the plain data `about` it, to `target`, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:  # where a killed worker's is found and removed
        file = Path(folder) / "model.keras"
        network.save(file)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(MEMBER, json.dumps(about, indent=1))
        write_whole(target, file.read_bytes())


def load_model(file: Path) -> HandedOver:
    """Read a `.keras` file that `save_model` wrote, in Keras's safe mode. Raises RunError."""
    try:
        facts = _facts(file)
        classes, shape = classes_and_shape(facts, f"its member {MEMBER}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is damaged: if it matters, it is raised as well
            model = keras.saving.load_model(os.fspath(file), compile=False, safe_mode=True)
        found = (tuple(model.input_shape[1:]), model.output_shape[-1])
        if found not in ((shape, len(classes)), (shape, 1) if len(classes) == 2 else ()):
            raise ValueError(f"its network is not for {len(classes)} classes and pictures of {'×'.join(map(str, shape))}")
    except FileNotFoundError:
        raise RunError("does not exist", str(file)) from None
    except RunError:
        raise
    except Exception as problem:  # a damaged archive can make Keras raise anything
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else first_line(problem)
        raise RunError(f"cannot be read as a model: {words}", str(file)) from None
    return HandedOver(model.predict_on_batch, classes, shape, facts, file, model)


def _facts(file: Path) -> dict[str, Any]:
    """What `save_model` wrote beside the network. Raises RunError where there is nothing of it, else what `zipfile` raises."""
    with zipfile.ZipFile(file) as archive:
        if MEMBER not in archive.namelist():
            raise RunError("was not made by nas: it does not know its classes", str(file))
        if archive.getinfo(MEMBER).file_size > MOST_FACTS:
            raise ValueError(f"its member {MEMBER} is too large")
        facts: dict[str, Any] = json.loads(archive.read(MEMBER))
    return facts
