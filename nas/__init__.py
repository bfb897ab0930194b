"""Architecture search for pictures: `nas.search(space=..., dataset=..., strategy=..., budget=...)`.

Names load lazily: `import nas` takes milliseconds and loads neither Keras nor Optuna.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.blueprint import Sketch, register_block
    from nas.datasets import Arrays, Files, register_dataset
    from nas.errors import NasError
    from nas.executors import register_executor
    from nas.messages import Proposal, Record
    from nas.planning import plan
    from nas.result import Result
    from nas.resuming import resume
    from nas.retraining import retrain
    from nas.searching import search
    from nas.single import train
    from nas.space import SearchSpace, read_space
    from nas.strategies import register_strategy

_PLACES = {
    "Arrays": "nas.datasets",
    "Files": "nas.datasets",
    "NasError": "nas.errors",
    "Proposal": "nas.messages",
    "Record": "nas.messages",
    "Result": "nas.result",
    "SearchSpace": "nas.space",
    "Sketch": "nas.blueprint",
    "plan": "nas.planning",
    "read_space": "nas.space",
    "register_block": "nas.blueprint",
    "register_dataset": "nas.datasets",
    "register_executor": "nas.executors",
    "register_strategy": "nas.strategies",
    "resume": "nas.resuming",
    "retrain": "nas.retraining",
    "search": "nas.searching",
    "train": "nas.single",
}

__version__ = "0.1.0"
__all__ = [
    "Arrays",
    "Files",
    "NasError",
    "Proposal",
    "Record",
    "Result",
    "SearchSpace",
    "Sketch",
    "plan",
    "read_space",
    "register_block",
    "register_dataset",
    "register_executor",
    "register_strategy",
    "resume",
    "retrain",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(importlib.import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'nas' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
