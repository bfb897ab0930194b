"""Any model that nas wrote, opened: a run folder, the folder of an export, or a file of any format."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from nas.answers import HandedOver, classes_and_shape
from nas.errors import NasError, RunError, first_line, listing
from nas.export import FORMATS, onnx
from nas.export.formats import FACTS, check_packages
from nas.run import BEST, Run


def open_model(model: str | Path) -> HandedOver:
    """Raises RunError for what is no model or damaged, ConfigError if its runtime is not installed."""
    file, name = located(Path(os.path.abspath(model)))
    if name == "keras":
        from nas.training.handover import load_model

        return load_model(file)
    form = FORMATS[name]
    check_packages(name, form.reads_with, str(file))
    if form.tensorflow and "tensorflow" in form.reads_with:
        from nas import training  # noqa: F401  it is loaded in silence
    try:
        facts = _facts(file, name)
        classes, shape = classes_and_shape(facts, f"what is known about it ({FACTS})")
        loaded = HandedOver(form.read(file), classes, shape, facts, file)
        width = np.asarray(loaded.answer(np.zeros((1, *shape), np.float32))).shape[-1]
        if width != len(classes) and (width, len(classes)) != (1, 2):
            raise ValueError(f"its network is not for {len(classes)} classes")
        return loaded
    except RunError:
        raise
    except Exception as problem:  # a damaged file can make a runtime raise anything
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else first_line(problem)
        raise RunError(f"cannot be read as a model: {words}", str(file)) from None


def located(model: Path) -> tuple[Path, str]:
    """The file (or folder) that is meant, and its format. Raises RunError."""
    if not os.path.exists(model):  # unlike `Path.exists`, it takes any name, however long
        raise RunError("there is no such run folder or model", str(model))
    if not model.is_dir():
        return model, next((name for name in FORMATS.names() if FORMATS[name].file.endswith(model.suffix or "/")), "keras")
    if (model / BEST).exists():
        return model / BEST, "keras"
    if (model / "run.yaml").exists():
        raise RunError(no_model(Run(model)), str(model))
    if (model / "saved_model.pb").exists():
        return model, "savedmodel"
    there = [name for name in FORMATS.names() if (model / FORMATS[name].file).exists()]
    if there and not (model / FACTS).exists():
        raise RunError(f"has no {FACTS}, which knows the classes of {FORMATS[there[0]].file}", str(model))
    if there:
        return model / FORMATS[there[0]].file, there[0]
    files = listing(FORMATS[name].file for name in FORMATS.names())
    raise RunError(f"is no run folder, and no export (which has one of {files})", str(model))


def no_model(run: Run) -> str:
    """Why a run has none."""
    with contextlib.suppress(NasError):
        if run.read_settings().get("evaluator"):
            return "has no model: its candidates were scored by a Python function, and are no networks"
    return "has no trained model yet: no candidate was trained to the end"


def _facts(file: Path, name: str) -> dict[str, Any]:
    """What an export knows about itself. Raises RunError, and what a damaged file raises."""
    found: dict[str, Any]
    if name == "onnx":  # it knows them itself, whatever lies beside it
        try:
            found = onnx.facts(file)
        except KeyError:
            raise RunError("was not made by nas: it does not know its classes", str(file)) from None
        return found
    beside = file.with_name(FACTS)
    if not beside.exists():
        raise RunError(f"needs its {FACTS} beside it, which knows its classes", str(file))
    found = json.loads(beside.read_text(encoding="utf-8"))
    return found
