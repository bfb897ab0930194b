"""LiteRT, once TensorFlow Lite: for telephones and small devices, in float32 or in whole numbers of 8 bits.

With int8 weights and activations are whole numbers (Jacob et al. 2018), their scales chosen by pictures that pass through; raw
pixels go in as uint8, probabilities come out as float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nas.answers import Answer
from nas.export.formats import FORMATS, Format, Order, with_probabilities
from nas.quiet import quietly

FILE = "model.tflite"


def write(order: Order, folder: Path) -> None:
    import tensorflow as tf

    builtin = tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if order.int8 else tf.lite.OpsSet.TFLITE_BUILTINS
    # Of TensorFlow's own operations none: a device that has LiteRT alone could not run them.
    asked: dict[str, Any] = {"target_spec": {"supported_ops": [builtin]}}
    if order.int8:

        def examples() -> Iterator[list[np.ndarray]]:
            for picture in order.examples:
                yield [picture[np.newaxis].astype(np.float32)]

        asked |= {"optimizations": [tf.lite.Optimize.DEFAULT], "representative_dataset": examples}
        asked |= {"inference_input_type": tf.uint8}
    with_probabilities(order.original.model).export(folder / FILE, format="litert", verbose=False, **asked)


def read(file: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    with quietly():
        interpreter = Interpreter(model_path=str(file))
        interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def answer(pictures: np.ndarray) -> np.ndarray:
        if tuple(interpreter.get_input_details()[0]["shape"]) != pictures.shape:
            with quietly():  # it tells of each delegate
                interpreter.resize_tensor_input(entry["index"], pictures.shape)
                interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], pictures.astype(entry["dtype"]))
        interpreter.invoke()
        found: np.ndarray = interpreter.get_tensor(result["index"])
        return found

    return answer


_LOADING = f"""from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path="{FILE}")
answers = interpreter.get_signature_runner()(pixels=picture)["output_0"]"""

FORMATS.register("tflite")(
    Format(
        file=FILE,
        loading=_LOADING,
        write=write,
        read=read,
        extra="tflite",
        reads_with=("ai_edge_litert",),
        tensorflow=True,
        int8=True,
    )
)
