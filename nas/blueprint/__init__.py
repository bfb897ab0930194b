"""Networks as plain data, in order of reading: `layers.py` (and `plain.py`) → `blueprint.py` → `sketch.py` → `blocks.py`,
`stages.py` → `express.py`."""

from nas.blueprint import stages  # noqa: F401  importing it enters its blocks in the table
from nas.blueprint.blocks import BLOCKS, register_block
from nas.blueprint.blueprint import Blueprint, Node, Origin
from nas.blueprint.express import BACKBONE, Pictures, check_networks, express, usual_pictures
from nas.blueprint.sketch import Sketch
from nas.blueprint.summary import summary

__all__ = [
    "BACKBONE",
    "BLOCKS",
    "Blueprint",
    "Node",
    "Origin",
    "Pictures",
    "Sketch",
    "check_networks",
    "express",
    "register_block",
    "summary",
    "usual_pictures",
]
