"""ONNX: for onnxruntime, on servers and in browsers. What is to be known about the model is in its metadata, under `nas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nas.answers import Answer
from nas.export.formats import FORMATS, Format, Order, with_probabilities

FILE = "model.onnx"
KEY = "nas"  # in the metadata


def write(order: Order, folder: Path) -> None:
    import onnx

    network = with_probabilities(order.original.model)
    network(np.zeros((1, *order.original.shape), np.float32))  # Keras refuses a network that was never asked
    network.export(folder / FILE, format="onnx", verbose=False)
    model = onnx.load(folder / FILE)
    onnx.helper.set_model_props(model, {KEY: json.dumps(order.about)})
    onnx.save(model, folder / FILE)


def session(file: Path) -> Any:
    """onnxruntime's session of a file. Raises what it raises for one that is damaged."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what is wrong is raised as well
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def facts(file: Path) -> Any:
    """What stands in the metadata. Raises KeyError if that is nothing of ours."""
    return json.loads(session(file).get_modelmeta().custom_metadata_map[KEY])


def read(file: Path) -> Answer:
    opened = session(file)
    name = opened.get_inputs()[0].name
    return lambda pictures: opened.run(None, {name: pictures})[0]


_LOADING = f"""import onnxruntime
session = onnxruntime.InferenceSession("{FILE}")
answers = session.run(None, {{"pixels": picture}})[0]"""

FORMATS.register("onnx")(
    Format(
        file=FILE,
        loading=_LOADING,
        write=write,
        read=read,
        extra="onnx",
        writes_with=("onnx", "tf2onnx"),
        reads_with=("onnxruntime",),
        tensorflow=True,
    )
)
