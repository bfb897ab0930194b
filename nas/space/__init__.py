"""Search spaces: `genes.py` (single decisions), `space.py` (how they fit together), `read.py` (from YAML)."""

from nas.space.genes import Choice, Gene, Ordered, Range, Value
from nas.space.read import read_space
from nas.space.space import Genotype, Group, SearchSpace, canonical_json, describe, flatten

__all__ = [
    "Choice",
    "Gene",
    "Genotype",
    "Group",
    "Ordered",
    "Range",
    "SearchSpace",
    "Value",
    "canonical_json",
    "describe",
    "flatten",
    "read_space",
]
