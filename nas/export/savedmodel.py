"""TensorFlow's SavedModel, a folder: for TensorFlow Serving and whatever else reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.answers import Answer
from nas.export.formats import FORMATS, Format, Order, with_probabilities

FILE = "model"


def write(order: Order, folder: Path) -> None:
    with_probabilities(order.original.model).export(folder / FILE, format="tf_saved_model", verbose=False)


def read(file: Path) -> Answer:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    return lambda pictures: np.asarray(loaded.serve(pictures))


FORMATS.register("savedmodel")(
    Format(
        file=FILE,
        loading=f'import tensorflow as tf\nmodel = tf.saved_model.load("{FILE}")\nanswers = model.serve(picture).numpy()',
        write=write,
        read=read,
        reads_with=("tensorflow",),
        tensorflow=True,
    )
)
