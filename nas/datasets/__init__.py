"""Data sets: `base.py` (what one is), one file for each kind, `prepare.py` and `cache.py` (decoded once; on
other machines `fetched.py`), `images.py` (decoding), `split.py` (train and validation)."""

from nas.datasets import cats_dogs, cifar, digits  # noqa: F401  importing them enters them in the table
from nas.datasets.base import DATASETS, Arrays, Files, register_dataset
from nas.datasets.cache import open_cache
from nas.datasets.prepare import prepare

__all__ = ["DATASETS", "Arrays", "Files", "open_cache", "prepare", "register_dataset"]
