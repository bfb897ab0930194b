"""`model.py`, the network as readable Keras code (`code.py` writes it), with its weights beside it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from nas.answers import Answer
from nas.blueprint import Blueprint
from nas.errors import RunError
from nas.export.code import code
from nas.export.formats import FORMATS, Format, Order
from nas.run import write_whole

FILE, WEIGHTS = "model.py", "model.weights.h5"


def write(order: Order, folder: Path) -> None:
    blueprint = Blueprint.from_dict(order.about["blueprint"])
    write_whole(folder / FILE, code(blueprint, order.about, WEIGHTS))
    network = _built(folder / FILE)
    theirs = {layer.name: layer.get_weights() for layer in order.original.model.layers}
    kinds: dict[type, list[Any]] = {}  # layers in the order in which the code makes them, which Keras counts in their names
    for layer in sorted(network.layers, key=lambda layer: int((re.findall(r"_(\d+)$", layer.name) or [0])[0])):
        kinds.setdefault(type(layer), []).append(layer)
    by_name = {layer.name: layer for layer in order.original.model.layers}
    for node in blueprint.nodes:
        kinds[type(by_name[node.name])].pop(0).set_weights(theirs[node.name])
    with tempfile.TemporaryDirectory() as name:  # on a full disk HDF5 fails badly: what is whole is copied
        network.save_weights(Path(name) / WEIGHTS)
        write_whole(folder / WEIGHTS, (Path(name) / WEIGHTS).read_bytes())


def _built(file: Path) -> Any:
    """The model that the code makes, with random weights."""
    space: dict[str, Any] = {"__name__": "model"}
    try:
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), space)
    except SystemExit:
        raise RunError("ends the program that reads it", str(file)) from None
    if not callable(space.get("build")):
        raise RunError("has no function 'build'", str(file))
    return space["build"]()


def read(file: Path) -> Answer:
    from nas import training  # noqa: F401  loads Keras, in silence

    network = _built(file)
    network.load_weights(file.with_name(WEIGHTS))
    answer: Answer = network.predict_on_batch
    return answer


FORMATS.register("python")(
    Format(
        file=FILE,
        loading=f'from model import build\nanswers = build("{WEIGHTS}").predict(picture)',
        write=write,
        read=read,
    )
)
