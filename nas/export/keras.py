"""`.keras`: the file as nas keeps it, with all it knows inside. Keras reads it without nas."""

from __future__ import annotations

from pathlib import Path

from nas.answers import Answer
from nas.export.formats import FORMATS, Format, Order
from nas.run import write_whole

FILE = "model.keras"


def write(order: Order, folder: Path) -> None:
    write_whole(folder / FILE, order.original.file.read_bytes())


def read(file: Path) -> Answer:
    from nas.training.handover import load_model

    return load_model(file).answer


FORMATS.register("keras")(
    Format(
        file=FILE,
        loading=f'import keras\nanswers = keras.saving.load_model("{FILE}").predict(picture)',
        write=write,
        read=read,
    )
)
