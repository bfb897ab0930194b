"""A model for other programs: `exporting.py` is the story, `formats.py` the table, and each format has a file of its own."""

from nas.export import keras, onnx, python, savedmodel, tflite  # noqa: F401  importing them enters them in the table
from nas.export.formats import FORMATS

__all__ = ["FORMATS"]
